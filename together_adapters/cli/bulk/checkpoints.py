"""The checkpoint of a command: beside its output, unless another is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from together_adapters.cli.options import NEW_FILE
from together_adapters.cli.terminal import note, progress_bar
from together_adapters.errors import ConfigurationError
from together_adapters.types.progress import Progress

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkProgress

checkpoint_option: Final = click.option(
    "--checkpoint",
    type=NEW_FILE,
    metavar="FILE",
    help="File that keeps the state, to continue. Default: OUTPUT.checkpoint, which is deleted at the end.",
)


@contextmanager
def checkpoint_of(checkpoint: Path | None, output: Path) -> Iterator[Path]:
    """Yields the path of the checkpoint; if the block ends with an error, says how to continue where there is something to continue.

    Otherwise the checkpoint is deleted, if nobody named it.
    """
    from together_adapters.bulk.database import remove_checkpoint

    path = checkpoint or output.with_name(f"{output.name}.checkpoint")
    try:
        yield path
    except BaseException:
        if _has_work(path):
            _note_jobs(path)
            note(f"{path} keeps what was done: give the same command again to continue")
        raise
    if checkpoint is None:
        remove_checkpoint(path)


def _note_jobs(path: Path) -> None:
    """Says which batch jobs go on without the command."""
    from together_adapters.bulk.status import read_status

    if jobs := read_status(path).jobs:
        note(
            f"the service goes on with batch job {', '.join(jobs)}, and charges for it: the same command waits for it, "
            "`together-adapters batches cancel ID` ends it"
        )


def _has_work(path: Path) -> bool:
    from together_adapters.bulk.database import Database

    try:
        database = Database(path, read_only=True)
        try:
            return database.has_work()
        finally:
            database.close()
    except (ConfigurationError, OSError):  # there is none
        return False


@contextmanager
def bulk_bar(path: Path) -> Iterator[Callable[[BulkProgress], None]]:
    """Says what an earlier run has done, and shows a bar for the time of a `with` block, where stderr is a terminal."""
    is_later_start = _has_work(path)
    with progress_bar("job") as show:

        def show_state(state: BulkProgress) -> None:
            if state.phase == "read" and (state.done or is_later_start):
                note(f"continuing: {state.done:,} of {state.total:,} are done")
            if show is None:
                return
            failed = f", {state.failed:,} failed" if state.failed else ""
            show(Progress(state.done, state.total, f"{state.phase} {state.done:,} of {state.total:,}{failed}"))

        yield show_state
