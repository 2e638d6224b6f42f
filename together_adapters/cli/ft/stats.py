"""`ft stats`: statistics of a data file, as tables and as a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.ft.atomic_output import local_file
from together_adapters.cli.ft.options import DATA_FILE, method_option, model_option, tokenizer_option, validation_keywords
from together_adapters.cli.ft.tables import file_name, print_counts, print_facts, print_issue_counts, print_lengths, verdict
from together_adapters.cli.options import COUNT, NEW_FILE, check_new, overwrite_option
from together_adapters.cli.output import Result, note, write
from together_adapters.cli.progress import with_bar

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport


@click.command("stats", cls=Command)
@click.argument("file", type=DATA_FILE)
@click.option("--picture", type=NEW_FILE, metavar="OUT.png", help="Plot lengths and issues to a .png, .svg or .pdf file.")
@click.option("--validation", type=DATA_FILE, metavar="FILE", help="Validation file to check for leakage.")
@method_option
@model_option
@tokenizer_option
@click.option("--price", type=click.FloatRange(0), metavar="X", help="Price per million tokens, for an estimate of the cost.")
@click.option("--epochs", type=COUNT, default=1, metavar="N", help="Number of epochs, for that estimate.")
@overwrite_option
def stats(
    session: Session,
    /,
    file: Path,
    picture: Path | None,
    validation: Path | None,
    price: float | None,
    epochs: int,
    overwrite: bool,
    **options: Any,
) -> Result:
    """Show statistics of FILE: rows, lengths, tools, duplicates, secrets, issues. - reads JSON lines from stdin.

    Exit code 1 if the file is invalid; the statistics are shown nevertheless.

    Examples:
      together-adapters ft stats train.jsonl --picture lengths.png
      together-adapters ft stats train.jsonl --validation validation.jsonl --model NAME
    """
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    if picture is not None:
        from together_adapters.finetune.reports.plot import check_picture

        check_picture(check_new(picture, overwrite))
    options = validation_keywords(session, **options)
    with local_file(file) as path:
        report = with_bar("bytes", check_jsonl, path, duplicates=True, secrets=True, **options)
        if validation is not None:
            report.leakage = _leakage(path, validation)
    if price is not None:
        report.estimated_cost = report.cost(price, epochs)
    name = file_name(file)
    if picture is not None:
        from together_adapters.finetune.reports.plot import save_picture

        save_picture(report, picture, title=Path(name).name, overwrite=overwrite)
        note(f"saved the plot to {picture}")

    def show(report: DataReport) -> None:
        write(f"{verdict(report, name)}\n")
        print_facts(report)
        print_lengths(report)
        print_counts("Role", report.roles, "Messages")
        print_counts("Tool", report.tools, "Calls")
        print_issue_counts(report)

    return Result(report, show, 0 if report.ok and report.method_ok else INVALID_DATA)


def _leakage(train: Path, validation: Path) -> dict[str, int]:
    """Counts the validation rows that the training file contains too."""
    from together_adapters.finetune.validation.leakage import leaked_rows

    with local_file(validation) as path:
        exact = [row.exact for row in leaked_rows(train, path)]
    return {"exact": sum(exact), "prompt": len(exact)}
