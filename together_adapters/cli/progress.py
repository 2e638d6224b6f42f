"""A bar on stderr that the library's progress callbacks feed; nothing at all where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from together_adapters.cli.output import is_terminal, visible
from together_adapters.types.progress import Progress

Callback = Callable[[Progress], None]


@contextmanager
def byte_bar() -> Iterator[Callback | None]:
    """Show how many bytes are checked, sent or fetched, for the time of a `with` block.

    Yields:
        A callback for `progress=`, or None where stderr is no terminal.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (_stage(TextColumn), BarColumn(bar_width=None), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _bar(columns) as show:
        yield show


@contextmanager
def job_bar() -> Iterator[Callback | None]:
    """Show the status of a job and how much of it is done, for the time of a `with` block.

    Yields:
        A callback for `progress=`, or None where stderr is no terminal.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (_stage(TextColumn), BarColumn(bar_width=None), TaskProgressColumn(), TimeElapsedColumn())
    with _bar(columns) as show:
        yield show


@contextmanager
def row_bar() -> Iterator[Callback | None]:
    """Show how many rows are done, for the time of a `with` block.

    Yields:
        A callback for `progress=`, or None where stderr is no terminal.
    """
    if not is_terminal(sys.stderr):
        yield None
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    columns = (_stage(TextColumn), BarColumn(bar_width=None), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    with _bar(columns) as show:
        yield show


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that something is under way, for the time of a `with` block."""
    if not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True, markup=False).status(text):
        yield


def _stage(column: Any) -> Any:
    return column("{task.description}", markup=False)


@contextmanager
def _bar(columns: Any) -> Iterator[Callback]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("...", total=None)

        def show(now: Progress) -> None:
            bar.update(task, description=visible(now.stage).replace("_", " "), completed=now.done, total=now.total)

        yield show
