"""The metadata of a response in LangChain's terms: usage, finish reason, model, log-probabilities. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from together_adapters.adapters.response_fields import cached_tokens, finish_reason, reasoning_tokens
from together_adapters.types.logprobs import content_logprobs

PROVIDER = "together"

_RENAMED_FIELDS = frozenset({"choices", "usage", "model", "object"})
_RENAMED_CHOICE_FIELDS = frozenset(
    {"index", "message", "delta", "text", "role", "finish_reason", "logprobs", "top_logprobs", "tool_calls"}
)


def usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """Return usage as LangChain counts it."""
    if not usage:
        return None
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    total = usage.get("total_tokens") or prompt + completion
    metadata = UsageMetadata(input_tokens=prompt, output_tokens=completion, total_tokens=total)
    input_details, output_details = InputTokenDetails(), OutputTokenDetails()
    if (count := cached_tokens(usage)) is not None:
        input_details["cache_read"] = count
    if (count := (usage.get("prompt_tokens_details") or {}).get("audio_tokens")) is not None:
        input_details["audio"] = count
    if (count := reasoning_tokens(usage)) is not None:
        output_details["reasoning"] = count
    if (count := (usage.get("completion_tokens_details") or {}).get("audio_tokens")) is not None:
        output_details["audio"] = count
    if input_details:
        metadata["input_token_details"] = input_details
    if output_details:
        metadata["output_token_details"] = output_details
    return metadata


def response_metadata(
    response: Mapping[str, Any], choice: Mapping[str, Any], logprobs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the metadata of a message. Fields of the service that LangChain has no name for keep theirs."""
    metadata = {name: value for name, value in response.items() if name not in _RENAMED_FIELDS and value not in (None, [])}
    metadata.update(
        {name: value for name, value in choice.items() if name not in _RENAMED_CHOICE_FIELDS and value not in (None, [])}
    )
    metadata["model_provider"] = PROVIDER
    if model := response.get("model"):
        metadata["model_name"] = model
    metadata["finish_reason"] = finish_reason(choice.get("finish_reason"))
    if logprobs:
        metadata["logprobs"] = logprobs
    return metadata


def full_logprobs(raw: Any) -> dict[str, Any] | None:
    """Return the log-probabilities of a response: a normalized `content`, beside the arrays of a classic engine."""
    if raw is None:
        return None
    if isinstance(raw, list):
        raw = {"content": raw}
    arrays = {name: value for name, value in raw.items() if isinstance(value, list)} if isinstance(raw, Mapping) else {}
    return {**arrays, "content": content_logprobs(raw)}


def chunk_logprobs(choice: Mapping[str, Any], token: str, token_id: Any = None) -> dict[str, Any] | None:
    """Return the log-probabilities of one chunk, so that those of all chunks merge to `full_logprobs`."""
    raw, top = choice.get("logprobs"), choice.get("top_logprobs")
    if raw is None:
        return None
    if not isinstance(raw, int | float):
        return full_logprobs(raw)
    logprobs: dict[str, Any] = {"tokens": [token], "token_logprobs": [float(raw)]}
    if token_id is not None:
        logprobs["token_ids"] = [token_id]
    if isinstance(top, Mapping):
        logprobs["top_logprobs"] = [{text: float(value) for text, value in top.items()}]
    return {**logprobs, "content": content_logprobs(raw, token=token, top=top)}
