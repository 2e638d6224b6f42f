"""Request parameters: what the fields of the LLM set, what the call gives, and which of them wins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams

CHAT = frozenset(ChatParams.__required_keys__ | ChatParams.__optional_keys__)
COMPLETION = frozenset(CompletionParams.__required_keys__ | CompletionParams.__optional_keys__)

FIELDS = (
    "model",
    "temperature",
    "max_tokens",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "echo",
    "safety_model",
    "response_format",
    "reasoning",
    "reasoning_effort",
    "chat_template_kwargs",
    "context_length_exceeded_behavior",
    "compliance",
    "parallel_tool_calls",
    "extra_body",
)
"""Fields of the LLM that are request parameters of the same name."""


def merge(fields: Mapping[str, Any], given: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the parameters of one request.

    Args:
        fields: What the LLM was made with.
        given: What this call was given; it wins, and None takes a field's value back.
        known: Names that the endpoint's description knows; others travel in `extra_body`.
    """
    merged = {**fields, **given}
    extra = {**(fields.get("extra_body") or {}), **(given.get("extra_body") or {})}
    merged.pop("extra_body", None)
    merged.pop("stream", None)
    params: dict[str, Any] = {}
    for name, value in merged.items():
        if value is not None:
            (params if name in known else extra)[name] = value
    if extra:
        params["extra_body"] = extra
    return params
