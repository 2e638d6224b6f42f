"""Lines of a file: read in pieces that memory can hold, split at line feeds alone, parsed without ever failing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.rules import MAX_LINE_BYTES

BOM: Final = b"\xef\xbb\xbf"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT: Final = re.compile(rb"\b(?:NaN|Infinity)\b")
_BLOCK: Final = 1 << 17


class TruncatedLine(bytes):
    """The beginning of a line that is too long to be kept."""


class LineReader:
    """The lines of a file, or of a range of it that begins and ends with lines.

    They come as they are read, many at once, since splitting them costs more than reading; see `split`.

    Attributes:
        size: Bytes that were read.
        sha256: Checksum of what was read, if it is wanted and everything was read.

    Args:
        path: The file.
        start: Where the range begins.
        end: Where it ends; None for the end of the file.
        checksum: Whether the checksum is wanted. It takes longer than reading, and with some data longer than checking.
        progress: Told how many bytes were read.
    """

    def __init__(
        self,
        path: Path,
        start: int = 0,
        end: int | None = None,
        *,
        checksum: bool = False,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.size = 0
        self.sha256: str | None = None
        self._path = path
        self._start = start
        self._end = end
        self._digest = sha256() if checksum else None
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """Give whole lines, joined by line feeds; what is too long comes alone, as a `Cut`."""
        # New memory costs more than what is read into it, so each block is read into the same.
        data = bytearray(_BLOCK)
        held: list[bytes | memoryview] = []
        size = 0
        with memoryview(data) as block:
            for count in self._read(block):
                last = data.rfind(b"\n", 0, count)
                if last < 0:
                    size += count
                    held.append(bytes(block[:count]))
                    if size > MAX_LINE_BYTES:
                        held = [b"".join(held)[:80]]
                    continue
                first = data.find(b"\n", 0, count) if size > MAX_LINE_BYTES else -1
                if first >= 0:
                    yield TruncatedLine(held[0])
                    held = []
                if first < last:
                    held.append(block[first + 1 : last])
                    yield from _parts(b"".join(held))
                held = [bytes(block[last + 1 : count])]
                size = len(held[0])
        if size:
            yield TruncatedLine(held[0]) if size > MAX_LINE_BYTES else b"".join(held)
        if self._digest:
            self.sha256 = self._digest.hexdigest()

    def _read(self, block: memoryview) -> Iterator[int]:
        """Fill a block again and again; give how many bytes there are in it."""
        with self._path.open("rb", 0) as file:
            # A file that grows as fast as it is read would otherwise have no end.
            end = os.fstat(file.fileno()).st_size if self._end is None else self._end
            file.seek(self._start)
            while count := file.readinto(block[: max(end - self._start - self.size, 0)]):
                self.size += count
                if self._digest:
                    self._digest.update(block[:count])
                yield count
                if self._progress:
                    self._progress(self.size)


def split_lines(lines: bytes) -> list[bytes]:
    """Split lines as `Lines` gives them."""
    return [lines] if isinstance(lines, TruncatedLine) else lines.split(b"\n")


def line_batches(data: bytes) -> Iterator[bytes]:
    """Give the lines of a text as `Lines` gives those of a file: about as many bytes at once as a processor keeps at hand."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", min(start + _BLOCK, len(data)))
        end = len(data) if end < 0 else end
        lines = data[start:end]
        yield from _parts(lines.removesuffix(b"\n") if end == len(data) else lines)
        start = end + 1


def _parts(lines: bytes) -> Iterator[bytes]:
    """Give lines at once, or each alone where one may be too long."""
    if len(lines) <= MAX_LINE_BYTES:
        yield lines
    else:
        yield from (line if len(line) <= MAX_LINE_BYTES else TruncatedLine(line[:80]) for line in lines.split(b"\n"))


def parse_line(notes: RowFindings, data: bytes, *, first: bool = False, strict: bool = False) -> tuple[bool, Any]:
    """Parse a line; return whether it is JSON, and its value.

    Args:
        notes: Where to note why it is none.
        data: The line.
        first: Whether it is the first of its file, and may begin with a byte order mark.
        strict: Whether a key that stands twice in an object is a fault.
    """
    if first and data.startswith(BOM):
        notes.add("utf8_bom", "", "the file begins with a byte order mark")
        data = data[len(BOM) :]
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as problem:
        notes.add(*_fault(data, str(problem)), data)
        return False, None
    if b"\\" in data and b"\\u0000" in data and _holds_nul(value):
        notes.add("nul_character", "", "a text holds the character NUL")
    if strict:
        json.loads(data, object_pairs_hook=lambda pairs: _unique(notes, pairs))
    return True, value


def _fault(data: bytes, problem: str) -> tuple[str, str, str]:
    """Say why a line is not JSON: code, path and message."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return "not_utf8", "", f"byte {error.start + 1} of the line is not UTF-8"
    if "recursion limit" in problem:
        return "too_deep", "", "the line is nested too deeply"
    if "number out of range" in problem:
        return "number_too_large", "", "a number has too many digits"
    if _SURROGATE.search(data) and _is_loose_json(data):
        return "not_encodable", "", "a text holds half of a surrogate pair"
    if _CONSTANT.search(data) and _is_loose_json(data):
        return "json_syntax", "", "NaN and Infinity are not JSON"
    return "json_syntax", "", f"the line is not JSON: {problem.replace(' at line 1', '')}"


def _holds_nul(value: Any) -> bool:
    """Whether a key or a text holds NUL: one that is hidden by a second key of the same name does not count."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _is_loose_json(data: bytes) -> bool:
    """Whether Python's parser takes it, which is more generous than JSON."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _unique(notes: RowFindings, pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            notes.add("duplicate_key", key[:80], f"the key {key[:60]!r} stands twice in an object")
        seen.add(key)
