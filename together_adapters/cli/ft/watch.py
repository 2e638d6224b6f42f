"""`ft watch`: the events of a job as they arrive, until the job has ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.options import wait_options
from together_adapters.cli.output import Result, format_time, is_terminal, note, print_fields, printable, write
from together_adapters.cli.progress import progress_bar

if TYPE_CHECKING:
    from together_adapters.types.progress import Progress


@click.command("watch", cls=Command)
@click.argument("job_id")
@wait_options(10.0)
def watch(session: Session, job_id: str, poll_interval: float, wait_timeout: float | None) -> Result:
    """Follow a job until it has ended: its events as they arrive, and the name of the model.

    Exit code 3 if the job failed. Ctrl-C stops watching; it does not cancel the job.

    Example:
      together-adapters ft watch ft-0a1b2c
    """
    return follow(session, job_id, poll_interval, wait_timeout)


def follow(session: Session, job_id: str, poll_interval: float, timeout: float | None) -> Result:
    """Prints the events of a job until it has ended; raises JobFailedError if it has no model."""
    from together_adapters.finetune.job import Job

    events = _EventPrinter(session, job_id)
    try:
        with progress_bar("job") as show:

            def update(progress: Progress) -> None:
                if show is not None:
                    show(progress)
                events.print_new()

            job = Job(session.client, job_id).wait(poll_interval=poll_interval, timeout=timeout, progress=update)
    except KeyboardInterrupt:
        note(f"\nThe job continues. To follow it again: together-adapters ft watch {job_id}")
        raise

    def show_model(details: Any) -> None:
        write("\n")
        print_fields({"model": job.model, "job": job.id, "steps": details.steps_completed if details else None})
        note(f"To use it: together-adapters chat.completions --model {job.model} --message user TEXT")

    return Result(job.details, show_model)


class _EventPrinter:
    """Prints each event of a job once; none with `--json`."""

    def __init__(self, session: Session, job_id: str) -> None:
        self._session = session
        self._id = job_id
        self._count = 0
        # A progress bar replaces stdout of a terminal, so that lines are printed above it.
        self._file = None if is_terminal(sys.stdout) else sys.stdout

    def print_new(self) -> None:
        """Prints the events since the last call."""
        if self._session.as_json:
            return
        events: list[Any] = self._session.client.fine_tuning.list_events(self._id).data
        for event in events[self._count :]:
            line = f"{format_time(event.created_at)}  {printable(event.message or str(event.kind))}"
            print(line, file=self._file, flush=True)
        self._count = max(self._count, len(events))
