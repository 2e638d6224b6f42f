"""Options that several commands of `ft` share, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Session
from together_adapters.cli.options import COUNT, F, add_options
from together_adapters.cli.progress import spinner

if TYPE_CHECKING:
    from together_adapters.finetune.validation.tokenizers import TokenizerFile
    from together_adapters.types.fine_tuning import FinetuneModelLimits

_MAX_ISSUES: Final = 1000

DATA_FILE: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

method_option = click.option(
    "--method", type=click.Choice(["sft", "dpo"]), help="Training method: dpo is for preferences. Default: by the data."
)
model_option = click.option("--model", metavar="NAME", help="Check against the limits of this model. Needs an API key.")
severity_option = click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="CODE=LEVEL",
    help="error, warning or ignore for an issue code. Repeatable.",
)
tokenizer_option = click.option(
    "--tokenizer", metavar="FILE|NAME", help="tokenizer.json, or model on the Hugging Face Hub. Default: tokens are estimated."
)
_VALIDATION: Final = (
    method_option,
    model_option,
    click.option(
        "--max-issues", type=click.IntRange(0), metavar="N", help="Issues to list. Default: some of each code; 1000 with --json."
    ),
    severity_option,
    tokenizer_option,
    click.option("--workers", type=COUNT, default=1, metavar="N", help="Number of processes, for large files."),
)


def validation_options(command: F) -> F:
    """Adds the options of the validation of rows."""
    return add_options(command, _VALIDATION)


def validation_keywords(
    session: Session,
    *,
    method: str | None = None,
    model: str | None = None,
    tokenizer: str | None = None,
    severities: Sequence[str] = (),
    max_issues: int | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Returns keywords of `check_jsonl` and `write_jsonl`: parsed options, and `others` unchanged."""
    options: dict[str, Any] = {"severities": parse_severities(severities), **others}
    # People see some issues of each code, which are chosen from all that the report has.
    options["max_issues"] = max_issues if session.as_json and max_issues is not None else max(max_issues or 0, _MAX_ISSUES)
    if method is not None:
        options["method"] = method
    return options | {"limits": _model_limits(session, model), "tokenizer": open_tokenizer(tokenizer)}


def parse_pairs(texts: Sequence[str], flag: str, syntax: str) -> dict[str, str]:
    """Parses NAME=VALUE options; raises UsageError for other texts."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{flag} takes {syntax}, not {text!r}")
        pairs[name.strip()] = value.strip()
    return pairs


def parse_severities(texts: Sequence[str]) -> dict[str, str] | None:
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


def open_tokenizer(name: str | None) -> TokenizerFile | None:
    """Opens a tokenizer, if there is a name."""
    if name is None:
        return None
    from together_adapters.finetune.validation import tokenizers

    with spinner(f"opening the tokenizer {name}"):
        return tokenizers.open_tokenizer(name)


def _model_limits(session: Session, model: str | None) -> FinetuneModelLimits | None:
    if model is None:
        return None
    with spinner(f"requesting the limits of {model}"):
        return session.client.fine_tuning.model_limits(model)
