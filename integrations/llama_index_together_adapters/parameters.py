"""Request parameters from the fields of the LLM and the arguments of a call. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

CHAT = frozenset(ChatParams.__required_keys__ | ChatParams.__optional_keys__)
COMPLETION = frozenset(CompletionParams.__required_keys__ | CompletionParams.__optional_keys__)
_CALL_ONLY = {"messages", "tools", "tool_choice", "function_call", "stream_options"}
FIELDS = ("extra_body", *sorted(CHAT - RequestOptions.__optional_keys__ - _CALL_ONLY))
"""Fields of the LLM that are request parameters of the same name."""


def merge(fields: Mapping[str, Any], kwargs: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return the parameters of one request; those without one of the endpoint's `names` are sent in `extra_body`.

    The arguments of the call take precedence over the fields of the LLM, and None removes the value of a field.
    """
    merged = {**fields, **kwargs}
    extra = {**(fields.get("extra_body") or {}), **(kwargs.get("extra_body") or {})}
    merged.pop("extra_body", None)
    merged.pop("stream", None)
    params: dict[str, Any] = {}
    for name, value in merged.items():
        if value is not None:
            (params if name in names else extra)[name] = value
    if extra:
        params["extra_body"] = extra
    return params
