"""Whole chat answers on their way in: the service's JSON becomes LangChain's result. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_together_adapters.metadata import plain_reason, response_metadata, usage_metadata, whole_logprobs
from langchain_together_adapters.tool_calls import read_calls
from together_adapters.errors import APIResponseValidationError
from together_adapters.types.reasoning import split_reasoning

EXTRAS = ("refusal", "function_call")
"""Fields of a message that LangChain keeps in `additional_kwargs`."""


class Manner(NamedTuple):
    """How answers are told.

    Attributes:
        tags: What encloses reasoning at the head of an answer; None leaves it in the text.
        blocks: Whether content is a list of standard blocks (`output_version="v1"`).
    """

    tags: tuple[str, str] | None
    blocks: bool


def chat_result(answer: Mapping[str, Any], manner: Manner) -> ChatResult:
    """Return LangChain's result of a chat answer: a generation for each choice.

    Raises:
        APIResponseValidationError: The answer holds no choice.
    """
    choices = answer.get("choices")
    if not choices:
        raise APIResponseValidationError("the chat answer cannot be used: it holds no choice", body=answer)
    usage = answer.get("usage")
    generations = []
    for place, choice in enumerate(choices):
        # Usage counts all choices together, so it stands on one.
        generations.append(_generation(answer, choice, manner, usage if place == 0 else None))
    output = {"token_usage": usage or {}, "model_name": answer.get("model")}
    return ChatResult(generations=generations, llm_output=output)


def _generation(answer: Mapping[str, Any], choice: Mapping[str, Any], manner: Manner, usage: Any) -> ChatGeneration:
    said = choice.get("message") or {}
    text, reasoning = text_and_reasoning(said, choice, manner.tags)
    calls, invalid = read_calls(said.get("tool_calls"))
    logprobs = whole_logprobs(choice.get("logprobs"))
    reason = choice.get("finish_reason")
    extras: dict[str, Any] = {name: said[name] for name in EXTRAS if said.get(name) is not None}
    content: Any = text
    if manner.blocks:
        content = [{"type": "reasoning", "reasoning": reasoning}] if reasoning else []
        content += [{"type": "text", "text": text}] if text else []
    elif reasoning is not None:
        extras["reasoning_content"] = reasoning
    filled = {"additional_kwargs": extras, "tool_calls": calls, "invalid_tool_calls": invalid}
    message = AIMessage(
        content=content,
        usage_metadata=usage_metadata(usage),
        response_metadata=response_metadata(answer, choice, reason, logprobs),
        **{name: value for name, value in filled.items() if value},
    )
    info: dict[str, Any] = {"finish_reason": plain_reason(reason)}
    if logprobs:
        info["logprobs"] = logprobs
    return ChatGeneration(message=message, generation_info=info)


def text_and_reasoning(
    said: Mapping[str, Any], choice: Mapping[str, Any], tags: tuple[str, str] | None
) -> tuple[str, str | None]:
    """Return a message's text and its reasoning, which has two names on the wire, or stands between tags in the text."""
    spoken = said.get("content")
    text = spoken if isinstance(spoken, str) else choice.get("text") or "" if spoken is None else joined(spoken)
    reasoning = thought_of(said)
    if tags and text:
        inside, text = split_reasoning(text, tags)
        if inside:
            reasoning = (reasoning or "") + inside
    return text, reasoning


def thought_of(said: Mapping[str, Any]) -> str | None:
    """Return the reasoning of a message or a delta, under whichever name the engine sent it."""
    thought = said.get("reasoning")
    return thought if thought is not None else said.get("reasoning_content")


def joined(spoken: Any) -> str:
    """Return the text of content that came as a list of parts."""
    return "".join(part if isinstance(part, str) else part.get("text") or "" for part in spoken)
