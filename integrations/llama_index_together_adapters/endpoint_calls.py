"""One call of an endpoint as a value, and one streamed call as LlamaIndex's callbacks see it.

The LLM describes each endpoint once, as a `UnaryCall` or a `StreamingCall`, and a client of either flavour performs it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_together_adapters.responses import StreamParser

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class UnaryCall(Generic[R]):
    """The description of a request, and the parser of its response."""

    request: Any
    parse: Callable[[Any], R]


@dataclass(frozen=True, slots=True)
class StreamingCall(Generic[R]):
    """The description of a request, and the parser of the chunks of its response."""

    request: Any
    parser: StreamParser[R]

    def responses(self, stream: Any) -> Generator[R, None, None]:
        """Yield the responses of a stream."""
        feed = self.parser.feed
        for chunk in stream:
            yield feed(chunk)
        if (last := self.parser.end()) is not None:
            yield last

    async def aresponses(self, stream: Any) -> AsyncGenerator[R, None]:
        """Yield the responses of an asynchronous stream."""
        feed = self.parser.feed
        async for chunk in stream:
            yield feed(chunk)
        if (last := self.parser.end()) is not None:
            yield last


class StreamingSession:
    """One streamed call: it stands for the LLM in LlamaIndex's callback decorators, and holds the HTTP response to close.

    The decorators wrap the generator and leave it to the garbage collector when a consumer stops early; `until_closed` closes the
    HTTP response at that moment.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._stream: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        return self._start(self._llm.describe_chat_stream(messages, kwargs))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        return await self._astart(self._llm.describe_chat_stream(messages, kwargs))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Generator[CompletionResponse, None, None]:
        return self._start(self._llm.describe_completion_stream(prompt, formatted, kwargs))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> AsyncGenerator[CompletionResponse, None]:
        return await self._astart(self._llm.describe_completion_stream(prompt, formatted, kwargs))

    def _start(self, call: StreamingCall[R]) -> Generator[R, None, None]:
        self._stream = self._llm.sync_client.perform(call.request)
        return call.responses(self._stream)

    async def _astart(self, call: StreamingCall[R]) -> AsyncGenerator[R, None]:
        self._stream = await self._llm.asynchronous_client.perform(call.request)
        return call.aresponses(self._stream)

    def until_closed(self, responses: Generator[R, None, None]) -> Generator[R, None, None]:
        """Yield responses, and close the HTTP response with the generator."""
        try:
            yield from responses
        finally:
            self._stream.close()

    async def auntil_closed(self, responses: AsyncGenerator[R, None]) -> AsyncGenerator[R, None]:
        """Yield responses, and close the HTTP response with the generator."""
        try:
            async for response in responses:
                yield response
        finally:
            await responses.aclose()
            await self._stream.aclose()
