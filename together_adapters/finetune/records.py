"""What every source gives: rows in the service's form, each with where it comes from, and what could not become one.

A source is read as a stream of `Example` and `Refusal`. Both are counted by whoever takes them, so that nothing gets lost between a
source and a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

Row: TypeAlias = dict[str, Any]
"""A row in one of the service's formats, as plain JSON values."""


class Example(NamedTuple):
    """One row for training.

    Attributes:
        row: The row, in one of the service's formats.
        number: Its place in the source, from 1. Several rows may come from one place.
        source: The file or object it comes from.
        group: What must stay on one side of a split: a conversation's or a trace's id. None leaves it to the prompt.
        changed: The codes of what was altered on the way, in order.
    """

    row: Row
    number: int
    source: str | None = None
    group: str | None = None
    changed: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """Something in a source that cannot become a row, and why.

    Attributes:
        code: A stable code, one of those in `issues.RULES`.
        message: What is wrong.
        number: Its place in the source, from 1.
        source: The file or object it is in.
        path: Where within it, as `messages[3].content[0]`.
        value: What stands there, for an excerpt.
        skipped: Whether leaving it out is right and expected: a call that failed, a span that has no answer yet. It is counted as
            dropped, and is no error.
    """

    code: str
    message: str
    number: int
    source: str | None = None
    path: str = ""
    value: Any = ""
    skipped: bool = False


class Unconvertible(Exception):
    """A record cannot become a row."""

    def __init__(self, code: str, message: str, path: str = "", value: Any = "", *, skipped: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.path, self.value, self.skipped = code, message, path, value, skipped


class Converted(NamedTuple):
    """A row that a converter made, before its place in the source is known."""

    row: Row
    group: str | None = None
    changed: tuple[str, ...] = ()


Record: TypeAlias = Example | Refusal
Convert: TypeAlias = Callable[[Any], Iterable[Converted]]
"""Turns one record of a source into rows; raises `Unconvertible` for one that cannot become any."""


def examples(records: Iterable[Any], convert: Convert, source: str | None = None, start: int = 1) -> Iterator[Record]:
    """Convert records one by one: each gives its rows, or its refusal.

    Args:
        records: What the source holds.
        convert: Turns one of them into rows.
        source: The name of the source.
        start: The number of the first record.
    """
    for number, record in enumerate(records, start):
        try:
            for row, group, changed in convert(record):
                yield Example(row, number, source, group, changed)
        except Unconvertible as refused:
            yield Refusal(
                refused.code, refused.message, number, source, refused.path, refused.value, refused.skipped
            )  # fmt: skip
