"""The checkpoint of a command: beside its output, unless another is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final

import click

from together_adapters.cli.options import NEW_FILE
from together_adapters.cli.terminal import note, progress_bar
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
    """Yields the path of the checkpoint; says how to continue if the block ends with an error, deletes it otherwise if nobody named it."""
    path = checkpoint or output.with_name(f"{output.name}.checkpoint")
    try:
        yield path
    except BaseException:
        if path.exists():
            note(f"{path} keeps what was done: give the same command again to continue")
        raise
    if checkpoint is None:
        for suffix in ("", "-wal", "-shm", ".lock"):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).unlink()
        rmtree(path.with_name(f"{path.name}-files"), ignore_errors=True)


@contextmanager
def bulk_bar() -> Iterator[Callable[[BulkProgress], None] | None]:
    """Shows a bar for the time of a `with` block, where stderr is a terminal."""
    with progress_bar("job") as show:
        if show is None:
            yield None
            return

        def show_state(state: BulkProgress) -> None:
            failed = f", {state.failed:,} failed" if state.failed else ""
            show(Progress(state.done, state.total, f"{state.phase} {state.done:,} of {state.total:,}{failed}"))

        yield show_state
