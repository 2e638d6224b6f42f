"""Options that several commands of `ft` share, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Session
from together_adapters.cli.options import COUNT, options
from together_adapters.cli.terminal import spinner

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport

_MAX_ISSUES: Final = 1000

DATA_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def parse_pairs(texts: Sequence[str], flag: str, syntax: str) -> dict[str, str]:
    """Parses NAME=VALUE options; raises UsageError for other texts."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{flag} takes {syntax}, not {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs


def _parse_severities(ctx: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> dict[str, str] | None:
    """Parses severities by issue code; raises UsageError for an unknown code or level."""
    from difflib import get_close_matches

    from together_adapters.finetune.issues import RULES, severities_of

    severities = parse_pairs(texts, "--severity", "CODE=LEVEL")
    try:
        severities_of(severities)
    except ValueError as error:
        similar = [code for name in severities if name not in RULES for code in get_close_matches(name, RULES, 3)]
        raise click.UsageError(f"{error}" + (f"; did you mean {', '.join(similar)}?" if similar else "")) from None
    return severities or None


fail_on_option = click.option(
    "--fail-on", type=click.Choice(["error", "warning"]), default="error", help="Severity for exit code 1."
)
method_option = click.option(
    "--method", type=click.Choice(["sft", "dpo"]), help="Training method: dpo is for preferences. Default: by the data."
)
model_option = click.option("--model", metavar="NAME", help="Check against the limits of this model. Needs an API key.")
severity_option = click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="CODE=LEVEL",
    callback=_parse_severities,
    help="error, warning or ignore for an issue code. Repeatable.",
)
tokenizer_option = click.option(
    "--tokenizer", metavar="FILE|NAME", help="tokenizer.json, or model on the Hugging Face Hub. Default: tokens are estimated."
)
validation_options = options(
    method_option,
    model_option,
    click.option(
        "--max-issues", type=click.IntRange(0), metavar="N", help="Issues to list. Default: some of each code; 1000 with --json."
    ),
    severity_option,
    tokenizer_option,
    click.option("--workers", type=COUNT, default=1, metavar="N", help="Number of processes, for large files."),
)


def passes(report: DataReport, fail_on: str) -> bool:
    """Whether a file can be used, and has no warnings if these fail too."""
    return report.ok and report.method_ok and not (fail_on == "warning" and report.warnings)


def validation_keywords(
    session: Session,
    method: str | None = None,
    model: str | None = None,
    tokenizer: str | None = None,
    max_issues: int | None = None,
    **keywords: Any,
) -> dict[str, Any]:
    """Returns keywords of `check_jsonl` and `write_jsonl`: parsed options of the validation, and other keywords unchanged."""
    # People see some issues of each code, which are chosen from all that the report has.
    keywords["max_issues"] = max_issues if session.as_json and max_issues is not None else max(max_issues or 0, _MAX_ISSUES)
    if method is not None:
        keywords["method"] = method
    if model is not None:
        with spinner(f"requesting the limits of {model}"):
            keywords["limits"] = session.client.fine_tuning.model_limits(model)
    if tokenizer is not None:
        from together_adapters.finetune.validation.token_lengths import open_tokenizer

        with spinner(f"opening the tokenizer {tokenizer}"):
            keywords["tokenizer"] = open_tokenizer(tokenizer)
    return keywords
