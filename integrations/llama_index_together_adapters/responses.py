"""Responses of the service, single and streamed, to LlamaIndex responses. Pure.

`raw` is the response or chunk as a dict. Token counts and the finish reason are in `additional_kwargs`, where token counters and
tracers read them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from llama_index_together_adapters.tool_calls import StreamedToolCall, StreamedToolCalls, parse_tool_calls
from together_adapters.adapters.prototypes import copies_of
from together_adapters.adapters.response_fields import (
    REASONING_FIELD,
    cached_tokens,
    completion_delta,
    finish_reason,
    reasoning_field,
    reasoning_of,
    reasoning_tokens,
)
from together_adapters.types.capabilities import ReasoningStyle
from together_adapters.types.logprobs import content_logprobs
from together_adapters.types.reasoning import ReasoningSplitter, split_reasoning

Tags = tuple[str, str] | None
Body = Mapping[str, Any]
_ASSISTANT = MessageRole.ASSISTANT
_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens")
_text_block = copies_of(TextBlock(text=""))
_text_message = copies_of(ChatMessage(role=_ASSISTANT, blocks=[]))
_text_response = copies_of(ChatResponse(message=ChatMessage(), delta="", raw=None))
_completion = copies_of(CompletionResponse(text="", delta="", raw=None, logprobs=None, additional_kwargs={}))
R = TypeVar("R")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


class ResponseParser(Protocol[R_co]):
    """Parses a response, or the chunks of its stream: `feed` returns the response so far, `end` the last if it adds anything."""

    def parse(self, body: Body) -> R_co: ...

    def feed(self, chunk: Body) -> R_co: ...

    def end(self) -> R_co | None: ...


def as_completion(response: ChatResponse) -> CompletionResponse:
    """Return a chat response as the completion of a prompt."""
    return _completion(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


def as_chat(response: CompletionResponse) -> ChatResponse:
    """Return the completion of a prompt as a chat response."""
    return ChatResponse(
        message=ChatMessage(role=_ASSISTANT, blocks=[TextBlock(text=response.text)]),
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


class ConvertingParser(Generic[S, R]):
    """Converts the responses of another parser, as by `as_chat` or `as_completion`."""

    def __init__(self, parser: ResponseParser[S], convert: Callable[[S], R]) -> None:
        self._parser = parser
        self._convert = convert

    def parse(self, body: Body) -> R:
        return self._convert(self._parser.parse(body))

    def feed(self, chunk: Body) -> R:
        return self._convert(self._parser.feed(chunk))

    def end(self) -> R | None:
        response = self._parser.end()
        return None if response is None else self._convert(response)


class ChatParser:
    """Parses chat responses: splits reasoning between `tags` from text, and keeps only the first tool call unless `parallel`.

    `style` is where the model has its reasoning.
    """

    def __init__(self, tags: Tags, *, parallel: bool = True, style: ReasoningStyle | None = None) -> None:
        self._tags = tags
        self._parallel = parallel
        self._style = style
        self._splitter = ReasoningSplitter(tags, is_open=style == "tags") if tags else None
        self._tool_calls = StreamedToolCalls(parallel=parallel)
        self._text = ""
        self._refusal = ""
        self._reasoning = ""
        self._reasoning_field: str | None = None
        self._thinking: ThinkingBlock | None = None
        self._usage: Any = None
        self._finish: str | None = None
        self._last: Body = {}
        self._has_blocks = False

    def parse(self, body: Body) -> ChatResponse:
        """Return a response."""
        choice = body["choices"][0]
        message = choice.get("message") or {}
        reasoning = reasoning_of(message) or ""
        content = message.get("content")
        text = (choice.get("text") or "") if content is None else content
        if self._tags and text:
            block, text = split_reasoning(text, self._tags, is_open=self._style is not None and not reasoning)
            reasoning += block
        usage, refusal = body.get("usage"), message.get("refusal") or ""
        calls = parse_tool_calls(message.get("tool_calls") or _function_call(message), parallel=self._parallel)
        thinking = _thinking(reasoning, reasoning_field(message), usage) if reasoning else None
        return ChatResponse(
            message=_message(text or refusal, thinking, calls, refusal),
            raw=_raw(body, usage),
            logprobs=_logprobs(choice.get("logprobs")),
            additional_kwargs=_totals(usage, choice.get("finish_reason")),
        )

    def feed(self, chunk: Body) -> ChatResponse:
        """Return the response so far, with what this chunk adds as `delta`."""
        self._last = chunk
        if usage := chunk.get("usage"):
            self._usage = usage
        choices = chunk.get("choices")
        if not choices:
            return self._response("", "", None, final=True)
        choice = choices[0]
        delta = choice.get("delta")
        if delta is None:
            delta = choice.get("message") or {"content": choice.get("text")}
        reasoning = delta.get("reasoning") or delta.get("reasoning_content") or ""
        if reasoning and self._reasoning_field is None:
            self._reasoning_field = reasoning_field(delta)
        content = text = delta.get("content") or ""
        if reasoning and self._splitter is not None:
            text = self._split(self._splitter.close())[1] + text
        if text and self._splitter is not None:
            block, text = self._split(self._splitter.feed(text))
            reasoning += block
        if calls := delta.get("tool_calls") or (_function_call(delta) if "function_call" in delta else None):
            self._has_blocks = True
            self._tool_calls.add(calls)
        if refusal := delta.get("refusal"):
            self._has_blocks = True
            self._refusal += refusal
        if reason := choice.get("finish_reason"):
            self._finish = reason
        logprobs = choice.get("logprobs")
        if logprobs is not None:
            logprobs = _logprobs(logprobs, content, choice.get("top_logprobs"))
        return self._response(text, reasoning, logprobs, final=bool(reason or usage))

    def end(self) -> ChatResponse | None:
        """Return the last response, where the end of the stream adds to it."""
        reasoning, text = self._split(self._splitter.end()) if self._splitter is not None else ("", "")
        if not (self._text or text):
            text = self._refusal  # only now is it certain that there is no other text
        if not (text or reasoning or self._tool_calls.is_stale):
            return None
        return self._response(text, reasoning, None, final=True)

    def _split(self, parts: list[Any]) -> tuple[str, str]:
        reasoning = "".join(part for kind, part in parts if kind == "reasoning")
        text = "".join(part for kind, part in parts if kind == "text")
        if text:
            self._splitter = None  # only the head of a response is split
        return reasoning, text

    def _response(self, text: str, reasoning: str, logprobs: Any, *, final: bool) -> ChatResponse:
        self._text += text
        if not (reasoning or final or logprobs or self._has_blocks) and self._text:
            message = _text_message(blocks=[_text_block(text=self._text)])
            return _text_response(message=message, delta=text, raw=self._last)
        self._has_blocks = True
        self._reasoning += reasoning
        if reasoning or (final and self._reasoning):
            self._thinking = _thinking(self._reasoning, self._reasoning_field, self._usage)
        if final:
            self._tool_calls.update(final=True)
        kwargs = _totals(self._usage, self._finish) if self._finish or self._usage else {}
        if reasoning:
            kwargs["thinking_delta"] = reasoning
        message = _message(self._text, self._thinking, self._tool_calls.calls, self._refusal)
        raw = _raw(self._last, self._usage)
        return ChatResponse(message=message, delta=text, raw=raw, logprobs=logprobs, additional_kwargs=kwargs)


class CompletionParser:
    """Parses completions of plain prompts."""

    def __init__(self) -> None:
        self._text = ""
        self._usage: Any = None
        self._finish: str | None = None

    def parse(self, body: Body) -> CompletionResponse:
        """Return a completion."""
        choice, usage = body["choices"][0], body.get("usage")
        return CompletionResponse(
            text=choice.get("text") or "",
            raw=_raw(body, usage),
            logprobs=_logprobs(choice.get("logprobs")),
            additional_kwargs=_totals(usage, choice.get("finish_reason")),
        )

    def feed(self, chunk: Body) -> CompletionResponse:
        """Return the completion so far, with what this chunk adds as `delta`."""
        if usage := chunk.get("usage"):
            self._usage = usage
        choice = (chunk.get("choices") or [{}])[0]
        text = completion_delta(chunk, choice)
        self._text += text
        self._finish = choice.get("finish_reason") or self._finish
        return _completion(
            text=self._text,
            delta=text,
            raw=_raw(chunk, self._usage),
            logprobs=_logprobs(choice.get("logprobs"), text, choice.get("top_logprobs")),
            additional_kwargs=_totals(self._usage, self._finish),
        )

    def end(self) -> CompletionResponse | None:
        """Return None: the end of the stream adds nothing."""
        return None


def _raw(body: Body, usage: Any) -> Body:
    """Return a body with its usage, and without totals that are null: core's token counter would add them."""
    if not usage:
        return body
    if any(usage.get(name, 0) is None for name in _TOTALS):
        usage = {name: count for name, count in usage.items() if count is not None or name not in _TOTALS}
    return body if body.get("usage") is usage else {**body, "usage": usage}


