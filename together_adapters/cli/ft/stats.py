"""`ft stats`: what is in a file, as tables and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from together_adapters.cli.arguments import new_file, overwrite_option
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import BAD_DATA
from together_adapters.cli.ft.atomic_output import readable
from together_adapters.cli.ft.options import (
    data_file,
    limits_of,
    method_option,
    model_option,
    new_path,
    tokenizer_of,
    tokenizer_option,
)
from together_adapters.cli.ft.tables import show_counts, show_facts, show_kinds, show_lengths, verdict
from together_adapters.cli.output import document, note, write
from together_adapters.cli.progress import byte_bar


@click.command(
    "stats",
    cls=Command,
    epilog="""\b
Examples:
  together-adapters ft stats train.jsonl --picture lengths.png
  together-adapters ft stats train.jsonl --validation validation.jsonl --model NAME
""",
)
@click.argument("file", type=data_file)
@click.option("--picture", type=new_path, metavar="OUT.png", help="Draw lengths and issues; a .png, .svg or .pdf file.")
@click.option(
    "--validation", type=data_file, metavar="FILE", help="The rows to measure with: look how many of them training gives away."
)
@method_option
@model_option
@tokenizer_option
@click.option(
    "--price", type=click.FloatRange(0), metavar="X", help="Of a million tokens: what training costs is estimated with it."
)
@click.option(
    "--epochs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="How often data is gone through."
)
@overwrite_option
@click.pass_context
def stats(
    ctx: click.Context,
    file: Path,
    picture: Path | None,
    validation: Path | None,
    method: str | None,
    model: str | None,
    tokenizer: str | None,
    price: float | None,
    epochs: int,
    overwrite: bool,
) -> None:
    """Show what is in FILE: rows, lengths, tools, duplicates, secrets, issues. - reads JSON lines from stdin.

    Exit code 1 where the file cannot be used; what is in it is shown all the same.
    """
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    session: Session = ctx.obj
    if picture is not None:
        from together_adapters.finetune.reports.plot import check_picture

        check_picture(new_file(picture, overwrite))
    options: dict[str, Any] = {"method": method} if method else {}
    options["tokenizer"] = tokenizer_of(tokenizer)
    limits = limits_of(session, model)
    with readable(file) as path:
        with byte_bar() as bar:
            report = check_jsonl(path, limits=limits, duplicates=True, secrets=True, progress=bar, **options)
        if validation is not None:
            report.leakage = _leakage(path, validation)
    if price is not None:
        report.estimated_cost = report.cost(price, epochs)
    name = "stdin" if str(file) == "-" else str(file)
    if picture is not None:
        from together_adapters.finetune.reports.plot import save_picture

        save_picture(report, picture, title=Path(name).name, overwrite=overwrite)
    if session.as_json:
        document(report)
    else:
        write(f"{verdict(report, name)}\n")
        show_facts(report)
        show_lengths(report)
        show_counts("Role", report.roles, "Messages")
        show_counts("Tool", report.tools, "Calls")
        show_kinds(report)
    if picture is not None:
        note(f"drawn: {picture}")
    ctx.exit(0 if report.ok and report.method_ok else BAD_DATA)


def _leakage(train: Path, validation: Path) -> dict[str, int]:
    """Count the rows to measure with that are in training too."""
    from together_adapters.finetune.validation.leakage import leaked_rows

    with readable(validation) as measured:
        found = [leak.exact for leak in leaked_rows(train, measured)]
    return {"exact": sum(found), "prompt": len(found)}
