"""Columns of a record: the ones a dialect needs, and those that go along for splits and filters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.records import Row, Unconvertible
from together_adapters.finetune.rules import FORMATS

FORMAT_COLUMNS: Final = frozenset().union(*FORMATS.values()) | {"tools", "functions"}
STRIPPED: Final = "columns_stripped"


def text_of(record: Row, column: str) -> str:
    """Return the text in a column.

    Raises:
        Unconvertible: There is none, or no text.
    """
    value = record.get(column)
    if type(value) is str:
        return value
    if value is None:
        raise Unconvertible("cell_missing", f"the column {column} is empty", column)
    raise Unconvertible("cell_not_text", f"the column {column} must hold a text, not {kind_of(value)}", column, value)


def extras(record: Row, used: Collection[str], changed: list[str] | None = None) -> Row:
    """Return the columns that a dialect does not use, but those that would make the row one of another format.

    Args:
        record: The record.
        used: The columns that are used.
        changed: Where to note that columns were left out.
    """
    kept = {}
    for key, value in record.items():
        if key in used or (key == "weight" and value is None):
            continue
        if key not in FORMAT_COLUMNS:
            kept[key] = value
        elif value is not None and changed is not None and STRIPPED not in changed:
            changed.append(STRIPPED)
    return kept


def require_record(record: Any) -> Row:
    """Return a record, which must be an object.

    Raises:
        Unconvertible: It is something else.
    """
    if not isinstance(record, dict):
        raise Unconvertible("line_not_object", f"a record must be an object, not {kind_of(record)}", "", record)
    return record
