"""Content on disk, in one temporary folder that is removed when the emulator stops."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from together_adapters.emulator.errors import ApiError

_ZEROS = bytes(1 << 16)
_BLOCK = 1 << 20
DEFAULT_MAX_STORED: Final = 4 * 2**30


class Folder:
    """The folder of one emulator, created on first use. All its files together have `max_bytes` at most, without holes."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_STORED) -> None:
        self._max_bytes = max_bytes
        self._sizes: dict[Path, int] = {}
        self._size = 0
        self._path: Path | None = None
        self._remover: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._lock = threading.Lock()

    def new_path(self) -> Path:
        """Returns the path of a file that does not exist yet."""
        with self._lock:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="together-emulator-"))
                self._remover = _start_remover(self._path)
            self._count += 1
            return self._path / f"{self._count:06d}"

    def reserve(self, path: Path, size: int) -> None:
        """Counts bytes that a file is going to have; raises `ApiError` where they are too many."""
        with self._lock:
            if self._size + size > self._max_bytes:
                raise ApiError(
                    413,
                    f"The files of this emulator would exceed {self._max_bytes} bytes. Delete some, or start it with "
                    "serve(max_stored_bytes=...).",
                    code="storage_full",
                )
            self._size += size
            self._sizes[path] = self._sizes.get(path, 0) + size

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with self._lock:
            self._size -= self._sizes.pop(path, 0)

    def write(self, data: bytes) -> StoredContent:
        with ContentWriter(self) as writer:
            writer.write(data)
            return writer.finish()

    def move(self, paths: list[Path], target: Path) -> None:
        """Removes files whose content is now in another."""
        size = sum(self._sizes.get(path, 0) for path in paths)
        for path in paths:
            self.remove(path)
        with self._lock:
            self._size += size
            self._sizes[target] = size

    def clear(self) -> None:
        """Removes all files."""
        for path in list(self._path.iterdir()) if self._path else ():
            self.remove(path)

    def close(self) -> None:
        with self._lock:
            if self._path is not None:
                shutil.rmtree(self._path, ignore_errors=True)
        if self._remover is not None:
            self._remover.communicate()
            self._remover = None


def _start_remover(folder: Path) -> subprocess.Popen[bytes] | None:
    """Starts a process that removes a folder when this process has ended, in whatever way: its input ends then."""
    if os.name != "posix":
        return None
    script = 'trap "" HUP INT TERM; read -r _; rm -rf -- "$0"'
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


class ContentWriter:
    """Writes content to disk block by block; without `finish`, the file is removed at the end of the `with` block."""

    def __init__(self, folder: Folder) -> None:
        self.size = 0
        self._folder = folder
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
            self._folder.remove(self._path)

    def write(self, data: bytes) -> None:
        """Appends data. Zeros become a hole, so that huge test files take no space."""
        self.size += len(data)
        self._sha256.update(data)
        self._md5.update(data)
        if data == _ZEROS[: len(data)]:
            self._file.seek(len(data), 1)
        else:
            self._folder.reserve(self._path, len(data))
            self._file.write(data)

    def finish(self) -> StoredContent:
        """Returns the content, which now stays on disk."""
        self._file.truncate(self.size)
        self._is_finished = True
        return StoredContent(self._folder, [self._path], self.size, self._sha256.hexdigest(), self._md5.hexdigest())


@dataclass(eq=False)
class StoredContent:
    """Content on disk, in one or several files. `sha256` is empty until it is known; object storage uses `md5` as ETag."""

    folder: Folder
    paths: list[Path]
    size: int
    sha256: str
    md5: str
    users: int = 1  # files and jobs that need it
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def join(cls, parts: list[StoredContent]) -> StoredContent:
        """Returns several contents as one, without copying."""
        md5 = hashlib.md5(b"".join(bytes.fromhex(part.md5) for part in parts), usedforsecurity=False).hexdigest()
        paths = [path for part in parts for path in part.paths]
        return cls(parts[0].folder, paths, sum(part.size for part in parts), "", f"{md5}-{len(parts)}")

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
        self.folder.move(paths, target)
        return target

    def retain(self) -> None:
        """Keeps it for one more user."""
        self.users += 1

    def remove(self) -> None:
        """Removes it with its last user."""
        self.users -= 1
        for path in self.paths if not self.users else ():
            self.folder.remove(path)
