"""Progress bars on stderr, fed by the library's progress callbacks; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from together_adapters.cli.output import is_terminal, printable
from together_adapters.types.progress import Progress

Callback = Callable[[Progress], None]
Kind = Literal["bytes", "job", "rows"]
T = TypeVar("T")


@contextmanager
def progress_bar(kind: Kind) -> Iterator[Callback | None]:
    """Shows a bar of bytes, of a job or of rows for the time of a `with` block.

    Yields:
        A callback for `progress=`, or None where stderr is no terminal.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(*_columns(kind), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("...", total=None)

        def show(progress: Progress) -> None:
            description = printable(progress.stage).replace("_", " ")
            bar.update(task, description=description, completed=progress.done, total=progress.total)

        yield show


def _columns(kind: Kind) -> tuple[Any, ...]:
    from rich import progress as rich

    columns: tuple[Any, ...] = (rich.TextColumn("{task.completed:,.0f} rows"), rich.TimeElapsedColumn())
    if kind == "bytes":
        columns = (rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
    elif kind == "job":
        columns = (rich.TaskProgressColumn(), rich.TimeElapsedColumn())
    return rich.TextColumn("{task.description}", markup=False), rich.BarColumn(bar_width=None), *columns


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
