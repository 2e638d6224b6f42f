"""Files of an emulator on disk: bodies as they come, in one folder that is gone when the emulator ends."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from together_adapters.emulator.http.routing import State

_ZERO = bytes(1 << 16)


class Folder:
    """The folder of one emulator, made when it is needed."""

    def __init__(self) -> None:
        self.closed = False
        self._path: Path | None = None
        self._count = 0
        self._lock = threading.Lock()

    def new(self) -> Path:
        """Return the path of a file that does not exist yet."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="together-emulator-"))
            self._count += 1
            return self._path / f"{self._count:06d}"

    def close(self) -> None:
        """Remove everything."""
        with self._lock:
            self.closed = True
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)


def folder_of(state: State) -> Folder:
    """Return the folder of an emulator; the server closes it."""
    found: Folder = state.shelf.setdefault("folder", Folder())
    return found


class Spool:
    """A body on its way to disk. It is removed again unless it is kept."""

    def __init__(self, state: State) -> None:
        self.size = 0
        self._path = folder_of(state).new()
        self._file: Any = None
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._kept = False

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        self._file.close()
        if not self._kept:
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Add to it. Zeros become a hole, so that huge test files cost no space."""
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)
        if data == _ZERO[: len(data)]:
            self._file.seek(len(data), 1)
        else:
            self._file.write(data)

    def kept(self) -> Stored:
        """Return the body as a file that stays."""
        self._file.truncate(self.size)
        self._kept = True
        return Stored([self._path], self.size, self._sha256.hexdigest(), self._md5.hexdigest())


class Stored:
    """Content on disk, in one or several pieces.

    Attributes:
        size: Its length.
        sha256: Its checksum; empty until it is known.
        md5: Another one, which storage uses as ETag.
    """

    def __init__(self, pieces: list[Path], size: int, sha256: str, md5: str) -> None:
        self.size = size
        self.sha256 = sha256
        self.md5 = md5
        self._pieces = pieces
        self._lock = threading.Lock()

    @classmethod
    def of(cls, state: State, data: bytes) -> Stored:
        """Store bytes."""
        with Spool(state) as spool:
            spool.write(data)
            return spool.kept()

    @classmethod
    def joined(cls, parts: list[Stored]) -> Stored:
        """Return several contents as one."""
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
        return cls(
            [piece for part in parts for piece in part._pieces], sum(part.size for part in parts), "", f"{md5}-{len(parts)}"
        )

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        return self._pieces[0] if len(self._pieces) == 1 else None

    def digest(self) -> str:
        """Return the SHA-256, read anew where it is not known."""
        if not self.sha256:
            found = hashlib.sha256()
            for begin in range(0, self.size, 1 << 20):
                found.update(self.read(begin, min(1 << 20, self.size - begin)))
            self.sha256 = found.hexdigest()
        return self.sha256

    def read(self, begin: int, size: int) -> bytes:
        """Return a stretch."""
        found = []
        with self._lock:
            for piece in self._pieces:
                length = piece.stat().st_size
                if begin < length and size > 0:
                    with piece.open("rb") as file:
                        file.seek(begin)
                        found.append(file.read(size))
                    size -= len(found[-1])
                    begin += len(found[-1])
                begin -= length
        return b"".join(found)

    def merge(self, whole: Path) -> Path:
        """Make one file of the pieces."""
        with whole.open("wb") as joined:
            for piece in self._pieces:
                with piece.open("rb") as file:
                    shutil.copyfileobj(file, joined)
        with self._lock:
            pieces, self._pieces = self._pieces, [whole]
        for piece in pieces:
            piece.unlink(missing_ok=True)
        return whole

    def remove(self) -> None:
        """Delete it."""
        for piece in self._pieces:
            piece.unlink(missing_ok=True)
