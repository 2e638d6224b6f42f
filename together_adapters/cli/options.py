"""Options and parameter types that several commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # not generic in older versions of click

EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING_FOLDER: Final = click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
COUNT: Final = click.IntRange(1)


class JSONObject(_Type):
    """A JSON object: as text, `@path` for a file, `-` for stdin."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Mapping):
            return value
        try:
            data = json.loads(Path(value[1:]).read_text("utf-8") if value.startswith("@") else read_text(value))
        except (ValueError, OSError) as error:
            self.fail(f"invalid JSON: {error}", param, ctx)
        if not isinstance(data, dict):
            self.fail("not a JSON object", param, ctx)
        return data


class OrWord(_Type):
    """A value of another type, or one word in its place."""

    def __init__(self, type: _Type, word: str) -> None:
        self.name = f"{type.name}|{word}"
        self._type = type
        self._word = word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == self._word else self._type.convert(value, param, ctx)


_SAMPLING: Final = (
    click.option("--model", required=True, metavar="NAME", help="The model."),
    click.option("--max-tokens", type=int, metavar="N", help="Maximum number of tokens to generate."),
    click.option("--stop", multiple=True, metavar="TEXT", help="Stop sequence. Repeatable."),
    click.option("--temperature", type=float, metavar="X", help="Sampling temperature, from 0."),
    click.option("--top-p", type=float, metavar="X", help="Nucleus sampling: cumulative probability, 0 to 1."),
    click.option("--top-k", type=int, metavar="N", help="Sample from the N most likely tokens."),
    click.option("--repetition-penalty", type=float, metavar="X", help="Above 1 reduces repetition."),
    click.option("--presence-penalty", type=float, metavar="X", help="Above 0 favours new topics, -2 to 2."),
    click.option("--frequency-penalty", type=float, metavar="X", help="Above 0 penalizes frequent tokens, -2 to 2."),
    click.option("--min-p", type=float, metavar="X", help="Minimum probability, relative to the most likely token."),
    click.option("--safety-model", metavar="NAME", help="Moderation model that checks the output."),
    click.option("--seed", type=int, metavar="N", help="Random seed, for models that support it."),
    click.option("--extra-body", type=JSONObject(), metavar="JSON", help="Further fields of the request: JSON, @FILE, or -."),
)
_GENERATION: Final = (
    click.option("--no-stream", is_flag=True, help="Print the complete response at the end."),
    click.option("--logprobs", type=int, metavar="N", help="Log probabilities; printed with --json or --raw."),
    click.option("--echo", is_flag=True, help="Include the prompt; printed with --json or --raw."),
    click.option("--n", type=COUNT, metavar="N", help="Number of choices. More than one is not streamed."),
    click.option("--raw", is_flag=True, help="Print each chunk as a line of JSON, or the response with --no-stream."),
)


def sampling_options(command: F) -> F:
    """Adds the options of sampling."""
    return _add(command, _SAMPLING)


def generation_options(command: F) -> F:
    """Adds the options of one response: streaming, choices, log probabilities."""
    return _add(command, _GENERATION)


def wait_options(poll_interval: float) -> Callable[[F], F]:
    """Adds `--poll-interval`, with its default, and `--wait-timeout`."""
    interval = click.option(
        "--poll-interval",
        type=click.FloatRange(0, min_open=True),
        default=poll_interval,
        show_default=True,
        metavar="SECONDS",
        help="Time between two status requests.",
    )
    return lambda command: _add(command, (interval, wait_timeout_option))


def wait_option(state: str, *, default: bool = False) -> Callable[[F], F]:
    """Adds `--wait/--no-wait`, which waits for a state."""
    return click.option("--wait/--no-wait", default=default, show_default=True, help=f"Wait until it is {state}.")


def _add(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


wait_timeout_option = click.option(
    "--wait-timeout", type=float, metavar="SECONDS", help="Stop waiting after this time. Default: no limit."
)
overwrite_option = click.option("--overwrite", "--force", is_flag=True, help="Overwrite existing files.")
purpose_option = click.option(
    "--purpose", default="fine-tune", show_default=True, metavar="NAME", help="fine-tune, eval, batch-api or calibration."
)


def drop_unset(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that were passed: the others are not sent."""
    return {name: value for name, value in options.items() if value is not None and value != () and value is not False}


def read_text(argument: str) -> str:
    """Returns an argument, or the content of stdin for `-`."""
    return sys.stdin.read() if argument == "-" else argument


def read_texts(arguments: Iterable[str]) -> list[str]:
    """Returns arguments, with the non-empty lines of stdin for `-`."""
    texts: list[str] = []
    for argument in arguments:
        texts += [line for line in sys.stdin.read().splitlines() if line.strip()] if argument == "-" else [argument]
    return texts


def check_new(path: Path, overwrite: bool) -> Path:
    """Returns the path of a file to write.

    Raises:
        FileExistsError: The file exists, and it may not be overwritten.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} already exists: choose another file, or pass --overwrite")
    return path


# Options of a fine-tuning job that `fine-tuning create` and `ft submit` share; the former adds its short flags.
model_option = partial(click.option, "--model", metavar="NAME", help="Model to train; or use --from-checkpoint.")
from_checkpoint_option = partial(
    click.option, "--from-checkpoint", metavar="ID[:STEP]", help="Job or model to continue training from."
)
n_epochs_option = partial(click.option, "--n-epochs", type=COUNT, metavar="N", help="Number of epochs. Default: 1.")
n_evals_option = partial(
    click.option,
    "--n-evals",
    type=click.IntRange(0),
    metavar="N",
    help="Number of evaluations on the validation file. Default: 0.",
)
n_checkpoints_option = partial(
    click.option, "--n-checkpoints", type=COUNT, metavar="N", help="Number of checkpoints to save. Default: 1."
)
batch_size_option = partial(
    click.option, "--batch-size", type=OrWord(click.INT, "max"), metavar="N|max", help="Rows per step. Default: max."
)
learning_rate_option = partial(click.option, "--learning-rate", type=float, metavar="X")
lora_r_option = partial(
    click.option, "--lora-r", type=COUNT, metavar="N", help="Rank of the adapter. Default: the maximum of the model."
)
packing_option = partial(
    click.option, "--packing/--no-packing", default=None, help="Pack several rows into one sequence. Default: packing."
)
max_seq_length_option = partial(
    click.option, "--max-seq-length", type=COUNT, metavar="N", help="Maximum length of a sequence in tokens; longer rows are cut."
)
dpo_beta_option = partial(
    click.option, "--dpo-beta", type=float, metavar="X", help="DPO: strength of the penalty for deviating from the base model."
)
suffix_option = partial(
    click.option, "--suffix", metavar="TEXT", help="Suffix for the name of the new model, up to 40 characters."
)
random_seed_option = partial(click.option, "--random-seed", type=int, metavar="N", help="Random seed of the training.")
