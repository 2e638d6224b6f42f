"""The models that a program names: in the table of this library, in the catalogue of the service, and asked for one token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from together_adapters.cli.doctor.calls import Subject
from together_adapters.cli.doctor.exchanges import Service

MAX_MODELS: Final = 10  # that are asked for a token


def names_in(arguments: Sequence[str]) -> list[str]:
    """Returns the names of models that arguments are, or that the files and folders that they name contain."""
    from together_adapters.cli.model_names import find_names
    from together_adapters.cli.text_files import files_under, read_text

    names: dict[str, None] = {}
    for argument in arguments:
        path = Path(argument)
        if not path.exists():
            if path.suffix in (".py", ".toml", ".yaml", ".yml", ".json", ".env") or argument.startswith((".", "/")):
                raise click.UsageError(f"{argument} does not exist, and is not the name of a model")
            names[argument] = None
            continue
        for file in files_under([path]):
            try:
                text = read_text(file)
            except (OSError, ValueError):
                continue
            names |= dict.fromkeys(name for _, name in find_names(text or "", file))
    return list(names)


def check(service: Service, names: Iterable[str], catalogue: Iterable[str]) -> list[dict[str, Any]]:
    """Returns what is known of models, each with what a request for one token gets, for chat models."""
    from together_adapters.types.capabilities import capabilities, status

    listing = set(catalogue)
    rows: list[dict[str, Any]] = []
    for name in names:
        row: dict[str, Any] = {"name": name, "table": status(name), "catalogue": name in listing}
        if capabilities(name).type == "chat" and len(rows) < MAX_MODELS:
            reply = service.post("/v1/chat/completions", Subject(name).question(max_tokens=1))
            row |= {"answers": not reply.is_error, **({"error": reply.error()} if reply.is_error else {})}
        rows.append(row)
    return rows


def is_fine(row: dict[str, Any]) -> bool:
    """Whether a program can go on with a model, as far as it is known."""
    if "answers" in row:
        return bool(row["answers"])
    return bool(row["catalogue"]) and not str(row["table"]).startswith("gone")


def in_words(row: dict[str, Any]) -> str:
    """Returns what is known of a model in one line."""
    listing = "in the catalogue" if row["catalogue"] else "not in the catalogue"
    answer = (
        ""
        if "answers" not in row
        else ", answers"
        if row["answers"]
        else f", {row['error']['status']}: {row['error']['message']}"
    )
    return f"{row['table']} by the table, {listing}{answer}"
