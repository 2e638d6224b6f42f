"""`ft prepare`: data of any supported format, converted, fixed, checked and written as a training file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.ft.invalid_data import issues_on_error
from together_adapters.cli.ft.options import parse_pairs, validation_keywords, validation_options
from together_adapters.cli.ft.tables import count, print_counts, print_issues
from together_adapters.cli.options import COUNT, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Result, format_size, to_plain_data, write
from together_adapters.cli.progress import progress_bar

if TYPE_CHECKING:
    from together_adapters.finetune.dataset import TrainingData
    from together_adapters.finetune.records import Record
    from together_adapters.finetune.writing.fixes import Fixes
    from together_adapters.finetune.writing.prepared_file import PreparedFile


@click.command("prepare", cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-o", "--output", required=True, type=NEW_FILE, metavar="OUT.jsonl", help="Output file; its report is next to it.")
@click.option(
    "--schema",
    default="auto",
    metavar="NAME",
    help="Format of the data: messages, prompt_completion, preference, sharegpt, alpaca, otel, ...; a wrong name lists all.",
)
@click.option("--column", "columns", multiple=True, metavar="TARGET=SOURCE", help="Column for a field of the format. Repeatable.")
@click.option("--input-key", metavar="NAME", help="Field of an example with the input.")
@click.option("--output-key", metavar="NAME", help="Field of an example with the output.")
@click.option("--group", metavar="COLUMN", help="Column with the group of a row, such as the ID of its conversation.")
@click.option("--root", type=click.Path(exists=True, file_okay=False), metavar="FOLDER", help="Folder of images named by path.")
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Enable a fix; NAME=off disables one. Repeatable; a wrong name lists all.",
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "drop"]),
    default="raise",
    help="raise: write nothing if a row is invalid; drop: leave invalid rows out, and count them.",
)
@click.option("--dedupe", type=click.Choice(["example", "prompt"]), help="Leave out rows with an equal example or prompt.")
@click.option("--limit-rows", type=COUNT, metavar="N", help="Maximum number of rows.")
@click.option("--limit-tokens", type=COUNT, metavar="N", help="Maximum number of tokens of all rows.")
@validation_options
@overwrite_option
def prepare(
    session: Session,
    /,
    sources: Sequence[str],
    output: Path,
    schema: str,
    columns: Sequence[str],
    fixes: Sequence[str],
    on_error: Literal["raise", "drop"],
    dedupe: Literal["example", "prompt"] | None,
    limit_rows: int | None,
    limit_tokens: int | None,
    max_issues: int | None,
    overwrite: bool,
    **options: Any,
) -> Result:
    """Convert data of any supported format into one JSONL training file: chats, tables, examples, traces.

    A SOURCE is a .jsonl, .json, .csv, .tsv, .parquet or .arrow file, a folder of them, or - for JSON lines on stdin. If a row
    is invalid, nothing is written, and the exit code is 1. Changes and dropped rows are counted.

    Examples:
      together-adapters ft prepare chats.json -o train.jsonl
      together-adapters ft prepare questions.csv -o train.jsonl --column prompt=question --column completion=reply
      together-adapters ft prepare logs/*.jsonl -o train.jsonl --dedupe example --fix merge_consecutive --on-error drop
      zcat traces.jsonl.gz | together-adapters ft prepare - -o train.jsonl --schema otel
    """
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.writing.write_jsonl import write_jsonl

    _check_sources(sources)
    check_new(output, overwrite)
    chosen_fixes = parse_fixes(fixes, on_error)
    source_options: Any = {name: options.pop(name) for name in ("input_key", "output_key", "group", "root")}
    source_options["columns"] = parse_pairs(columns, "--column", "TARGET=SOURCE") or None
    options = validation_keywords(session, max_issues=max_issues, **options)
    with issues_on_error(session, max_issues), progress_bar("rows") as bar:
        data = _concatenate([load(source, schema, **source_options) for source in sources])
        data = data.dedupe(dedupe) if dedupe else data
        if limit_rows or limit_tokens:
            data = data.limit(limit_rows, tokens=limit_tokens, tokenizer=options["tokenizer"])
        file = write_jsonl(data, output, fixes=chosen_fixes, overwrite=overwrite, progress=bar, **options)
    return Result(prepared_file_data(file), lambda _: _print_file(file, max_issues))


def prepared_file_data(file: PreparedFile) -> dict[str, Any]:
    """Returns the JSON document of a file: its report and its path."""
    return {**to_plain_data(file.report), "path": str(file.path), "written": file.written}


def _print_file(file: PreparedFile, max_issues: int | None) -> None:
    report = file.report
    rows = count(report.valid, "row") if report.valid == report.rows else f"{report.valid:,} of {count(report.rows, 'row')}"
    tokens = ("" if report.tokens_from == "tokenizer" else "about ") + count(report.tokens.total, "token")
    write(f"{file.path}: {rows} ({report.format}), {format_size(report.bytes)}, {tokens}\n")
    print_counts("Dropped", report.dropped)
    print_counts("Changed", report.changed)
    print_issues(report, max_issues, location="source")


def _check_sources(sources: Sequence[str]) -> None:
    if sources.count("-") > 1:
        raise click.UsageError("stdin (-) can be read only once")
    for source in sources:
        if source != "-" and not has_magic(source) and not Path(source).exists():
            raise click.UsageError(f"file {source} does not exist")


def _concatenate(sources: Sequence[TrainingData]) -> TrainingData:
    from together_adapters.finetune.dataset import TrainingData

    def read() -> Iterator[Record]:
        for source in sources:
            yield from source.records()

    return sources[0] if len(sources) == 1 else TrainingData(read, f"{len(sources)} sources")


def parse_fixes(texts: Sequence[str], on_error: Literal["raise", "drop"]) -> Fixes:
    """Parses `--fix` options; raises UsageError for an unknown name or value."""
    from together_adapters.finetune.writing.fixes import Fixes

    choices = {name: get_args(kind) for name, kind in get_type_hints(Fixes).items() if name != "on_error"}
    defaults = {field.name: field.default for field in dataclasses.fields(Fixes)}
    fixes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if name not in choices:
            names = [f"{fix}={'|'.join(value for value in values if value != defaults[fix])}" if values else fix
                     for fix, values in choices.items()]  # fmt: skip
            raise click.UsageError(f"unknown fix {name!r}; the fixes are {', '.join(names)}")
        fixes[name] = _fix_value(name, value.strip() if equals else None, choices[name], defaults[name])
    return Fixes(on_error=on_error, **fixes)


def _fix_value(name: str, text: str | None, choices: tuple[Any, ...], default: Any) -> Any:
    """Returns the value of a fix; without a text, the only one that is not the default."""
    if not choices:
        if text in (None, "on", "true", "yes"):
            return True
        if text in ("off", "false", "no"):
            return False
        raise click.UsageError(f"--fix {name} is on or off, not {text!r}")
    if text in choices:
        return text
    others = [choice for choice in choices if choice != default]
    if text is None and len(others) == 1:
        return others[0]
    raise click.UsageError(f"--fix {name} needs one of {', '.join(f'{name}={choice}' for choice in choices)}")
