"""`ft submit`: from a training file to a fine-tuning job, with its price shown first; `ft watch`: the events of a job."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import DeclinedError
from together_adapters.cli.fine_tuning import note_price
from together_adapters.cli.ft.options import severity_option
from together_adapters.cli.ft.tables import issues_on_error, verdict
from together_adapters.cli.options import EXISTING_FILE, training_options, wait_options
from together_adapters.cli.output import Result, format_time, print_fields
from together_adapters.cli.terminal import confirm, is_terminal, note, printable, progress_bar, write

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.fine_tuning import FinetunePriceEstimate
    from together_adapters.types.progress import Progress


@click.command("submit", cls=Command)
@click.argument("train", type=EXISTING_FILE)
@click.option("--validation", type=EXISTING_FILE, metavar="FILE", help="Validation file; it is checked for leakage too.")
@training_options("--model", "--from-checkpoint")
@click.option("--method", type=click.Choice(["sft", "dpo"]), default="sft", help="dpo is for preference data.")
@training_options("--suffix", "--n-epochs", "--n-evals", "--n-checkpoints", "--batch-size")
@click.option("--learning-rate", type=float, metavar="X", help="Peak learning rate. Default: chosen by the service.")
@click.option("--lora/--full", default=None, help="Train a LoRA adapter, or all weights. Default: LoRA, if supported.")
@training_options("--lora-r", "--packing/--no-packing", "--max-seq-length", "--dpo-beta", "--random-seed")
@severity_option
@click.option("--allow-secrets", is_flag=True, help="Upload data that contains keys or tokens.")
@click.option(
    "--max-price", type=click.FloatRange(0), metavar="DOLLARS", help="Start no job whose estimated price is higher or unknown."
)
@click.option(
    "--dry-run", "is_dry", is_flag=True, help="Show the price, and start no job. The data is uploaded for it, and deleted again."
)
@click.option("--yes", "-y", "confirms", is_flag=True, help="Do not ask for confirmation; required without a terminal.")
@click.option("--watch", "watches", is_flag=True, help="Follow the job until it has ended.")
@wait_options(10.0)
def submit(
    session: Session,
    train: Path,
    validation: Path | None,
    max_price: float | None,
    is_dry: bool,
    confirms: bool,
    watches: bool,
    **options: Any,
) -> Result:
    """Fine-tune a model on TRAIN. The data is checked, its price is shown, and you are asked for confirmation.

    Data with an error or a secret is not uploaded. No job is started without confirmation: in scripts that is --yes. Only the service
    knows the price, and needs the data for it; if no job is started, what was uploaded is deleted again.

    Examples:
      together-adapters ft submit train.jsonl --model NAME --dry-run
      together-adapters ft submit train.jsonl --model NAME --watch
      together-adapters ft submit train.jsonl --validation validation.jsonl --n-evals 5 --model NAME --n-epochs 3
      together-adapters ft submit pairs.jsonl --method dpo --model NAME --max-price 20 --yes --json
    """
    from together_adapters.finetune.job import start

    if not options["model"] and not options["from_checkpoint"]:
        raise click.UsageError("--model or --from-checkpoint is required")
    client = session.client  # an error now if there is no key
    if not confirms and not is_dry and not is_terminal(sys.stdin):
        raise click.UsageError(
            "the price cannot be confirmed without a terminal: --dry-run shows it; pass --yes to start the job, and --max-price for a limit"
        )
    wait = {name: options.pop(name) for name in ("poll_interval", "timeout")}
    params: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    check = _check_command(train, validation, options)
    try:
        with issues_on_error(session), ExitStack() as stack:
            bar = stack.enter_context(progress_bar("bytes"))

            def on_price(estimate: FinetunePriceEstimate) -> None:
                stack.close()  # the bar would overwrite the question
                if is_dry:
                    raise _DryRunError(estimate)
                _confirm_price(estimate, max_price, confirms=confirms)

            def on_reports(reports: Mapping[str, DataReport]) -> None:
                for file, report in zip((train, validation), reports.values(), strict=False):
                    if report.warnings:
                        leakage = f"; {report.leakage_summary()}" if report.leakage else ""
                        note(f"warning: {verdict(report, str(file))}{leakage} (`{check}` lists them)")

            job = start(client, train, validation, on_reports=on_reports, on_price=on_price, progress=bar, **params)
    except _DryRunError as error:
        estimate = error.estimate
        return Result(estimate, lambda _: write(f"{note_price(estimate)}\n"))
    if watches:
        note(f"Started {job.id}")
        return _follow(session, job.id, **wait)

    def show(_: Any) -> None:
        print_fields({"job": job.id, "status": job.status, "model": job.model})
        note(f"To follow it: together-adapters ft watch {job.id}")

    return Result(job.details, show)


class _DryRunError(DeclinedError):
    """The price of a job that nobody wants to start yet."""

    def __init__(self, estimate: FinetunePriceEstimate) -> None:
        super().__init__("no job was started")
        self.estimate = estimate


def _check_command(train: Path, validation: Path | None, options: Mapping[str, Any]) -> str:
    """Returns the command that checks the files as `submit` does, with the limits of the same model."""
    parts = ["together-adapters", "ft", "check", str(train)]
    parts += ["--validation", str(validation)] if validation else []
    parts += ["--method", options["method"]] if options["method"] != "sft" else []
    parts += ["--model", options["model"] or str(options["from_checkpoint"]).partition(":")[0]]
    parts += [part for code, level in (options["severities"] or {}).items() for part in ("--severity", f"{code}={level}")]
    return shlex.join(parts)


def _confirm_price(estimate: FinetunePriceEstimate, max_price: float | None, *, confirms: bool) -> None:
    """Shows a price; raises DeclinedError if it is too high, or if the answer is no."""
    from together_adapters.control.dollars import format_dollars, fraction_digits

    price = note_price(estimate)
    if max_price is not None and (not estimate.available or (estimate.estimated_total_price or 0.0) > max_price):
        raise DeclinedError(
            f"the price is {price}, and --max-price is {format_dollars(max_price, fraction_digits(max_price, 2))}: no job was started"
        )
    if confirms:
        return
    try:
        confirm("Start it?", default=False, flag="--yes")
    except DeclinedError:
        raise DeclinedError("declined: no job was started, and what was uploaded for it was deleted") from None


@click.command("watch", cls=Command)
@click.argument("job_id")
@wait_options(10.0)
def watch(session: Session, job_id: str, **wait: Any) -> Result:
    """Follow a job until it has ended: its events as they arrive, and the name of the model.

    Exit code 3 if the job failed. Ctrl-C stops watching; it does not cancel the job.

    Example:
      together-adapters ft watch ft-0a1b2c
    """
    return _follow(session, job_id, **wait)


def _follow(session: Session, job_id: str, **wait: Any) -> Result:
    """Prints the events of a job until it has ended; raises JobFailedError if it has no model."""
    from together_adapters.finetune.job import Job

    count = 0
    # A progress bar replaces stdout of a terminal, so that lines are printed above it.
    file = None if is_terminal(sys.stdout) else sys.stdout

    def print_events() -> None:
        nonlocal count
        events: list[Any] = session.client.fine_tuning.list_events(job_id).data
        for event in events[count:]:
            print(f"{format_time(event.created_at)}  {printable(event.message or str(event.kind))}", file=file, flush=True)
        count = max(count, len(events))

    try:
        with progress_bar("job") as show:

            def update(progress: Progress) -> None:
                if show is not None:
                    show(_with_step(progress))
                if not session.as_json:
                    print_events()

            job = Job(session.client, job_id).wait(progress=update, **wait)
    except KeyboardInterrupt:
        note(f"\nThe job continues. To follow it again: together-adapters ft watch {job_id}")
        raise

    def show_model(details: Any) -> None:
        write("\n")
        print_fields({"model": job.model, "job": job.id, "steps": details.steps_completed if details else None})
        note(f"To use it: together-adapters chat.completions --model {job.model} --message user TEXT")
        note(f'In Python: ChatTogether(model="{job.model}"), or TogetherLLM("{job.model}")')
        note(f"To compare it with its base: together-adapters ft judge {job.id} VALIDATION_FILE")

    return Result(job.details, show_model)


def _with_step(progress: Progress) -> Progress:
    """Returns a progress whose stage names the step, while the training runs."""
    if progress.stage != "running" or not progress.total or not progress.done:
        return progress
    return replace(progress, stage=f"training, step {progress.done:,.0f} of {progress.total:,.0f}")
