"""`fine-tuning`: jobs that train models on uploaded files."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.options import (
    COUNT,
    EXISTING_FOLDER,
    NEW_FILE,
    file_or_id,
    overwrite_option,
    training_options,
    wait_options,
)
from together_adapters.cli.output import Column, Result, Table, format_time, print_details, shorten, to_jsonable
from together_adapters.cli.terminal import confirm, is_terminal, note, write

if TYPE_CHECKING:
    from together_adapters.types.fine_tuning import FinetunePriceEstimate, FinetuneResponse

_LORA_RATE: Final = 1e-3
_FULL_RATE: Final = 1e-5
_LORA_ONLY: Final = ("lora_r", "lora_dropout", "lora_alpha", "lora_trainable_modules")
_LONG_FIELDS: Final = ("events", "lr_scheduler", "training_method", "training_type", "multimodal_params", "progress")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_BAR_WIDTH: Final = 10

_id = click.argument("fine_tune_id")
_quiet_option = click.option("--quiet", "--confirm", "-y", "quiet", is_flag=True, help="Do not ask for confirmation.")


def _check_id(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses a file of this machine where an uploaded one is wanted."""
    if value is not None and Path(value).is_file():
        raise click.BadParameter(
            f"{value} is a file of this machine: `together-adapters files upload {value}` returns the id of one at the service, and "
            f"`together-adapters ft submit {value} --model NAME --dry-run` shows the price of a job on it",
            ctx,
            parameter,
        )
    return None if value is None else file_or_id(ctx, parameter, value)


@click.group("fine-tuning", cls=Group)
def fine_tuning() -> None:
    """Create and manage fine-tuning jobs."""


@fine_tuning.command("create")
@click.option("--training-file", "-t", required=True, metavar="ID", callback=_check_id, help="ID of the uploaded training file.")
@click.option("--validation-file", metavar="ID", callback=_check_id, help="ID of an uploaded validation file.")
@click.option("--learning-rate", "-lr", type=float, metavar="X", help="Peak learning rate. Default: 0.001 with LoRA, else 1e-5.")
@click.option("--lora/--no-lora", default=True, help="Train a LoRA adapter, or all weights.")
@training_options()
@click.option("--confirm", "-y", "confirms", is_flag=True, help="Start without showing the price and asking for confirmation.")
def create(session: Session, /, confirms: bool, **options: Any) -> Result:
    """Create a job. Its price is shown first, and you are asked for confirmation."""
    params = {name: value for name, value in options.items() if value is not None}
    _check(params)
    params.setdefault("learning_rate", _LORA_RATE if params["lora"] else _FULL_RATE)
    job = session.client.fine_tuning.create(**params, on_price=None if confirms else _confirm_price)

    def show(job: FinetuneResponse) -> None:
        note(f"Successfully submitted a fine-tuning job {job.id}")
        print_details({"id": job.id, "status": job.status, "model": job.model, "output_name": job.model_output_name})

    return Result(job, show)


def _check(params: dict[str, Any]) -> None:
    """Raises a UsageError if options contradict each other."""
    if not params.get("model") and not params.get("from_checkpoint"):
        raise click.UsageError("--model or --from-checkpoint is required")
    lora_only = [name for name in _LORA_ONLY if name in params]
    if lora_only and not params["lora"]:
        raise click.UsageError(f"--{lora_only[0].replace('_', '-')} needs --lora")
    if params.get("n_evals") and not params.get("validation_file"):
        raise click.UsageError("--n-evals needs --validation-file")
    if params.get("validation_file") and not params.get("n_evals"):
        note("warning: --validation-file has no effect without --n-evals")


def note_price(estimate: FinetunePriceEstimate) -> str:
    """Writes the estimated price of a job to stderr; returns it as text."""
    price = f"unknown ({estimate.unavailable_reason or 'the service gives no reason'})"
    if estimate.available:
        price = format_price(estimate.estimated_total_price or 0)
    note(f"The estimated price of this job is {price}.")
    if estimate.allowed_to_proceed is False:
        note("warning: the price exceeds the spending limit of the account; the service would probably cancel the job")
    return price


def _confirm_price(estimate: FinetunePriceEstimate) -> None:
    note_price(estimate)
    note("The actual price depends on the model, the tokens, the epochs and the evaluations.")
    confirm("Do you want to proceed?", default=True, flag="--confirm (-y)")


@fine_tuning.command("list")
def list_jobs(session: Session) -> Result:
    """List the jobs of the account, the oldest first."""
    return Result(sorted(session.client.fine_tuning.list().data, key=lambda job: job.created_at or ""), _JOBS)


