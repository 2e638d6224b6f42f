"""`fine-tuning`: train models on files, watch the jobs, bring the models home."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from together_adapters.cli.arguments import confirm, overwrite_option
from together_adapters.cli.command import Group, Session
from together_adapters.cli.fine_tuning_create import create
from together_adapters.cli.job_progress import progress_text
from together_adapters.cli.output import Column, details, document, fields, is_terminal, moment, note, plain_data, table
from together_adapters.cli.progress import byte_bar, job_bar

_LONG: Final = ("events", "lr_scheduler", "training_method", "training_type", "multimodal_params", "progress")
_quiet = click.option("--quiet", "--confirm", "-y", "quiet", is_flag=True, help="Do not ask whether you mean it.")


@click.group("fine-tuning", cls=Group)
def fine_tuning() -> None:
    """Train models on files of yours."""


fine_tuning.add_command(create)


@fine_tuning.command("list")
@click.pass_obj
def list_jobs(session: Session) -> None:
    """List the jobs of the account, the oldest first."""
    found = sorted(session.client.fine_tuning.list().data, key=lambda job: job.created_at or "")
    if session.as_json:
        document(found)
        return
    columns = (
        Column("Fine-tune ID", whole=True),
        Column("Model output name", extra=1),
        Column("Status"),
        Column("Created at", extra=2),
        Column("Price", right=True),
        Column("Progress"),
    )
    rows = [
        (job.id, job.model_output_name, job.status, moment(job.created_at), dollars(job.price), progress_text(job))
        for job in found
    ]
    table(columns, rows, nothing="No fine-tuning jobs.")


@fine_tuning.command("retrieve")
@click.argument("fine_tune_id")
@click.pass_obj
def retrieve(session: Session, fine_tune_id: str) -> None:
    """Look at a job. Its diary is in list-events."""
    import sys

    job = session.client.fine_tuning.retrieve(fine_tune_id)
    told = {name: value for name, value in plain_data(job).items() if name != "events"}
    if session.as_json or not is_terminal(sys.stdout):
        document(told)
        return
    told |= {"total_price": dollars(job.price), "progress": progress_text(job)}
    fields(told)


@fine_tuning.command("wait")
@click.argument("fine_tune_id")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up; never by default.")
@click.pass_obj
def wait(session: Session, fine_tune_id: str, poll_interval: float, wait_timeout: float | None) -> None:
    """Wait until a job is done; exit code 3 where it failed."""
    with job_bar() as show:
        job = session.client.fine_tuning.wait(fine_tune_id, poll_interval=poll_interval, timeout=wait_timeout, progress=show)
    told = {name: value for name, value in plain_data(job).items() if name not in _LONG or session.as_json}
    document(told) if session.as_json else details(told)


@fine_tuning.command("cancel")
@click.argument("fine_tune_id")
@_quiet
@click.pass_obj
def cancel(session: Session, fine_tune_id: str, quiet: bool) -> None:
    """End a job before it is done. What it has cost so far is paid."""
    if not quiet:
        question = f"The training steps that are done will be billed. Do you want to cancel job {fine_tune_id}?"
        confirm(question, default=False, flag="--quiet")
    job = session.client.fine_tuning.cancel(fine_tune_id)
    document(job) if session.as_json else details(job)


@fine_tuning.command("delete")
@click.argument("fine_tune_id")
@click.option("--force", is_flag=True, help="Delete it even if something still hangs on it, and do not ask.")
@_quiet
@click.pass_obj
def delete(session: Session, fine_tune_id: str, force: bool, quiet: bool) -> None:
    """Delete a job with its models."""
    if not (quiet or force):
        question = f"Do you want to delete job {fine_tune_id} with its models? It cannot be brought back."
        confirm(question, default=False, flag="--quiet")
    gone = session.client.fine_tuning.delete(fine_tune_id, force=force)
    document(gone) if session.as_json else details(gone)


@fine_tuning.command("list-events")
@click.argument("fine_tune_id")
@click.pass_obj
def list_events(session: Session, fine_tune_id: str) -> None:
    """Show a job's diary, the oldest line first."""
    found = session.client.fine_tuning.list_events(fine_tune_id).data
    if session.as_json:
        document(found)
        return
    columns = (Column("Created at"), Column("Type"), Column("Message"), Column("Hash", extra=1))
    table(columns, [(moment(event.created_at), event.kind, event.message, event.hash) for event in found], nothing="No events.")


@fine_tuning.command("list-checkpoints")
@click.argument("fine_tune_id")
@click.pass_obj
def list_checkpoints(session: Session, fine_tune_id: str) -> None:
    """List what a job has kept of its model, the newest first."""
    found = session.client.fine_tuning.list_checkpoints(fine_tune_id)
    if session.as_json:
        document(found)
        return
    columns = (Column("Type"), Column("Timestamp"), Column("Name", whole=True))
    rows = [(checkpoint.type, moment(checkpoint.timestamp), checkpoint.name) for checkpoint in found]
    table(columns, rows, nothing=f"No checkpoints of job {fine_tune_id}.")
    if rows:
        note("To bring one home: together-adapters fine-tuning download NAME")


@fine_tuning.command("list-metrics")
@click.argument("fine_tune_id")
@click.option("--resolution", type=click.IntRange(1), metavar="N", help="How many points to pick, evenly.")
@click.pass_obj
def list_metrics(session: Session, fine_tune_id: str, resolution: int | None) -> None:
    """Show what was measured in training, the oldest first."""
    found = session.client.fine_tuning.list_metrics(fine_tune_id, resolution=resolution).metrics
    if session.as_json:
        document(found)
        return
    names = list(dict.fromkeys(name for point in found for name in point))
    rows = [[f"{value:.6g}" if isinstance(value := point.get(name), float) else value for name in names] for point in found]
    table([Column(name, right=True) for name in names], rows, nothing="Nothing was measured yet.")


@fine_tuning.command("model-limits")
@click.argument("model")
@click.pass_obj
def model_limits(session: Session, model: str) -> None:
    """Show what a job on a model may ask for."""
    found = session.client.fine_tuning.model_limits(model)
    document(found) if session.as_json else details(found)


@fine_tuning.command("download")
@click.argument("fine_tune_id")
@click.option(
    "--output_dir",
    "--output-dir",
    "-o",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    metavar="FOLDER",
    help="Where to; here by default.",
)
@click.option("--checkpoint-step", "-s", type=int, metavar="N", help="The step whose state is wanted; the final one by default.")
@click.option(
    "--checkpoint-type",
    type=click.Choice(["default", "merged", "adapter"]),
    default="default",
    show_default=True,
    help="merged and adapter are for jobs with LoRA.",
)
@overwrite_option
@click.pass_obj
def download(
    session: Session,
    fine_tune_id: str,
    output_dir: Path | None,
    checkpoint_step: int | None,
    checkpoint_type: str,
    overwrite: bool,
) -> None:
    """Bring a trained model home as an archive. A download that was broken off goes on where it was."""
    with byte_bar() as show:
        fetched = session.client.fine_tuning.download(
            fine_tune_id,
            output=output_dir,
            checkpoint_step=checkpoint_step,
            checkpoint_type=checkpoint_type,
            overwrite=overwrite,
            progress=show,
        )
    document(fetched) if session.as_json else details(fetched)


def dollars(price: float | None) -> str:
    """Return a price for people."""
    return "" if price is None else f"${price:,.2f}"
