"""Descriptions of HTTP exchanges: what to send and how to parse the response. They know no client and no HTTP library.

- `Call`: one request and its response.
- `StreamCall`: one request whose response is a stream of events.
- `Download`: one request whose response body is written as it arrives.
- `Flow`: a generator that yields these and `Sleep`, `Parallel`, `Local`, `Remember`, `Settings` or `Operation`, is sent their results, and
  returns its own.

Resources build descriptions, drivers perform them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel
from pydantic_core import from_json

from together_adapters.transport.bodies import Body
from together_adapters.transport.config import check_timeout, valid_headers
from together_adapters.transport.model_parser import ModelParser
from together_adapters.transport.observation import Meter
from together_adapters.transport.retry import Failure
from together_adapters.transport.surrogates import lenient_json
from together_adapters.types.requests import RequestOptions

_POLL = 0.01  # seconds

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response that has been read completely."""

    status_code: int
    headers: Mapping[str, str]  # with names in lower case
    content: bytes = field(repr=False, default=b"")  # decoded from any content encoding
    attempts: int = 1  # requests that were sent, retries included
    origin: str = field(repr=False, default="")  # where it comes from if not from the network: the place in a recording

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request; support asks for it."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def json(self) -> Any:
        """The body as parsed JSON; a ValueError if it is not JSON."""
        try:
            return from_json(self.content)
        except ValueError:
            return from_json(lenient_json(self.content))


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request and how to parse its response.

    With `billable`, the call starts work that is paid for, and is not repeated when the service may have accepted it. The text says
    where users find that work, such as `batches.list()`.
    """

    method: str
    path: str  # with the version, such as `/v1/models`; for an external call the URL
    parse: Callable[[Response], T_co]
    body: Body | None = field(default=None, repr=False)  # a mapping is sent as JSON
    query: Mapping[str, Any] = field(default_factory=dict)  # parameters that are None are not sent
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: Any = None  # applies if `has_timeout`
    has_timeout: bool = False
    billable: str | None = None
    max_elapsed: float | None = None  # seconds that the call may take with its retries, besides the limit of the client
    external: bool = False  # to a storage provider, without the client's key, headers and query
    accepts: frozenset[int] = frozenset()  # statuses that are no error, besides 2xx
    secrets: tuple[str, ...] = field(default=(), repr=False)  # texts in the body that no error may show
    warning: Warning | None = None  # that a client gives once
    on_attempt: Callable[[int, int | Failure, float | None], object] | None = None  # gets number, outcome, delay until the next
    meter: Meter | None = None  # under a control, where it is not the driver that knows it
    price: float | None = None  # in dollars, where the service has estimated it

    @property
    def safe_path(self) -> str:
        """The path as logs and errors show it: without query and user, which can be credentials."""
        path = self.path.partition("?")[0]
        return re.sub(r"//[^/]*@", "//", path) if self.external else path

    def untyped(self) -> Call[Any]:
        """Returns the same call with parsed JSON, in the form of its model, as its result."""
        untyped: Any = self
        return replace(untyped, parse=untyped.parse.dict)


@dataclass(frozen=True, slots=True)
class StreamCall(Generic[T_co]):
    """One request whose response is a stream of events."""

    call: Call[Any]
    parse: Callable[[bytes], T_co]  # of the data of one event
    track_finish: Callable[[Any, dict[Any, bool]], None]  # updates, from an event, which choices have finished
    parse_dict: Callable[[bytes], dict[str, Any]] | None = field(default=None, kw_only=True)
    chunk_timeout: float | None = field(default=None, kw_only=True)  # seconds to wait for each event, whatever else arrives

    def untyped(self) -> StreamCall[dict[str, Any]]:
        """Returns the same call with parsed JSON, in the form of its model, as its events."""
        assert self.parse_dict is not None
        return StreamCall(self.call, self.parse_dict, track_dict_finish, chunk_timeout=self.chunk_timeout)


@dataclass(frozen=True, slots=True)
class AudioStreamCall(StreamCall[T_co]):
    """One request whose response is streamed audio: events, or the bytes of an audio file."""

    from_bytes: Callable[[bytes], T_co]  # makes an event
    save: Callable[[Sequence[Any], str | PathLike[str], str | None], None]  # writes events to a path in a format


@dataclass(frozen=True, slots=True)
class Download:
    """One request whose response body is written as it arrives. The result is the response without a body.

    A broken connection is raised in the flow, which knows how much has been written.
    """

    call: Call[Any]
    write: Callable[[bytes], object]
    begin: Callable[[Response], object] | None = None  # gets status and headers first; an exception ends the download


@dataclass(frozen=True, slots=True)
class Local:
    """Work on this machine that may block, such as reading a file."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Parallel:
    """Steps of which `limit` run at a time. The result is the list of their results; the first failure ends the others and is raised."""

    steps: Sequence[Any]
    limit: int
    stop: Callable[[], object] | None = None  # called at the first failure, because a thread cannot be cancelled


