"""`models`: the available models, what is known of one, those that files name, and the upload of one's own."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from together_adapters.cli.command import Group, Session
from together_adapters.cli.exit_codes import INVALID_DATA
from together_adapters.cli.output import Column, Result, Table, to_jsonable
from together_adapters.cli.terminal import is_terminal, note, printable, spinner, write
from together_adapters.errors import ConfigurationError, TogetherError

if TYPE_CHECKING:
    from together_adapters.types.models import ModelInfo

_TYPES: Final = ("chat", "language", "code", "image", "embedding", "moderation", "rerank", "audio", "transcribe", "video")
_AUDIO: Final = ("audio", "transcribe")  # speech and transcription, which the catalogue does not always tell apart


def _count(number: Any) -> Any:
    """Returns a number with separators, a large one in millions; a catalogue may hold something else."""
    if not isinstance(number, int):
        return number
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:.2f}M"


def _prices(model: Any) -> str:
    """Returns the prices of input and of output; nothing for what is not sold by the token."""
    pricing = model.get("pricing")
    if not isinstance(pricing, dict):
        return str(pricing or "")
    prices = (_price(pricing.get("input")), _price(pricing.get("output")))
    return "/".join(map(str, filter(None, prices)))


def _price(dollars: Any) -> Any:
    """Returns a price with two digits after the point, or as many as it has."""
    if not dollars or not isinstance(dollars, int | float):
        return dollars
    return f"{dollars:.2f}" if round(dollars, 2) == dollars else f"{dollars:g}"


_IS_SERVED: Final = {"served": "yes", "gone": "gone"}
_MODELS: Final = Table(
    Column("ID", "id", no_wrap=True),
    Column("Type", "type", drop=2),
    Column("Context, tokens", "context_length", _count, right=True, drop=1),
    Column("Can", "abilities", " ".join, whole=True, drop=3),
    Column("$/1M in/out", _prices, right=True, drop=1),
    Column("Served", lambda model: _IS_SERVED.get(model["status"].split()[0], "?")),
    Column("Status", "status", whole=True, drop=4),
    empty="No models.",
)
_ABILITIES: Final = {
    "tools": "tools",
    "json": "json_schema",
    "images": "vision",
    "audio": "audio",
    "video": "video",
    "reasoning": "reasoning",
}
_OF_CATALOGUE: Final = ("type", "context_length", "prices")


@click.group("models", cls=Group)
def models() -> None:
    """List and upload models, show what is known of one, and check those that files name."""


@models.command("list")
@click.option(
    "--type",
    "kind",
    type=click.Choice([*_TYPES, "dedicated"]),
    help="Only models of a type (audio and transcribe are one), or for dedicated endpoints.",
)
@click.option("--table", "from_table", is_flag=True, help="List the table of this library: needs no key and no network.")
def list_models(session: Session, kind: str | None, from_table: bool) -> Result:
    """List the available models: the tokens that each reads, what it can do, its prices in dollars per million tokens of input and output, and whether it is served. A narrow terminal shows the first columns; --json has all, with names, organizations and licenses.

    `fine-tuning list-supported-models` lists those that can be fine-tuned. What a model can do is as the table of this library says:
    tools, json (schemas), images, audio, video, reasoning.
    The catalogue of the service does not say whether a model is served. The status does, by the table of this library: served on the
    last day on which the vendor listed the model as serverless, gone since a day, not listed, or unknown to the table.
    """
    if from_table and kind == "dedicated":
        raise click.UsageError("--table does not say which models can run on a dedicated endpoint: leave out one of the two")
    entries = _table() if from_table else _catalogue(session, dedicated=kind == "dedicated")
    kinds = _AUDIO if kind in _AUDIO else (kind,)
    return Result([entry for entry in entries if kind in (None, "dedicated") or entry.get("type") in kinds], _MODELS)


@models.command("show")
@click.argument("name")
def show(session: Session, name: str) -> dict[str, Any]:
    """Show what is known of a model: its status, length, abilities and prices, with sources and dates.

    With a key, the catalogue of the service counts over the table of this library: `source` says which it was. `fine_tuning` is true
    for models that can be fine-tuned, as the service says; `fine-tuning model-limits` shows the limits.
    """
    from together_adapters.types.capabilities import advice, alternatives, canonical_name, status, table_facts

    info = _info(session, name)
    is_tunable = info.source in ("service", "unknown") and _is_tunable(session, name)
    if info.source == "unknown" and not is_tunable:
        raise click.UsageError(_no_model(session, name))
    source = "service" if is_tunable else info.source
    facts = {"name": canonical_name(name), "status": status(name), "source": source, **table_facts(name)}
    facts |= {"fine_tuning": True} if is_tunable else {}
    if info.source == "service":
        facts |= {key: value for key in _OF_CATALOGUE if (value := to_jsonable(getattr(info, key)))}
    return facts | ({"alternatives": alternatives(name), "advice": advice(name)} if info.is_removed else {})


@models.command("check")
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=click.Path(exists=True, path_type=Path))
@click.option("--exclude", multiple=True, metavar="GLOB", help="Files or folders to leave out. Repeatable.")
@click.option("--fail-on-unknown", is_flag=True, help="Exit with 1 for unknown models too.")
@click.option("--all", "show_all", is_flag=True, help="Print the models that are fine too.")
@click.option("--quiet", is_flag=True, help="Print the models alone that are the reason to fail.")
def check(
    session: Session, paths: tuple[Path, ...], exclude: tuple[str, ...], fail_on_unknown: bool, show_all: bool, quiet: bool
) -> Result:
    """Find the names of models in files and folders, and say which are gone, unknown or fine.

    Needs no key and no network: what counts is the table of this library. Its models are found wherever their names stand; others
    only where a setting or a flag names a model (model=, "model":, --model), and not if the name is another provider's. Binary files
    and files that git ignores are not read. A comment "models-check: ignore" exempts its line, and alone in a line the next one.
    Exit code 1: a model is gone, or, with --fail-on-unknown, unknown.

    Example: together-adapters models check src README.md --exclude tests/data
    """
    from together_adapters.cli.model_names import find_names, judge
    from together_adapters.cli.text_files import files_under, read_text
    from together_adapters.types.capabilities import TABLE_DATE

    mentions: list[dict[str, Any]] = []
    unread: list[dict[str, str]] = []
    count = 0
    for file in files_under(paths or [Path()], exclude):
        try:
            text = read_text(file)
        except (OSError, ValueError) as error:
            unread.append({"file": str(file), "reason": getattr(error, "strerror", None) or str(error)})
            continue
        if text is not None:
            count += 1
            mentions += [{"file": str(file), "line": line, **judge(name)} for line, name in find_names(text, file)]
    totals = Counter({"gone": 0, "unknown": 0, "fine": 0} | Counter(mention["status"] for mention in mentions))
    report = {"table": TABLE_DATE, "files": count, **totals, "mentions": mentions, "skipped": unread}
    reasons = {"gone", "unknown"} if fail_on_unknown else {"gone"}
    statuses = set(totals) if show_all else reasons if quiet else {"gone", "unknown"}
    failed = any(totals[status] for status in reasons)
    return Result(report, lambda _: _print_report(report, statuses), exit_code=INVALID_DATA if failed else 0)


models.add_call(
    "upload",
    "Upload a model or an adapter. The service downloads it from its source.",
    click.option("--model-name", required=True, metavar="NAME", help="Name of the model on Together AI."),
    click.option("--model-source", required=True, metavar="SOURCE", help="Hugging Face repository, or S3 path or URL."),
    click.option("--model-type", type=click.Choice(["model", "adapter"]), default="model", help="Kind of model."),
    click.option("--hf-token", metavar="TOKEN", help="Hugging Face token, for a private repository."),
    click.option("--description", metavar="TEXT", help="Description of the model."),
    click.option("--base-model", metavar="NAME", help="Adapter: its serverless base model."),
    click.option("--lora-model", metavar="NAME", help="Adapter: its dedicated base model."),
)


def _catalogue(session: Session, *, dedicated: bool) -> list[dict[str, Any]]:
    with spinner("loading"):
        return [
            _with_status(to_jsonable(model), str(model.id or "")) for model in session.client.models.list(dedicated=dedicated)
        ]


def _table() -> list[dict[str, Any]]:
    """Returns the models of the table, with the fields of the catalogue."""
    from together_adapters.types.capabilities import MODELS, capabilities, table_facts

    rows = []
    for name in MODELS:
        facts = table_facts(name)
        row = {
            "id": name,
            "type": capabilities(name).type,
            "context_length": facts.get("context_length"),
            "pricing": facts.get("prices"),
        }
        rows.append(_with_status({key: value for key, value in row.items() if value is not None}, name))
    return rows


def _with_status(row: dict[str, Any], name: str) -> dict[str, Any]:
    from together_adapters.types.capabilities import capabilities, is_known, status, table_facts

    if is_known(name):
        facts = capabilities(name)
        row = {**row, "abilities": [word for word, field in _ABILITIES.items() if getattr(facts, field)]}
    dates = {key: date for key, date in table_facts(name).items() if key in ("served_on", "removed_on")}
    return {**row, "status": status(name), **dates}


def _info(session: Session, name: str) -> ModelInfo:
    """Returns what the service and the table say; the table alone without a key, and where the service does not answer."""
    from together_adapters.types.models import model_info

    try:
        with spinner("loading"):
            return session.client.models.info(name)
    except ConfigurationError:
        if session.settings.get("api_key") or os.environ.get("TOGETHER_API_KEY"):
            raise
    except TogetherError as error:
        note(f"The catalogue is not available, the table alone is shown: {session.error_line(error).removeprefix('error: ')}")
    return model_info(name, None)


def _is_tunable(session: Session, name: str) -> bool:
    """Whether the service fine-tunes a model; False where it does not answer."""
    with suppress(TogetherError):
        return name.lower() in map(str.lower, session.client.fine_tuning.list_supported_models().models)
    return False


def _no_model(session: Session, name: str) -> str:
    from together_adapters.types.capabilities import similar_names

    catalogue: list[str] = []
    with suppress(TogetherError):
        catalogue = [str(model.id) for model in session.client.models.list() if model.id]
    names = ", ".join(similar_names(name, catalogue))
    where = "in the catalogue of the service and in the table of models" if catalogue else "in the table of models"
    return f"no model {name!r} {where}; {f'similar names: {names}; ' if names else ''}all names: together-adapters models list"


def _print_report(report: dict[str, Any], statuses: Container[str]) -> None:
    width = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 0
    for mention in report["mentions"]:
        if mention["status"] in statuses:
            line = printable(f"{mention['file']}:{mention['line']}: {mention['message']}")
            write((_wrap(line, width) if width else line) + "\n")
    for entry in report["skipped"]:
        note(f"not read: {entry['file']}: {entry['reason']}")
    counts = ", ".join(f"{report[status]} {status}" for status in ("gone", "unknown", "fine"))
    files = f"{report['files']:,} file{'' if report['files'] == 1 else 's'}"
    line = f"{files}: {counts} (table of {report['table']}; other names count behind model= and the like)"
    write((_wrap(line, width) if width else line) + "\n")


def _wrap(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