@fine_tuning.command("retrieve")
@_id
def retrieve(session: Session, fine_tune_id: str) -> Result:
    """Show the details of a job; list-events shows its events."""
    job = session.client.fine_tuning.retrieve(fine_tune_id)
    data = {name: value for name, value in to_jsonable(job).items() if name != "events"}
    extra = {"total_price": format_price(job.price), "progress": progress_text(job)} if is_terminal(sys.stdout) else {}
    return Result(data, lambda data: print_details(data | extra))


@fine_tuning.command("cancel")
@_id
@_quiet_option
def cancel(session: Session, fine_tune_id: str, quiet: bool) -> Any:
    """Cancel a job. The completed training steps are billed."""
    if not quiet:
        question = f"The completed training steps will be billed. Do you want to cancel job {fine_tune_id}?"
        confirm(question, default=False, flag="--quiet")
    return session.client.fine_tuning.cancel(fine_tune_id)


@fine_tuning.command("delete")
@_id
@click.option("--force", is_flag=True, help="Delete the job even if other objects depend on it; do not ask for confirmation.")
@_quiet_option
def delete(session: Session, fine_tune_id: str, force: bool, quiet: bool) -> Any:
    """Delete a job and its models."""
    if not (quiet or force):
        question = f"Do you want to delete job {fine_tune_id} and its models? This cannot be undone."
        confirm(question, default=False, flag="--quiet")
    return session.client.fine_tuning.delete(fine_tune_id, force=force)


def format_price(price: float | None) -> str:
    """Returns a price in dollars."""
    from together_adapters.control.dollars import format_dollars, fraction_digits

    return "" if price is None else format_dollars(price, fraction_digits(price, 2))


def progress_text(job: FinetuneResponse, now: datetime | None = None) -> str:
    """Returns the progress of a job at a time: a bar with percentage, or its state.

    It comes from the completed steps, or from the service's estimate of the remaining time.
    """
    from together_adapters.types.progress import is_failed

    if (job.status or "").lower() == "completed":
        return "completed"
    if is_failed(job.status):
        return ""
    estimate = job.progress
    remaining = max(0.0, estimate.seconds_remaining or 0.0) if estimate and estimate.estimate_available else 0.0
    share = _completed_share(job, remaining, now or datetime.now(UTC))
    text = f"{format_duration(remaining)} left" if remaining else ""
    if share is None:
        return text or "unavailable"
    width = round(share * _BAR_WIDTH)
    return f"{'█' * width}{'░' * (_BAR_WIDTH - width)} {share:4.0%} {text}".rstrip()


def format_duration(seconds: float) -> str:
    """Returns a duration such as `1h 23min 45s`."""
    rest, parts = int(seconds), []
    for length, name in _UNITS:
        number, rest = divmod(rest, length)
        parts += [f"{number}{name}"] if number else []
    return " ".join(parts) or "0s"


def _completed_share(job: FinetuneResponse, remaining: float, now: datetime) -> float | None:
    if job.total_steps:
        return min((job.steps_completed or 0) / job.total_steps, 1.0)
    if not remaining or not job.started_at:
        return None
    try:
        elapsed = (now - datetime.fromisoformat(job.started_at).astimezone(UTC)).total_seconds()
    except ValueError:
        return None
    return elapsed / (elapsed + remaining) if elapsed >= 0 else None


def _print_checkpoints(checkpoints: list[Any]) -> None:
    _CHECKPOINTS(checkpoints)
    if checkpoints:
        note("To download one: together-adapters fine-tuning download NAME")


def _print_metrics(points: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for point in points for name in point))
    Table(*(Column(name, name, _format_metric, right=True) for name in names), empty="No metrics yet.")(points)


