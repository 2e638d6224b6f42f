"""Keys by which rows are grouped: expressions of SQL, and what their values are to users."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from together_adapters.control.rows import EPOCH, printable

MAX_INTERVALS: Final = 60
_TAG: Final = "CASE tags WHEN '' THEN NULL ELSE (SELECT value FROM json_each(tags) WHERE key = ?) END"
_TAG_PREFIX: Final = re.compile(r"tags?([^a-z]+|$)")  # as somebody may write it
_SECONDS: Final = (1, 5, 15, 60, 5 * 60, 15 * 60, 3600, 3 * 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)


class Group(NamedTuple):
    """One key: an expression with its parameters, and how a value of it is converted."""

    expression: str
    parameters: tuple[str, ...] = ()
    convert: Callable[[Any], Any] = lambda value: value


def group_of(key: str) -> Group:
    """Returns a key by its name; raises ValueError if there is none of this name."""
    if isinstance(key, str) and key.startswith("tag."):
        return Group(_TAG, (printable(key[4:]),))
    if key not in _GROUPS:
        name = _TAG_PREFIX.sub("", str(key)) or "NAME"
        raise ValueError(f"a ledger has no key {key!r}: use {', '.join(_GROUPS)}, or tag.{name} for a tag")
    return _GROUPS[key]


def interval(width: timedelta) -> Group:
    """Returns the key that is the start of the interval in which a call began."""
    length = width // timedelta(microseconds=1)
    return Group(f"time / {length}", convert=lambda number: EPOCH + number * width)


def interval_width(first: int, last: int) -> timedelta:
    """Returns the length of intervals of which at most 60 cover the time between two times of the database."""
    for seconds in _SECONDS:
        width = timedelta(seconds=seconds)
        length = width // timedelta(microseconds=1)
        if last // length - first // length < MAX_INTERVALS:
            return width
    weeks = (last - first) // (timedelta(weeks=MAX_INTERVALS - 1) // timedelta(microseconds=1)) + 1
    return timedelta(weeks=weeks)


def sortable(values: Iterable[Any]) -> list[tuple[bool, Any]]:
    """Returns values of keys as they are sorted: None is the last."""
    return [(value is None, value) for value in values]


_GROUPS: Final = {
    "model": Group("model"),
    "kind": Group("kind"),
    "status": Group("status"),
    "error": Group("error"),
    "day": Group("time / 86400000000", convert=lambda number: f"{EPOCH + timedelta(days=number):%Y-%m-%d}"),
    "hour": Group("time / 3600000000", convert=lambda number: f"{EPOCH + timedelta(hours=number):%Y-%m-%d %H:00}"),
}
