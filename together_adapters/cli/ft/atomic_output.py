"""Files that are written completely or not at all, even when the process is terminated."""

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
from typing import Any

from together_adapters.cli.exit_codes import SIGTERM_CODE
from together_adapters.cli.options import check_new


def exit_on_sigterm() -> Callable[[], object]:
    """Makes SIGTERM raise SystemExit, so that temporary files are removed; returns a function that undoes it."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None  # only the main thread can handle signals

    def terminate(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(SIGTERM_CODE)

    handler = signal.signal(signal.SIGTERM, terminate)
    return lambda: signal.signal(signal.SIGTERM, handler)


def write_atomically(path: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Writes a file completely or not at all; raises FileExistsError if it exists and may not be overwritten."""
    temporary = path.with_name(f".{path.stem}.{token_hex(4)}{path.suffix}")
    try:
        temporary.write_bytes(content)
        check_new(path, overwrite)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """Yields a path that can be read repeatedly: for `-` that of a copy of stdin, for the time of a `with` block."""
    if str(path) != "-":
        yield path
        return
    with TemporaryDirectory(prefix="together-adapters-") as folder:
        copy = Path(folder, "stdin.jsonl")
        with copy.open("wb") as file:
            while data := os.read(sys.stdin.fileno(), 1 << 20):  # returns what is there: signals are handled between reads
                file.write(data)
        yield copy


@contextmanager
def publish_together(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder, whose files are moved to `folder` together when the `with` block ends without an error."""
    new_folders = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{token_hex(4)}"
    temporary.mkdir()
    try:
        yield temporary
        _publish(temporary, folder)
        new_folders = []
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            for empty in new_folders:
                empty.rmdir()


def _publish(temporary: Path, folder: Path) -> None:
    """Moves files to a folder; restores the files that they replace if one cannot be moved."""
    backup = temporary / "backup"
    backup.mkdir()
    targets: list[Path] = []
    try:
        for file in sorted(file for file in temporary.iterdir() if file.is_file()):
            target = folder / file.name
            targets.append(target)
            if target.exists():
                target.replace(backup / file.name)
            file.replace(target)
    except BaseException:
        for target in targets:
            if (backup / target.name).exists():
                (backup / target.name).replace(target)
            elif not (temporary / target.name).exists():
                target.unlink(missing_ok=True)
        raise
