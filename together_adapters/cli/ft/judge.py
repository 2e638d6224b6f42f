"""`ft judge`: a tuned model and its base before a judge."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.fine_tuning import format_price
from together_adapters.cli.options import COUNT, EXISTING_FILE, client_with_prices, price_option, wait_options
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import confirm, is_terminal, note, progress_bar, write
from together_adapters.errors import JobFailedError
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL

if TYPE_CHECKING:
    from together_adapters.types.progress import Progress


@click.command("judge", cls=Command)
@click.argument("job")
@click.argument("validation", type=EXISTING_FILE)
@click.option("--against", metavar="NAME", help="The other model. Default: the base model of the job.")
@click.option("--judge", default=DEFAULT_CHAT_MODEL, metavar="NAME", help="Model that judges.")
@click.option("--instructions", metavar="TEXT", help="What the judge is told, with {{prompt}} and {{reference}}.")
@click.option("--max-tokens", type=COUNT, default=512, metavar="N", help="Maximum number of tokens of an answer.")
@click.option("--temperature", type=float, default=0.0, metavar="X", help="Sampling temperature of the answers.")
@click.option("--max-concurrency", type=COUNT, default=16, metavar="N", help="Simultaneous requests.")
@click.option(
    "--max-price", type=click.FloatRange(0), metavar="DOLLARS", help="Send nothing if the estimated price is higher or unknown."
)
@price_option
@click.option("--yes", "-y", "confirms", is_flag=True, help="Do not ask for confirmation; required without a terminal.")
@wait_options(5.0)
def judge(
    session: Session,
    job: str,
    validation: Path,
    against: str | None,
    instructions: str | None,
    prices: Sequence[tuple[str, float, float]],
    confirms: bool,
    **options: Any,
) -> Result:
    """Let a tuned model and its base answer the questions of a validation file, and say which of them a judge prefers.

    JOB is the id of a job, or the name of a model. Each row's last answer is the reference. Both models and the judge cost money: the
    price is estimated, that of a tuned model by its base model, and you are asked for confirmation. The answers are uploaded for the
    judge; that file is deleted at the end.

    Examples:
      together-adapters ft judge ft-0a1b2c validation.jsonl
      together-adapters ft judge ft-0a1b2c validation.jsonl --against Qwen/Qwen3.5-9B --max-price 5 --yes --json
      together-adapters ft judge ft-0a1b2c validation.jsonl --price me/tuned-1a2b 0.2 0.2 --price me/base 0.2 0.2 --max-price 5 --yes
    """
    from together_adapters.finetune.judging import judge as compare

    client = client_with_prices(session, prices)  # an error now if there is no key
    if not confirms and not is_terminal(sys.stdin):
        raise click.UsageError("the price cannot be confirmed without a terminal: pass --yes, and --max-price for a limit")
    model, other = job, against
    if job.startswith("ft-"):
        details = client.fine_tuning.retrieve(job)
        if details.model_output_name is None or (details.status or "").lower() != "completed":
            raise JobFailedError(f"job {job} has no tuned model: its status is {details.status}; `ft watch` waits for it")
        model, other = details.model_output_name, against or details.model
    if other is None:
        raise click.UsageError(f"{job} is no id of a job: name the model to compare it with by --against")
    if model == other:
        raise click.UsageError(f"{model} cannot be compared with itself: name another model by --against")
    options |= {"instructions": instructions} if instructions else {}
    with ExitStack() as stack:
        open_bar = cache(lambda: stack.enter_context(progress_bar("job")))  # after the question, which it would overwrite

        def show(progress: Progress) -> None:
            if bar := open_bar():
                bar(progress)

        def on_price(price: float | None) -> None:
            note(f"The estimated price of answers and judgements is {'unknown' if price is None else format_price(price)}.")
            if not confirms:
                confirm(f"Send the questions of {validation} to both models?", default=False, flag="--yes")

        result = compare(client, validation, model_a=model, model_b=other, on_price=on_price, progress=show, **options)
    if result.errors:
        note(f"{len(result.errors):,} rows were not compared. The first: {result.errors[0]}")
    return Result({"winner": result.winner, **asdict(result)}, lambda _: write(f"{result}\n"))
