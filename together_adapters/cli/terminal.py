"""What a command shows while it runs: notes, questions, progress bars and spinners on stderr, and text on stdout."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from together_adapters.cli.exit_codes import DeclinedError

if TYPE_CHECKING:
    from together_adapters.types.progress import Progress

Kind = Literal["bytes", "job", "rows"]
T = TypeVar("T")

_BYTE_STAGES: Final = frozenset({"check", "leakage", "checksum", "upload", "download"})
"""Stages whose progress is in bytes: others of the same call are those of a file on the service."""
_DRAW_SECONDS: Final = 0.1


def is_terminal(stream: IO[str]) -> bool:
    """Whether a stream is a terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def write(text: str) -> None:
    """Writes to stdout and flushes."""
    sys.stdout.write(text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Writes a line to stderr, for people."""
    with suppress(OSError):
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()


def printable(text: str) -> str:
    """Returns a text without control characters, which could steer a terminal."""
    return "".join(character for character in text if character in "\n\t" or character.isprintable())


def has_styles() -> bool:
    """Whether stdout can show styles, and the user wants them."""
    return is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def dim(text: str) -> str:
    """Returns a text in the dim style, where stdout can show it."""
    return f"\x1b[2m{text}\x1b[22m" if text and has_styles() else text


def bold(text: str) -> str:
    """Returns a text in the bold style, where stdout can show it."""
    return f"\x1b[1m{text}\x1b[22m" if text and has_styles() else text


def confirm(question: str, *, default: bool, flag: str) -> None:
    """Asks on stderr; raises DeclinedError for no, and UsageError, which names the flag for yes, where stdin has no answer."""
    try:
        with redirect_stdout(sys.stderr):  # click before 8.3.1 prints a space of the question to stdout
            answer = click.confirm(question, default=default, err=True)
    except click.Abort:
        if is_terminal(sys.stdin):
            raise
        note("")
        raise click.UsageError(f"no answer on stdin: pass {flag}") from None
    if not is_terminal(sys.stdin):
        note("")
    if not answer:
        raise DeclinedError("declined: nothing was done")


@contextmanager
def progress_bar(kind: Kind) -> Iterator[Callable[[Progress], None] | None]:
    """Shows a bar for the time of a `with` block; yields a callback for `progress=`, or None where stderr is no terminal."""
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich import progress as rich
    from rich.console import Console

    columns: dict[Kind, tuple[rich.ProgressColumn, ...]] = {
        "bytes": (rich.TextColumn("{task.fields[transfer]}"), rich.TimeRemainingColumn()),
        "job": (rich.TaskProgressColumn(), rich.TimeElapsedColumn()),
        "rows": (rich.TextColumn("{task.completed:,.0f} rows"), rich.TimeElapsedColumn()),
    }
    description = rich.TextColumn("{task.description}", markup=False)
    console = Console(stderr=True)
    with rich.Progress(description, rich.BarColumn(bar_width=None), *columns[kind], console=console, transient=True) as bar:
        task = bar.add_task("", total=None, visible=False, transfer="")
        drawn_at, last_stage = 0.0, ""

        def show(progress: Progress) -> None:
            nonlocal drawn_at, last_stage
            stage = printable(progress.stage).replace("_", " ")
            if stage != last_stage:  # the speed is that of a stage
                bar.reset(task)
                last_stage = stage
            # Lines that are printed draw the bar as it was drawn last.
            is_due = time.monotonic() - drawn_at > _DRAW_SECONDS
            # Many jobs say no more than that they run, and after the last step of a training something else is done. Of an upload,
            # the service says no more than that it looks at the file.
            is_job = kind == "job" or (kind == "bytes" and stage not in _BYTE_STAGES)
            is_unknown = is_job and (progress.fraction or 0.0) in (0.0, 1.0)
            bar.tasks[0].total = None if is_unknown else progress.total  # `update` ignores None
            bar.update(task, visible=True, description=stage, completed=progress.done)
            transfer = "" if is_job else _transfer_text(progress, bar.tasks[0].speed)
            bar.update(task, transfer=transfer, refresh=is_due)
            drawn_at = time.monotonic() if is_due else drawn_at

        yield show


def _transfer_text(progress: Progress, speed: float | None) -> str:
    """Returns how many bytes are done, with the speed where it is known."""
    from rich.filesize import decimal

    total = f" of {decimal(int(progress.total))}" if progress.total else ""
    return f"{decimal(int(progress.done))}{total}{f' {decimal(int(speed))}/s' if speed else ''}"


def with_bar(kind: Kind, function: Callable[..., T], /, *args: Any, **options: Any) -> T:
    """Calls a function that takes `progress=` while a bar is shown."""
    with progress_bar(kind) as show:
        return function(*args, progress=show, **options)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Shows a spinner with a text for the time of a `with` block."""
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False).status(text):
        yield
