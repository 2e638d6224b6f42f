"""From the bytes of a streamed response to its typed events: end marker, error events, and truncation. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from together_adapters.errors import IncompleteStreamError, TogetherError
from together_adapters.transport import failures
from together_adapters.transport.call import AudioStreamCall, Response, StreamCall
from together_adapters.transport.retry import Failure
from together_adapters.transport.sse import Decoder, is_done

T = TypeVar("T")


class EventParser(Generic[T]):
    """Parses one stream of server-sent events."""

    def __init__(self, call: StreamCall[T], response: Response, secrets: Iterable[str] = ()) -> None:
        self.call = call
        self.ended = False  # the end marker, the end of the body or an error was reached
        self.error: TogetherError | None = None  # to raise after the events before it
        self.response = response
        self._secrets = tuple(secrets)
        self._decoder = Decoder()
        self._finished: dict[Any, bool] = {}

    def feed(self, data: bytes) -> list[T]:
        """Returns the events that `data` completes, up to the end marker or an error."""
        return self._parse(self._decoder.feed(data), truncated=False)

    def end(self, failure: Failure | None = None) -> list[T]:
        """Returns the events that the end of the body, or a failure of the connection, completes; sets `error` if incomplete."""
        events = self._parse(self._decoder.end(), truncated=True)
        complete = self.ended or (bool(self._finished) and all(self._finished.values()))
        self.ended = True
        if not complete:
            self._set_incomplete(failure or Failure("the stream ended before its finish reason"))
        return events

    def _set_incomplete(self, failure: Failure) -> None:
        kind = None if failure.timeout else IncompleteStreamError
        self.error = failures.connection_error(failure, self.call.call, self.response.attempts, kind)
        self.error.request_id = self.response.request_id

    def _parse(self, events: list[tuple[bytes, bytes]], *, truncated: bool) -> list[T]:
        parse, track_finish, finished = self.call.parse, self.call.track_finish, self._finished
        chunks: list[T] = []
        for data, name in events:
            if len(data) < 16 and is_done(data):
                self.ended = True
                break
            if name == b"error" or b'"error"' in data:
                body = failures.event_error(data, is_error_event=name == b"error")
                if body is not None:
                    self._fail(failures.stream_error(body, self.response, self.call.call, self._secrets))
                    break
            try:
                chunk = parse(data)
                track_finish(chunk, finished)
            except (ValueError, TypeError, AttributeError) as problem:
                if not truncated:
                    self._fail(failures.invalid_response(problem, self.response, self.call.call))
                break
            chunks.append(chunk)
        return chunks

    def _fail(self, error: TogetherError) -> None:
        self.error = error
        self.ended = True


class AudioParser(EventParser[T]):
    """Parses a stream that is the bytes of an audio file: every read is an event, and only a broken connection ends it early."""

    call: AudioStreamCall[T]

    def feed(self, data: bytes) -> list[T]:
        return [self.call.from_bytes(data)] if data else []

    def end(self, failure: Failure | None = None) -> list[T]:
        self.ended = True
        if failure is not None:
            self._set_incomplete(failure)
        return []


def parser_of(call: StreamCall[T], response: Response, secrets: Iterable[str]) -> EventParser[T]:
    """Returns the parser for a response: streamed audio may be bytes instead of events, as its content type says."""
    content_type = response.headers.get("content-type", "text/").lower()
    if isinstance(call, AudioStreamCall) and not content_type.startswith("text/"):
        return AudioParser(call, response, secrets)
    return EventParser(call, response, secrets)
