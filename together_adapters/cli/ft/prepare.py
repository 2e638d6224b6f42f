"""`ft prepare`: data of any common form, put right, checked, and written as a file that trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import click

from together_adapters.cli.arguments import new_file, overwrite_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.ft.invalid_data import issues_shown
from together_adapters.cli.ft.options import (
    issues_option,
    kept_issues,
    limits_of,
    method_option,
    model_option,
    new_path,
    pairs,
    severities_of,
    severity_option,
    tokenizer_of,
    tokenizer_option,
    workers_option,
)
from together_adapters.cli.ft.tables import count, show_counts, show_issues
from together_adapters.cli.output import document, plain_data, size, write
from together_adapters.cli.progress import row_bar

if TYPE_CHECKING:
    from together_adapters.finetune.dataset import TrainingData
    from together_adapters.finetune.records import Record
    from together_adapters.finetune.writing.fixes import Fixes
    from together_adapters.finetune.writing.prepared_file import PreparedFile


@click.command(
    "prepare",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft prepare chats.json -o train.jsonl
  together-adapters ft prepare questions.csv -o train.jsonl --column prompt=question --column completion=reply
  together-adapters ft prepare logs/*.jsonl -o train.jsonl --dedupe example --fix merge_consecutive --on-error drop
  zcat traces.jsonl.gz | together-adapters ft prepare - -o train.jsonl --schema otel
""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-o", "--output", required=True, type=new_path, metavar="OUT.jsonl", help="The file to write; its report is put beside."
)
@click.option(
    "--schema",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="What the records are: messages, prompt_completion, preference, sharegpt, alpaca, otel, ...; a wrong name lists all.",
)
@click.option("--column", "columns", multiple=True, metavar="TARGET=SOURCE", help="Which column holds what. Repeatable.")
@click.option("--input-key", metavar="NAME", help="The field of an example that holds the question.")
@click.option("--output-key", metavar="NAME", help="The field of an example that holds the answer.")
@click.option("--group", metavar="COLUMN", help="The column that says which rows belong together, such as a conversation's id.")
@click.option("--root", type=click.Path(exists=True, file_okay=False), metavar="FOLDER", help="Where images named by path are.")
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Put something right that is not by default; NAME=off turns one off. Repeatable; a wrong name lists all.",
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "drop"]),
    default="raise",
    show_default=True,
    help="What becomes of faulty rows: nothing is written, or they are left out and counted.",
)
@click.option(
    "--dedupe", type=click.Choice(["example", "prompt"]), help="Leave out rows that equal an earlier one, or ask the same."
)
@click.option("--limit-rows", type=click.IntRange(1), metavar="N", help="The most rows.")
@click.option("--limit-tokens", type=click.IntRange(1), metavar="N", help="The most tokens of all rows together.")
@method_option
@model_option
@issues_option
@severity_option
@tokenizer_option
@workers_option
@overwrite_option
@click.pass_obj
def prepare(
    session: Session,
    sources: Sequence[str],
    output: Path,
    schema: str,
    columns: Sequence[str],
    input_key: str | None,
    output_key: str | None,
    group: str | None,
    root: str | None,
    fixes: Sequence[str],
    on_error: Literal["raise", "drop"],
    dedupe: Literal["example", "prompt"] | None,
    limit_rows: int | None,
    limit_tokens: int | None,
    method: str | None,
    model: str | None,
    max_issues: int | None,
    severities: Sequence[str],
    tokenizer: str | None,
    workers: int,
    overwrite: bool,
) -> None:
    """Turn data of any common form into one JSONL file that trains: chats, tables, examples, traces.

    A SOURCE is a .jsonl, .json, .csv, .tsv, .parquet or .arrow file, a folder of them, or - for JSON lines on stdin. One row
    that cannot be used makes the exit code 1, and nothing is written. What was changed or left out is counted.
    """
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.writing.write_jsonl import write_jsonl

    _check_sources(sources)
    new_file(output, overwrite)
    wanted = fixes_of(fixes, on_error)
    graves = severities_of(severities)
    limits = limits_of(session, model)
    counter = tokenizer_of(tokenizer)
    named = pairs(columns, "--column", "TARGET=SOURCE") or None
    options = {"columns": named, "input_key": input_key, "output_key": output_key, "group": group, "root": root}
    with issues_shown(session, max_issues), row_bar() as bar:
        data = _joined([load(source, schema, **options) for source in sources])  # type: ignore[arg-type]
        data = data.dedupe(dedupe) if dedupe else data
        data = data.limit(limit_rows, tokens=limit_tokens, tokenizer=counter) if limit_rows or limit_tokens else data
        prepared = write_jsonl(
            data,
            output,
            fixes=wanted,
            method=method,
            limits=limits,
            tokenizer=counter,
            severities=graves,
            max_issues=kept_issues(session, max_issues),
            workers=workers,
            overwrite=overwrite,
            progress=bar,
        )
    if session.as_json:
        document(told(prepared))
    else:
        show(prepared, max_issues)


def fixes_of(given: Sequence[str], on_error: Literal["raise", "drop"]) -> Fixes:
    """Return the fixes that are named, besides those that are always made.

    Raises:
        UsageError: A name or a value does not exist.
    """
    from together_adapters.finetune.writing.fixes import Fixes

    kinds = {name: get_args(kind) for name, kind in get_type_hints(Fixes).items() if name != "on_error"}
    usual = {field.name: field.default for field in dataclasses.fields(Fixes)}
    chosen: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in kinds:
            raise click.UsageError(f"there is no fix {name!r}; there are {', '.join(_described(kinds, usual))}")
        chosen[name] = _value(name, value.strip() if equals else None, kinds[name], usual[name])
    return Fixes(on_error=on_error, **chosen)


def told(prepared: PreparedFile) -> dict[str, Any]:
    """Return what --json prints of a file: its report, and where it is."""
    return {**plain_data(prepared.report), "path": str(prepared.path), "written": prepared.written}


def show(prepared: PreparedFile, most: int | None) -> None:
    """Print what became of the rows of a file that was written."""
    report = prepared.report
    kept = count(report.valid, "row") if report.valid == report.rows else f"{report.valid:,} of {count(report.rows, 'row')}"
    tokens = ("" if report.tokens_from == "tokenizer" else "about ") + count(report.tokens.total, "token")
    write(f"{prepared.path}: {kept} ({report.format}), {size(report.bytes)}, {tokens}\n")
    show_counts("Left out", report.dropped)
    show_counts("Put right", report.changed)
    show_issues(report, most, place="source")


def _check_sources(sources: Sequence[str]) -> None:
    if sources.count("-") > 1:
        raise click.UsageError("- stands for stdin, which can be read only once")
    for source in sources:
        if source != "-" and not has_magic(source) and not Path(source).exists():
            raise click.UsageError(f"there is no file {source}")


def _joined(sources: Sequence[TrainingData]) -> TrainingData:
    """Return the rows of all sources, one after the other."""
    from together_adapters.finetune.dataset import TrainingData

    def read() -> Iterator[Record]:
        for source in sources:
            yield from source.records()

    return sources[0] if len(sources) == 1 else TrainingData(read, f"{len(sources)} sources")


def _described(kinds: dict[str, tuple[Any, ...]], usual: dict[str, Any]) -> list[str]:
    """Return every fix by its name, with the values that it may have where these are words."""
    return [
        f"{name}={'|'.join(value for value in values if value != usual[name])}" if values else name
        for name, values in kinds.items()
    ]  # fmt: skip


def _value(name: str, text: str | None, choices: tuple[Any, ...], usual: Any) -> Any:
    """Return what a fix is to be: without a value, what it is not by default."""
    if not choices:
        if text in (None, "on", "true", "yes"):
            return True
        if text in ("off", "false", "no"):
            return False
        raise click.UsageError(f"--fix {name} is on or off, not {text!r}")
    others = [choice for choice in choices if choice != usual]
    if text in choices:
        return text
    if text is None and len(others) == 1:
        return others[0]
    raise click.UsageError(f"--fix {name} needs one of {', '.join(f'{name}={choice}' for choice in choices)}")