@dataclass(frozen=True, slots=True)
class Remember:
    """Asks for what the client keeps: the result is its `ClientMemory`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Asks for the settings of the client: the result is its `Config`."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A step that is one operation to users, however many requests it needs: the embedding of texts, the ranking of documents."""

    name: str
    params: Mapping[str, Any] = field(repr=False)  # `model` among them
    step: Any
    tokens: Callable[[], tuple[int, int]] | None = field(default=None, repr=False)  # estimates input and output of all requests
    is_observed: bool = False  # by telemetry


Step = Call[Any] | Download | Local | Sleep | Parallel | Remember | Settings | Operation
Flow = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T]):
    """The result of a method of `with_raw_response`: the HTTP response and the parsed value."""

    http_response: Response
    parsed: T

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.http_response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers, with names in lower case."""
        return self.http_response.headers

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request."""
        return self.http_response.request_id

    def parse(self) -> T:
        """The value that the method returns without `with_raw_response`."""
        return self.parsed


def json_object(response: Response) -> dict[str, Any]:
    """Parses a response that is a JSON object; any other is a ValueError."""
    value = response.json()
    if type(value) is not dict:
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    if value.get("error"):
        raise ValueError("the body reports an error")
    return value


def track_model_finish(chunk: Any, finished: dict[Any, bool]) -> None:
    """Tracks the choices of a chunk. A finish reason may come, go and come again; one is enough."""
    for choice in chunk.choices:
        if choice.finish_reason:
            finished[choice.index] = True
        elif choice.index not in finished:
            finished[choice.index] = False


def track_dict_finish(chunk: Any, finished: dict[Any, bool]) -> None:
    """Tracks the choices of a chunk that is parsed JSON."""
    for choice in chunk.get("choices") or ():
        index = choice.get("index")
        if choice.get("finish_reason"):
            finished[index] = True
        elif index not in finished:
            finished[index] = False


def request(
    method: str,
    path: str,
    parse: Callable[[Response], T],
    params: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, Any] | None = None,
    billable: str | None = None,
    options: Mapping[str, Any] | None = None,
    warning: Warning | None = None,
) -> Call[T]:
    """Returns a call from a resource's parameters, of which those that are None are not sent, and the request options.

    `params` None is a call without a body. An unknown option is a `TypeError`, as in a call with an unknown keyword.
    """
    options = options or {}
    if unknown := options.keys() - RequestOptions.__optional_keys__:
        raise _unknown(unknown, RequestOptions.__optional_keys__)
    body = None if params is None else {name: value for name, value in params.items() if value is not None}
    if extra := options.get("extra_body"):
        body = {**(body or {}), **extra}
    headers = options.get("extra_headers") or {}
    if "timeout" in options:
        check_timeout(options["timeout"])
    return Call(
        method,
        path,
        parse,
        body,
        query={**(query or {}), **(options.get("extra_query") or {})},
        headers=valid_headers(headers, "extra_headers") if headers else {},
        timeout=options.get("timeout"),
        has_timeout="timeout" in options,
        billable=billable,
        warning=warning,
    )


def once(name: str, call: Call[T]) -> Flow[T]:
    """Performs a call once for each client; later, and at the same time in other threads and tasks, its result is returned."""
    memory = yield Remember()
    while name not in memory.results:
        if not memory.lock.acquire(blocking=False):
            yield Sleep(_POLL)
            continue
        try:
            if name not in memory.results:
                memory.results[name] = yield call
        finally:
            memory.lock.release()
    return memory.results[name]  # type: ignore[no-any-return]


def split_options(params: dict[str, Any], kind: type, others: Iterable[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits keyword arguments that a TypedDict describes into body fields and request options; other names are a TypeError.

    It suggests those of `others`, the further parameters of the function, too.
    """
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
    optional: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]
    unknown = params.keys() - required - optional
    if missing := required - params.keys():
        others = f"; unknown: {', '.join(map(repr, sorted(unknown)))}" if unknown else ""
        raise TypeError(f"missing required keyword argument: {', '.join(map(repr, sorted(missing)))}{others}")
    if unknown:
        raise _unknown(unknown, {*required, *optional, *others})
    options = {name: params.pop(name) for name in RequestOptions.__optional_keys__ & params.keys()}
    return params, options


def stream_call(call: Call[Any], parser: ModelParser[M]) -> StreamCall[M]:
    """Returns the streaming form of a call. The service refuses `n` > 1 in a stream: a ValueError."""
    body = call.body if isinstance(call.body, Mapping) else {}
    if (body.get("n") or 1) > 1:
        raise ValueError("n > 1 does not go with stream=True: set stream=False, or send several requests")
    call = replace(call, body={**body, "stream": True})
    return StreamCall(call, parser.parse, track_model_finish, parse_dict=parser.parse_dict)


def _unknown(names: Iterable[str], valid: Iterable[str]) -> TypeError:
    from together_adapters.suggestions import suggestion

    hints = ", ".join(f"{name!r}{suggestion(name, valid)}" for name in sorted(names))
    return TypeError(f"unknown parameter {hints}; fields that this library does not know go into extra_body={{...}}")


def segment(value: str, name: str) -> str:
    """Returns `value` as one path segment; one that is empty, '.' or '..', which would address another resource, is a ValueError."""
    if not value:
        raise ValueError(f"{name} must not be empty")
    if value in (".", ".."):
        raise ValueError(f"{name}={value!r} is no id: it would address another resource")
    return quote(value, safe="")
