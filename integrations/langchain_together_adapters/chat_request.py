"""A chat request, and its repetition without a forced tool choice, as a flow that both drivers perform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from together_adapters.errors import BadRequestError, ContextLengthError, UnprocessableEntityError
from together_adapters.resources.chat import complete, stream_completion
from together_adapters.transport.call import Flow

RELAX_TOOL_CHOICE = "relax_tool_choice"
"""A keyword of requests whose forced tool choice is dropped where the model refuses it."""


def request_chat(params: dict[str, Any], *, stream: bool = False) -> Flow[Any]:
    """Request a chat completion and return its JSON, or the stream of it."""
    relax = params.pop(RELAX_TOOL_CHOICE, False)
    describe = stream_completion if stream else complete
    try:
        return (yield describe(**params).untyped())  # type: ignore[misc]
    except (BadRequestError, UnprocessableEntityError) as error:
        if not (relax and _is_about_tool_choice(error, params)):
            raise
    return (yield describe(**{**params, "tool_choice": "auto"}).untyped())  # type: ignore[misc]


def _is_about_tool_choice(error: BadRequestError | UnprocessableEntityError, params: Mapping[str, Any]) -> bool:
    """Whether a model refused a forced tool choice; only the words of the engine's message tell."""
    if isinstance(error, ContextLengthError) or params.get("tool_choice") in (None, "auto", "none"):
        return False
    message = error.message.lower()
    phrases = ("tool_choice", "tool choice", "grammar", "forced")
    return error.param == "tool_choice" or any(phrase in message for phrase in phrases)
