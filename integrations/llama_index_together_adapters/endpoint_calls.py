"""One call of an endpoint as a value, which either client performs, and one streamed call for LlamaIndex's callbacks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_together_adapters.responses import ResponseParser

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class EndpointCall(Generic[R]):
    """The description of a request, and the parser of its response or of the chunks of its stream."""

    request: Any
    parser: ResponseParser[R]

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
        return self._start(self._llm.describe_chat(messages, kwargs, stream=True))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        return await self._astart(self._llm.describe_chat(messages, kwargs, stream=True))

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Generator[CompletionResponse, None, None]:
        return self._start(self._llm.describe_completion(prompt, formatted, kwargs, stream=True))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> AsyncGenerator[CompletionResponse, None]:
        return await self._astart(self._llm.describe_completion(prompt, formatted, kwargs, stream=True))

    def _start(self, call: EndpointCall[R]) -> Generator[R, None, None]:
        self._stream = self._llm.sync_client.perform(call.request)
        return call.responses(self._stream)

    async def _astart(self, call: EndpointCall[R]) -> AsyncGenerator[R, None]:
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
