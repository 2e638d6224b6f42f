"""Refusals of a model: where a message keeps one, and the error where only an object or a tool call would do.

Core has no notion of a refusal. The text stands in `additional_kwargs["refusal"]`, where LlamaIndex's class for OpenAI's Responses API
keeps it, too (llama-index-llms-openai 0.7; its class for chat completions loses it).
"""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatResponse

from together_adapters.errors import APIError


class RefusedError(APIError, ValueError):
    """The model refused to give structured output or to call a tool, or a content filter has stopped it; the message quotes it.

    It is a `ValueError`, too, as is the error for a response that is invalid.

    Attributes:
        chat_response: The response of the model.
    """

    is_retryable = False
    chat_response: ChatResponse | None = None


def raise_if_refused(response: ChatResponse) -> None:
    """Raise `RefusedError` where the model refused, or where a content filter has stopped it."""
    refusal = response.message.additional_kwargs.get("refusal")
    if refusal:
        message = f"the model refused: {refusal!r}"
    elif response.additional_kwargs.get("finish_reason") == "content_filter":
        message = f"a content filter has stopped the response: {response.message.content or ''!r}"
    else:
        return
    error = RefusedError(message)
    error.chat_response = response
    raise error
