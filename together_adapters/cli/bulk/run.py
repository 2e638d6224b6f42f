"""`bulk run`: requests of a file to answers in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.atomic_files import new_files
from together_adapters.cli.bulk.checkpoints import bulk_bar, checkpoint_of, checkpoint_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import SERVICE
from together_adapters.cli.options import COUNT, EXISTING_FILE, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Result, to_json
from together_adapters.cli.terminal import note, write

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkItem
    from together_adapters.types.response import Usage

_POSITIVE: Final = click.FloatRange(0, min_open=True)


@click.command("run", cls=Command)
@click.argument("prompts", type=EXISTING_FILE)
@click.option("--output", "-o", type=NEW_FILE, required=True, metavar="FILE", help="Answers, a line of JSON for each request.")
@click.option("--via", type=click.Choice(["online", "batch", "auto"]), default="auto", help="One by one, or as batch jobs.")
@checkpoint_option
@click.option("--endpoint", default="/v1/chat/completions", metavar="PATH", help="Endpoint of the requests.")
@click.option("--model", metavar="NAME", help="Model of requests that name none.")
@click.option(
    "--max-price", type=click.FloatRange(0), metavar="DOLLARS", help="What the run may cost by an estimate made before."
)
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
    checkpoint: Path | None,
    wait_timeout: float | None,
    overwrite: bool,
    **options: Any,
) -> Result:
    """Send the requests of a file, and write their answers in the same order.

    PROMPTS is a .jsonl file with a request body, or a line of a batch's file, in each line, such as

    \b
    {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "Hi"}]}

    Answers have `index`, `id`, and `response` or `error`. If requests failed, the exit code is 3.

    Example: together-adapters bulk run prompts.jsonl -o answers.jsonl --via batch --checkpoint run.sqlite --max-price 20
    """  # noqa: D301
    from together_adapters.bulk.runs import run as run_requests

    check_new(output, overwrite)
    with checkpoint_of(checkpoint, output) as path:
        with bulk_bar() as show:
            results = run_requests(session.client, prompts, checkpoint=path, timeout=wait_timeout, progress=show, **options)
        failures = results.failed
        failed = len(failures)
        with new_files({output: overwrite}) as (draft,), draft.open("wb") as file:
            file.writelines(_lines(results))
        usage = results.usage
        results.close()
        if failures:
            note(f"{failed:,} of {len(results):,} requests failed: see `error` in {output}. The first: {failures[0].error}")
        note(_summary(len(results) - failed, failed, usage, results.cost))
    value = {
        "filename": str(output.absolute()),
        "results": len(results),
        "failed": failed,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cost": results.cost,
    }
    return Result(value, lambda _: write(f"{output}\n"), exit_code=SERVICE if failed else 0)


def _summary(answers: int, failed: int, usage: Usage, cost: float | None) -> str:
    from together_adapters.control.dollars import format_dollars, fraction_digits

    price = "price unknown" if cost is None else format_dollars(cost, fraction_digits(cost, 1))
    return f"{answers:,} answers ({failed:,} failed), {usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens, {price}"


def _lines(results: Any) -> Iterator[bytes]:
    item: BulkItem[Any]
    for item in results:
        line: dict[str, Any] = {"index": item.index, "id": item.id}
        if item.error is None:
            response: Any = item.response
            line["response"] = response.model_dump(exclude_unset=True) if hasattr(response, "model_dump") else response
        else:
            line["error"] = {"message": item.error.message, "code": item.error.code, "status": item.error.status_code}
        yield to_json(line, indent=None).encode() + b"\n"
