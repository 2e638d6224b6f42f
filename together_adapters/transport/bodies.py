"""Request bodies: JSON, forms, and ranges of files that are read again for every attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from together_adapters.types.response import build_schemas

READ_SIZE = 1 << 20
_SHORT_TEXT = 4_000
_NEVER_NAN = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of a file. Iterating reads it in blocks; it is an OSError if the file became shorter."""

    path: Path
    offset: int
    size: int
    on_read: Callable[[int], None] | None = field(default=None, compare=False)  # gets the number of bytes read in this attempt

    def __iter__(self) -> Generator[bytes, None, None]:
        position = 0
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while position < self.size:
                block = file.read(min(READ_SIZE, self.size - position))
                if not block:
                    raise OSError(f"{self.path} became shorter while it was sent")
                yield block
                position += len(block)
                if self.on_read:
                    self.on_read(position)


class FileBlocks:
    """The blocks of a file range. It may be closed while a thread reads the next one; the file is closed when that has come."""

    def __init__(self, file_range: FileRange) -> None:
        self._blocks = iter(file_range)
        self._is_closed = False

    def __iter__(self) -> FileBlocks:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._blocks)
        finally:
            if self._is_closed:
                self.close()

    def close(self) -> None:
        self._is_closed = True
        with suppress(ValueError):  # the thread of a cancelled asyncio task still reads
            self._blocks.close()


@dataclass(frozen=True, slots=True)
class Form:
    """A `multipart/form-data` body."""

    fields: Sequence[tuple[str, str]] = ()  # a name may occur several times
    files: Mapping[str, tuple[str, bytes | Path, str]] = field(default_factory=dict)  # filename, content or path, content type


Body = Mapping[str, Any] | FileRange | Form | bytes


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Returns a body as JSON; what JSON cannot express, such as an object, NaN or half a surrogate pair, is a ValueError."""
    try:
        content = to_json(body, fallback=_collection)
    except PydanticSerializationError as error:
        if "MockValSer" not in str(error):
            raise
        build_schemas(body)
        content = to_json(body, fallback=_collection)
    if (len(content) < _SHORT_TEXT or not _is_finite(body)) and (content.find(b"NaN") >= 0 or content.find(b"Infinity") >= 0):
        json.loads(content, parse_constant=_refuse)
    return content


def _is_finite(value: Any) -> bool:
    """Whether a value certainly contains no NaN, which is faster than to search a long text for it."""
    kind = type(value)
    if kind is dict:
        return all(map(_is_finite, value.values()))
    if kind is list:
        return set(map(type, value)) <= _NEVER_NAN or all(map(_is_finite, value))
    return kind in _NEVER_NAN or (kind is float and isfinite(value))


def _collection(value: Any) -> Any:
    """Returns a mapping or a sequence of any class as a dict or a list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
