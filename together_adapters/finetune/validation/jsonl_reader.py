"""Reads the lines of a file in blocks, split at line feeds only, and parses lines."""

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
_OnBytes = Callable[[int], object]


class TruncatedLine(bytes):
    """The start of a line that is too long to hold in memory."""


class LineReader:
    """Reads the lines of a file, or of a range of whole lines, in batches; sets `sha256` at the end with `checksum`."""

    def __init__(
        self, path: Path, start: int = 0, end: int | None = None, *, checksum: bool = False, progress: _OnBytes | None = None
    ) -> None:
        self.size = 0
        self.sha256: str | None = None
        self._path = path
        self._start = start
        self._end = end
        self._digest = sha256() if checksum else None
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """Yields whole lines, joined by line feeds; a line that is too long alone, as a `TruncatedLine`."""
        # Allocating memory takes longer than reading into it, so all blocks share a buffer.
        data = bytearray(_BLOCK)
        parts: list[bytes | memoryview] = []
        size = 0
        with memoryview(data) as block:
            for count in self._read(block):
                last = data.rfind(b"\n", 0, count)
                if last < 0:
                    size += count
                    parts.append(bytes(block[:count]))
                    if size > MAX_LINE_BYTES:
                        parts = [b"".join(parts)[:80]]
                    continue
                first = data.find(b"\n", 0, count) if size > MAX_LINE_BYTES else -1
                if first >= 0:
                    yield TruncatedLine(parts[0])
                    parts = []
                if first < last:
                    parts.append(block[first + 1 : last])
                    yield from _within_limit(b"".join(parts))
                parts = [bytes(block[last + 1 : count])]
                size = len(parts[0])
        if size:
            yield TruncatedLine(parts[0]) if size > MAX_LINE_BYTES else b"".join(parts)
        if self._digest:
            self.sha256 = self._digest.hexdigest()

    def _read(self, block: memoryview) -> Iterator[int]:
        """Fills a block again and again; yields the number of bytes in it."""
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


def is_blank(line: bytes) -> bool:
    """Whether a line, or each of several, is blank; of one that is too long only the start is known."""
    return not line or (line.isspace() and not isinstance(line, TruncatedLine))


def split_lines(lines: bytes) -> list[bytes]:
    """Splits a batch of a `LineReader` into lines."""
    return [lines] if isinstance(lines, TruncatedLine) else lines.split(b"\n")


def line_batches(data: bytes) -> Iterator[bytes]:
    """Yields lines in memory in batches, as a `LineReader` does those of a file."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", min(start + _BLOCK, len(data)))
        end = len(data) if end < 0 else end
        lines = data[start:end]
        yield from _within_limit(lines.removesuffix(b"\n") if end == len(data) else lines)
        start = end + 1


def _within_limit(lines: bytes) -> Iterator[bytes]:
    """Yields all lines at once, or each alone if one may be too long."""
    if len(lines) <= MAX_LINE_BYTES:
        yield lines
    else:
        yield from (line if len(line) <= MAX_LINE_BYTES else TruncatedLine(line[:80]) for line in lines.split(b"\n"))


def parse_line(findings: RowFindings, data: bytes, *, first: bool = False, strict: bool = False) -> tuple[bool, Any]:
    """Parses a line; returns whether it is JSON, and its value. Only the first line may start with a byte order mark."""
    if first and data.startswith(BOM):
        findings.add("utf8_bom", "", "the file starts with a byte order mark")
        data = data[len(BOM) :]
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        findings.add(*_syntax_error(data, str(error)), data)
        return False, None
    if b"\\" in data and b"\\u0000" in data and _has_nul(value):
        findings.add("nul_character", "", "a string has the character NUL")
    if strict:
        json.loads(data, object_pairs_hook=lambda pairs: _check_unique(findings, pairs))
    return True, value


def parse_lines(lines: LineReader, findings: RowFindings, *, starts_file: bool = True) -> Iterator[tuple[int, bytes, bool, Any]]:
    """Yields the number of each line that is not blank, its bytes, whether it is JSON, and its value."""
    number = 0
    for batch in lines:
        for line in split_lines(batch):
            number += 1
            if not is_blank(line):
                findings.start_row()
                parsed, value = parse_line(findings, line, first=starts_file and number == 1)
                yield number, line, parsed and not isinstance(line, TruncatedLine), value


def _syntax_error(data: bytes, error: str) -> tuple[str, str, str]:
    """Returns why a line is not JSON: code, path and message."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as problem:
        return "not_utf8", "", f"byte {problem.start + 1} of the line is not UTF-8"
    if "recursion limit" in error:
        return "too_deep", "", "the line is nested too deeply"
    if "number out of range" in error:
        return "number_too_large", "", "a number has too many digits"
    if _SURROGATE.search(data) and _is_json_for_python(data):
        return "not_encodable", "", "a string has half of a surrogate pair"
    if _CONSTANT.search(data) and _is_json_for_python(data):
        return "json_syntax", "", "NaN and Infinity are not JSON"
    return "json_syntax", "", f"the line is not JSON: {error.replace(' at line 1 column', ' at column')}"


def _has_nul(value: Any) -> bool:
    """Whether a key or string has the character NUL; a value that a duplicate key overrides does not count."""
    values = [value]
    while values:
        value = values.pop()
        if isinstance(value, str) and "\0" in value:
            return True
        if isinstance(value, dict):
            values.extend(value)
            values.extend(value.values())
        elif isinstance(value, list):
            values.extend(value)
    return False


def _is_json_for_python(data: bytes) -> bool:
    """Whether Python's parser, which is more lenient, accepts a line."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _check_unique(findings: RowFindings, pairs: list[tuple[str, Any]]) -> None:
    keys: set[str] = set()
    for key, _ in pairs:
        if key in keys:
            findings.add("duplicate_key", key[:80], f"the key {key[:60]!r} occurs twice in an object")
        keys.add(key)
