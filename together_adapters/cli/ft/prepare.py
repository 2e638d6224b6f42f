"""`ft prepare` and `ft split`: training files, converted from data of any supported format, and their split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_type_hints

import click

from together_adapters.atomic_files import new_files
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft.atomic_output import local_file, new_folders
from together_adapters.cli.ft.options import (
    DATA_FILE,
    fail_on_option,
    parse_pairs,
    passes,
    validation_keywords,
    validation_options,
)
from together_adapters.cli.ft.tables import in_flags, issues_on_error, print_counts, print_issues
from together_adapters.cli.options import COUNT, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Column, Result, Table, format_size, to_jsonable
from together_adapters.cli.terminal import note, progress_bar, write
from together_adapters.finetune.issues import count_of

if TYPE_CHECKING:
    from together_adapters.finetune.dataset import TrainingData
    from together_adapters.finetune.records import Record
    from together_adapters.finetune.writing.fixes import Fixes
    from together_adapters.finetune.writing.write_jsonl import PreparedFile


_SIDES: Final = ("train", "validation")
_SOURCE_OPTIONS: Final = (
    "schema", "input_key", "output_key", "group", "root", "form", "pair", "text_dialect", "collapse_prefixes",
)  # fmt: skip


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
@click.option("--form", type=click.Choice(["conversation", "instruction"]), help="What questions with answers become.")
@click.option("--pair", type=click.Choice(["best_vs_worst"]), help="Make preferences of answers with scores or labels.")
@click.option(
    "--text-dialect", metavar="NAME", default="chatml", help="Chat template of text: chatml, llama3, llama2 or mistral."
)
@click.option(
    "--collapse-prefixes/--no-collapse-prefixes", default=True, help="Drop calls of traces that a longer call continues."
)
@click.option("--root", type=click.Path(exists=True, file_okay=False), metavar="FOLDER", help="Folder of images named by path.")
@click.option(
    "--fix",
    "fixes",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="Enable a fix: merge_consecutive, trim_trailing, reasoning=drop, leading_assistant=drop, unknown_fields=drop, "
    "tool_errors=drop_row, null_arguments=drop, too_long=drop|keep. NAME=off disables one that is on. Repeatable; "
    "docs/which-data.md says what each does.",
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "drop"]),
    default="raise",
    help="raise: write nothing if a row is invalid; drop: leave invalid rows out, and count them.",
)
@click.option("--leave-out", multiple=True, metavar="NAME", help="Column or key that training may leave out. Repeatable.")
@fail_on_option
@click.option("--dedupe", type=click.Choice(["example", "prompt"]), help="Leave out rows with an equal example or prompt.")
@click.option("--limit-rows", type=COUNT, metavar="N", help="Maximum number of rows.")
@click.option("--limit-tokens", type=COUNT, metavar="N", help="Maximum number of tokens of all rows.")
@validation_options
@overwrite_option
def prepare(
    session: Session, /, sources: Sequence[str], output: Path, columns: Sequence[str], fixes: Sequence[str], **options: Any
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
    check_new(output, options["overwrite"])
    options["fixes"] = parse_fixes(fixes, options.pop("on_error"), options.pop("leave_out"))
    source_options = {name: options.pop(name) for name in _SOURCE_OPTIONS}
    fail_on = options.pop("fail_on")
    source_options["columns"] = parse_pairs(columns, "--column", "TARGET=SOURCE") or None
    dedupe, limit_rows, limit_tokens = (options.pop(name) for name in ("dedupe", "limit_rows", "limit_tokens"))
    max_issues = options["max_issues"]
    options = validation_keywords(session, **options)
    with issues_on_error(session, max_issues), progress_bar("rows") as bar:
        data = _concatenate([load(source, **source_options) for source in sources])
        data = data.dedupe(dedupe) if dedupe else data
        if limit_rows or limit_tokens:
            data = data.limit(limit_rows, tokens=limit_tokens, tokenizer=options.get("tokenizer"))
        file = write_jsonl(data, output, progress=bar, **options)
    code = 0 if passes(file.report, fail_on) else INVALID_DATA
    return Result(_file_data(file), lambda _: _print_file(file, max_issues), code)


@click.command("split", cls=Command)
@click.argument("file", type=DATA_FILE)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    metavar="SHARE",
    help="Share of groups for validation.",
)
@click.option("--seed", type=int, default=0, metavar="N", help="Random seed of the split.")
@click.option(
    "--by",
    metavar="COLUMN|group|prompt",
    help="Keep rows together that share the value of a column, a group or a prompt. Default: the conversation of the data, or "
    "the prompt.",
)
@click.option("--exact", is_flag=True, help="Come as near to SHARE as possible; rows may change sides when rows are added.")
@click.option(
    "-o", "--output", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Folder for train.jsonl and validation.jsonl.",
)  # fmt: skip
@overwrite_option
def split(
    session: Session, file: Path, validation: float, seed: int, by: str | None, exact: bool, folder: Path, overwrite: bool
) -> Result:  # fmt: skip
    """Split FILE into FOLDER/train.jsonl and FOLDER/validation.jsonl. - reads JSON lines from stdin.

    The side of a row depends only on its group and the seed: it is the same in every run, and does not change when rows are
    added. Equal rows are on the same side. So the share of rows is near that of --validation, but not equal to it, and of
    a small file may be far off: --exact takes the number of rows that is nearest.

    Examples:
      together-adapters ft split data.jsonl -o data
      together-adapters ft split small.jsonl --validation 0.2 --exact -o data
      together-adapters ft split data.jsonl --validation 0.1 --by conversation_id --seed 7 -o data
    """
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.splitting import leakage
    from together_adapters.finetune.writing.write_jsonl import refuse_foreign_report, report_path, write_jsonl

    paths = [check_new(folder / f"{name}.jsonl", overwrite) for name in _SIDES]
    reports = [report_path(path) for path in paths]
    for path in reports:
        refuse_foreign_report(path)
    targets = dict.fromkeys(paths, overwrite) | dict.fromkeys(reports, True)
    with (
        issues_on_error(session), local_file(file) as path, new_folders(folder), new_files(targets) as drafts,
        progress_bar("rows") as bar,
    ):  # fmt: skip
        sides = load(path).split(validation, by=by, seed=seed, exact=exact)
        parts = [write_jsonl(side, draft, progress=bar) for side, draft in zip(sides, drafts[:2], strict=True)]
        overlap = leakage(*(load(part.path) for part in parts))._asdict()
        parts[1].report.leakage = overlap
        parts[1].report.save(parts[1].report_path)
    report = parts[1].report
    rows = sum(part.report.valid for part in parts)

    def show(data: dict[str, dict[str, Any]]) -> None:
        _FILES(data.values())
        target = validation * rows
        is_near = exact or abs(report.valid - target) <= max(1, target / 10)
        advice = "" if is_near else f"; {validation * 100:g}% are {target:,.0f}: --exact comes as near as possible"
        note(f"validation: {report.valid:,} of {count_of(rows, 'row')}, {report.valid / rows:.0%}{advice}")
        for reason, number in report.dropped.items():
            note(f"{count_of(number, 'row')} not written to either file: {reason.replace('_', ' ')}")
        if overlap["prompt"]:
            total = count_of(overlap["prompt"], "validation row")
            note(f"warning: the training file contains the prompts of {total}; --by prompt prevents that")

    data = {name: {**_file_data(part), "path": str(path)} for name, part, path in zip(_SIDES, parts, paths, strict=True)}
    return Result(data, show)


def _file_data(file: PreparedFile) -> dict[str, Any]:
    """Returns the JSON document of a file: its report and its path."""
    return {**to_jsonable(in_flags(file.report)), "path": str(file.path), "written": file.written}


def _print_file(file: PreparedFile, max_issues: int | None) -> None:
    report = file.report
    rows = count_of(report.valid, "row") if report.valid == report.rows else f"{report.valid:,} of {count_of(report.rows, 'row')}"
    tokens = ("" if report.tokens_from == "tokenizer" else "about ") + count_of(report.tokens.total, "token")
    write(f"{file.path}: {rows} ({report.format}), {format_size(report.bytes)}, {tokens}\n")
    print_counts("Dropped", report.dropped)
    print_counts("Changed", report.changed)
    print_counts("Left out in training", report.left_out)
    print_issues(report, max_issues, by_line=False)


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


def parse_fixes(texts: Sequence[str], on_error: Literal["raise", "drop"], leave_out: Sequence[str] = ()) -> Fixes:
    """Parses `--fix` options; raises UsageError for an unknown name or value."""
    from together_adapters.finetune.writing.fixes import Fixes

    choices = {name: get_args(kind) for name, kind in get_type_hints(Fixes).items() if name not in ("on_error", "leave_out")}
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
    return Fixes(on_error=on_error, leave_out=leave_out, **fixes)


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


_FILES: Final = Table(
    Column("File", "path"),
    Column("Rows", "valid", "{:,}".format, right=True),
    Column("Tokens", "tokens.total", "{:,}".format, right=True),
    Column("Size", "bytes", format_size, right=True),
)
