"""From the service's answers, whole or in chunks, to LlamaIndex responses. Pure.

`raw` keeps what came as a plain dict. Token counts and the finish reason are in `additional_kwargs`, where token counters
and tracers look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)

from llama_index_together_adapters.tool_calls import StreamedCall, StreamedCalls, whole_calls
from together_adapters.errors import APIResponseValidationError
from together_adapters.types.logprobs import content_logprobs
from together_adapters.types.reasoning import ReasoningSplitter, split_reasoning

Tags = tuple[str, str] | None
Body = dict[str, Any]
_ASSISTANT = MessageRole.ASSISTANT
R_co = TypeVar("R_co", covariant=True)


class Chunks(Protocol[R_co]):
    """Adds up chunks to responses."""

    def add(self, chunk: dict[str, Any]) -> R_co:
        """Return the response so far."""
        ...

    def end(self) -> R_co | None:
        """Return what was held back until the end, or None."""


def chat_response(body: Body, tags: Tags, *, parallel: bool = True) -> ChatResponse:
    """Return a whole chat answer.

    Args:
        body: The answer as parsed JSON.
        tags: What reasoning inside the text opens and closes with.
        parallel: Whether several tool calls are wanted; otherwise the first is kept.

    Raises:
        APIResponseValidationError: The answer holds no choice.
    """
    choice = _first_choice(body)
    message = choice.get("message") or {}
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    text = message.get("content") or ""
    if tags and text:
        inside, text = split_reasoning(text, tags)
        reasoning += inside
    usage = body.get("usage")
    calls = whole_calls(message.get("tool_calls") or _function_call(message), parallel=parallel)
    thinking = ThinkingBlock(content=reasoning, num_tokens=_reasoning_tokens(usage)) if reasoning else None
    return ChatResponse(
        message=_message(text, thinking, calls),
        raw=body,
        logprobs=_logprobs(choice.get("logprobs")),
        additional_kwargs=_totals(usage, choice.get("finish_reason")),
    )


def completion_response(body: Body) -> CompletionResponse:
    """Return a whole completion of a plain prompt.

    Raises:
        APIResponseValidationError: The answer holds no choice.
    """
    choice = _first_choice(body)
    return CompletionResponse(
        text=choice.get("text") or "",
        raw=body,
        logprobs=_logprobs(choice.get("logprobs")),
        additional_kwargs=_totals(body.get("usage"), choice.get("finish_reason")),
    )


def as_completion(response: ChatResponse) -> CompletionResponse:
    """Return a chat answer as the completion of a prompt."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs={**response.message.additional_kwargs, **response.additional_kwargs},
    )


