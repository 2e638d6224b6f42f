"""Exchanges as values: what to send and how to read the answer, with no client in sight.

A `Call` is one request and its answer, a `StreamCall` one whose answer is a sequence of events, a `Download` one whose answer
goes to a file, a `Flow` a generator that yields these, pauses, fan-outs and local work, and returns one result. Drivers
perform them; this module knows no HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from together_adapters.transport.bodies import Body

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer: what was said, apart from how it came.

    Attributes:
        status_code: HTTP status.
        headers: Header names in lower case.
        content: The body, decoded from any content encoding.
        attempts: Requests that were sent until this one was answered.
    """

    status_code: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False, default=b"")
    attempts: int = 1

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    @property
    def request_id(self) -> str | None:
        """The service's name for the request, to be given to support."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def json(self) -> Any:
        """The body as parsed JSON.

        Raises:
            ValueError: It is not JSON.
        """
        return from_json(self.content)


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One exchange: a request, and how to read its answer.

    Attributes:
        method: HTTP method.
        path: Path below the root of the service, with its version: `/v1/models`. For a foreign call the whole URL.
        parse: Reads the answer.
        body: A mapping travels as JSON; also a form, a stretch of a file, bytes, or nothing.
        query: Query parameters; those that are None are left out.
        headers: Headers of this call alone.
        timeout: Seconds or an `httpx.Timeout` for this call, when `has_timeout`.
        billable: For calls that start paid work: the call that lists such work, so that an error can say where to look.
        external: Whether it goes to storage of somebody else, with none of our headers, key or query.
        accepts: Statuses besides 2xx that are an answer and no error.
        secrets: Texts of the body that no error may repeat.
    """

    method: str
    path: str
    parse: Callable[[Response], T_co]
    body: Body | None = field(default=None, repr=False)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: Any = None
    has_timeout: bool = False
    billable: str | None = None
    external: bool = False
    accepts: frozenset[int] = frozenset()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def safe_path(self) -> str:
        """Where it goes, as logs and errors may show it: a query can be a credential."""
        return self.path.partition("?")[0]

    def untyped(self) -> Call[Any]:
        """The same exchange, answered by parsed JSON instead of a model: what the adapters convert."""
        untyped: Any = self
        return replace(untyped, parse=json_object)


@dataclass(frozen=True, slots=True)
class StreamCall(Generic[T_co]):
    """One exchange that is answered by a sequence of events.

    Attributes:
        call: The request.
        parse: Reads the data of one event.
        finishes: Notes which choices an event shows and which it finishes, so that a cut stream is told from a complete one.
    """

    call: Call[Any]
    parse: Callable[[bytes], T_co]
    finishes: Callable[[Any, dict[Any, bool]], None]

    def untyped(self) -> StreamCall[dict[str, Any]]:
        """The same exchange with events as plain dicts: what the adapters convert."""
        return StreamCall(self.call, _event_object, track_dict_finish)


@dataclass(frozen=True, slots=True)
class AudioStreamCall(StreamCall[T_co]):
    """A streamed answer that is sound: events that bring it as text, or its plain bytes, as the service likes.

    Attributes:
        piece: Makes an event of plain bytes.
        save: Writes events as an audio file, given its path and format.
    """

    piece: Callable[[bytes], T_co]
    save: Callable[[Sequence[Any], str | PathLike[str], str | None], None]


@dataclass(frozen=True, slots=True)
class Download:
    """One exchange whose body is handed to `write` as it comes; answered by status and headers.

    A connection that breaks is raised in the flow, which knows what has been written.

    Attributes:
        call: The request.
        write: Takes the body in pieces.
        begin: Told status and headers before the first piece; what it raises ends the download and reaches the flow.
    """

    call: Call[Any]
    write: Callable[[bytes], object]
    begin: Callable[[Response], object] | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """Work on this machine that may take a while, such as reading a file; answered by its result."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """A pause."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Parallel:
    """Steps performed at the same time, at most `limit` of them; answered by their results in order.

    The first failure stops the others and is raised in the flow.

    Attributes:
        steps: What is to be done.
        limit: How many of them at the same time.
        stop: Told at the first failure, so that steps under way can give up: a thread cannot be ended from outside.
    """

    steps: Sequence[Any]
    limit: int
    stop: Callable[[], object] | None = None


Step = Call[Any] | Download | Local | Sleep | Parallel
Flow = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[T]):
    """An answer with its HTTP side, as `with_raw_response` gives it."""

    http_response: Response
    parsed: T

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self.http_response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Header names in lower case."""
        return self.http_response.headers

    @property
    def request_id(self) -> str | None:
        """The service's name for the request."""
        return self.http_response.request_id

    def parse(self) -> T:
        """The answer as the plain call would have returned it."""
        return self.parsed


def response_parser(model: type[M]) -> Callable[[Response], M]:
    """Return a reader of answers of one model."""
    read = event_parser(model)
    return lambda response: read(response.content)


