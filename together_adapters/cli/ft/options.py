"""Options that several commands of `ft` share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from together_adapters.cli.command import Session
from together_adapters.cli.progress import spinner

if TYPE_CHECKING:
    from together_adapters.finetune.validation.tokenizers import TokenizerFile
    from together_adapters.types.fine_tuning import FinetuneModelLimits

F = TypeVar("F", bound=Callable[..., Any])

_KEPT: Final = 1000

data_file: Final = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
new_path: Final = click.Path(dir_okay=False, path_type=Path)

method_option = click.option(
    "--method",
    type=click.Choice(["sft", "dpo"]),
    help="What it is to train: sft answers, dpo preferences. By default what the data is.",
)
model_option = click.option(
    "--model", metavar="NAME", help="Check against what this model can; the service is asked for that, with your key."
)
severity_option = click.option(
    "--severity",
    "severities",
    multiple=True,
    metavar="CODE=LEVEL",
    help="How grave an issue is: error, warning or ignore. Repeatable.",
)
tokenizer_option = click.option(
    "--tokenizer",
    metavar="FILE|NAME",
    help="Count tokens with a tokenizer.json, or with that of a model of the Hugging Face hub; estimated by default.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Processes; worth it for large files."
)


def issues_option(command: F) -> F:
    """Give a command the option of how many issues it lists."""
    return click.option(
        "--max-issues",
        type=click.IntRange(0),
        metavar="N",
        help="How many to list: a few of each kind by default, 1000 in JSON. All are counted.",
    )(command)


def kept_issues(session: Session, listed: int | None) -> int:
    """Return how many issues a report keeps; more than are listed for people, who are shown some of every kind."""
    return _KEPT if listed is None else listed if session.as_json else max(listed, _KEPT)


def pairs(given: Sequence[str], flag: str, what: str) -> dict[str, str]:
    """Return options of the form NAME=VALUE as a dictionary.

    Raises:
        UsageError: One has another form.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{flag} takes {what}, not {text!r}")
        found[name.strip()] = value.strip()
    return found


def severities_of(given: Sequence[str]) -> dict[str, str] | None:
    """Return severities by issue code; None where there are none.

    Raises:
        UsageError: A code or a level does not exist.
    """
    from difflib import get_close_matches

    from together_adapters.finetune.issues import RULES
    from together_adapters.finetune.issues import severities_of as checked

    found = pairs(given, "--severity", "CODE=LEVEL")
    try:
        checked(found)
    except ValueError as problem:
        near = [code for name in found if name not in RULES for code in get_close_matches(name, RULES, 3)]
        raise click.UsageError(f"{problem}" + (f"; did you mean {', '.join(near)}?" if near else "")) from None
    return found or None


def tokenizer_of(name: str | None) -> TokenizerFile | None:
    """Open a tokenizer; None where none is named."""
    if name is None:
        return None
    from together_adapters.finetune.validation.tokenizers import open_tokenizer

    with spinner(f"opening the tokenizer {name}"):
        return open_tokenizer(name)


def limits_of(session: Session, model: str | None) -> FinetuneModelLimits | None:
    """Ask the service what a model can; None where no model is named."""
    if model is None:
        return None
    with spinner(f"asking what {model} can"):
        return session.client.fine_tuning.model_limits(model)
