"""Bodies that are not JSON: forms, and stretches of files that are read as they are sent, anew for every attempt."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic_core import to_json

READ_SIZE = 1 << 20
_SHORT = 4_000
_NO_NUMBER = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True, slots=True)
class FileRange:
    """A stretch of a file on disk.

    Attributes:
        path: The file.
        offset: Where the stretch begins, in bytes.
        size: How long it is, in bytes.
        sent: Told how many bytes of the stretch have been handed out; begins anew with every attempt.
    """

    path: Path
    offset: int
    size: int
    sent: Callable[[int], None] | None = field(default=None, compare=False)

    def __iter__(self) -> Iterator[bytes]:
        """Read the stretch in pieces.

        Raises:
            OSError: The file became shorter.
        """
        done = 0
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while done < self.size:
                piece = file.read(min(READ_SIZE, self.size - done))
                if not piece:
                    raise OSError(f"{self.path} became shorter while it was sent")
                yield piece
                done += len(piece)
                if self.sent:
                    self.sent(done)


@dataclass(frozen=True, slots=True)
class Form:
    """A `multipart/form-data` body.

    Attributes:
        fields: Names and texts; a name may stand several times.
        files: For each name the file's name, its bytes or its path, and its content type.
    """

    fields: Sequence[tuple[str, str]] = ()
    files: Mapping[str, tuple[str, bytes | Path, str]] = field(default_factory=dict)


Body = Mapping[str, Any] | FileRange | Form | bytes


def encode_json(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON.

    Raises:
        ValueError: It holds something that JSON cannot express: an object, NaN, half a surrogate pair.
    """
    content = to_json(body, fallback=_plain)
    if (len(content) < _SHORT or not _is_finite(body)) and (b"NaN" in content or b"Infinity" in content):
        json.loads(content, parse_constant=_refuse)
    return content


def _is_finite(value: Any) -> bool:
    """Whether a value is certain to hold no NaN: quicker to tell than by searching a long text for it."""
    kind = type(value)
    if kind is dict:
        return all(map(_is_finite, value.values()))
    if kind is list:
        return all(map(_is_finite, value))
    return kind in _NO_NUMBER or (kind is float and isfinite(value))


def _plain(value: Any) -> Any:
    """A mapping or a sequence of any kind, as JSON's own."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
