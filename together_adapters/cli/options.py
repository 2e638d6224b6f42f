"""Options and parameter types that several commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from together_adapters.atomic_files import is_stream

if TYPE_CHECKING:
    from together_adapters.cli.command import Session
    from together_adapters.client import Together

F = TypeVar("F", bound=Callable[..., Any])

EXISTING_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING_FOLDER: Final = click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_DATA_SUFFIXES: Final = (".jsonl", ".json", ".csv", ".parquet", ".txt", ".gz")
COUNT: Final = click.IntRange(1)


def read_text(argument: str) -> str:
    """Returns an argument, or the content of stdin for `-`."""
    return sys.stdin.read() if argument == "-" else argument


def read_texts(arguments: Iterable[str]) -> list[str]:
    """Returns arguments, with the non-empty lines of stdin for `-`."""
    texts: list[str] = []
    for argument in arguments:
        texts += [line for line in sys.stdin.read().splitlines() if line.strip()] if argument == "-" else [argument]
    return texts


def file_or_id(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuses the path of a file that does not exist where an id may be passed as well."""
    if not Path(value).is_file() and ("/" in value or Path(value).suffix in _DATA_SUFFIXES):
        raise click.BadParameter(f"{value} does not exist, and is no id of an uploaded file, file-...", ctx, parameter)
    return value


def json_value(text: str) -> Any:
    """Parses JSON: as text, `@path` for a file, `-` for stdin."""
    import json

    try:
        return json.loads(Path(text[1:]).read_text("utf-8") if text.startswith("@") else read_text(text))
    except (ValueError, OSError) as error:
        raise click.BadParameter(f"invalid JSON: {error}") from None


def json_object(text: str) -> dict[str, Any]:
    """Parses a JSON object, like `json_value`."""
    data = json_value(text)
    if not isinstance(data, dict):
        raise click.BadParameter("not a JSON object")
    return data


def _integer_or_max(text: Any) -> Any:
    return text if text == "max" else click.INT.convert(text, None, None)


def _boolean_or_auto(text: Any) -> Any:
    return text if text == "auto" else click.BOOL.convert(text, None, None)


