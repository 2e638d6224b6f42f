"""`ft split`: rows to train on, and rows to measure with, that share nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from together_adapters.cli.arguments import new_file, overwrite_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.ft.atomic_output import appearing_together, readable
from together_adapters.cli.ft.invalid_data import issues_shown
from together_adapters.cli.ft.options import data_file
from together_adapters.cli.ft.prepare import told
from together_adapters.cli.ft.tables import count
from together_adapters.cli.output import Column, document, note, size, table
from together_adapters.cli.progress import row_bar

if TYPE_CHECKING:
    from together_adapters.finetune.writing.prepared_file import PreparedFile

_NAMES = ("train", "validation")


@click.command(
    "split",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft split data.jsonl -o data
  together-adapters ft split data.jsonl --validation 0.1 --by conversation_id --seed 7 -o data
""",
)
@click.argument("file", type=data_file)
@click.option(
    "--validation",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="The share of groups to measure with.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another number divides differently.")
@click.option(
    "--by",
    metavar="COLUMN|group|prompt",
    help="What stays on one side: rows with the same value of a column, of the same group, or with the same prompt. By default "
    "the conversation that the data names, else the prompt.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where train.jsonl and validation.jsonl are written.",
)
@overwrite_option
@click.pass_obj
def split(
    session: Session, file: Path, validation: float, seed: int, by: str | None, folder: Path, overwrite: bool
) -> None:  # fmt: skip
    """Divide FILE into FOLDER/train.jsonl and FOLDER/validation.jsonl, or write neither.

    The side of a row follows from its group: it is the same in every run, and stays when rows are added. Equal rows are never on
    both sides. - reads JSON lines from stdin.
    """
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.splitting import leakage
    from together_adapters.finetune.writing.write_jsonl import write_jsonl

    for name in _NAMES:
        new_file(folder / f"{name}.jsonl", overwrite)
    with issues_shown(session), readable(file) as path, appearing_together(folder) as hidden, row_bar() as bar:
        sides = load(path).split(validation, by=by, seed=seed)
        parts = [
            write_jsonl(side, hidden / f"{name}.jsonl", progress=bar) for name, side in zip(_NAMES, sides, strict=True)
        ]  # fmt: skip
        leaked = leakage(*(load(part.path) for part in parts))._asdict()
        parts[1].report.leakage = leaked
        parts[1].report.save(parts[1].report_path)
    if session.as_json:
        document({name: {**told(part), "path": str(folder / part.path.name)} for name, part in zip(_NAMES, parts, strict=True)})
        return
    columns = (Column("File"), Column("Rows", right=True), Column("Tokens", right=True), Column("Size", right=True))
    table(columns, [_row(part, folder) for part in parts])
    for reason, number in parts[1].report.dropped.items():
        note(f"{count(number, 'row')} left out of both: {reason.replace('_', ' ')}")
    if leaked["prompt"]:
        note(f"warning: training asks the prompts of {count(leaked['prompt'], 'validation row')}; --by prompt keeps them apart")


def _row(part: PreparedFile, folder: Path) -> tuple[str, ...]:
    report = part.report
    return str(folder / part.path.name), f"{report.valid:,}", f"{report.tokens.total:,}", size(report.bytes)
