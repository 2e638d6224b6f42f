"""`evaluation`: a judge model looks at answers and sorts, marks or compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from together_adapters.cli.arguments import text_of
from together_adapters.cli.command import Group, Session
from together_adapters.cli.output import Column, details, document, moment, plain_data, table
from together_adapters.cli.progress import job_bar

F = TypeVar("F", bound=Callable[..., Any])

_SOURCES: Final = ("serverless", "dedicated", "external")
_MODELS: Final = {
    "model_to_evaluate": ("--model-field", "the model"),
    "model_a": ("--model-a-field", "model A"),
    "model_b": ("--model-b-field", "model B"),
}
_FIELDS: Final = {
    "source": (click.Choice(_SOURCES), "Where {} runs."),
    "external-api-token": (str, "The key of {}, where it is external."),
    "external-base-url": (str, "The address of {}, where it is external."),
    "max-tokens": (int, "Most tokens of an answer of {}."),
    "temperature": (float, "Randomness of {}."),
    "system-template": (str, "What {} is told before anything else."),
    "input-template": (str, "What {} is asked, with {{{{column}}}} from the file."),
}


def _models(command: F) -> F:
    """Give a command the options of the models whose answers are judged: a column of the file, or a model in full."""
    for name, (column, words) in reversed(_MODELS.items()):
        flag = name.replace("_", "-")
        for field, (kind, text) in reversed(_FIELDS.items()):
            command = click.option(f"--{flag}-{field}", type=kind, metavar=_metavar(kind), help=text.format(words))(command)
        command = click.option(f"--{flag}", metavar="NAME", help=f"Have {words} answer: its name.")(command)
        command = click.option(column, metavar="COLUMN", help=f"The column that has the answers of {words} already.")(command)
    return command


def _metavar(kind: Any) -> str | None:
    return {str: "TEXT", int: "N", float: "X"}.get(kind)


@click.group("evaluation", cls=Group)
def evaluation() -> None:
    """Have a judge model look at answers."""


@evaluation.command("create")
@click.option("--type", "type", type=click.Choice(["classify", "score", "compare"]), required=True, help="What the judge does.")
@click.option("--judge-model", required=True, metavar="NAME", help="The model that judges.")
@click.option("--judge-model-source", type=click.Choice(_SOURCES), required=True, help="Where it runs.")
@click.option("--judge-external-api-token", metavar="TOKEN", help="Its key, where it is external.")
@click.option("--judge-external-base-url", metavar="URL", help="Its address, where it is external.")
@click.option("--judge-system-template", required=True, metavar="TEXT", help="What it is to look at; - takes it from stdin.")
@click.option("--input-data-file-path", required=True, metavar="ID", help="The id of a file that was sent for eval.")
@click.option("--labels", metavar="A,B,...", help="classify: what it can choose from.")
@click.option("--pass-labels", metavar="A,...", help="classify: the good ones among them.")
@click.option("--min-score", type=float, metavar="X", help="score: the lowest mark.")
@click.option("--max-score", type=float, metavar="X", help="score: the highest mark.")
@click.option("--pass-threshold", type=float, metavar="X", help="score: the lowest mark that passes.")
@_models
@click.pass_obj
def create(session: Session, /, labels: str | None, pass_labels: str | None, **options: Any) -> None:
    """Start an evaluation of answers that are in the file (--model-field, --model-a-field, --model-b-field) or that are
    made for it (--model-to-evaluate..., --model-a..., --model-b...). It costs money.
    """  # noqa: D205
    session.hide(*(value for name, value in options.items() if name.endswith("api_token")))
    chosen: dict[str, Any] = {name: _model_of(name, options) for name in _MODELS}
    options["judge_system_template"] = text_of(options["judge_system_template"])
    started = session.client.evaluation.create(labels=_names(labels), pass_labels=_names(pass_labels), **options, **chosen)
    document(started) if session.as_json else details(started)


def _model_of(name: str, options: dict[str, Any]) -> str | dict[str, Any] | None:
    """Take the options of one model, and return them as the service wants them.

    Raises:
        UsageError: A column and a model are both named.
    """
    flag, words = _MODELS[name]
    column = options.pop(flag.strip("-").replace("-", "_"))
    fields = {"model": options.pop(name)}
    for field in _FIELDS:
        key = field.replace("-", "_")
        fields["model_source" if key == "source" else key] = options.pop(f"{name}_{key}")
    made = {field: value for field, value in fields.items() if value is not None}
    if column is not None and made:
        raise click.UsageError(f"{flag} says that the file has the answers of {words}: leave out --{name.replace('_', '-')}...")
    return column if column is not None else made or None


def _names(given: str | None) -> list[str] | None:
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


@evaluation.command("list")
@click.option("--status", metavar="NAME", help="Only those with this status.")
@click.option("--limit", type=click.IntRange(1, 100), metavar="N", help="At most so many.")
@click.pass_obj
def list_evaluations(session: Session, status: str | None, limit: int | None) -> None:
    """List evaluations."""
    found = session.client.evaluation.list(status=status, limit=limit)
    if session.as_json:
        document(found)
        return
    columns = (
        Column("Workflow ID", whole=True),
        Column("Type"),
        Column("Status"),
        Column("Created at", extra=1),
        Column("Model"),
        Column("Model A"),
        Column("Model B"),
    )
    rows = [
        (job.workflow_id, job.type, job.status, moment(job.created_at), *(_name(job.parameters, name) for name in _MODELS))
        for job in found
    ]
    table(columns, rows, nothing="No evaluations.")


def _name(parameters: dict[str, Any] | None, name: str) -> object:
    model = (parameters or {}).get(name)
    return model.get("model") if isinstance(model, dict) else model


@evaluation.command("retrieve")
@click.argument("evaluation_id")
@click.pass_obj
def retrieve(session: Session, evaluation_id: str) -> None:
    """Look at an evaluation."""
    found = session.client.evaluation.retrieve(evaluation_id)
    document(found) if session.as_json else details(found)


@evaluation.command("status")
@click.argument("evaluation_id")
@click.pass_obj
def status(session: Session, evaluation_id: str) -> None:
    """Look at the status and the results of an evaluation alone."""
    found = session.client.evaluation.status(evaluation_id)
    document(found) if session.as_json else details(found)


@evaluation.command("wait")
@click.argument("evaluation_id")
@click.option(
    "--poll-interval",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option("--wait-timeout", type=float, metavar="SECONDS", help="When to give up; never by default.")
@click.pass_obj
def wait(session: Session, evaluation_id: str, poll_interval: float, wait_timeout: float | None) -> None:
    """Wait until an evaluation is done; exit code 3 where it failed."""
    with job_bar() as show:
        job = session.client.evaluation.wait(evaluation_id, poll_interval=poll_interval, timeout=wait_timeout, progress=show)
    told = {name: value for name, value in plain_data(job).items() if session.as_json or name != "parameters"}
    document(told) if session.as_json else details(told)
