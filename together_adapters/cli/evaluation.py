"""`evaluation`: model outputs that a judge model classifies, scores or compares."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.files import upload_for_job
from together_adapters.cli.options import F, file_or_id, read_text, wait_options
from together_adapters.cli.output import Column, Table, format_time, print_details
from together_adapters.errors import DatasetError

_SOURCES: Final = ("serverless", "dedicated", "external")
_MODELS: Final = {
    "model_to_evaluate": ("--model-field", "the model"),
    "model_a": ("--model-a-field", "model A"),
    "model_b": ("--model-b-field", "model B"),
}
_FIELDS: Final = {
    "source": (click.Choice(_SOURCES), None, "Source of {}."),
    "external-api-token": (str, "TOKEN", "API token of {}, if it is external."),
    "external-base-url": (str, "URL", "URL of {}, if it is external."),
    "max-tokens": (int, "N", "Maximum number of tokens of an output of {}."),
    "temperature": (float, "X", "Sampling temperature of {}."),
    "system-template": (str, "TEXT", "System message for {}."),
    "input-template": (str, "TEXT", "Prompt for {}, with {{{{column}}}} for a column of the file."),
}

_REQUIRED: Final = ("", "source", "max-tokens", "temperature", "system-template", "input-template")


def _model_options(command: F) -> F:
    """Adds the options of the evaluated models: a column of the file, or a model that generates the outputs."""
    for name, (column, model) in reversed(_MODELS.items()):
        flag = name.replace("_", "-")
        for field, (kind, metavar, text) in reversed(_FIELDS.items()):
            command = click.option(f"--{flag}-{field}", type=kind, metavar=metavar, help=text.format(model))(command)
        command = click.option(f"--{flag}", metavar="NAME", help=f"Name of {model}, which generates outputs.")(command)
        command = click.option(column, metavar="COLUMN", help=f"Column of the file with the outputs of {model}.")(command)
    return command


@click.group("evaluation", cls=Group)
def evaluation() -> None:
    """Evaluate model outputs with a judge model."""


@evaluation.command("create")
@click.option("--type", "type", type=click.Choice(["classify", "score", "compare"]), required=True, help="Kind of evaluation.")
@click.option("--judge-model", required=True, metavar="NAME", help="Judge model.")
@click.option("--judge-model-source", type=click.Choice(_SOURCES), required=True, help="Source of the judge model.")
@click.option("--judge-external-api-token", metavar="TOKEN", help="API token of the judge model, if it is external.")
@click.option("--judge-external-base-url", metavar="URL", help="URL of the judge model, if it is external.")
@click.option("--judge-system-template", required=True, metavar="TEXT", help="System message for the judge model; - reads stdin.")
@click.option(
    "--input-data-file-path",
    required=True,
    metavar="ID|FILE",
    callback=file_or_id,
    help="ID of a file uploaded with the purpose eval, or a file to upload.",
)
@click.option("--labels", metavar="A,B,...", help="classify: the labels.")
@click.option("--pass-labels", metavar="A,...", help="classify: the labels that count as passed.")
@click.option("--min-score", type=float, metavar="X", help="score: the minimum score.")
@click.option("--max-score", type=float, metavar="X", help="score: the maximum score.")
@click.option("--pass-threshold", type=float, metavar="X", help="score: the minimum score that counts as passed.")
@_model_options
def create(session: Session, /, labels: str | None, pass_labels: str | None, **options: Any) -> Any:
    """Create an evaluation, which costs money.

    The outputs are in a column of the file (--model-field, --model-a-field, --model-b-field), or a model generates them
    (--model-to-evaluate..., --model-a..., --model-b...). `ft judge` asks two models the questions of a validation file.

    Examples:
      together-adapters evaluation create --type compare --input-data-file-path questions.jsonl \\
      --judge-model openai/gpt-oss-120b --judge-model-source serverless --judge-system-template "Which answer is better?" \\
      --model-a-field answer --model-b Qwen/Qwen3.5-9B --model-b-source serverless --model-b-max-tokens 200 \\
      --model-b-temperature 0 --model-b-system-template "Be brief." --model-b-input-template "{{prompt}}"
    """  # noqa: D301
    models: dict[str, Any] = {name: _pop_model(name, options) for name in _MODELS}
    options["judge_system_template"] = read_text(options["judge_system_template"])
    options |= {"labels": _split(labels), "pass_labels": _split(pass_labels), **models}
    path = Path(options["input_data_file_path"])
    if not path.is_file():
        return session.client.evaluation.create(**options)
    _check(path, options)
    with upload_for_job(session, path, "eval") as options["input_data_file_path"]:
        return session.client.evaluation.create(**options)


def _check(path: Path, options: Mapping[str, Any]) -> None:
    """Raises a ValueError if the parameters are not valid, or name columns that a file does not have."""
    from together_adapters.resources.evaluation import check_templates, create

    parameters: dict[str, Any] = {**options, "input_data_file_path": "unsent"}
    create(**parameters)  # sends nothing, but checks
    check_templates(options, read_columns(path))


def read_columns(path: Path) -> list[str]:
    """Returns the columns of a file: those of the first row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".csv":
            return next(csv.reader(file), [])
        try:
            return list(json.loads(next((line for line in file if line.strip()), "{}")))
        except ValueError as error:
            raise DatasetError(f"the first line of {path} is not JSON: {error}") from None


