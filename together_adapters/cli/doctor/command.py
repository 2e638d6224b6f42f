"""`doctor`: one page about the service as it answers today, for whoever has a key."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from together_adapters._version import __version__
from together_adapters.cli.command import Command, Session
from together_adapters.cli.exit_codes import INVALID_DATA, DeclinedError
from together_adapters.cli.output import Result
from together_adapters.cli.terminal import note, spinner
from together_adapters.errors import AuthenticationError
from together_adapters.types.capabilities import DEFAULT_CHAT_MODEL, Capabilities, capabilities

_INPUT_TOKENS: Final = 80  # of a request, its template included
_UNKNOWN_PRICE: Final = 20.0  # dollars per million tokens, where no table has a price: more than any model costs
_OPTIONS: Final = {"images": 0.01, "speech": 0.01}  # dollars that they may cost


@click.command("doctor", cls=Command)
@click.argument("program", nargs=-1, metavar="[PATH|MODEL]...")
@click.option("--model", default=DEFAULT_CHAT_MODEL, metavar="NAME", help="The chat model of the calls.")
@click.option("--embedding-model", metavar="NAME", help="The embedding model. Default: one that is gone, to see the error.")
@click.option("--rerank-model", metavar="NAME", help="The rerank model, likewise.")
@click.option(
    "--with", "extras", multiple=True, type=click.Choice(sorted(_OPTIONS)), help="Ask for what costs more too. Repeatable."
)
@click.option("--max-price", type=click.FloatRange(0), default=0.05, metavar="DOLLARS", help="Ask nothing if it may cost more.")
@click.option(
    "--record", "folder", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write what was seen as data."
)
@click.option(
    "--as-recorded", type=click.Path(exists=True, file_okay=False), metavar="DIR", help="Compare with an emulator of that record."
)
@click.option("--no-compare", is_flag=True, help="Start no emulator to compare with.")
def doctor(
    session: Session,
    program: tuple[str, ...],
    model: str,
    embedding_model: str | None,
    rerank_model: str | None,
    extras: tuple[str, ...],
    max_price: float,
    folder: Path | None,
    as_recorded: str | None,
    no_compare: bool,
) -> Result:
    """Examine the service: host, key, models, one cheap call of each kind, limits, and what nobody has written down.

    The page has no secrets: it can be pasted into an issue. PATH and MODEL are the program's files, or models that it uses; each
    chat model is asked for one token. An emulator is asked the same, and the page says where it differs; what was written with
    --record starts an emulator that does not: together-adapters emulator --as-recorded DIR.

    It begins an upload and aborts it, and changes nothing else. Exit code 1: a model of the program does not answer.

    Example: together-adapters doctor src --record together-today
    """
    from together_adapters.cli.doctor import examination, program_models
    from together_adapters.cli.doctor.calls import CALLS, REMOVED_EMBEDDING_MODEL, REMOVED_RERANK_MODEL, Subject
    from together_adapters.cli.doctor.exchanges import Service
    from together_adapters.cli.doctor.questions import QUESTIONS, limits
    from together_adapters.cli.doctor.recording import write_record
    from together_adapters.cli.doctor.report import print_page

    names = program_models.names_in(program)
    facts = capabilities(model)
    subject = Subject(
        model, embedding_model or REMOVED_EMBEDDING_MODEL, rerank_model or REMOVED_RERANK_MODEL, facts.context_length
    )
    probes = [*CALLS, *QUESTIONS]
    price = _price([probe.requests for probe in probes if probe.option in (None, *extras)], len(names), facts, extras)
    if price > max_price:
        raise DeclinedError(
            f"the calls may cost ${price:.4f}, more than ${max_price:g}: choose another --model, or raise --max-price"
        )
    service = Service(session.client)
    with spinner("asking the service"):
        who = _whoami(service)
        catalogue = _names_of(service.get("/v1/models").body)
        calls = examination.observe(service, subject, CALLS, extras)
        questions = examination.observe(service, subject, QUESTIONS, extras)
        rows = program_models.check(service, names, catalogue)
    differences, sentence = _compare(subject, [*calls, *questions], as_recorded, extras, skip=no_compare)
    report: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "host": str(session.client.base_url),
        "key": _key_in_words(session.client._config.api_key),
        "project": _project(who),
        "versions": f"together-adapters {__version__}, Python {platform.python_version()}, {platform.system()}",
        "price": f"${price:.4f} at most, by the table of this library",
        "model": model,
        "models": {"catalogue": len(catalogue), "program": [{**row, "words": program_models.in_words(row)} for row in rows]},
        "calls": _rows(calls),
        "limits": limits(service.headers),
        "questions": _rows(questions),
        "differences": [
            {"name": each.name, "fact": each.fact, "service": each.service, "emulator": each.emulator, "words": each.in_words()}
            for each in differences
        ],
        "comparison": sentence,
    }
    if folder is not None:
        note(f"written: {write_record(folder, report)}")
    return Result(report, print_page, 0 if all(map(program_models.is_fine, rows)) else INVALID_DATA)


def _compare(
    subject: Any, service: Sequence[Any], as_recorded: str | None, extras: Sequence[str], *, skip: bool
) -> tuple[list[Any], str]:
    """Returns where an emulator differs, and a sentence for the case that it does not."""
    from together_adapters.cli.doctor import examination
    from together_adapters.cli.doctor.calls import CALLS
    from together_adapters.cli.doctor.questions import QUESTIONS

    if skip:
        return [], "not compared"
    try:
        emulator = examination.comparison(as_recorded)
        with spinner("asking an emulator"), emulator as other:
            others = examination.observe(other, subject, [*CALLS, *QUESTIONS], extras)
    except ImportError as error:
        return [], f"not compared: {error}"
    return examination.differences(service, others), "nowhere in what both have shown"


def _price(requests: Sequence[int], models: int, facts: Capabilities, extras: Sequence[str]) -> float:
    """Returns what the calls may cost, in dollars: each request of a probe has a short prompt, and 16 tokens of output."""
    input = _UNKNOWN_PRICE if facts.prices.input is None else facts.prices.input
    output = _UNKNOWN_PRICE if facts.prices.output is None else facts.prices.output
    count = sum(requests)
    of_models = models * (_INPUT_TOKENS + 1) * _UNKNOWN_PRICE
    return ((count * _INPUT_TOKENS) * input + count * 16 * output + of_models) / 1e6 + sum(_OPTIONS[name] for name in extras)


def _rows(observations: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "question": each.question, "status": each.status, "facts": each.facts, "words": each.in_words()}
        for each in observations
    ]


def _names_of(body: Any) -> list[str]:
    entries = body.get("data") if isinstance(body, dict) else body
    return [str(entry.get("id")) for entry in entries or () if isinstance(entry, dict)]


def _key_in_words(key: str | None) -> str:
    """Returns how a key begins, if it has a prefix, and how long it is. One without is none of the service."""
    if not key:
        return "none"
    prefix = next((key[: key.index(mark) + 1] for mark in "_-" if mark in key[:6]), "")
    return f"{prefix}... ({len(key)} characters)" if prefix else f"{len(key)} characters, without a prefix"


def _whoami(service: Any) -> Any:
    """Returns whom the key belongs to; None where this path refuses it, which others may not."""
    try:
        return service.get("/v3/whoami").body
    except AuthenticationError:
        return None


def _project(body: Any) -> str:
    """Returns the project of the key, by its name."""
    project = body.get("project") if isinstance(body, dict) else None
    if not isinstance(project, dict):
        return "not told"
    return str(project.get("name") or project.get("slug") or project.get("id"))