def _format_metric(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value


_JOBS: Final = Table(
    Column("Fine-tune ID", "id", no_wrap=True),
    Column("Model output name", "model_output_name", drop=1),
    Column("Status", "status"),
    Column("Created at", "created_at", format_time, drop=2),
    Column("Price", "price", format_price, right=True),
    Column("Progress", progress_text),
    empty="No fine-tuning jobs.",
)
_EVENTS: Final = Table(
    Column("Created at", "created_at", format_time),
    Column("Type", "kind"),
    Column("Message", "message"),
    Column("Hash", "hash", drop=1),
    empty="No events.",
)
_CHECKPOINTS: Final = Table(
    Column("Type", "type"),
    Column("Timestamp", "timestamp", format_time),
    Column("Name", "name", no_wrap=True),
    empty="No checkpoints.",
)
_TYPES: Final = click.Choice(["default", "merged", "adapter"])
_PRINT_JOB: Final = partial(print_details, omit=_LONG_FIELDS)
_WAIT: Final = "Wait until a job has ended. Exit code 3 if it failed."
_resolution_option = click.option("--resolution", type=COUNT, metavar="N", help="Number of evenly spaced points.")

fine_tuning.add_call("wait", _WAIT, _id, wait_options(10.0), bar="job", view=_PRINT_JOB)
fine_tuning.add_call("list-events", "List the events of a job, the oldest first.", _id, part="data", view=_EVENTS)
fine_tuning.add_call("list-checkpoints", "List the checkpoints of a job, the newest first.", _id, view=_print_checkpoints)
fine_tuning.add_call(
    "list-metrics", "List the metrics of a job, the oldest first.", _id, _resolution_option, part="metrics", view=_print_metrics
)
fine_tuning.add_call("model-limits", "Show the limits of fine-tuning jobs on a model.", click.argument("model"))
fine_tuning.add_call(
    "list-supported-models",
    "List the models that can be fine-tuned.",
    part="models",
    view=lambda names: write("\n".join(sorted(names, key=str.lower)) + "\n"),
)
fine_tuning.add_call(
    "download",
    "Download a fine-tuned model as an archive. An interrupted download is resumed.",
    _id,
    click.option(
        "--output_dir", "--output-dir", "-o", "output", type=EXISTING_FOLDER, metavar="FOLDER", help="Default: this folder."
    ),
    click.option("--checkpoint-step", "-s", type=int, metavar="N", help="Step of the checkpoint. Default: the final one."),
    click.option("--checkpoint-type", type=_TYPES, default="default", help="The last two need LoRA."),
    overwrite_option,
    bar="bytes",
)


@fine_tuning.command("estimate-price")
@click.option("--training-file", "-t", required=True, metavar="ID", callback=_check_id, help="Uploaded file.")
@click.option("--model", "-m", metavar="NAME", help="Model to train.")
@click.option("--validation-file", metavar="ID", callback=_check_id, help="Uploaded file for evaluation.")
@click.option("--n-epochs", type=COUNT, default=1, metavar="N", help="Passes over the data.")
@click.option("--n-evals", type=click.IntRange(0), default=0, metavar="N", help="Number of evaluations.")
@click.option("--lora/--no-lora", default=True, help="Train an adapter, or all weights.")
@click.option("--training-method", type=click.Choice(["sft", "dpo"]), default="sft", help="Training method.")
@click.option("--from-checkpoint", metavar="ID", help="Job or model to continue from, in place of a model.")
def estimate_price(session: Session, /, lora: bool, **options: Any) -> Result:
    """Estimate the price of a job in dollars. No job is created."""
    estimate = session.client.fine_tuning.estimate_price(training_type="lora" if lora else "full", **options)

    def show(_: Any) -> None:
        price = estimate.estimated_total_price
        write(f"{format_price(price or 0)}\n" if estimate.available else "unknown\n")
        if not estimate.available:
            note(estimate.unavailable_reason or "The service gives no reason.")
        if estimate.allowed_to_proceed is False:
            note("The account's limit does not cover it.")

    return Result(estimate, show)


_PREVIEW: Final = Table(
    Column("Tokens", "num_tokens", right=True),
    Column("Trained", "num_trained_tokens", right=True),
    Column("Truncated", "truncated"),
    Column("Text", lambda row: shorten("".join(row.tokens or ()), 200)),
    empty="No rows.",
)


@fine_tuning.command("preview")
@click.option("--training-file", "-t", required=True, metavar="ID", callback=_check_id, help="Uploaded file.")
@click.option("--model", "-m", required=True, metavar="NAME", help="Model whose tokenizer and chat template are applied.")
@click.option("--top-k", type=COUNT, metavar="N", help="Number of rows.")
@click.option("--train-on-inputs", type=click.BOOL, metavar="BOOL", help="Whether prompts would be trained on.")
@click.option("--training-method", type=click.Choice(["sft"]), help="Training method.")
def preview(session: Session, /, **options: Any) -> Result:
    """Show the first rows of a training file as tokens, and how many of them are trained on. --json has all tokens."""
    return Result(session.client.fine_tuning.preview(**options), lambda preview: _PREVIEW(preview.rows))


@fine_tuning.command("download-tokenized-dataset")
@_id
@click.option("--output", type=NEW_FILE, metavar="FILE", help="File to write. Default: the name of the archive, in this folder.")
@overwrite_option
def download_tokenized_dataset(session: Session, fine_tune_id: str, output: Path | None, overwrite: bool) -> Result:
    """Download the training data of a job as tokens, in an archive."""
    from together_adapters.errors import APIResponseValidationError
    from together_adapters.resources.downloads import safe_name

    id = fine_tune_id
    dataset = session.client.fine_tuning.retrieve_tokenized_dataset(id)
    if not dataset.url:
        raise APIResponseValidationError(f"the tokenized data of {id} has no address")
    path = output or Path(safe_name(dataset.filename or f"{id}-tokenized.tar.gz"))
    session.download(dataset.url, path, overwrite=overwrite)
    return Result({"id": id, "path": str(path), "bytes": path.stat().st_size}, lambda _: write(f"{path}\n"))
