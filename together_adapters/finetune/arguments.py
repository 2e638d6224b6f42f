"""What arguments for data may be; errors say what to pass in place of other values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.errors import DatasetError

_TABLES: Final = ("pandas", "polars", "pyarrow")


def refuse_no_rows(rows: Any) -> None:
    """Raises DatasetError for a value that yields no rows: a path, a table, or one row."""
    kind = type(rows).__name__
    if isinstance(rows, str | PathLike):
        raise DatasetError(f"rows are dictionaries, and {str(rows)!r} is a path: load({str(rows)!r}) reads a file")
    if type(rows).__module__.partition(".")[0] in _TABLES:
        raise DatasetError(f"a {kind} is no list of rows: load(data) reads it")
    if isinstance(rows, Mapping):
        raise DatasetError(f"this {kind} is no list of rows: put one row into a list, [row]; load(data) reads other objects")
    if not isinstance(rows, Iterable):
        raise DatasetError(f"a {kind} has no rows: pass a list of dictionaries, or what load(...) returns")


def path_of(file: Any) -> Path:
    """Returns the path of a file; raises DatasetError for data that is in no file yet."""
    if isinstance(file, str | PathLike):
        return Path(file)
    kind = type(file).__name__
    raise DatasetError(f"this takes the path of a file, not a {kind}: write_jsonl(load(data), 'train.jsonl') writes data to one")
