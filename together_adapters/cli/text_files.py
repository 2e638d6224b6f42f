"""The text files under given paths, without what git ignores."""

from __future__ import annotations

import codecs
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 10_000_000
"""A larger file is data, and not read."""

_NOT_ENTERED: Final = {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def files_under(paths: Iterable[Path], exclude: Sequence[str] = ()) -> Iterator[Path]:
    """Yields the files that paths name and those in the folders that they name, each once.

    Args:
        paths: Files and folders.
        exclude: Patterns of paths to leave out, of a file, of one of its folders or of its name, such as `tests/data`.
    """
    files = set[Path]()
    for path in paths:
        for file in _files_in(path) if path.is_dir() else (path,):
            if file not in files and not _is_excluded(file, exclude):
                files.add(file)
                yield file


def read_text(file: Path) -> str | None:
    """Returns the text of a file; None for a binary file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is larger than `MAX_BYTES`.
    """
    with file.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)  # a device may have no end, and no size
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 1_000_000} MB")
    if data.startswith(_UTF_16):
        return data.decode("utf-16", "replace")
    return None if b"\0" in data[:8192] else data.decode("utf-8-sig", "replace")


def _files_in(folder: Path) -> Iterator[Path]:
    for name in _names_of_git(folder) or _names_of_disk(folder):
        path = folder / name
        if path.is_dir():  # a repository inside
            yield from _files_in(path)
        elif path.is_file():
            yield path


def _names_of_git(folder: Path) -> list[str]:
    """Returns the files that git does not ignore; none outside a repository, in an ignored folder, and without git."""
    command = [
        "git",
        "-c",
        "core.fsmonitor=false",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
        "--deduplicate",
    ]
    try:
        listing = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout  # noqa: S603 - a fixed command
    except (OSError, subprocess.CalledProcessError):
        return []
    return sorted(os.fsdecode(name) for name in listing.split(b"\0") if name)


def _names_of_disk(folder: Path) -> list[str]:
    names: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NOT_ENTERED and not Path(root, name, "pyvenv.cfg").exists()]
        names += (str(Path(root, name).relative_to(folder)) for name in files)
    return sorted(names)


def _is_excluded(file: Path, patterns: Sequence[str]) -> bool:
    names = [file.name, *(path.as_posix() for path in (file, *file.parents))]
    return any(fnmatch(name, pattern.removeprefix("./").rstrip("/")) for pattern in patterns for name in names)
