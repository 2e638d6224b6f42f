"""Content on disk, in one temporary folder that is removed when the emulator stops."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

_ZEROS = bytes(1 << 16)
_BLOCK = 1 << 20


class Folder:
    """The folder of one emulator, created on first use."""

    def __init__(self) -> None:
        self.closed = False
        self._path: Path | None = None
        self._count = 0
        self._lock = threading.Lock()

    def new_path(self) -> Path:
        """Returns the path of a file that does not exist yet."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="together-emulator-"))
            self._count += 1
            return self._path / f"{self._count:06d}"

    def write(self, data: bytes) -> StoredContent:
        with ContentWriter(self) as writer:
            writer.write(data)
            return writer.finish()

    def close(self) -> None:
        with self._lock:
            self.closed = True
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)


class ContentWriter:
    """Writes content to disk block by block; without `finish`, the file is removed at the end of the `with` block."""

    def __init__(self, folder: Folder) -> None:
        self.size = 0
        self._path = folder.new_path()
        self._file: Any = None
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._is_finished = False

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.close()
        if not self._is_finished:
            self._path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Appends data. Zeros become a hole, so that huge test files take no space."""
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)
        if data == _ZEROS[: len(data)]:
            self._file.seek(len(data), 1)
        else:
            self._file.write(data)

    def finish(self) -> StoredContent:
        """Returns the content, which now stays on disk."""
        self._file.truncate(self.size)
        self._is_finished = True
        return StoredContent([self._path], self.size, self._sha256.hexdigest(), self._md5.hexdigest())


@dataclass(eq=False)
class StoredContent:
    """Content on disk, in one or several files. `sha256` is empty until it is known; object storage uses `md5` as ETag."""

    paths: list[Path]
    size: int
    sha256: str
    md5: str
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def join(cls, parts: list[StoredContent]) -> StoredContent:
        """Returns several contents as one, without copying."""
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
        paths = [path for part in parts for path in part.paths]
        return cls(paths, sum(part.size for part in parts), "", f"{md5}-{len(parts)}")

    @property
    def path(self) -> Path | None:
        """The file, where there is only one."""
        return self.paths[0] if len(self.paths) == 1 else None

    def digest(self) -> str:
        """Returns the SHA-256, computed where it is not known yet."""
        if not self.sha256:
            sha256 = hashlib.sha256()
            for start in range(0, self.size, _BLOCK):
                sha256.update(self.read(start, min(_BLOCK, self.size - start)))
            self.sha256 = sha256.hexdigest()
        return self.sha256

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """Returns a range of the content; by default all of it."""
        blocks = []
        missing = self.size if size is None else size
        with self._lock:
            for path in self.paths:
                length = path.stat().st_size
                if start < length and missing > 0:
                    with path.open("rb") as file:
                        file.seek(start)
                        blocks.append(file.read(missing))
                    missing -= len(blocks[-1])
                    start += len(blocks[-1])
                start -= length
        return b"".join(blocks)

    def merge(self, target: Path) -> Path:
        with target.open("wb") as merged:
            for path in self.paths:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, merged)
        with self._lock:
            paths, self.paths = self.paths, [target]
        for path in paths:
            path.unlink(missing_ok=True)
        return target

    def remove(self) -> None:
        for path in self.paths:
            path.unlink(missing_ok=True)
