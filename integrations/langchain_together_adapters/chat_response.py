"""Chat responses to LangChain's `ChatResult`. Pure; streams have `stream_parser`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_together_adapters.metadata import full_logprobs, response_metadata, usage_metadata
from langchain_together_adapters.tool_calls import parse_tool_calls
from together_adapters.adapters.response_fields import choices_of, finish_reason, reasoning_of
from together_adapters.types.reasoning import split_reasoning

EXTRA_FIELDS = ("refusal", "function_call")
"""Fields of a message that LangChain keeps in `additional_kwargs`."""


class ParseOptions(NamedTuple):
    """How responses are parsed.

    Attributes:
        reasoning_tags: The tags around reasoning at the head of a text; None leaves it in the text.
        content_blocks: Whether content is a list of standard blocks (`output_version="v1"`).
    """

    reasoning_tags: tuple[str, str] | None
    content_blocks: bool


def chat_result(response: Mapping[str, Any], options: ParseOptions) -> ChatResult:
    """Return a generation for each choice of a response; `APIResponseValidationError` where there is none."""
    choices = choices_of(response)
    usage = response.get("usage")
    # Usage counts all choices together, so only the first has it.
    generations = [_generation(response, choice, options, None if n else usage) for n, choice in enumerate(choices)]
    return ChatResult(generations=generations, llm_output={"token_usage": usage or {}, "model_name": response.get("model")})


def _generation(response: Mapping[str, Any], choice: Mapping[str, Any], options: ParseOptions, usage: Any) -> ChatGeneration:
    source = choice.get("message") or {}
    text, reasoning = _text_and_reasoning(source, choice, options.reasoning_tags)
    calls, invalid = parse_tool_calls(source.get("tool_calls"))
    logprobs = full_logprobs(choice.get("logprobs"))
    reason = finish_reason(choice.get("finish_reason"))
    extras: dict[str, Any] = {name: source[name] for name in EXTRA_FIELDS if source.get(name) is not None}
    content: Any = text
    if options.content_blocks:
        content = [{"type": "reasoning", "reasoning": reasoning}] if reasoning else []
        content += [{"type": "text", "text": text}] if text else []
    elif reasoning is not None:
        extras["reasoning_content"] = reasoning
    fields = {"additional_kwargs": extras, "tool_calls": calls, "invalid_tool_calls": invalid}
    message = AIMessage(
        content=content,
        usage_metadata=usage_metadata(usage),
        response_metadata=response_metadata(response, choice, logprobs),
        **{name: value for name, value in fields.items() if value},
    )
    info: dict[str, Any] = {"finish_reason": reason}
    if logprobs:
        info["logprobs"] = logprobs
    return ChatGeneration(message=message, generation_info=info)


def _text_and_reasoning(
    message: Mapping[str, Any], choice: Mapping[str, Any], tags: tuple[str, str] | None
) -> tuple[str, str | None]:
    """Return a message's text and its reasoning, which has a field of its own or stands between tags in the text."""
    content = message.get("content")
    text = content if isinstance(content, str) else choice.get("text") or "" if content is None else join_parts(content)
    reasoning = reasoning_of(message)
    if tags and text:
        block, text = split_reasoning(text, tags)
        if block:
            reasoning = (reasoning or "") + block
    return text, reasoning


def join_parts(content: Any) -> str:
    """Return the text of content that is a list of parts."""
    return "".join(part if isinstance(part, str) else part.get("text") or "" for part in content)
