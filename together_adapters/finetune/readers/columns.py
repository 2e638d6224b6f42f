"""Columns of a record: those that a format reads, and those that are kept for splits and filters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.finetune.rules import FORMATS

FORMAT_COLUMNS: Final = frozenset().union(*FORMATS.values()) | {"tools", "functions"}
_STRIPPED: Final = "columns_stripped"


def text_of(record: Row, column: str) -> str:
    """Return the text in a column; a record with another value is refused."""
    value = record.get(column)
    if type(value) is str:
        return value
    if value is None:
        raise Unconvertible("cell_missing", f"the column {column} is empty", column)
    raise Unconvertible("cell_not_text", f"the column {column} must hold a text, not {kind_of(value)}", column, value)


def extras(record: Row, read: Collection[str], changes: list[str] | None = None) -> Row:
    """Return the columns that are not read; those of another of the service's formats are left out, which `changes` records."""
    columns = {}
    for key, value in record.items():
        if key in read or (key == "weight" and value is None):
            continue
        if key not in FORMAT_COLUMNS:
            columns[key] = value
        elif value is not None and changes is not None and _STRIPPED not in changes:
            changes.append(_STRIPPED)
    return columns


def require_record(record: Any) -> Row:
    """Return a record, which must be an object."""
    if not isinstance(record, dict):
        raise Unconvertible("line_not_object", f"a record must be an object, not {kind_of(record)}", "", record)
    return record
