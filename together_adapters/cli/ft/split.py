"""`ft split`: training and validation rows without leakage."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.ft.atomic_output import local_file, publish_together
from together_adapters.cli.ft.invalid_data import issues_on_error
from together_adapters.cli.ft.options import DATA_FILE
from together_adapters.cli.ft.prepare import prepared_file_data
from together_adapters.cli.ft.tables import count
from together_adapters.cli.options import check_new, overwrite_option
from together_adapters.cli.output import Column, Result, Table, format_size, note
from together_adapters.cli.progress import progress_bar

_NAMES: Final = ("train", "validation")


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
@click.option(
    "-o", "--output", "folder", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Folder for train.jsonl and validation.jsonl.",
)  # fmt: skip
@overwrite_option
def split(
    session: Session, file: Path, validation: float, seed: int, by: str | None, folder: Path, overwrite: bool
) -> Result:  # fmt: skip
    """Split FILE into FOLDER/train.jsonl and FOLDER/validation.jsonl. - reads JSON lines from stdin.

    The side of a row depends only on its group and the seed: it is the same in every run, and does not change when rows are
    added. Equal rows are on the same side.

    Examples:
      together-adapters ft split data.jsonl -o data
      together-adapters ft split data.jsonl --validation 0.1 --by conversation_id --seed 7 -o data
    """
    from together_adapters.finetune.loading import load
    from together_adapters.finetune.splitting import leakage
    from together_adapters.finetune.writing.write_jsonl import write_jsonl

    paths = [check_new(folder / f"{name}.jsonl", overwrite) for name in _NAMES]
    with issues_on_error(session), local_file(file) as path, publish_together(folder) as temporary, progress_bar("rows") as bar:
        sides = load(path).split(validation, by=by, seed=seed)
        parts = [write_jsonl(side, temporary / file.name, progress=bar) for side, file in zip(sides, paths, strict=True)]
        overlap = leakage(*(load(part.path) for part in parts))._asdict()
        parts[1].report.leakage = overlap
        parts[1].report.save(parts[1].report_path)
    report = parts[1].report

    def show(data: dict[str, dict[str, Any]]) -> None:
        _FILES(data.values())
        for reason, number in report.dropped.items():
            note(f"{count(number, 'row')} not written to either file: {reason.replace('_', ' ')}")
        if overlap["prompt"]:
            rows = count(overlap["prompt"], "validation row")
            note(f"warning: the training file contains the prompts of {rows}; --by prompt prevents that")

    data = {name: {**prepared_file_data(part), "path": str(path)} for name, part, path in zip(_NAMES, parts, paths, strict=True)}
    return Result(data, show)


_FILES: Final = Table(
    Column("File", "path"),
    Column("Rows", "valid", "{:,}".format, right=True),
    Column("Tokens", "tokens.total", "{:,}".format, right=True),
    Column("Size", "bytes", format_size, right=True),
)
