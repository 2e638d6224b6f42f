"""What an answer says about itself: usage, why it ended, which model gave it, log-probabilities. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from together_adapters.types.logprobs import content_logprobs

PROVIDER = "together"

_NAMED_ELSEWHERE = frozenset({"choices", "usage", "model", "object"})
_CHOICE_NAMED_ELSEWHERE = frozenset(
    {"index", "message", "delta", "text", "role", "finish_reason", "logprobs", "top_logprobs", "tool_calls"}
)


def usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """Return usage as LangChain counts it; cached tokens are nested on some engines and flat on others."""
    if not usage:
        return None
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    counted = UsageMetadata(
        input_tokens=prompt, output_tokens=completion, total_tokens=usage.get("total_tokens") or prompt + completion
    )
    prompt_details = usage.get("prompt_tokens_details") or {}
    completion_details = usage.get("completion_tokens_details") or {}
    read = InputTokenDetails()
    if (cached := _first(prompt_details.get("cached_tokens"), usage.get("cached_tokens"))) is not None:
        read["cache_read"] = cached
    if (heard := prompt_details.get("audio_tokens")) is not None:
        read["audio"] = heard
    spent = OutputTokenDetails()
    if (thought := _first(completion_details.get("reasoning_tokens"), usage.get("reasoning_tokens"))) is not None:
        spent["reasoning"] = thought
    if (said := completion_details.get("audio_tokens")) is not None:
        spent["audio"] = said
    if read:
        counted["input_token_details"] = read
    if spent:
        counted["output_token_details"] = spent
    return counted


def response_metadata(
    answer: Mapping[str, Any], choice: Mapping[str, Any], finish_reason: str | None, logprobs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what LangChain keeps beside a message. Fields of the service that have no name here are kept as they came."""
    kept = {name: value for name, value in answer.items() if name not in _NAMED_ELSEWHERE and value not in (None, [])}
    kept.update(
        {name: value for name, value in choice.items() if name not in _CHOICE_NAMED_ELSEWHERE and value not in (None, [])}
    )
    kept["model_provider"] = PROVIDER
    if model := answer.get("model"):
        kept["model_name"] = model
    kept["finish_reason"] = plain_reason(finish_reason)
    if logprobs:
        kept["logprobs"] = logprobs
    return kept


def plain_reason(reason: str | None) -> str | None:
    """Return a finish reason as frameworks know it: classic engines say `eos` where others say `stop`."""
    return "stop" if reason == "eos" else reason


def whole_logprobs(raw: Any) -> dict[str, Any] | None:
    """Return a whole answer's log-probabilities: one normalised `content`, beside the arrays of a classic engine."""
    if raw is None:
        return None
    if isinstance(raw, list):
        raw = {"content": raw}
    arrays = {name: value for name, value in raw.items() if isinstance(value, list)} if isinstance(raw, Mapping) else {}
    return {**arrays, "content": content_logprobs(raw)}


def piece_logprobs(choice: Mapping[str, Any], token: str, token_id: Any = None) -> dict[str, Any] | None:
    """Return the log-probabilities of one chunk, so that joined chunks give what `whole_logprobs` gives."""
    raw, top = choice.get("logprobs"), choice.get("top_logprobs")
    if raw is None:
        return None
    if not isinstance(raw, int | float):
        return whole_logprobs(raw)
    joined: dict[str, Any] = {"tokens": [token], "token_logprobs": [float(raw)]}
    if token_id is not None:
        joined["token_ids"] = [token_id]
    if isinstance(top, Mapping):
        joined["top_logprobs"] = [{text: float(value) for text, value in top.items()}]
    return {**joined, "content": content_logprobs(raw, token=token, top=top)}


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
