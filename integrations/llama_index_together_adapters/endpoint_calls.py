"""One call of an endpoint as a value, which either client performs, and one call for LlamaIndex's callbacks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback

from llama_index_together_adapters.rate_limits import aacquire, acquire, request_tokens
from llama_index_together_adapters.responses import ConvertingParser, ResponseParser
from together_adapters.adapters.response_format import ToolsThenFormat
from together_adapters.transport.call import Flow

R = TypeVar("R")
S = TypeVar("S")
BATCH_API = "batch_api"
"""The keyword of a call that takes precedence over the field of the same name."""


@dataclass(frozen=True, slots=True)
class EndpointCall(Generic[R]):
    """The parameters of a call, from which `describe` makes its requests, and the parser of its response or its chunks.

    There is one request, or two where the call has tools and a response format.
    """

    describe: Callable[..., Any]
    params: Mapping[str, Any]
    plan: ToolsThenFormat
    parser: ResponseParser[R]

    def convert(self, convert: Callable[[R], S]) -> EndpointCall[S]:
        """Return the call with other responses, such as by `as_chat`."""
        return EndpointCall(self.describe, self.params, self.plan, ConvertingParser(self.parser, convert))

    def tokens(self, num_output: int | None) -> int:
        """Return the estimated tokens of the requests; see `request_tokens`."""
        return request_tokens(self.params, num_output) * (1 if self.plan.is_one_request else 2)

    @property
    def is_agent_turn(self) -> bool:
        """Whether the model may call tools or not: a turn of an agent, which waits for the answer before it continues."""
        return bool(self.params.get("tools")) and self.params.get("tool_choice") in (None, "auto")

    def requests(self) -> Iterator[Any]:
        """Yield the requests; the response to each must have been read before the next is taken."""
        return (self.describe(**params).untyped() for params in self.plan.requests())

    def response(self) -> Flow[R]:
        """Return the response of a call that does not stream."""
        bodies: list[Any] = []
        for request in self.requests():
            bodies = self.plan.feed((yield request))
        return self.parser.parse(bodies[0])


class CallSession(ABC):
    """One call: it stands for the LLM in LlamaIndex's callback decorators, and acquires the rate limiter with the tokens of the call.

    The decorators would acquire it without any, before there is a request.
    """

    streams: ClassVar[bool]
    rate_limiter: ClassVar[None] = None  # what the decorators see

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._limiter = getattr(llm, "rate_limiter", None)  # old versions of core have none

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return self._perform(self._llm.describe_chat(messages, kwargs, stream=self.streams))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        return await self._aperform(self._llm.describe_chat(messages, kwargs, stream=self.streams), kwargs)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return self._perform(self._llm.describe_completion(prompt, formatted, kwargs, stream=self.streams))

    @llm_completion_callback()
    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        return await self._aperform(self._llm.describe_completion(prompt, formatted, kwargs, stream=self.streams), kwargs)

    def _perform(self, call: EndpointCall[Any]) -> Any:
        if self._limiter is not None:
            acquire(self._limiter, call.tokens(self._llm.num_output))
        return self._start(call)

    async def _aperform(self, call: EndpointCall[Any], kwargs: Mapping[str, Any]) -> Any:
        if (batch_api := self._batch_api(call, kwargs)) is not None:
            from together_adapters.bulk import window

            return await window.perform(self._llm.asynchronous_client, batch_api, call.response())
        if self._limiter is not None:
            await aacquire(self._limiter, call.tokens(self._llm.num_output))
        return await self._astart(call)

    def _batch_api(self, call: EndpointCall[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return the settings with which a call travels in a batch job; None for one that does not."""
        batch_api = kwargs.get(BATCH_API, self._llm.batch_api)
        return None if batch_api is None or self.streams or call.is_agent_turn else batch_api

    @abstractmethod
    def _start(self, call: EndpointCall[Any]) -> Any:
        """Return the response, or the responses that are streamed."""

    @abstractmethod
    async def _astart(self, call: EndpointCall[Any]) -> Any:
        """Return the response, or the responses that are streamed."""


class WholeSession(CallSession):
    """One call that does not stream."""

    streams = False

    def _start(self, call: EndpointCall[R]) -> R:
        response: R = self._llm.sync_client.perform(call.response())
        return response

    async def _astart(self, call: EndpointCall[R]) -> R:
        response: R = await self._llm.asynchronous_client.perform(call.response())
        return response


class StreamingSession(CallSession):
    """One streamed call, which holds the HTTP response to close.

    The decorators wrap the generator and leave it to the garbage collector when a consumer stops early; `until_closed` closes the
    HTTP response at that moment.
    """

    streams = True

    def __init__(self, llm: Any) -> None:
        super().__init__(llm)
        self._stream: Any = None

    def _start(self, call: EndpointCall[R]) -> Generator[R, None, None]:
        requests = call.requests()
        self._stream = self._llm.sync_client.perform(next(requests))
        return self._responses(call, requests)

    def _responses(self, call: EndpointCall[R], requests: Iterator[Any]) -> Generator[R, None, None]:
        plan, feed = call.plan, call.parser.feed
        is_one_request = plan.is_one_request
        while True:
            for chunk in self._stream:
                if is_one_request:
                    yield feed(chunk)
                else:
                    yield from map(feed, plan.feed(chunk))
            if (request := next(requests, None)) is None:
                break
            self._stream = self._llm.sync_client.perform(request)
        if (last := call.parser.end()) is not None:
            yield last

    async def _astart(self, call: EndpointCall[R]) -> AsyncGenerator[R, None]:
        requests = call.requests()
        self._stream = await self._llm.asynchronous_client.perform(next(requests))
        return self._aresponses(call, requests)

    async def _aresponses(self, call: EndpointCall[R], requests: Iterator[Any]) -> AsyncGenerator[R, None]:
        plan, feed = call.plan, call.parser.feed
        is_one_request = plan.is_one_request
        while True:
            async for chunk in self._stream:
                if is_one_request:
                    yield feed(chunk)
                else:
                    for part in plan.feed(chunk):
                        yield feed(part)
            if (request := next(requests, None)) is None:
                break
            self._stream = await self._llm.asynchronous_client.perform(request)
        if (last := call.parser.end()) is not None:
            yield last

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
