"""Rows with a column of prompts: CSV, or JSON Lines of objects; each is written again with its answer."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pydantic_core import from_json

from together_adapters.cli.output import to_json
from together_adapters.cli.terminal import note
from together_adapters.errors import DatasetError

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkItem

SUFFIXES: Final = (".csv", ".jsonl")
Row = dict[str, Any]


def read_rows(path: Path, column: str) -> list[Row]:
    """Returns the rows of a file; without the column in each, or with no text there, raises an error that names the row."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        numbers: Iterable[tuple[int, Row]] = (
            ((reader.line_num, row) for row in reader) if path.suffix == ".csv" else _read_lines(file, path)
        )
        rows = []
        for number, row in numbers:
            if column not in row:
                raise click.UsageError(f"line {number} of {path} has no column {column!r}, but {', '.join(map(repr, row))}")
            if None in row:
                raise DatasetError(f"line {number} of {path} has more cells than the first line. Nothing was sent")
            if not isinstance(row[column], str) or not row[column].strip():
                raise DatasetError(f"line {number} of {path} has no text in {column!r}. Nothing was sent")
            rows.append(row)
    return rows


def refuse_table(path: Path) -> None:
    """Raises a UsageError for a CSV file without the name of its column."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = ", ".join(map(repr, next(csv.reader(file), [])))
        raise click.UsageError(f"{path} is a table: name the column of prompts by --column; it has {names}")


def request_bodies(rows: list[Row], column: str, system: str | None, max_tokens: int | None) -> Iterator[Row]:
    """Yields the body of a chat for each row."""
    before = [] if system is None else [{"role": "system", "content": system}]
    settings = {} if max_tokens is None else {"max_tokens": max_tokens}
    for row in rows:
        yield {"messages": [*before, {"role": "user", "content": row[column]}], **settings}


def read_requests(path: Path, state: os.stat_result) -> Iterator[Row]:
    """Yields what tells which request of a file an answer is for: the `custom_id` of its line, or else its body.

    Nothing for a pipe, which cannot be read again, and for a file that has changed since its `state` was read.
    """
    from together_adapters.bulk.inputs import open_lines

    now = path.stat()
    is_same = (now.st_size, now.st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    if not path.is_file() or not is_same:
        note(f"{path} cannot be read again, or has changed: the answers have no `custom_id` and no `request`")
        yield from repeat({})
        return
    with open_lines(path) as file:
        for line in file:
            if line.strip():
                value = from_json(line)
                id = value.get("custom_id")
                yield {"request": value.get("body", value)} if id is None else {"custom_id": id}


def write_rows(path: Path, rows: list[Row], results: Iterable[BulkItem[Any]], *, is_csv: bool) -> None:
    """Writes the rows with two more columns, `answer` and `error`, one of which is empty; says so if they have other names."""
    new = [_new_name(name, rows) for name in ("answer", "error")]
    for name, other in zip(("answer", "error"), new, strict=True):
        if name != other:
            note(f"the table has a column {name!r}, which is kept: what the run adds is in {other!r}")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*dict.fromkeys(name for row in rows for name in row), *new])
        if is_csv:
            writer.writeheader()
        for row, item in zip(rows, results, strict=True):
            response: Any = item.response
            answer = response.choices[0].message.content if item.error is None else None
            line = row | dict(zip(new, (answer, item.error and str(item.error)), strict=True))
            writer.writerow(line) if is_csv else file.write(to_json(line, indent=None) + "\n")


def _new_name(name: str, rows: list[Row]) -> str:
    while any(name in row for row in rows):
        name = f"new_{name}"
    return name


def _read_lines(lines: Iterable[str], path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DatasetError(f"line {number} of {path} is not JSON: {error}. Nothing was sent") from None
            if not isinstance(row, dict):
                raise DatasetError(f"line {number} of {path} is no object. Nothing was sent")
            yield number, row
