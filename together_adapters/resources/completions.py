"""Completions of a plain prompt, unary or streamed."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from together_adapters.errors import hides_frames
from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, expand_keywords
from together_adapters.transport.call import Call, RawResponse, StreamCall, request, split_options, stream_call
from together_adapters.transport.model_parser import ModelParser, ResponseParser
from together_adapters.types.capabilities import removal_warning
from together_adapters.types.completions import Completion, CompletionChunk, CompletionParams, is_plain_completion_chunk

if TYPE_CHECKING:
    from together_adapters.transport.streams import AsyncStream, Stream

__tracebackhide__ = hides_frames

PATH = "/v1/completions"
_parse = ResponseParser(Completion)
_parse_chunk = ModelParser(CompletionChunk, is_plain_completion_chunk)


def complete(**params: Unpack[CompletionParams]) -> Call[Completion]:
    """Describes a completion."""
    body, options = split_options({**params}, CompletionParams)
    # Other servers take lists, and other fields instead of it.
    if (body["prompt"] is None or isinstance(body["prompt"], int | float | Mapping)) and not params.get("extra_body"):
        raise TypeError(f"prompt must be a string, not {type(body['prompt']).__name__}")
    return request("POST", PATH, _parse, body, options=options, warning=removal_warning(body["model"]))


def stream_completion(**params: Unpack[CompletionParams]) -> StreamCall[CompletionChunk]:
    """Describes a streamed completion."""
    return stream_call(complete(**params), _parse_chunk)


class Completions(Resource[D, R]):
    """`client.completions`."""

    with_raw_response: Completions[R, R]

    @overload
    def create(
        self: Completions[Sync, Any], *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
    ) -> Completion: ...
    @overload
    def create(
        self: Completions[Sync, Any], *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> Stream[CompletionChunk]: ...
    @overload
    def create(
        self: Completions[Async, Any], *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
    ) -> Coroutine[Any, Any, Completion]: ...
    @overload
    def create(
        self: Completions[Async, Any], *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> Coroutine[Any, Any, AsyncStream[CompletionChunk]]: ...
    @overload
    def create(
        self: Completions[SyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
    ) -> RawResponse[Completion]: ...
    @overload
    def create(
        self: Completions[SyncRaw, Any], *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> RawResponse[Stream[CompletionChunk]]: ...
    @overload
    def create(
        self: Completions[AsyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[CompletionParams]
    ) -> Coroutine[Any, Any, RawResponse[Completion]]: ...
    @overload
    def create(
        self: Completions[AsyncRaw, Any], *, stream: Literal[True], **params: Unpack[CompletionParams]
    ) -> Coroutine[Any, Any, RawResponse[AsyncStream[CompletionChunk]]]: ...
    @overload
    def create(self, *, stream: bool = False, **params: Unpack[CompletionParams]) -> Any: ...
    @expand_keywords
    def create(self, *, stream: bool = False, **params: Unpack[CompletionParams]) -> Any:
        """Completes a prompt. Parameters that are not passed are not sent, so the defaults of the service apply.

        Args:
            stream: Whether to return the chunks of the response as they are generated.

        Returns:
            A `Completion`, or the stream of its chunks. On an asynchronous client it must be awaited first.

        Raises:
            APIError: The service refused the request, or reported an error during the stream.

        Example:
            ```python
            from together_adapters import Together

            client = Together()
            completion = client.completions.create(model="openai/gpt-oss-120b", prompt="The capital of France is", max_tokens=20)
            print(completion.choices[0].text)
            ```
        """
        return self._driver.perform(stream_completion(**params) if stream else complete(**params))
