"""Lines of a file: read in pieces that memory can hold, split at line feeds alone, parsed without ever failing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.finetune.notes import Notes
from together_adapters.finetune.rules import MAX_LINE_BYTES

BOM: Final = b"\xef\xbb\xbf"
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_CONSTANT: Final = re.compile(rb"\b(?:NaN|Infinity)\b")
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_TOLD_EVERY: Final = 1 << 20


class Lines:
    """The lines of a file, with what is known of the whole once all were read.

    Attributes:
        size: Bytes that were read.
        sha256: Checksum of the file.
    """

    def __init__(self, path: Path, progress: Callable[[int], object] | None = None) -> None:
        self.size = 0
        self.sha256 = ""
        self._path = path
        self._progress = progress

    def __iter__(self) -> Iterator[tuple[bytes, bool]]:
        """Give each line, and whether it was too long to be kept."""
        digest = sha256()
        told = 0
        with self._path.open("rb", 1 << 20) as file:
            while line := file.readline(MAX_LINE_BYTES):
                digest.update(line)
                cut = False
                while not line.endswith(b"\n") and (more := file.readline(MAX_LINE_BYTES)):
                    digest.update(more)
                    cut, line = True, line[:80] + more[-1:]
                self.size += len(line)
                if self._progress and self.size - told >= _TOLD_EVERY:
                    told = self.size
                    self._progress(told)
                yield line, cut
            self.size = file.tell()
        self.sha256 = digest.hexdigest()
        if self._progress:
            self._progress(self.size)


def parse(notes: Notes, data: bytes, *, first: bool = False, strict: bool = False) -> tuple[bool, Any]:
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
    if b"\\u0000" in data and _NUL.search(data):
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


def _is_loose_json(data: bytes) -> bool:
    """Whether Python's parser takes it, which is more generous than JSON."""
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _unique(notes: Notes, pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            notes.add("duplicate_key", key[:80], f"the key {key[:60]!r} stands twice in an object")
        seen.add(key)
