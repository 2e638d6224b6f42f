"""Fields of records, which may be dicts or objects."""

from __future__ import annotations

from typing import Any


def field(record: Any, *names: str) -> Any:
    """Return the first of the named fields that is not None."""
    for name in names:
        value = record.get(name) if isinstance(record, dict) else getattr(record, name, None)
        if value is not None:
            return value
    return None


def nested(record: Any, *path: str) -> Any:
    """Return the value at the end of a path of keys, or None."""
    for name in path:
        record = field(record, name)
        if record is None:
            return None
    return record


def text_or_none(value: Any) -> str | None:
    """Return an id as text."""
    return None if value is None or value == "" else str(value)
