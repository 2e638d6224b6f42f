"""One question to the service as a value, and one streamed call as the framework's callbacks see it.

Every endpoint of the LLM is described once, as `Whole` or as `Pieces`, and performed by a client of either flavour.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_together_adapters.responses import Chunks

if TYPE_CHECKING:
    from llama_index_together_adapters.llm import TogetherLLM

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Whole(Generic[R]):
    """A question that is answered whole.

    Attributes:
        call: What to send.
        read: Reads the answer.
    """

    call: Any
    read: Callable[[Any], R]


@dataclass(frozen=True, slots=True)
class Pieces(Generic[R]):
    """A question that is answered in pieces.

    Attributes:
        call: What to send.
        chunks: Adds up the answer.
    """

    call: Any
    chunks: Chunks[R]

    def responses(self, stream: Any) -> Generator[R, None, None]:
        """Yield the responses of a stream."""
        add = self.chunks.add
        for chunk in stream:
            yield add(chunk)
        if (rest := self.chunks.end()) is not None:
            yield rest

    async def aresponses(self, stream: Any) -> AsyncGenerator[R, None]:
        """Yield the responses of an asynchronous stream."""
        add = self.chunks.add
        async for chunk in stream:
            yield add(chunk)
        if (rest := self.chunks.end()) is not None:
            yield rest


class Streaming:
    """One streamed call as the framework's callback decorators see it: the LLM, which it stands for, and a response to close.

    The decorators wrap the generator that they are given and leave it to the garbage collector when a consumer stops early;
    `until_closed` closes the HTTP response at that moment.
    """

    def __init__(self, llm: TogetherLLM) -> None:
        self._llm = llm
        self._stream: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Generator[ChatResponse, None, None]:
        pieces = self._llm.describe_chat_stream(messages, kwargs)
        self._stream = self._llm.sync_client.perform(pieces.call)
        return pieces.responses(self._stream)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:
        pieces = self._llm.describe_chat_stream(messages, kwargs)
        self._stream = await self._llm.asynchronous_client.perform(pieces.call)
        return pieces.aresponses(self._stream)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Generator[CompletionResponse, None, None]:
        pieces = self._llm.describe_completion_stream(prompt, formatted, kwargs)
        self._stream = self._llm.sync_client.perform(pieces.call)
        return pieces.responses(self._stream)

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> AsyncGenerator[CompletionResponse, None]:
        pieces = self._llm.describe_completion_stream(prompt, formatted, kwargs)
        self._stream = await self._llm.asynchronous_client.perform(pieces.call)
        return pieces.aresponses(self._stream)

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