def _parse_purpose(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    from together_adapters.types.files import parse_purpose

    return parse_purpose(value)


def options(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """Returns a decorator that adds several options, in their order."""

    def decorate(command: F) -> F:
        for option in reversed(decorators):
            command = option(command)
        return command

    return decorate


def check_changes(changes: Mapping[str, Any]) -> None:
    """Raises a UsageError if an update would change nothing."""
    if all(value is None for value in changes.values()):
        raise click.UsageError("nothing to change: pass at least one option")


sampling_options = options(
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
    click.option("--extra-body", type=json_object, metavar="JSON", help="Further fields of the request: JSON, @FILE, or -."),
)
generation_options = options(
    click.option("--no-stream", is_flag=True, help="Print the complete response at the end."),
    click.option("--logprobs", type=int, metavar="N", help="Log probabilities; printed with --json or --raw."),
    click.option("--echo", is_flag=True, help="Include the prompt; printed with --json or --raw."),
    click.option("--n", type=COUNT, metavar="N", help="Number of choices. More than one is not streamed."),
    click.option("--raw", is_flag=True, help="Print each chunk as a line of JSON, or the response with --no-stream."),
)
wait_timeout_option = click.option(
    "--wait-timeout", "timeout", type=float, metavar="SECONDS", help="Stop waiting after this time. Default: no limit."
)
overwrite_option = click.option("--overwrite", "--force", is_flag=True, help="Overwrite existing files.")
purpose_option = click.option(
    "--purpose", default="fine-tune", metavar="NAME", callback=_parse_purpose, help="fine-tune, eval, batch-api or calibration."
)


def wait_options(poll_interval: float) -> Callable[[F], F]:
    """Adds `--poll-interval`, with its default, and `--wait-timeout`."""
    positive = click.FloatRange(0, min_open=True)
    text = "Longest time between two status requests, which grows from a second."
    interval = click.option("--poll-interval", type=positive, default=poll_interval, metavar="SECONDS", help=text)
    return options(interval, wait_timeout_option)


def wait_option(state: str, *, default: bool = False) -> Callable[[F], F]:
    """Adds `--wait/--no-wait`, which waits for a state."""
    return click.option("--wait/--no-wait", default=default, help=f"Wait until it is {state}.")


def drop_unset(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that were passed: the others are not sent."""
    return {name: value for name, value in options.items() if value is not None and value != () and value is not False}


def check_new(path: Path, overwrite: bool) -> Path:
    """Returns the path of a file to write; raises FileExistsError if it exists and may not be overwritten."""
    if path.exists() and not (overwrite or is_stream(path)):
        raise FileExistsError(f"{path} already exists: choose another file, or pass --overwrite")
    return path


# Options of a fine-tuning job: flags, type, metavar and help. Their defaults are those of `client.fine_tuning.create`.
_TRAINING: Final[tuple[tuple[str, Any, str | None, str], ...]] = (
    ("--model -m", str, "NAME", "Model to train, one of `fine-tuning list-supported-models`; or use --from-checkpoint."),
    ("--from-checkpoint", str, "ID[:STEP]", "Job or model to continue training from."),
    ("--suffix -s", str, "TEXT", "Suffix for the name of the new model, up to 40 characters."),
    ("--n-epochs -ne", COUNT, "N", "Number of epochs. Default: 1."),
    ("--n-evals", click.IntRange(0), "N", "Number of evaluations on the validation file. Default: 0."),
    ("--n-checkpoints -c", click.IntRange(0), "N", "Number of checkpoints to save. Default: 1."),
    ("--batch-size -b", _integer_or_max, "N|max", "Rows per step. Default: max."),
    ("--lr-scheduler-type", click.Choice(["linear", "cosine"]), None, "Learning rate schedule. Default: cosine."),
    ("--min-lr-ratio", float, "X", "Final learning rate, as a ratio of the peak. Default: 0."),
    ("--scheduler-num-cycles", float, "X", "Number of cycles of the cosine schedule. Default: 0.5."),
    ("--warmup-ratio", float, "X", "Share of the steps for warm-up, 0 to 1. Default: 0."),
    ("--max-grad-norm", float, "X", "Maximum gradient norm; 0 disables clipping. Default: 1."),
    ("--weight-decay", float, "X", "Weight decay. Default: 0."),
    ("--lora-r", COUNT, "N", "Rank of the adapter. Default: the maximum of the model."),
    ("--lora-dropout", float, "X", "Dropout of the adapter, from 0 to below 1. Default: 0."),
    ("--lora-alpha", float, "X", "Scaling of the adapter. Default: twice the rank."),
    ("--lora-trainable-modules", str, "A,B,...", "Modules of the adapter. Default: all-linear."),
    ("--training-method", click.Choice(["sft", "dpo"]), None, "dpo is for preference data. Default: sft."),
    ("--dpo-beta", float, "X", "DPO: strength of the penalty for deviating from the base model."),
    ("--dpo-normalize-logratios-by-length", bool, None, "DPO: normalize log ratios by length. Default: false."),
    ("--rpo-alpha", float, "X", "DPO: weight of the loss of the preferred output (RPO)."),
    ("--simpo-gamma", float, "X", "DPO: reward margin (SimPO)."),
    ("--wandb-api-key", str, "KEY", "Weights & Biases: API key."),
    ("--wandb-base-url", str, "URL", "Weights & Biases: URL of the server."),
    ("--wandb-project-name", str, "NAME", "Weights & Biases: project."),
    ("--wandb-name", str, "NAME", "Weights & Biases: run."),
    ("--wandb-entity", str, "NAME", "Weights & Biases: team."),
    ("--train-on-inputs", _boolean_or_auto, "true|false|auto", "Train on prompts too. Default: auto."),
    ("--train-vision", bool, None, "Train the vision part of the model too. Default: false."),
    ("--from-hf-model", str, "REPO", "Hugging Face repository to start from, similar to --model."),
    ("--hf-model-revision", str, "TEXT", "Branch or commit of that repository."),
    ("--hf-api-token", str, "TOKEN", "Hugging Face token."),
    ("--hf-output-repo-name", str, "REPO", "Hugging Face repository to upload the result to."),
    ("--packing/--no-packing", None, None, "Pack several rows into one sequence. Default: packing."),
    ("--max-seq-length", COUNT, "N", "Maximum length of a sequence in tokens; longer rows are truncated."),
    ("--random-seed", int, "N", "Random seed of the training."),
)


def training_options(*names: str) -> Callable[[F], F]:
    """Adds options of a fine-tuning job: those with these flags, or all."""
    return options(
        *(
            click.option(*flags.split(), type=type, metavar=metavar, default=None, help=text)
            for flags, type, metavar, text in _TRAINING
            if not names or flags.split()[0] in names
        )
    )


price_option: Final = click.option(
    "--price",
    "prices",
    multiple=True,
    type=(str, click.FloatRange(0), click.FloatRange(0)),
    metavar="NAME INPUT OUTPUT",
    help="What a model costs, in dollars per million tokens, whoever else says it. May be repeated.",
)


def client_with_prices(session: Session, prices: Sequence[tuple[str, float, float]]) -> Together:
    """Returns the client, with the prices of `--price`."""
    if not prices:
        return session.client
    from together_adapters.control import Control

    table = {name: {"input": input, "output": output} for name, input, output in prices}
    return session.client.with_options(control=Control(prices=table))
