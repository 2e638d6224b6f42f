"""Chat completions, unary or streamed."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from together_adapters.errors import hides_frames
from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, expand_keywords
from together_adapters.transport.call import Call, RawResponse, StreamCall, request, split_options, stream_call
from together_adapters.transport.model_parser import ModelParser, ResponseParser
from together_adapters.types.capabilities import removal_warning
from together_adapters.types.chat import ChatCompletion, ChatCompletionChunk, ChatParams, is_plain_chunk

if TYPE_CHECKING:
    from together_adapters.transport.streams import AsyncStream, Stream

__tracebackhide__ = hides_frames

PATH = "/v1/chat/completions"
_IMPOSSIBLE = {str, bytes, type(None)}  # as messages
_parse = ResponseParser(ChatCompletion)
_parse_chunk = ModelParser(ChatCompletionChunk, is_plain_chunk)


def complete(**params: Unpack[ChatParams]) -> Call[ChatCompletion]:
    """Describes a chat completion."""
    body, options = split_options({**params}, ChatParams)
    if type(body["messages"]) is not list or _IMPOSSIBLE & set(map(type, body["messages"])):
        _check_messages(body["messages"])
    parse: Any = _parse
    if (format := body.get("response_format")) is not None and not isinstance(format, Mapping):
        from together_adapters.resources.python_types.answers import TypedParser
        from together_adapters.resources.python_types.schemas import response_format

        body["response_format"], parse = response_format(format), TypedParser(format)
    tools = body.get("tools")
    if isinstance(tools, str | Mapping) or callable(tools):
        raise TypeError(f"tools must be a list, not {type(tools).__name__}: tools=[weather]")
    if any(map(callable, tools or ())):
        from together_adapters.resources.python_types.schemas import tools_of

        body["tools"] = tools_of(body["tools"])
    return request("POST", PATH, parse, body, options=options, warning=removal_warning(body["model"]))


def _check_messages(messages: Any) -> None:
    """Raises a TypeError for what no server takes."""
    if messages is None or isinstance(messages, str | bytes | int | float | Mapping):
        kind = type(messages).__name__
    elif not isinstance(messages, list | tuple):  # an iterator, which is read once
        return
    elif texts := [message for message in messages if message is None or isinstance(message, str | bytes)]:
        kind = f"a list with {type(texts[0]).__name__}"
    else:
        return
    raise TypeError(f'messages must be a list of dicts, not {kind}: messages=[{{"role": "user", "content": "Hello"}}]')


def stream_completion(**params: Unpack[ChatParams]) -> StreamCall[ChatCompletionChunk]:
    """Describes a streamed chat completion."""
    return stream_call(complete(**params), _parse_chunk)


class ChatCompletions(Resource[D, R]):
    """`client.chat.completions`."""

    with_raw_response: ChatCompletions[R, R]

    @overload
    def create(
        self: ChatCompletions[Sync, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> ChatCompletion: ...
    @overload
    def create(
        self: ChatCompletions[Sync, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Stream[ChatCompletionChunk]: ...
    @overload
    def create(
        self: ChatCompletions[Async, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, ChatCompletion]: ...
    @overload
    def create(
        self: ChatCompletions[Async, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, AsyncStream[ChatCompletionChunk]]: ...
    @overload
    def create(
        self: ChatCompletions[SyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> RawResponse[ChatCompletion]: ...
    @overload
    def create(
        self: ChatCompletions[SyncRaw, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> RawResponse[Stream[ChatCompletionChunk]]: ...
    @overload
    def create(
        self: ChatCompletions[AsyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, RawResponse[ChatCompletion]]: ...
    @overload
    def create(
        self: ChatCompletions[AsyncRaw, Any], *, stream: Literal[True], **params: Unpack[ChatParams]
    ) -> Coroutine[Any, Any, RawResponse[AsyncStream[ChatCompletionChunk]]]: ...
    @overload
    def create(self, *, stream: bool = False, **params: Unpack[ChatParams]) -> Any: ...
    @expand_keywords
    def create(self, *, stream: bool = False, **params: Unpack[ChatParams]) -> Any:
        """Creates a chat completion. Parameters that are not passed are not sent, so the defaults of the service apply.

        Args:
            stream: Whether to return the chunks of the response as they are generated.

        Returns:
            A `ChatCompletion`, or the stream of its chunks. On an asynchronous client it must be awaited first. Where
            `response_format` is a class, its `parsed` is an object of that class.

        Raises:
            TypeError: A parameter does not exist, or a class or function has no JSON schema.
            APIError: The service refused the request, or reported an error during the stream.

        Example:
            ```python
            from together_adapters import Together

            client = Together()
            messages = [{"role": "user", "content": "Name three prime numbers."}]
            answer = client.chat.completions.create(model="openai/gpt-oss-120b", messages=messages)
            print(answer.choices[0].message.content)

            for chunk in client.chat.completions.create(model="openai/gpt-oss-120b", messages=messages, stream=True):
                for choice in chunk.choices:
                    print(choice.delta.content or "", end="", flush=True)
            ```
        """
        return self._driver.perform(stream_completion(**params) if stream else complete(**params))


class Chat(Resource[D, R]):
    """`client.chat`."""

    with_raw_response: Chat[R, R]

    @property
    def completions(self) -> ChatCompletions[D, R]:
        """Chat completions."""
        return ChatCompletions(self._driver)
