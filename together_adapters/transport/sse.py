"""From the bytes of a streamed response to its typed events: server-sent events, end marker, error events, truncation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from together_adapters.errors import IncompleteStreamError, TogetherError
from together_adapters.transport import failures
from together_adapters.transport.call import AudioStreamCall, Response, StreamCall
from together_adapters.transport.retry import Failure
from together_adapters.transport.surrogates import ends_in_half, join_halves, lenient_json

T = TypeVar("T")
Event = tuple[bytes, bytes]
"""The data and the name of an event; the name may be empty. A tuple, because a stream has thousands."""

MAX_EVENT = 64 << 20
_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"  # numbers: bytes look for another bytes object several times as long
_KEEPALIVE = frozenset({b"ping", b"pong", b"keepalive", b"keep-alive", b"heartbeat"})


class Decoder:
    """Turns reads, which may end anywhere, into events: call `feed` with every read, then `end` once.

    It splits bytes, at CR, LF and CRLF alone: U+2028 inside a JSON string is no line end, and a character that spans two reads is
    decoded when its line is complete. Comments, ids and retry hints are ignored.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._last = b""
        self._size = 0  # of the parts
        self._after_cr = False
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> list[Event]:
        """Returns the events that `data` completes."""
        if self._head is None and not self._parts and not self._after_cr and _is_one_line(data):
            return [(data[6:-2], b"")]
        if self._head is not None:
            data = self._without_bom(data)
        if self._after_cr or _CR in data:
            data = self._with_line_feeds(data)
        if not data:
            return []
        if (self._last + data).find(b"\n\n") < 0:
            self._parts.append(data)
            self._last = data[-1:]
            self._size += len(data)
            if self._size > MAX_EVENT:
                raise ValueError(f"an event has more than {MAX_EVENT >> 20} MB")
            return []
        text = b"".join([*self._parts, data]) if self._parts else data
        end = text.rfind(b"\n\n")
        rest = text[end + 2 :]
        self._parts, self._last, self._size = ([rest], rest[-1:], len(rest)) if rest else ([], b"", 0)
        events: list[Event] = []
        for block in text[:end].split(b"\n\n"):
            # Most events are one line; the others are parsed line by line.
            if block.startswith(b"data: ") and _LF not in block:
                events.append((block[6:], b""))
            else:
                events += _parse(block)
        return events

    def end(self) -> list[Event]:
        """Returns the event that the end of the body completes, if any."""
        block = b"".join(self._parts)
        self._parts, self._last = [], b""
        return _parse(block)

    def _without_bom(self, data: bytes) -> bytes:
        """Removes a byte order mark, which may span reads."""
        head = (self._head or b"") + data
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def is_done(data: bytes) -> bool:
    """Whether an event's data is the end marker of the service."""
    return data.strip()[:6].upper() == b"[DONE]"


def _is_one_line(data: bytes) -> bool:
    """Whether a read is exactly one event of one line, as nearly all reads of a slow stream are."""
    return data.startswith(b"data: ") and data.endswith(b"\n\n") and data.find(_LF) == len(data) - 2 and _CR not in data


def _parse(block: bytes) -> list[Event]:
    """Parses the lines of one event; without a data line there is none."""
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return [(b"\n".join(data), name)] if data else []


def _is_keepalive(data: bytes, name: bytes) -> bool:
    """Whether an event that is no JSON only keeps the connection open, as relays send it: empty, or named so."""
    text = data.strip(b" \t\n:").lower()
    return not text or text in _KEEPALIVE or name.strip().lower() in _KEEPALIVE


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
        self._cut = b""  # an event that ends within a character

    def feed(self, data: bytes) -> Iterable[T]:
        """Returns the events that `data` completes, up to the end marker or an error. Each is parsed when it is taken, and so observed."""
        try:
            events = self._decoder.feed(data)
        except ValueError as problem:
            self._fail(failures.invalid_response(problem, self.response, self.call.call, self._secrets))
            return []
        return self._parse(events, truncated=False) if len(events) < 2 else self._parse_each(events)

    def _parse_each(self, events: list[Event]) -> Iterator[T]:
        for event in events:
            yield from self._parse([event], truncated=False)
            if self.ended:
                return

    def end(self, failure: Failure | None = None) -> list[T]:
        """Returns the events that the end of the body, or a failure of the connection, completes; sets `error` if incomplete."""
        events = self._parse(self._decoder.end(), truncated=True)
        if self._cut:
            self._rejoin(b"", events)
        complete = self.ended or (bool(self._finished) and all(self._finished.values()))
        self.ended = True
        if not complete:
            self._set_incomplete(failure or self._cut_short("the stream ended before its finish reason"))
        return events

    def _cut_short(self, reason: str) -> Failure:
        """Returns a failure that the body itself is, not its transfer."""
        return Failure(f"{reason} ({self.response.origin})" if self.response.origin else reason)

    def _set_incomplete(self, failure: Failure) -> None:
        kind = None if failure.timeout else IncompleteStreamError
        self.error = failures.connection_error(failure, self.call.call, self.response.attempts, kind, self._secrets)
        self.error.request_id = failures.redactor_of(self.call.call, self._secrets)(self.response.request_id)

    def _parse(self, events: list[tuple[bytes, bytes]], *, truncated: bool) -> list[T]:
        parse, track_finish, finished = self.call.parse, self.call.track_finish, self._finished
        chunks: list[T] = []
        for raw, name in events:
            data = self._rejoin(raw, chunks) if self._cut else raw
            if len(data) < 16 and is_done(data):
                self.ended = True
                if not finished and not isinstance(self.call, AudioStreamCall):
                    self._set_incomplete(self._cut_short("the stream ended without an answer"))
            elif name == b"error" or data.find(b'"error"') >= 0:
                body = failures.event_error(data, is_error_event=name == b"error")
                if body is not None:
                    self._fail(failures.stream_error(body, self.response, self.call.call, self._secrets))
            if self.ended:
                break
            try:
                chunk = parse(data)
                track_finish(chunk, finished)
            except (ValueError, TypeError, AttributeError) as problem:
                if _is_keepalive(data, name) or self._recover(data, chunks):
                    continue
                if not truncated:
                    self._fail(failures.invalid_response(problem, self.response, self.call.call, self._secrets))
                break
            chunks.append(chunk)
        return chunks

    def _recover(self, data: bytes, chunks: list[T]) -> bool:
        """Adds an event that is no strict JSON, or holds it if it ends within a character; False if it is broken."""
        if ends_in_half(data):
            self._cut = data
            return True
        try:
            chunk = self.call.parse(lenient_json(data))
            self.call.track_finish(chunk, self._finished)
        except (ValueError, TypeError, AttributeError):
            return False
        chunks.append(chunk)
        return True

    def _rejoin(self, data: bytes, chunks: list[T]) -> bytes:
        """Adds the event that was held, and returns the next with the whole character."""
        cut, data = join_halves(self._cut, data)
        self._cut = b""
        if not self._recover(lenient_json(cut), chunks):
            self._fail(failures.invalid_response("an event is no JSON", self.response, self.call.call, self._secrets))
        return data

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
