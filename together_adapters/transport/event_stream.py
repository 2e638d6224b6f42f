"""From the bytes of a streamed answer to its typed events: end marker, errors inside, and truncation. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from together_adapters.errors import IncompleteStreamError, TogetherError
from together_adapters.transport import failures
from together_adapters.transport.call import AudioStreamCall, Response, StreamCall
from together_adapters.transport.retry import Failure
from together_adapters.transport.sse import Decoder, is_done

T = TypeVar("T")


class EventStream(Generic[T]):
    """Reads one streamed answer.

    Attributes:
        over: Whether the end marker came, the body ended, or an error did.
        error: The error, to be raised when the events before it have been handed out.
    """

    def __init__(self, streamed: StreamCall[T], response: Response, secrets: Iterable[str] = ()) -> None:
        self._streamed = streamed
        self._response = response
        self._secrets = tuple(secrets)
        self._decoder = Decoder()
        self._finished: dict[Any, bool] = {}
        self.error: TogetherError | None = None
        self.over = False

    def feed(self, data: bytes) -> list[T]:
        """Return the events that `data` completes, up to the end marker or an error."""
        return self._read(self._decoder.feed(data), cut=False)

    def end(self, failure: Failure | None = None) -> list[T]:
        """Return what the end of the body completes, and set `error` if the answer was cut short.

        Args:
            failure: How the connection broke, if it did.
        """
        rest = self._read(self._decoder.end(), cut=True)
        complete = self.over or (bool(self._finished) and all(self._finished.values()))
        self.over = True
        if not complete:
            self._break_off(failure or Failure("the stream ended before its finish reason"))
        return rest

    def _break_off(self, failure: Failure) -> None:
        kind = None if failure.timeout else IncompleteStreamError
        self.error = failures.connection_error(failure, self._streamed.call, self._response.attempts, kind)
        self.error.request_id = self._response.request_id

    def _read(self, events: list[tuple[bytes, bytes]], *, cut: bool) -> list[T]:
        parse, finishes, finished = self._streamed.parse, self._streamed.finishes, self._finished
        found: list[T] = []
        for data, name in events:
            if len(data) < 16 and is_done(data):
                self.over = True
                break
            if (name == b"error" or b'"error"' in data) and self._reports_error(data, name == b"error"):
                break
            try:
                chunk = parse(data)
                finishes(chunk, finished)
            except (ValueError, TypeError, AttributeError) as problem:
                if not cut:
                    self._fail(failures.invalid_answer(problem, self._response, self._streamed.call))
                break
            found.append(chunk)
        return found

    def _reports_error(self, data: bytes, named: bool) -> bool:
        body = failures.event_error(data, named)
        if body is None:
            return False
        self._fail(failures.stream_error(body, self._response, self._streamed.call, self._secrets))
        return True

    def _fail(self, error: TogetherError) -> None:
        self.error = error
        self.over = True


class SoundStream(EventStream[T]):
    """Reads one streamed answer that is plain sound: every read is an event, and only a broken connection is an early end."""

    def __init__(self, spoken: AudioStreamCall[T], response: Response, secrets: Iterable[str] = ()) -> None:
        super().__init__(spoken, response, secrets)
        self._piece = spoken.piece

    def feed(self, data: bytes) -> list[T]:
        return [self._piece(data)] if data else []

    def end(self, failure: Failure | None = None) -> list[T]:
        self.over = True
        if failure is not None:
            self._break_off(failure)
        return []


def sound_stream(spoken: AudioStreamCall[T], response: Response, secrets: Iterable[str]) -> EventStream[T]:
    """Return the reader for a spoken answer, events or bytes, as its content type says."""
    if response.headers.get("content-type", "text/").lower().startswith("text/"):
        return EventStream(spoken, response, secrets)
    return SoundStream(spoken, response, secrets)
