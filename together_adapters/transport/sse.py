"""A decoder of server-sent events, for reads that end anywhere.

It splits bytes, at CR, LF and CRLF alone: U+2028 inside a JSON string is no line end, and a character that spans two reads is
decoded when its line is complete. Comments, ids and retry hints are ignored.
"""

from __future__ import annotations

Event = tuple[bytes, bytes]
"""The data and the name of an event; the name may be empty. A tuple, because a stream has thousands."""

_BOM = b"\xef\xbb\xbf"


class Decoder:
    """Turns reads into events: call `feed` with every read, then `end` once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._last = b""
        self._after_cr = False
        self._head: bytes | None = b""

    def feed(self, data: bytes) -> list[Event]:
        """Returns the events that `data` completes."""
        if self._head is None and not self._parts and not self._after_cr and _is_one_line(data):
            return [(data[6:-2], b"")]
        if self._head is not None:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if not data:
            return []
        if b"\n\n" not in self._last + data:
            self._parts.append(data)
            self._last = data[-1:]
            return []
        text = b"".join([*self._parts, data]) if self._parts else data
        end = text.rfind(b"\n\n")
        rest = text[end + 2 :]
        self._parts, self._last = ([rest], rest[-1:]) if rest else ([], b"")
        events: list[Event] = []
        for block in text[:end].split(b"\n\n"):
            # Most events are one line; the others are parsed line by line.
            if block.startswith(b"data: ") and b"\n" not in block:
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
    return data[:6] == b"data: " and data.find(b"\n") == len(data) - 2 and data[-1:] == b"\n" and b"\r" not in data


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
