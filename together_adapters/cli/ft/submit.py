"""`ft submit`: from a file of rows to a job, with its price shown before it costs anything."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.arguments import NumberOr, confirm, given
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import Declined
from together_adapters.cli.ft.invalid_data import issues_shown
from together_adapters.cli.ft.options import severities_of, severity_option
from together_adapters.cli.ft.tables import verdict
from together_adapters.cli.ft.watch import follow, poll_option, timeout_option
from together_adapters.cli.output import document, fields, is_terminal, note
from together_adapters.cli.progress import byte_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.types.fine_tuning import FinetunePriceEstimate

_jsonl = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "submit",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft submit train.jsonl --model NAME --watch
  together-adapters ft submit train.jsonl --validation validation.jsonl --n-evals 5 --model NAME --n-epochs 3
  together-adapters ft submit pairs.jsonl --method dpo --model NAME --max-price 20 --yes --json
""",
)
@click.argument("train", type=_jsonl)
@click.option(
    "--validation", type=_jsonl, metavar="FILE", help="Rows to measure the loss on, --n-evals times; those that leak are told."
)
@click.option("--model", metavar="NAME", help="The model to train; either this or --from-checkpoint.")
@click.option("--from-checkpoint", metavar="ID[:STEP]", help="A job or a model to go on with.")
@click.option(
    "--method",
    type=click.Choice(["sft", "dpo"]),
    default="sft",
    show_default=True,
    help="sft learns answers, dpo learns preferences.",
)
@click.option("--suffix", metavar="TEXT", help="Up to 40 characters for the name of the new model.")
@click.option("--n-epochs", type=click.IntRange(1), metavar="N", help="How often to go through the data; 1 by default.")
@click.option("--n-evals", type=click.IntRange(0), metavar="N", help="How often to measure the loss; 0 by default.")
@click.option("--n-checkpoints", type=click.IntRange(1), metavar="N", help="States of the model to keep; 1 by default.")
@click.option("--batch-size", type=NumberOr("max"), metavar="N|max", help="Rows per step; max by default.")
@click.option("--learning-rate", type=float, metavar="X", help="At its peak; the service's by default.")
@click.option("--lora/--full", default=None, help="Train an adapter, or all weights; an adapter where the model has one.")
@click.option("--lora-r", type=click.IntRange(1), metavar="N", help="Rank of the adapter.")
@click.option("--packing/--no-packing", default=None, help="Train on several rows at once; the service does by itself.")
@click.option("--max-seq-length", type=click.IntRange(1), metavar="N", help="Tokens of a row beyond which it is cut.")
@click.option("--dpo-beta", type=float, metavar="X", help="With dpo: how closely to stay with the original model.")
@click.option("--random-seed", type=int, metavar="N", help="The same seed trains the same way.")
@severity_option
@click.option("--allow-secrets", is_flag=True, help="Upload data although there are keys or tokens in it.")
@click.option(
    "--max-price", type=click.FloatRange(0), metavar="DOLLARS", help="Start nothing that is estimated to cost more, or unknown."
)
@click.option("--yes", "-y", "agreed", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option("--watch", "watched", is_flag=True, help="Follow the job until it has ended.")
@poll_option
@timeout_option
@click.pass_obj
def submit(
    session: Session,
    /,
    train: Path,
    validation: Path | None,
    severities: tuple[str, ...],
    max_price: float | None,
    agreed: bool,
    watched: bool,
    poll_interval: float,
    wait_timeout: float | None,
    lora: bool | None,
    packing: bool | None,
    **options: Any,
) -> None:
    """Train a model on TRAIN. It is checked here and by the service, the price is shown, and you are asked.

    Nothing is uploaded where a fault or a secret is found, and nothing is started without a yes: in scripts that is --yes.
    """
    from together_adapters.finetune.job import start

    if not options["model"] and not options["from_checkpoint"]:
        raise click.UsageError("name what to train: --model or --from-checkpoint")
    if not agreed and not is_terminal(sys.stdin):
        raise click.UsageError("nobody is there to agree to the price: pass --yes, and --max-price to bound it")
    training: dict[str, Any] = given(options) | {"severities": severities_of(severities)}
    training |= {name: value for name, value in (("lora", lora), ("packing", packing)) if value is not None}
    with issues_shown(session), ExitStack() as shown:
        bar = shown.enter_context(byte_bar())

        def agree(estimate: FinetunePriceEstimate) -> None:
            shown.close()  # a bar would paint over the question
            _agree(estimate, max_price, agreed=agreed)

        def tell(reports: Mapping[str, DataReport]) -> None:
            for file, report in zip((train, validation), reports.values(), strict=False):
                if report.warnings:
                    leaked = f"; {report.leaked()}" if report.leakage else ""
                    note(f"warning: {verdict(report, str(file))}{leaked} (`together-adapters ft check` lists them)")

        job = start(session.client, train, validation, on_reports=tell, on_price=agree, progress=bar, **training)
    if watched:
        note(f"Started {job.id}")
        follow(session, job.id, poll_interval, wait_timeout)
    elif session.as_json:
        document(job.details)
    else:
        fields({"job": job.id, "status": job.status, "model": job.model})
        note(f"To follow it: together-adapters ft watch {job.id}")


def _agree(estimate: FinetunePriceEstimate, max_price: float | None, *, agreed: bool) -> None:
    """Show a price, and ask.

    Raises:
        Declined: It is too high, or the answer was no.
    """
    total = (estimate.estimated_total_price or 0.0) if estimate.available else None
    unknown = f"unknown ({estimate.unavailable_reason or 'the service gives no reason'})"
    price = unknown if total is None else f"${total:,.2f}"
    note(f"The estimated price of this job is {price}.")
    if estimate.allowed_to_proceed is False:
        note("warning: that is more than the account may spend; the job would probably be cancelled")
    if max_price is not None and (total is None or total > max_price):
        raise Declined(f"the price is {price}, and --max-price is ${max_price:g}: no job was started")
    if agreed:
        return
    try:
        confirm("Start it?", default=False, flag="--yes")
    except Declined:
        raise Declined("no job was started, as you wished; the data that was uploaded stays at the service") from None
