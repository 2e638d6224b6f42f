"""Chat completions, whole or streamed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, expand_keywords
from together_adapters.transport.call import (
    Call,
    RawResponse,
    StreamCall,
    request,
    response_parser,
    split_options,
    stream_call,
)
from together_adapters.types.chat import ChatCompletion, ChatCompletionChunk, ChatParams

if TYPE_CHECKING:
    from together_adapters.transport.streams import AsyncStream, Stream

PATH = "/v1/chat/completions"
_parse = response_parser(ChatCompletion)


def complete(**params: Unpack[ChatParams]) -> Call[ChatCompletion]:
    """Describe a chat completion that is answered whole."""
    body, options = split_options({**params}, ChatParams)
    return request("POST", PATH, _parse, body, options=options)


def stream_completion(**params: Unpack[ChatParams]) -> StreamCall[ChatCompletionChunk]:
    """Describe a chat completion that is answered in pieces."""
    return stream_call(complete(**params), ChatCompletionChunk)


class Completions(Resource[D, R]):
    """`client.chat.completions`."""

    with_raw_response: Completions[R, R]

    @overload
    def create(
        self: Completions[Sync, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self: Completions[Sync, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Stream[ChatCompletionChunk]: ...
    @overload
    def create(
        self: Completions[Async, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, ChatCompletion]: ...
    @overload
    def create(
        self: Completions[Async, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, AsyncStream[ChatCompletionChunk]]: ...
    @overload
    def create(
        self: Completions[SyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> RawResponse[ChatCompletion]: ...
    @overload
    def create(
        self: Completions[SyncRaw, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> RawResponse[Stream[ChatCompletionChunk]]: ...
    @overload
    def create(
        self: Completions[AsyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, RawResponse[ChatCompletion]]: ...
    @overload
    def create(
        self: Completions[AsyncRaw, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, RawResponse[AsyncStream[ChatCompletionChunk]]]: ...
    @overload
    def create(self, *, stream: bool = False, **params: Unpack[ChatParams]) -> Any: ...
    @expand_keywords
    def create(self, *, stream: bool = False, **params: Unpack[ChatParams]) -> Any:
        """Answer a conversation.

        What is not given is not sent, so the service's own defaults apply. `ChatParams` and `SamplingParams` say what each parameter means.

        Args:
            stream: Whether the answer comes in pieces, as it is made.
            **params: `model` and `messages`, and any of `ChatParams`; the per-call options `extra_body`,
                `extra_headers`, `extra_query` and `timeout`.

        Returns:
            A `ChatCompletion`, or with `stream` the stream of its chunks. On an asynchronous client it is awaited first.

        Raises:
            APIStatusError: The service refused; its subclasses say why.
            APIConnectionError: No complete answer came.
            APIError: The service reported an error in the middle of a stream.
        """
        return self._driver.perform(stream_completion(**params) if stream else complete(**params))


class Chat(Resource[D, R]):
    """`client.chat`."""

    with_raw_response: Chat[R, R]

    @property
    def completions(self) -> Completions[D, R]:
        """Chat completions."""
        return Completions(self._driver)