def as_chat(response: CompletionResponse) -> ChatResponse:
    """Return the completion of a prompt as a chat answer."""
    return ChatResponse(
        message=ChatMessage(role=_ASSISTANT, blocks=[TextBlock(text=response.text)]),
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


class ChatChunks:
    """Adds up the chunks of a streamed chat answer: each response holds the message so far.

    Args:
        tags: What reasoning inside the text opens and closes with.
        parallel: Whether several tool calls are wanted; otherwise the first is kept.
    """

    def __init__(self, tags: Tags, *, parallel: bool = True) -> None:
        self._splitter = ReasoningSplitter(tags) if tags else None
        self._calls = StreamedCalls(parallel=parallel)
        self._text = ""
        self._thoughts = ""
        self._thinking: ThinkingBlock | None = None
        self._usage: Any = None
        self._finish: str | None = None
        self._last: Body = {}
        self._rich = False

    def add(self, chunk: Body) -> ChatResponse:
        """Return the answer so far, with what this chunk added as `delta`."""
        self._last = chunk
        if usage := chunk.get("usage"):
            self._usage = usage
        choices = chunk.get("choices")
        if not choices:
            return self._response("", "", None, final=True)
        choice = choices[0]
        delta = choice.get("delta") or {}
        thought = delta.get("reasoning") or delta.get("reasoning_content") or ""
        content = text = delta.get("content") or ""
        if text and self._splitter is not None:
            inside, text = self._split(self._splitter.feed(text))
            thought += inside
        if calls := delta.get("tool_calls") or (_function_call(delta) if "function_call" in delta else None):
            self._rich = True
            self._calls.add(calls)
        if reason := choice.get("finish_reason"):
            self._finish = reason
        logprobs = choice.get("logprobs")
        if logprobs is not None:
            logprobs = _logprobs(logprobs, content, choice.get("top_logprobs"))
        return self._response(text, thought, logprobs, final=bool(reason or usage))

    def end(self) -> ChatResponse | None:
        """Return what was held back until the end, if anything was."""
        thought, text = self._split(self._splitter.end()) if self._splitter is not None else ("", "")
        return self._response(text, thought, None, final=True) if text or thought or self._calls.unsettled else None

    def _split(self, pieces: list[Any]) -> tuple[str, str]:
        reasoning = "".join(piece for kind, piece in pieces if kind == "reasoning")
        text = "".join(piece for kind, piece in pieces if kind == "text")
        if text:
            self._splitter = None  # only the head of an answer is split
        return reasoning, text

    def _response(self, text: str, thought: str, logprobs: Any, *, final: bool) -> ChatResponse:
        self._text += text
        if not (thought or final or logprobs or self._rich) and self._text:
            message = ChatMessage(role=_ASSISTANT, blocks=[TextBlock(text=self._text)])
            return ChatResponse(message=message, delta=text, raw=self._last)
        self._rich = True
        self._thoughts += thought
        if thought or (final and self._thoughts):
            self._thinking = ThinkingBlock(content=self._thoughts, num_tokens=_reasoning_tokens(self._usage))
        if final:
            self._calls.show(final=True)
        more = _totals(self._usage, self._finish) if self._finish or self._usage else {}
        if thought:
            more["thinking_delta"] = thought
        raw = self._last
        if self._usage is not None and not raw.get("usage"):
            raw = {**raw, "usage": self._usage}
        message = _message(self._text, self._thinking, self._calls.shown)
        return ChatResponse(message=message, delta=text, raw=raw, logprobs=logprobs, additional_kwargs=more)


class AsCompletions:
    """Reads a streamed chat answer as the completion of a prompt."""

    def __init__(self, chunks: Chunks[ChatResponse]) -> None:
        self._chunks = chunks

    def add(self, chunk: Body) -> CompletionResponse:
        """Return the completion so far."""
        return as_completion(self._chunks.add(chunk))

    def end(self) -> CompletionResponse | None:
        """Return what was held back until the end, if anything was."""
        rest = self._chunks.end()
        return None if rest is None else as_completion(rest)


class AsChats:
    """Reads a streamed completion as an answer in a chat."""

    def __init__(self, chunks: Chunks[CompletionResponse]) -> None:
        self._chunks = chunks

    def add(self, chunk: Body) -> ChatResponse:
        """Return the answer so far."""
        return as_chat(self._chunks.add(chunk))

    def end(self) -> ChatResponse | None:
        """Return what was held back until the end, if anything was."""
        rest = self._chunks.end()
        return None if rest is None else as_chat(rest)


class CompletionChunks:
    """Adds up the chunks of a streamed completion."""

    def __init__(self) -> None:
        self._text = ""
        self._usage: Any = None
        self._finish: str | None = None

    def add(self, chunk: Body) -> CompletionResponse:
        """Return the completion so far, with what this chunk added as `delta`."""
        if usage := chunk.get("usage"):
            self._usage = usage
        choice = (chunk.get("choices") or [{}])[0]
        text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        self._text += text
        self._finish = choice.get("finish_reason") or self._finish
        raw = {**chunk, "usage": self._usage} if self._usage is not None and not chunk.get("usage") else chunk
        return CompletionResponse(
            text=self._text,
            delta=text,
            raw=raw,
            logprobs=_logprobs(choice.get("logprobs"), text, choice.get("top_logprobs")),
            additional_kwargs=_totals(self._usage, self._finish),
        )

    def end(self) -> CompletionResponse | None:
        """Return nothing: nothing is held back."""
        return None


def _first_choice(body: Body) -> dict[str, Any]:
    choices = body.get("choices")
    if not choices:
        raise APIResponseValidationError("the answer holds no choices", body=body)
    first: dict[str, Any] = choices[0]
    return first


def _function_call(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the older spelling of a tool call as the newer one."""
    call = message.get("function_call")
    return [{"index": 0, "function": call}] if call else []


def _message(text: str, thinking: ThinkingBlock | None, calls: Any) -> ChatMessage:
    blocks: list[Any] = [thinking] if thinking is not None else []
    if text:
        blocks.append(TextBlock(text=text))
    if not calls:
        return ChatMessage(role=_ASSISTANT, blocks=blocks)
    found: list[StreamedCall] = list(calls)
    blocks += [call.block for call in found]
    return ChatMessage(role=_ASSISTANT, blocks=blocks, additional_kwargs={"tool_calls": [call.mirror for call in found]})


def _totals(usage: Any, finish: str | None) -> dict[str, Any]:
    """Return token counts and finish reason under the names that LlamaIndex's consumers read."""
    found: dict[str, Any] = {"finish_reason": "stop" if finish == "eos" else finish} if finish else {}
    if isinstance(usage, Mapping):
        found |= {
            "prompt_tokens": usage.get("prompt_tokens") or 0,
            "completion_tokens": usage.get("completion_tokens") or 0,
            "total_tokens": usage.get("total_tokens") or 0,
        }
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", usage.get("cached_tokens"))
        if cached is not None:
            found["cached_tokens"] = cached
        if (reasoning := _reasoning_tokens(usage)) is not None:
            found["reasoning_tokens"] = reasoning
    return found


def _reasoning_tokens(usage: Any) -> int | None:
    if not isinstance(usage, Mapping):
        return None
    found = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens", usage.get("reasoning_tokens"))
    return found if isinstance(found, int) else None


def _logprobs(found: Any, token: str = "", top: Any = None) -> list[list[LogProb]] | None:
    """Return for each token a list that begins with the token itself, its alternatives after it."""
    if found is None:
        return None
    return [
        [_logprob(entry), *(_logprob(other) for other in entry.get("top_logprobs") or () if other["token"] != entry["token"])]
        for entry in content_logprobs(found, token=token, top=top)
        if entry.get("logprob") is not None
    ] or None


def _logprob(entry: Mapping[str, Any]) -> LogProb:
    return LogProb(token=entry.get("token") or "", logprob=entry["logprob"], bytes=entry.get("bytes") or [])
