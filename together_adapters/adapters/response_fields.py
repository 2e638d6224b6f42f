"""Fields of chat and completion responses that engines place or name differently. Pure, on parsed JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def finish_reason(reason: str | None) -> str | None:
    """Return a finish reason as frameworks know it: `eos` of classic engines is `stop`."""
    return "stop" if reason == "eos" else reason


def completion_delta(chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> str:
    """Return what a chunk adds to a completion; engines place it in one to three fields."""
    text: str | None = choice.get("text") or (choice.get("delta") or {}).get("content")
    return text or (chunk.get("token") or {}).get("text") or ""


def reasoning_of(message: Mapping[str, Any]) -> str | None:
    """Return the reasoning of a message or a delta, under either of its names."""
    reasoning = message.get("reasoning")
    other = None if reasoning else message.get("reasoning_content")
    return reasoning if other is None else other


def cached_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the cached prompt tokens of a usage, which some engines nest."""
    return _token_count(usage, "prompt_tokens_details", "cached_tokens")


def reasoning_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the reasoning tokens of a usage, which some engines nest."""
    return _token_count(usage, "completion_tokens_details", "reasoning_tokens")


def _token_count(usage: Mapping[str, Any], details: str, name: str) -> int | None:
    count = (usage.get(details) or {}).get(name)
    return usage.get(name) if count is None else count
