"""Files that are written completely or not at all, even when the process is terminated."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from together_adapters.atomic_files import new_files
from together_adapters.cli.exit_codes import SIGTERM_CODE


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
    with new_files({path: overwrite}) as (draft,):
        draft.write_bytes(content)


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """Yields a path that can be read repeatedly: for `-` and pipes that of a copy, for the time of a `with` block."""
    if str(path) != "-" and (path.is_file() or path.is_dir()):
        yield path
        return
    with TemporaryDirectory(prefix="together-adapters-") as folder:
        copy = Path(folder, "stdin.jsonl")
        with copy.open("wb") as file, ExitStack() as stack:
            source = sys.stdin if str(path) == "-" else stack.enter_context(path.open("rb", 0))
            while data := os.read(source.fileno(), 1 << 20):  # returns what is there: signals are handled between reads
                file.write(data)
        yield copy


@contextmanager
def new_folders(folder: Path) -> Iterator[None]:
    """Creates a folder, and deletes it if the `with` block ends without files in it."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for empty in missing:
                empty.rmdir()
