"""`ft watch`: a job's diary as it is written, until the job has ended."""

from __future__ import annotations

import sys
from typing import Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.output import document, fields, is_terminal, moment, note, visible, write
from together_adapters.cli.progress import job_bar
from together_adapters.types.progress import Progress

poll_option = click.option(
    "--poll-interval",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks at the job.",
)
timeout_option = click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up watching; never by default.")


@click.command(
    "watch",
    cls=Command,
    epilog="""\b
Example:
  together-adapters ft watch ft-0a1b2c
""",
)
@click.argument("job_id")
@poll_option
@timeout_option
@click.pass_obj
def watch(session: Session, job_id: str, poll_interval: float, wait_timeout: float | None) -> None:
    """Follow a job until it has ended: its events as they come, and the name of the model.

    Exit code 3 where the job failed. Ctrl-C ends the watching, not the job.
    """
    follow(session, job_id, poll_interval, wait_timeout)


def follow(session: Session, job_id: str, poll_interval: float, timeout: float | None) -> None:
    """Show a job until it has ended.

    Raises:
        JobFailedError: It ended without a model.
    """
    from together_adapters.finetune.job import Job

    diary = _Diary(session, job_id)
    try:
        with job_bar() as show:

            def tell(now: Progress) -> None:
                if show is not None:
                    show(now)
                diary.go_on()

            job = Job(session.client, job_id).wait(poll_interval=poll_interval, timeout=timeout, progress=tell)
    except KeyboardInterrupt:
        note(f"\nThe job goes on. To look again: together-adapters ft watch {job_id}")
        raise
    if session.as_json:
        document(job.details)
        return
    write("\n")
    fields({"model": job.model, "job": job.id, "steps": job.details.steps_completed if job.details else None})
    note(f"To talk to it: together-adapters chat.completions --model {job.model} --message user TEXT")


class _Diary:
    """The events of a job, each shown once."""

    def __init__(self, session: Session, job_id: str) -> None:
        self._session = session
        self._id = job_id
        self._seen = 0
        self._out = None if is_terminal(sys.stdout) else sys.stdout  # a bar takes stdout over, so that lines stand above it

    def go_on(self) -> None:
        """Show what was added since."""
        if self._session.as_json:
            return
        events: list[Any] = self._session.client.fine_tuning.list_events(self._id).data
        for event in events[self._seen :]:
            self._write(f"{moment(event.created_at)}  {visible(event.message or str(event.kind))}\n")
        self._seen = max(self._seen, len(events))

    def _write(self, line: str) -> None:
        if self._out is None:
            write(line)
        else:
            self._out.write(line)
            self._out.flush()