def _function_call(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the older `function_call` as a list of tool calls."""
    call = message.get("function_call")
    return [{"index": 0, "function": call}] if call else []


def _message(text: str, thinking: ThinkingBlock | None, calls: Sequence[StreamedToolCall], refusal: str) -> ChatMessage:
    blocks: list[Any] = [thinking] if thinking is not None else []
    if text:
        blocks.append(TextBlock(text=text))
    extras: dict[str, Any] = {"refusal": refusal} if refusal else {}
    if calls:
        blocks += [call.block for call in calls]
        extras["tool_calls"] = [call.wire for call in calls]
    return ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs=extras)


def _thinking(reasoning: str, field: str | None, usage: Any) -> ThinkingBlock:
    """Return a block that keeps the field in which its reasoning came, to be sent back in; text between tags has none."""
    extras = {REASONING_FIELD: field} if field else {}
    return ThinkingBlock(content=reasoning, num_tokens=_reasoning_tokens(usage), additional_information=extras)


def _totals(usage: Any, reason: str | None) -> dict[str, Any]:
    """Return token counts and finish reason under the names that LlamaIndex reads."""
    totals: dict[str, Any] = {"finish_reason": finish_reason(reason)} if reason else {}
    if usage:
        totals |= {name: usage.get(name) or 0 for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        totals["total_tokens"] = totals["total_tokens"] or totals["prompt_tokens"] + totals["completion_tokens"]
        if (count := cached_tokens(usage)) is not None:
            totals["cached_tokens"] = count
        if (count := _reasoning_tokens(usage)) is not None:
            totals["reasoning_tokens"] = count
    return totals


def _reasoning_tokens(usage: Any) -> int | None:
    return reasoning_tokens(usage) if usage else None


def _logprobs(logprobs: Any, token: str = "", top: Any = None) -> list[list[LogProb]] | None:
    """Return a list for each token: the token itself, then its alternatives."""
    if logprobs is None:
        return None
    return [
        [_logprob(entry), *(_logprob(other) for other in entry.get("top_logprobs") or () if _is_alternative(other, entry))]
        for entry in content_logprobs(logprobs, token=token, top=top)
        if entry.get("logprob") is not None
    ] or None


def _is_alternative(other: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return other.get("logprob") is not None and other.get("token") != entry.get("token")


def _logprob(entry: Mapping[str, Any]) -> LogProb:
    return LogProb(token=entry.get("token") or "", logprob=entry["logprob"], bytes=entry.get("bytes") or [])
