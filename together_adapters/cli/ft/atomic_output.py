"""Files that appear whole or not at all, also when a command is told to end."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, Final

_TERMINATED: Final = 143
"""What a shell reports of a program that was told to end."""


def end_tidily() -> Callable[[], object]:
    """Let SIGTERM end the process as an exception does, so that what is half-written is removed.

    Returns:
        What puts things back as they were.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # only the main thread is told of signals

    def end(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(_TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    return lambda: signal.signal(signal.SIGTERM, before)


def write_whole(path: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a file at once.

    Raises:
        FileExistsError: Something is there already.
    """
    part = path.with_name(f".{path.stem}.{token_hex(4)}{path.suffix}")
    try:
        part.write_bytes(content)
        if not overwrite and path.exists():
            raise FileExistsError(f"{path} is there already: name another file, or pass --overwrite")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """Give a file that can be read as often as needed: what stdin holds for `-`, for the time of a `with` block."""
    if str(path) != "-":
        yield path
        return
    with TemporaryDirectory(prefix="together-adapters-") as folder:
        spooled = Path(folder, "stdin.jsonl")
        with spooled.open("wb") as file:
            while piece := os.read(sys.stdin.fileno(), 1 << 20):  # what is there: a signal is seen between two reads
                file.write(piece)
        yield spooled


@contextmanager
def appearing_together(folder: Path) -> Iterator[Path]:
    """Give a folder to write files to, which all appear in another one when the `with` block ends well, or none of them.

    Args:
        folder: Where they appear, replacing files of their names. It is made if need be.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{token_hex(4)}"
    hidden.mkdir()
    try:
        yield hidden
        _publish(hidden, folder)
        made = []
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        with suppress(OSError):
            for empty in made:
                empty.rmdir()


def _publish(hidden: Path, folder: Path) -> None:
    """Move files to their place; where one cannot be moved, bring back what was there."""
    before = hidden / "before"
    before.mkdir()
    moved: list[Path] = []
    try:
        for file in sorted(file for file in hidden.iterdir() if file.is_file()):
            place = folder / file.name
            moved.append(place)
            if place.exists():
                place.replace(before / file.name)
            file.replace(place)
    except BaseException:
        for place in moved:
            if (before / place.name).exists():
                (before / place.name).replace(place)
            elif not (hidden / place.name).exists():
                place.unlink(missing_ok=True)
        raise
