"""`bulk run`: requests of a file to answers in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.atomic_files import new_files
from together_adapters.cli.bulk.checkpoints import bulk_bar, checkpoint_of, checkpoint_option
from together_adapters.cli.bulk.rows import SUFFIXES, Row, read_requests, read_rows, refuse_table, request_bodies, write_rows
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import SERVICE
from together_adapters.cli.options import (
    COUNT,
    EXISTING_FILE,
    NEW_FILE,
    check_new,
    client_with_prices,
    overwrite_option,
    price_option,
)
from together_adapters.cli.output import Result, to_json
from together_adapters.cli.terminal import note, write
from together_adapters.resources.batches import CHAT

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkItem
    from together_adapters.types.response import Usage

_MAX_IDS: Final = 3
_POSITIVE: Final = click.FloatRange(0, min_open=True)


@click.command("run", cls=Command)
@click.argument("prompts", type=EXISTING_FILE)
@click.option("--output", "-o", type=NEW_FILE, required=True, metavar="FILE", help="Answers: .jsonl, or .csv with --column.")
@click.option("--column", metavar="NAME", help="Column with the prompts, each of which is a chat. PROMPTS is a table then.")
@click.option("--system", metavar="TEXT", help="System message before each prompt of --column.")
@click.option("--max-tokens", type=COUNT, metavar="N", help="Maximum number of tokens of an answer, with --column.")
@click.option("--via", type=click.Choice(["online", "batch", "auto"]), default="auto", help="One by one, or as batch jobs.")
@checkpoint_option
@click.option("--endpoint", default=CHAT, metavar="PATH", help="Endpoint of the requests.")
@click.option("--model", metavar="NAME", help="Model of requests that name none.")
@click.option(
    "--max-price", type=click.FloatRange(0), metavar="DOLLARS", help="What the run may cost by an estimate made before."
)
@price_option
@click.option("--max-concurrency", type=COUNT, default=16, metavar="N", help="Simultaneous requests, one by one.")
@click.option("--max-jobs", type=COUNT, default=4, metavar="N", help="Simultaneous batch jobs.")
@click.option(
    "--poll-interval",
    type=_POSITIVE,
    default=30.0,
    metavar="SECONDS",
    help="Longest time between two looks at a job, which grows from a second.",
)
@click.option(
    "--wait-timeout", type=_POSITIVE, metavar="SECONDS", help="Time to wait for jobs, which continue. Default: no limit."
)
@overwrite_option
def run(
    session: Session,
    /,
    prompts: Path,
    output: Path,
    column: str | None,
    system: str | None,
    max_tokens: int | None,
    checkpoint: Path | None,
    wait_timeout: float | None,
    overwrite: bool,
    prices: Sequence[tuple[str, float, float]],
    **options: Any,
) -> Result:
    """Send the requests of a file, and write their answers in the same order.

    PROMPTS is a .jsonl file with a request body, or a line of a batch's file, in each line, such as

    \b
    {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "Hi"}]}

    Answers have `index`, from 0, `id`, the `custom_id` of the line or else its body as `request`, and `response` or `error`. If requests
    failed, the exit code is 3.

    With --column it is a table, .csv, or .jsonl with any objects, which is written with the columns `answer` and `error`;
    they are `new_answer` and `new_error` where the table has such columns already.

    Examples:
      together-adapters bulk run prompts.jsonl -o answers.jsonl --via batch --checkpoint run.sqlite --max-price 20
      together-adapters bulk run questions.csv --column question --model openai/gpt-oss-120b -o answers.csv
    """  # noqa: D301
    from together_adapters.bulk.runs import run as run_requests

    check_new(output, overwrite)
    rows: list[Row] = []
    if column is None:
        refuse_table(prompts)
        if system is not None or max_tokens is not None or output.suffix == ".csv":
            raise click.UsageError("--system, --max-tokens and an output of .csv are for tables: pass --column")
    elif output.suffix not in SUFFIXES or options["endpoint"] != CHAT:
        raise click.UsageError(f"with --column the requests are chats, and {output} must end in {' or '.join(SUFFIXES)}")
    else:
        rows = read_rows(prompts, column)
    bodies: Any = prompts if column is None else request_bodies(rows, column, system, max_tokens)
    state = prompts.stat()
    with checkpoint_of(checkpoint, output) as path:
        with bulk_bar(path) as show:
            client = client_with_prices(session, prices)
            results = run_requests(client, bodies, checkpoint=path, timeout=wait_timeout, progress=show, **options)
        failures = results.failed
        failed = len(failures)
        with new_files({output: overwrite}) as (draft,):
            if column is None:
                _write_lines(draft, results, read_requests(prompts, state))
            else:
                write_rows(draft, rows, results, is_csv=output.suffix == ".csv")
        usage, file_ids = results.usage, results.file_ids
        results.close()
        if failures:
            note(f"{failed:,} of {len(results):,} requests failed: see `error` in {output}. The first: {failures[0].error}")
        note(_summary(len(results) - failed, failed, usage, results.cost))
        if file_ids:
            more = f" and {len(file_ids) - _MAX_IDS:,} more" if len(file_ids) > _MAX_IDS else ""
            ids = f"{', '.join(file_ids[:_MAX_IDS])}{more}"
            note(f"uploaded for batch jobs, and still in the account: {ids} (`together-adapters files delete ID` deletes one)")
    value = {
        "filename": str(output.absolute()),
        "results": len(results),
        "failed": failed,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cost": results.cost,
        "file_ids": file_ids,
    }
    return Result(value, lambda _: write(f"{output}\n"), exit_code=SERVICE if failed else 0)


def _summary(answers: int, failed: int, usage: Usage, cost: float | None) -> str:
    from together_adapters.control.dollars import format_dollars, fraction_digits

    price = "price unknown" if cost is None else format_dollars(cost, fraction_digits(cost, 1))
    return f"{answers:,} answers ({failed:,} failed), {usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens, {price}"


def _write_lines(path: Path, results: Iterable[BulkItem[Any]], requests: Iterable[Row]) -> None:
    with path.open("wb") as file:
        for item, request in zip(results, requests, strict=False):
            line: dict[str, Any] = {"index": item.index, "id": item.id, **request}
            if item.error is None:
                response: Any = item.response
                line["response"] = response.model_dump(exclude_unset=True) if hasattr(response, "model_dump") else response
            else:
                line["error"] = {"message": item.error.message, "code": item.error.code, "status": item.error.status_code}
            file.write(to_json(line, indent=None).encode() + b"\n")
