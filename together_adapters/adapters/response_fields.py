"""Fields of chat and completion responses that engines place or name differently. Pure, on parsed JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

REASONING_FIELDS: Final = ("reasoning", "reasoning_content")
"""Fields of a message or a delta in which engines send reasoning."""
REASONING_FIELD: Final = "reasoning_field"
"""Key under which a framework's message keeps the name of the field in which its reasoning came."""


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


def reasoning_field(message: Mapping[str, Any]) -> str | None:
    """Return the name of the field that holds the reasoning of a message or a delta; None where it has none."""
    return next((name for name in REASONING_FIELDS if message.get(name)), None)


def replay_field(field: Any, style: str | None) -> str:
    """Return the field in which reasoning is sent back: that in which it came, else that of the model's entry in the table."""
    return next((name for name in (field, style) if name in REASONING_FIELDS), REASONING_FIELDS[0])


def cached_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the cached prompt tokens of a usage, which some engines nest."""
    return _token_count(usage, "prompt_tokens_details", "cached_tokens")


def reasoning_tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the reasoning tokens of a usage, which some engines nest."""
    return _token_count(usage, "completion_tokens_details", "reasoning_tokens")


def _token_count(usage: Mapping[str, Any], details: str, name: str) -> int | None:
    count = (usage.get(details) or {}).get(name)
    return usage.get(name) if count is None else count


def add_counts(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counts of two usages, also nested ones; of other values the first is kept."""
    total = dict(left)
    for name, value in right.items():
        current = total.get(name)
        if isinstance(value, Mapping):
            total[name] = add_counts(current if isinstance(current, Mapping) else {}, value)
        elif isinstance(value, int | float) and isinstance(current, int | float):
            total[name] = current + value
        elif current is None:
            total[name] = value
    return total
