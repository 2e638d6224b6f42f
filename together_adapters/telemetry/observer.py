"""The observer of calls: a span for each operation, an event for each of its attempts, and metrics.

A request of an operation that has several, such as a batch of embeddings, is a part of that operation's span.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from pydantic_core import from_json

from together_adapters.telemetry.messages import to_text
from together_adapters.telemetry.requests import OPERATIONS, params_of, request_attributes, request_content
from together_adapters.telemetry.responses import ResponseReader
from together_adapters.transport.call import AudioStreamCall, Call, Operation, Response, StreamCall
from together_adapters.transport.failures import redactor_of
from together_adapters.transport.redaction import Redactor, redactor
from together_adapters.transport.retry import Failure

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from together_adapters.transport.config import Config

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("together_adapters")

_OPERATION: Final = otel_context.create_key("together-adapters-operation")
_GENERATED_TEXT: Final = ("chat", "text_completion")
_SECONDS: Final = [0.01 * 2**power for power in range(14)]
_TOKENS: Final = [4**power for power in range(14)]
"""Boundaries of buckets that the conventions recommend."""
_METRIC_ATTRIBUTES: Final = (
    "gen_ai.operation.name gen_ai.provider.name gen_ai.request.model gen_ai.response.model server.address server.port".split()
)


def _safely(function: Callable[P, T]) -> Callable[P, T | None]:
    """Makes a failure of telemetry a record of the log, because it must not break the call."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            logger.warning(
                "telemetry: %s in %s", type(error).__name__, function.__name__, exc_info=logger.isEnabledFor(logging.DEBUG)
            )
            return None

    return call


class GenAIObserver:
    """Records the operations of all clients."""

    def __init__(self, tracer: Tracer, meter: Meter, capture_content: bool) -> None:
        self.tracer = tracer
        self.capture_content = capture_content
        histogram = meter.create_histogram
        self.tokens = histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of an operation.", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self.duration = histogram(
            "gen_ai.client.operation.duration", "s", "Duration of an operation.", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self.first_chunk = histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time until the first chunk of a stream.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    @_safely
    def observe(self, step: Any, config: Config) -> OperationSpan | _PartOfOperation | None:
        """Returns the observation of an operation, or of a request that is a part of one; None for other steps."""
        if isinstance(step, Operation):
            return None if step.is_observed else OperationSpan(self, step.name, step.params, step, config)
        call = step.call if isinstance(step, StreamCall) else step
        if not isinstance(call, Call) or call.on_attempt is not None or call.method != "POST":
            return None
        name = OPERATIONS.get(call.path)
        if name is None:
            return None
        current = otel_context.get_value(_OPERATION)
        if isinstance(current, OperationSpan) and current.name == name:
            return _PartOfOperation(current, call)
        return OperationSpan(self, name, params_of(call.body), step, config)


