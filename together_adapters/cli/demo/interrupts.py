"""Ctrl-C ends the demo at once, whatever it does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from together_adapters.cli.exit_codes import SIGINT_CODE
from together_adapters.cli.terminal import is_terminal

_SHOW_CURSOR = b"\x1b[?25h"  # which a spinner hides


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Ends the process at Ctrl-C in a `with` block, without an exception.

    Python loses an exception that is raised in a callback, as imports have many, and prints it. The process holds nothing that must be
    closed: its emulator ends with it.
    """
    previous = _replace_handler(_exit)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


@contextmanager
def raise_on_interrupt() -> Iterator[None]:
    """Raises KeyboardInterrupt at Ctrl-C in a `with` block, while a line is read: the modes of the terminal must be restored."""
    previous = _replace_handler(signal.default_int_handler)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)


def _replace_handler(handler: signal._HANDLER) -> signal._HANDLER:
    """Sets the handler of Ctrl-C and returns the previous one; None if the program ignores it, or somebody else handles it."""
    previous = signal.getsignal(signal.SIGINT)
    if previous not in (signal.default_int_handler, _exit):
        return None
    signal.signal(signal.SIGINT, handler)
    return previous


def _exit(number: int, frame: FrameType | None) -> None:
    with suppress(Exception):  # the signal may have come while it was flushed
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, (_SHOW_CURSOR if is_terminal(sys.stderr) else b"") + b"\n")
    os._exit(SIGINT_CODE)
