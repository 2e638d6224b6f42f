"""Arguments that several commands share: sampling, JSON, text from stdin, questions to the person."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from together_adapters.cli.exit_codes import Declined
from together_adapters.cli.output import is_terminal, note

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # older clicks know no generic one


class JSONObject(_Type):
    """A JSON object: as text, `@path` for a file, `-` for stdin."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Mapping):
            return value
        try:
            text = Path(value[1:]).read_text("utf-8") if value.startswith("@") else text_of(value)
            found = json.loads(text)
        except (ValueError, OSError) as problem:
            self.fail(f"no JSON: {problem}", param, ctx)
        if not isinstance(found, dict):
            self.fail("a JSON object is needed", param, ctx)
        return found


class NumberOr(_Type):
    """A whole number, or one word in its place."""

    def __init__(self, word: str) -> None:
        self.name = f"integer|{word}"
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == self._word else click.INT.convert(value, param, ctx)


class BoolOr(_Type):
    """True or false, or one word in its place."""

    def __init__(self, word: str) -> None:
        self.name = f"true|false|{word}"
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == self._word else click.BOOL.convert(value, param, ctx)


_SAMPLING = (
    click.option("--model", required=True, metavar="NAME", help="Which model answers."),
    click.option("--max-tokens", type=int, metavar="N", help="Most tokens of an answer."),
    click.option("--stop", multiple=True, metavar="TEXT", help="Where an answer ends. Repeatable."),
    click.option("--temperature", type=float, metavar="X", help="Randomness, from 0."),
    click.option("--top-p", type=float, metavar="X", help="Share of probability that is considered, 0 to 1."),
    click.option("--top-k", type=int, metavar="N", help="Number of tokens that are considered."),
    click.option("--repetition-penalty", type=float, metavar="X", help="Above 1 discourages repetition."),
    click.option("--presence-penalty", type=float, metavar="X", help="Above 0 encourages new topics, -2 to 2."),
    click.option("--frequency-penalty", type=float, metavar="X", help="Above 0 discourages frequent words, -2 to 2."),
    click.option("--min-p", type=float, metavar="X", help="Least probability, relative to the likeliest token."),
    click.option("--safety-model", metavar="NAME", help="A moderation model that checks the answer."),
    click.option("--seed", type=int, metavar="N", help="The same seed gives the same answer, where the model can."),
    click.option("--extra-body", type=JSONObject(), metavar="JSON", help="Further fields: JSON, @file, or - for stdin."),
)
_ANSWERS = (
    click.option("--no-stream", is_flag=True, help="Show the answer only when it is whole."),
    click.option("--logprobs", type=int, metavar="N", help="Log probabilities; seen with --json or --raw."),
    click.option("--echo", is_flag=True, help="Bring the prompt back as well; seen with --json or --raw."),
    click.option("--n", type=click.IntRange(1), metavar="N", help="Number of answers. Above 1 they do not stream."),
    click.option("--raw", is_flag=True, help="Print what comes as JSON: a line for each chunk, or the whole with --no-stream."),
)


def sampling(command: F) -> F:
    """Give a command the options of sampling."""
    return _with(command, _SAMPLING)


def answers(command: F) -> F:
    """Give a command the options of how answers come."""
    return _with(command, _ANSWERS)


def _with(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given: those that are not are not sent."""
    return {name: value for name, value in options.items() if value is not None and value != () and value is not False}


def text_of(argument: str) -> str:
    """Return an argument, or for `-` what stdin holds."""
    return sys.stdin.read() if argument == "-" else argument


def texts_of(arguments: Iterable[str]) -> list[str]:
    """Return arguments, each line of stdin in place of a `-`. Empty lines are left out."""
    texts: list[str] = []
    for argument in arguments:
        texts += [line for line in sys.stdin.read().splitlines() if line.strip()] if argument == "-" else [argument]
    return texts


def confirm(question: str, *, default: bool, flag: str) -> None:
    """Ask whether to go on.

    Args:
        question: What is asked, on stderr.
        default: What an empty answer means.
        flag: How to go on without a question.

    Raises:
        Declined: The answer was no.
        UsageError: There is nobody to answer.
    """
    try:
        agreed = click.confirm(question, default=default, err=True)
    except click.Abort:
        if is_terminal(sys.stdin):
            raise
        note("")
        raise click.UsageError(f"nobody is there to answer: pass {flag}") from None
    if not is_terminal(sys.stdin):
        note("")
    if not agreed:
        raise Declined("nothing was done, as you wished")


def new_file(path: Path, overwrite: bool) -> Path:
    """Return a path that may be written to.

    Raises:
        FileExistsError: Something is there already.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already: name another file, or pass --overwrite")
    return path


overwrite_option = click.option("--overwrite", "--force", is_flag=True, help="Replace a file that is there already.")
