"""From a request of Together's API to one that OpenAI-compatible servers take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.remote.engines import Kind

# What the emulator does by itself, or what no engine has.
_NOT_SENT: Final = frozenset({"compliance", "context_length_exceeded_behavior", "echo", "safety_model", "stream_options"})
OPTIONAL: Final = (
    "stream_options", "top_k", "min_p", "repetition_penalty", "repeat_penalty", "seed", "logit_bias", "user", "reasoning_effort",
    "chat_template_kwargs", "reasoning", "presence_penalty", "frequency_penalty", "parallel_tool_calls", "top_logprobs", "logprobs",
    "encoding_format",
)  # fmt: skip
"""What a request means without: it is left out where an engine refuses it."""
_LLAMA_CPP: Final = {"repetition_penalty": "repeat_penalty"}  # which ignores names that it does not know


def engine_body(kind: Kind, body: Mapping[str, Any], model: str, owner: str) -> dict[str, Any]:
    """Returns the body for an engine that knows the model by a name of its own."""
    result: dict[str, Any] = {name: value for name, value in body.items() if value is not None and name not in _NOT_SENT} | {
        "model": model
    }
    if kind == "embeddings":
        return result | {"encoding_format": "float"}
    if result.get("stream"):
        result["stream_options"] = {"include_usage": True}
    if format := result.pop("response_format", None):
        result |= _format(format)
    if kind == "chat":
        result |= _chat_logprobs(result)
    _switch_reasoning(result)
    names = _LLAMA_CPP if owner == "llamacpp" else {}
    return {names.get(name, name): value for name, value in result.items()}


def _format(format: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a response format as OpenAI has it: with the schema in an object of its own."""
    type, schema = format.get("type"), format.get("schema")
    if type == "regex":
        raise bad_request("An engine has no response_format of type regex; ask for json_schema.", param="response_format")
    if schema is not None and "json_schema" not in format:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}
    return {"response_format": format}


def _chat_logprobs(body: dict[str, Any]) -> dict[str, Any]:
    """Returns log-probabilities as chat has them: a boolean and a number, where Together takes one number for both."""
    logprobs = body.pop("logprobs", False)
    count = max(int(logprobs or 0), int(body.pop("top_logprobs", 0) or 0))
    return {"logprobs": True, "top_logprobs": count} if logprobs is True or count else {}


def _switch_reasoning(body: dict[str, Any]) -> None:
    """Turns Together's switch of reasoning into the argument of the chat template that engines hand on."""
    switch = body.get("reasoning")
    if isinstance(switch, Mapping) and isinstance(enabled := switch.get("enabled"), bool):
        del body["reasoning"]
        body["chat_template_kwargs"] = {"enable_thinking": enabled, **(body.get("chat_template_kwargs") or {})}