def event_parser(model: type[M]) -> Callable[[bytes], M]:
    """Return a reader of one event's data."""
    validate: Callable[[bytes], M] | None = None

    def parse(data: bytes) -> M:
        nonlocal validate
        if validate is None:
            # Models are built when they are first needed; the method is looked up once, because streams call it often.
            model.model_rebuild()
            validate = model.__pydantic_validator__.validate_json
        try:
            return validate(data)
        except ValidationError as problem:
            return _without_nulls(model, data, problem)

    return parse


def _without_nulls(model: type[M], data: bytes, problem: ValidationError) -> M:
    """Read an answer anew, taking null for missing where the model knows no null. Rare, so it may be slow."""
    nulls = [error["loc"] for error in problem.errors() if error["input"] is None]
    if not nulls:
        raise problem
    value = from_json(data)
    for loc in nulls:
        _drop(value, loc)
    return model.model_validate(value)


def _drop(value: Any, loc: tuple[int | str, ...]) -> None:
    """Remove the field at a place that pydantic names. Steps that name a branch of a union are no part of the value."""
    for step in loc[:-1]:
        if isinstance(value, dict):
            value = value.get(step, value)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    if isinstance(value, dict):
        value.pop(loc[-1], None)


def json_object(response: Response) -> dict[str, Any]:
    """Read an answer as a plain JSON object.

    Raises:
        ValueError: It is none.
    """
    return _event_object(response.content)


def _event_object(data: bytes) -> dict[str, Any]:
    value = from_json(data)
    if type(value) is not dict:
        raise ValueError(f"a JSON object was expected, not {type(value).__name__}")
    return value


def track_model_finish(chunk: Any, finished: dict[Any, bool]) -> None:
    """Note the choices of a chunk. A finish reason may come, go and come again; once is enough."""
    for choice in chunk.choices:
        if choice.finish_reason:
            finished[choice.index] = True
        elif choice.index not in finished:
            finished[choice.index] = False


def track_dict_finish(chunk: Any, finished: dict[Any, bool]) -> None:
    """Note the choices of a chunk that is plain JSON."""
    for choice in chunk.get("choices") or ():
        index = choice.get("index")
        if choice.get("finish_reason"):
            finished[index] = True
        elif index not in finished:
            finished[index] = False


_OPTIONS = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})


def request(
    method: str,
    path: str,
    parse: Callable[[Response], T],
    params: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, Any] | None = None,
    billable: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Call[T]:
    """Describe a call from a resource's parameters and the per-call options.

    Args:
        params: Fields of the JSON body; those that are None are left out. None for a call without a body.
        query: Query parameters; those that are None are left out.
        billable: See `Call`.
        options: `extra_body`, `extra_headers`, `extra_query`, `timeout`. Any other name is refused, as Python would.
    """
    options = options or {}
    if unknown := options.keys() - _OPTIONS:
        raise _unknown(unknown)
    body = None if params is None else {name: value for name, value in params.items() if value is not None}
    if extra := options.get("extra_body"):
        body = {**(body or {}), **extra}
    return Call(
        method,
        path,
        parse,
        body,
        query={**(query or {}), **(options.get("extra_query") or {})},
        headers=options.get("extra_headers") or {},
        timeout=options.get("timeout"),
        has_timeout="timeout" in options,
        billable=billable,
    )


def split_options(params: dict[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part keyword arguments that a TypedDict describes into body fields and per-call options.

    Raises:
        TypeError: A name is missing or unknown.
    """
    required: frozenset[str] = kind.__required_keys__  # type: ignore[attr-defined]
    optional: frozenset[str] = kind.__optional_keys__  # type: ignore[attr-defined]
    if missing := required - params.keys():
        raise TypeError(f"missing required keyword argument: {', '.join(map(repr, sorted(missing)))}")
    if unknown := params.keys() - required - optional:
        raise _unknown(unknown)
    options = {name: params.pop(name) for name in _OPTIONS & params.keys()}
    return params, options


def stream_call(call: Call[Any], model: type[M]) -> StreamCall[M]:
    """Describe the streamed form of a call whose events are of one model.

    Raises:
        ValueError: More than one answer was asked for, which the service refuses in a stream.
    """
    body = call.body if isinstance(call.body, Mapping) else {}
    if (body.get("n") or 1) > 1:
        raise ValueError("n > 1 does not go with stream=True: ask without streaming, or several times")
    return StreamCall(replace(call, body={**body, "stream": True}), event_parser(model), track_model_finish)


def _unknown(names: Iterable[str]) -> TypeError:
    listed = ", ".join(map(repr, sorted(names)))
    return TypeError(f"unknown parameter {listed}; fields that this library does not know go into extra_body={{...}}")


def segment(value: str, name: str) -> str:
    """Return `value` as one path segment.

    Raises:
        ValueError: It is empty, which would address another resource.
    """
    if not value:
        raise ValueError(f"{name} must not be empty")
    return quote(value, safe="")