def _pop_model(name: str, options: dict[str, Any]) -> str | dict[str, Any] | None:
    """Removes the options of one model, and returns them as the service expects them: a column, an object or None."""
    flag, model = _MODELS[name]
    column: str | None = options.pop(flag.strip("-").replace("-", "_"))
    fields = {"model": options.pop(name)}
    for field in _FIELDS:
        fields[_key(field)] = options.pop(f"{name}_{field.replace('-', '_')}")
    fields = {field: value for field, value in fields.items() if value is not None}
    if column is not None and fields:
        raise click.UsageError(
            f"{flag} and --{name.replace('_', '-')}... exclude each other: one of them gives the outputs of {model}"
        )
    if fields and (missing := [option for option in _REQUIRED if _key(option) not in fields]):
        flags = ", ".join(f"--{name.replace('_', '-')}{f'-{option}' if option else ''}" for option in missing)
        raise click.UsageError(f"{model} requires {flags}")
    return column if column is not None else fields or None


def _key(option: str) -> str:
    """Returns the field of a model that an option sets."""
    return {"": "model", "source": "model_source"}.get(option, option.replace("-", "_"))


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _model_name(name: str, job: Any) -> object:
    model = (job.parameters or {}).get(name)
    return model.get("model") if isinstance(model, dict) else model


_EVALUATIONS: Final = Table(
    Column("Workflow ID", "workflow_id", no_wrap=True),
    Column("Type", "type"),
    Column("Status", "status"),
    Column("Created at", "created_at", format_time, drop=1),
    Column("Model", partial(_model_name, "model_to_evaluate")),
    Column("Model A", partial(_model_name, "model_a")),
    Column("Model B", partial(_model_name, "model_b")),
    empty="No evaluations.",
)
_id = click.argument("evaluation_id")
evaluation.add_call("retrieve", "Show the details of an evaluation.", _id)
evaluation.add_call("status", "Show only the status and the results of an evaluation.", _id)
evaluation.add_call(
    "list",
    "List evaluations.",
    click.option("--status", metavar="NAME", help="Only evaluations with this status."),
    click.option("--limit", type=click.IntRange(1, 100), metavar="N", help="Maximum number of evaluations."),
    view=_EVALUATIONS,
)
_print_job = partial(print_details, omit=["parameters"])
_WAIT: Final = "Wait until an evaluation has ended. Exit code 3 if it failed."
evaluation.add_call("wait", _WAIT, _id, wait_options(5.0), bar="job", view=_print_job)
