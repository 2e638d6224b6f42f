"""What a source yields: rows in the service's formats with their origin, and records that cannot be converted to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

NO_FIELDS: Final[Mapping[str, Any]] = {}
_ID_COLUMNS: Final = ("custom_id", "id", "trace.id")
_ID_TYPES: Final = (str, int, UUID)  # those of LangSmith are objects
Row: TypeAlias = dict[str, Any]
"""A row in one of the service's formats, as JSON values."""


class LineSource(str):
    """The name of a text whose records are numbered by the lines where they begin; those of other sources are counted."""

    __slots__ = ()


class IndexedSource(str):
    """The name of a table whose rows have labels of their own; `index` is that of one row."""

    index: Any = None


class Example(NamedTuple):
    """A row for training, with the number of its record in the source, from 1; a record may have several rows.

    In a `LineSource` the number is that of a line of the file.
    """

    row: Row
    number: int
    source: str | None = None
    group: str | None = None  # what must stay together in a split: the id of a conversation or trace; None groups by prompt
    changed: tuple[str, ...] = ()  # the codes of changes to the row, in order
    left_out: Mapping[str, Any] = NO_FIELDS  # what its format did not read, by name; see `accounting`
    size: int = 0  # of its record in bytes, 0 if it is not known

    @property
    def id(self) -> str | None:
        """The id that its record has."""
        return id_of(self.row) or id_of(self.left_out)

    def refusal(self, code: str, message: str, path: str = "", value: Any = "", *, skipped: bool = False) -> Refusal:
        """Returns a refusal in place of the row."""
        return Refusal(code, message, self.number, self.source, path, value, skipped, id=self.id)


class Refusal(NamedTuple):
    """A record that cannot be converted to a row, for the reason `code`, one of those in `issues.RULES`."""

    code: str
    message: str
    number: int
    source: str | None = None
    path: str = ""  # of the value in the record, as `messages[3].content[0]`
    value: Any = ""
    skipped: bool = False  # whether it is no error but dropped: a call that failed, or a span without an answer
    size: int = 0
    id: str | None = None  # the id that the record has of its own


class Unconvertible(Exception):
    """Raised by converters for a record that cannot be converted to a row."""

    def __init__(self, code: str, message: str, path: str = "", value: Any = "", *, skipped: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.path, self.value, self.skipped = code, message, path, value, skipped

    def refusal(self, number: int, source: str | None = None, record: Any = None) -> Refusal:
        """Returns the refusal of the record."""
        return Refusal(self.code, self.message, number, source, self.path, self.value, self.skipped, id=id_of(record))


class Converted(NamedTuple):
    """A row of a converter, which does not know its record's number."""

    row: Row
    group: str | None = None
    changed: tuple[str, ...] = ()
    left_out: Mapping[str, Any] = NO_FIELDS


def id_of(record: Any) -> str | None:
    """Returns the id that a record has of its own, by which readers find it: `custom_id` in batches, `trace.id` beside what is read of a trace."""
    for name in _ID_COLUMNS:
        value = record.get(name) if isinstance(record, Mapping) else getattr(record, name, None)
        if type(value) in _ID_TYPES and value != "":
            return str(value)
    return None


Record: TypeAlias = Example | Refusal
Convert: TypeAlias = Callable[[Any], Iterable[Converted]]
"""Converts a record of a source to rows; raises `Unconvertible` if it cannot."""


def examples(records: Iterable[Any], convert: Convert, source: str | None = None, start: int = 1) -> Iterator[Record]:
    """Yields the rows or the refusal of each record, with numbers from `start`."""
    for number, record in enumerate(records, start):
        try:
            for row, group, changes, left_out in convert(record):
                yield Example(row, number, source, group, changes, left_out)
        except Unconvertible as error:
            yield error.refusal(number, source, record)