class OperationSpan:
    """The span of one operation, from its start to its response or the end of its stream."""

    _is_ended = True

    def __init__(self, observer: GenAIObserver, name: str, params: Mapping[str, Any], step: Any, config: Config) -> None:
        self.name = name
        self._observer = observer
        self._step = step
        self._secrets = config.secrets
        self._attributes = request_attributes(name, params, config.root)
        self._response: Response | None = None
        self._first_chunk: float | None = None
        self._start = time.perf_counter()
        self._span = observer.tracer.start_span(
            f"{name} {params.get('model', '')}".rstrip(),
            kind=SpanKind.CLIENT,
            attributes=self._attributes,
        )
        self._is_ended = False
        self._captures_content = observer.capture_content and self._span.is_recording()
        self.reader = ResponseReader(self._captures_content)
        if self._captures_content:
            self._add_request_content(params)

    @property
    def step(self) -> Any:
        """The step that reports its attempts and its response. Not kept, so that a lost stream ends the span at once."""
        step = self._step
        if isinstance(step, Operation):
            return replace(step, is_observed=True)
        if not isinstance(step, StreamCall):
            return replace(step, parse=self._response_parser(step.parse), on_attempt=self.attempt)
        call = replace(step.call, on_attempt=self.attempt)
        if isinstance(step, AudioStreamCall):
            step = replace(step, from_bytes=self._chunk_parser(step.from_bytes))
        return replace(step, call=call, parse=self._chunk_parser(step.parse))

    def __enter__(self) -> Self:
        context = set_span_in_context(self._span)
        if isinstance(self._step, Operation):
            context = otel_context.set_value(_OPERATION, self, context)
        self._token = otel_context.attach(context)
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        otel_context.detach(self._token)
        if error is not None:
            self.end(error)

    def __del__(self) -> None:
        with suppress(Exception):  # the interpreter may be exiting
            self.end()

    @_safely
    def _add_request_content(self, params: Mapping[str, Any]) -> None:
        self._span.set_attributes(self._as_texts(request_content(self.name, params)))

    @_safely
    def attempt(self, number: int, outcome: int | Failure, delay: float | None) -> None:
        """Adds the event of an attempt: its status, or why there is none, and the delay until the next."""
        attributes: dict[str, Any] = {"http.request.resend_count": number - 1}
        if isinstance(outcome, Failure):
            attributes["error.type"] = "timeout" if outcome.timeout else "connection"
        else:
            attributes["http.response.status_code"] = outcome
        if delay is not None:
            attributes["together.retry_delay"] = delay
        self._span.add_event("together.attempt", attributes)

    @_safely
    def result(self, value: Any) -> None:
        """Ends the span with a response; a stream ends it later."""
        if isinstance(self._step, StreamCall):
            value.observations.append(self)
            self._response = value.response
            return
        if isinstance(self._step, Call):
            self._read(value)
        self.end()

    @_safely
    def end(self, error: BaseException | None = None) -> None:
        """Ends the span, unless it has ended, with what is known of the response."""
        if self._is_ended:
            return
        self._is_ended = True
        try:
            self._finish(error)
        finally:
            self._span.end()

    def _finish(self, error: BaseException | None) -> None:
        duration = time.perf_counter() - self._start
        attributes = {**self.reader.attributes(), **self._as_texts(self.reader.content())}
        if self._first_chunk is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = self._first_chunk
        if request_id := getattr(self._response or error, "request_id", None):
            attributes["together.request_id"] = request_id
        if self._response is not None and (trace_id := self._response.headers.get("x-together-traceid")):
            attributes["together.trace_id"] = trace_id
        if error is not None:
            attributes["error.type"] = type(error).__name__.lstrip("_")
            description = self._redactor()(str(error)) if self._captures_content else None
            self._span.set_status(Status(StatusCode.ERROR, description))
        self._span.set_attributes(attributes)
        self._measure(duration, attributes)

    def _as_texts(self, content: Mapping[str, Any]) -> dict[str, str]:
        """Returns structures as JSON without the secrets of the client."""
        redact = self._redactor() if content else None
        return {name: to_text(redact(value)) for name, value in content.items()} if redact else {}

    def _redactor(self) -> Redactor:
        call = self._step.call if isinstance(self._step, StreamCall) else self._step
        return redactor_of(call, self._secrets) if isinstance(call, Call) else redactor(tuple(self._secrets))

    def _measure(self, duration: float, attributes: Mapping[str, Any]) -> None:
        values = {**self._attributes, **attributes}
        shared = {name: values[name] for name in _METRIC_ATTRIBUTES if name in values}
        for kind in ("input", "output"):
            if (count := values.get(f"gen_ai.usage.{kind}_tokens")) is not None:
                self._observer.tokens.record(count, {**shared, "gen_ai.token.type": kind})
        if self._first_chunk is not None:
            self._observer.first_chunk.record(self._first_chunk, shared)
        if "error.type" in values:
            shared["error.type"] = values["error.type"]
        self._observer.duration.record(duration, shared)

    @_safely
    def _read(self, value: Any) -> None:
        """Reads a response. A text is read from what the service sent, which is the same for clients and adapters."""
        if self.name not in _GENERATED_TEXT:
            self.reader.add_response(value)
        elif self._response is not None:
            self.reader.add_chunk(value if isinstance(value, dict) else self._response.json())

    def _read_invalid(self, response: Response) -> None:
        """Reads what can be read of a response that is an error: its tokens are billed, too."""
        if self.name in _GENERATED_TEXT:
            with suppress(Exception):
                self.reader.add_chunk(response.json())

    @_safely
    def _read_chunk(self, data: bytes, chunk: Any) -> None:
        if self._first_chunk is None:
            self._first_chunk = time.perf_counter() - self._start
        if self.name in _GENERATED_TEXT:
            needs_json = self._captures_content and not isinstance(chunk, dict)
            self.reader.add_chunk(from_json(data) if needs_json else chunk)

    def _response_parser(self, parse: Callable[[Response], T]) -> Callable[[Response], T]:
        def parse_response(response: Response) -> T:
            self._response = response
            try:
                return parse(response)
            except Exception:
                self._read_invalid(response)
                raise

        return parse_response

    def _chunk_parser(self, parse: Callable[[bytes], T]) -> Callable[[bytes], T]:
        def parse_chunk(data: bytes) -> T:
            chunk = parse(data)
            self._read_chunk(data, chunk)
            return chunk

        return parse_chunk


class _PartOfOperation:
    """One request of an operation that has several: its attempts, model and usage are those of the operation."""

    def __init__(self, operation: OperationSpan, call: Call[Any]) -> None:
        self._operation = operation
        self.step = replace(call, on_attempt=operation.attempt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    @_safely
    def result(self, value: Any) -> None:
        self._operation.reader.add_response(value)

    def end(self, error: BaseException | None = None) -> None:
        pass
