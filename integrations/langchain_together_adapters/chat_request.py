"""One chat request and what may follow it, as a flow that both drivers perform: described once, for sync and async."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from together_adapters.errors import BadRequestError, ContextLengthError, UnprocessableEntityError
from together_adapters.resources.chat import complete, stream_completion
from together_adapters.transport.call import Flow

RELAX = "relax_tool_choice"
"""Keyword of a request whose forced tool choice may be dropped where the model refuses it."""


def ask(params: dict[str, Any], *, stream: bool = False) -> Flow[Any]:
    """Ask, and answer with parsed JSON, or with the stream of it.

    Args:
        params: Parameters of the request.
        stream: Whether the answer comes in pieces.

    Raises:
        TogetherError: The request failed for good.
        ValueError: More than one answer was asked for in a stream.
    """
    relax = params.pop(RELAX, False)
    describe = stream_completion if stream else complete
    try:
        return (yield describe(**params).untyped())  # type: ignore[misc]
    except (BadRequestError, UnprocessableEntityError) as error:
        if not (relax and _is_about_choice(error, params)):
            raise
    return (yield describe(**{**params, "tool_choice": "auto"}).untyped())  # type: ignore[misc]


def _is_about_choice(error: BadRequestError | UnprocessableEntityError, params: Mapping[str, Any]) -> bool:
    """Whether a model refused to be forced; the engines behind the service say so in many words."""
    if isinstance(error, ContextLengthError) or params.get("tool_choice") in (None, "auto", "none"):
        return False
    said = error.message.lower()
    return error.param == "tool_choice" or any(word in said for word in ("tool_choice", "tool choice", "grammar", "forced"))
