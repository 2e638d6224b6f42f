"""The ledger: a row for every call, in memory or in an SQLite file that processes share. It holds no prompts and no keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from together_adapters.control.database import Database
from together_adapters.control.grouping import Group, group_of, interval, interval_width, sortable
from together_adapters.control.rows import COLUMNS, UNITS, LedgerRow, Values, from_values, microseconds, printable, to_values
from together_adapters.control.unread import Unread
from together_adapters.control.unsaved import Unsaved
from together_adapters.control.usage import Usage

Key = tuple[str | int | None, ...]

_PAGE: Final = 1_000  # rows that are read at once
_INSERT: Final = f"INSERT INTO calls ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(', ')))})"  # noqa: S608 - constants
# The cost is added in two parts, so that no sum is too large for 64 bits.
_SUMS: Final = (
    "count(*), sum(attempts), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens), "
    "sum(cost / 1000000), sum(cost % 1000000), total(seconds), total(waited), sum(estimated), sum(cost IS NULL)"
)
_SPENDING: Final = "SELECT (SELECT max(id) FROM calls), sum(cost / 1000000), sum(cost % 1000000) FROM calls WHERE id > ?"


class Ledger:
    """The rows of all calls, and their sums.

    Threads may share a ledger, and any number of processes its file; it works on both sides of a fork. A row is in the file when
    `add` returns, also if the process is killed; the last rows can be lost only if the machine itself stops. The file is in the WAL
    mode of SQLite, which needs a local disk. In memory, rows are kept for as long as the ledger, without a limit.

    Args:
        path: The SQLite file, which is created if it is missing; None keeps the rows in memory.
        read_only: Opens a file that exists, and never writes to it.

    Raises:
        ConfigurationError: The file is no ledger, is damaged, or was written by a newer version.
        OSError: The file cannot be read, created or written, or another program has locked it for 30 seconds.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> None:
        self.path = None if path is None else Path(path).absolute()
        self._read_only = read_only
        self._database = Database(self.path, read_only=read_only)
        # Reading has a connection of its own: a long sum keeps no call waiting. What is in memory has one only.
        self._reader = Database(self.path, read_only=True) if self.path and not read_only else self._database
        self._sum = _CostSum(0, 0)
        self._unsaved = Unsaved()
        self._unread = Unread()  # of a ledger in memory
        self._database.run("SELECT 1")

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None, *, read_only: bool = False) -> Ledger:
        """Opens a ledger: see the arguments of the class."""
        return cls(path, read_only=read_only)

    def add(self, row: LedgerRow) -> None:
        """Adds a row.

        Raises:
            ValueError: The time has no zone, or the cost is not a number.
            OSError: The file cannot be written, for example because the disk is full. `spent` counts the row all the same, and the
                next call of `add` that can write writes it too; if the process ends before, it is lost.
        """
        self.add_values(to_values(row))

    def add_values(self, values: Values) -> None:
        """Adds a row by its values: see `add`."""
        if self.path is None:
            with self._database.lock:
                self._unread.keep(values)
            return
        try:
            self._insert(values)
        except OSError:
            self._unsaved.keep(values)
            raise
        while self._unsaved.rows and (other := self._unsaved.take()):
            try:
                self._insert(other)
            except OSError:
                self._unsaved.keep(other)
                return

    def _insert_unread(self) -> None:
        with self._database.lock:
            errors: list[Exception] = []
            for rows in self._unread.take():
                try:
                    self._database.run_many(_INSERT, rows)
                except Exception:  # of one row, which must not cost the others
                    errors += self._insert_each(rows)
            if errors:
                raise errors[0]

    def _insert_each(self, rows: Sequence[Sequence[Any]]) -> list[Exception]:
        """Inserts rows one by one; returns the errors of those that cannot be."""
        errors = []
        for values in rows:
            try:
                self._insert(values)
            except Exception as error:
                errors.append(error)
        return errors

    def _read(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._unread:
            self._insert_unread()
        return self._reader.run(statement, parameters)

    def _insert(self, values: Sequence[Any]) -> None:
        try:
            self._database.run(_INSERT, values)
        except UnicodeEncodeError:  # half a character, which UTF-8 cannot hold
            self._database.run(_INSERT, _printable(values))

    def rows(self, *, since: datetime | None = None, until: datetime | None = None, last: int | None = None) -> list[LedgerRow]:
        """Returns the rows in the order in which the calls ended. To go through very many, iterate over the ledger.

        Args:
            since: Only calls that began at this time or later.
            until: Only calls that began before.
            last: Only the last so many of them.
        """
        if last is None:
            return list(self._pages(*_period(since, until)))
        condition, parameters = _period(since, until)
        statement = f"SELECT {COLUMNS} FROM calls WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608 - constants
        return [from_values(values) for values in reversed(self._read(statement, [*parameters, max(last, 0)]))]

    def __iter__(self) -> Iterator[LedgerRow]:
        """Yields the rows in the order in which the calls ended, a page at a time."""
        return self._pages("1", ())

    def total(self, *, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """Returns the sum of all rows.

        Args:
            since: Only calls that began at this time or later.
            until: Only calls that began before.
        """
        return self.by(since=since, until=until)[0][1]

    def by(self, *keys: str, since: datetime | None = None, until: datetime | None = None) -> list[tuple[Key, Usage]]:
        """Returns sums of the rows that have equal keys, the highest cost first.

        Args:
            keys: `model`, `kind`, `status`, `error`, `day` and `hour` (of UTC, as text), or `tag.NAME`; a call without the tag has
                None there.
            since: Only calls that began at this time or later.
            until: Only calls that began before.

        Returns:
            Pairs of the values of the keys and their sum; equal costs in the order of the keys.

        Raises:
            ValueError: There is no such key.
        """
        pairs = self._sums([group_of(key) for key in keys], since, until)
        return sorted(pairs, key=lambda pair: (-pair[1].cost, sortable(pair[0])))

    def tag_names(self) -> list[str]:
        """Returns the names of all tags, sorted."""
        rows = self._read("SELECT DISTINCT key FROM calls, json_each(tags) WHERE tags != '' ORDER BY key")
        return [name for (name,) in rows]

    def timeline(
        self, key: str = "model", *, width: timedelta | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> list[tuple[tuple[datetime, str | int | None], Usage]]:
        """Returns sums for intervals of time and the values of a key, in the order of time.

        Args:
            key: A key, as those of `by`.
            width: The length of an interval; None chooses one from a second to weeks, so that there are at most 60 intervals.
            since: Only calls that began at this time or later.
            until: Only calls that began before.

        Returns:
            Pairs of the start of an interval with a value of the key, and their sum. Intervals without calls are left out.
        """
        width = width or self._width(since, until)
        pairs = self._sums([interval(width), group_of(key)], since, until)
        return sorted(pairs, key=lambda pair: sortable(pair[0]))

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        by: str = "model",
        since: datetime | None = None,
        until: datetime | None = None,
        title: str = "",
        overwrite: bool = True,
    ) -> None:
        """Plots what was spent over time, stacked by the values of a key, and saves the picture; tokens where no price is known.

        Args:
            path: The picture, `.png`, `.svg` or `.pdf`.
            by: A key, as those of the method `by`; the values after the seven of the highest cost are one.
            since: Only calls that began at this time or later.
            until: Only calls that began before.
            title: The title, such as the name of the ledger.
            overwrite: Whether to replace an existing file.

        Raises:
            ValueError: The path has another extension, or there is no such key.
            FileExistsError: The file exists and `overwrite` is not set.
            ImportError: matplotlib is not installed (`pip install "together-adapters[plots]"`).
        """
        from together_adapters.control.plot import draw
        from together_adapters.plots import check_picture, save_figure

        check_picture(Path(path))
        width = self._width(since, until)
        save_figure(draw(self.timeline(by, width=width, since=since, until=until), width, by, title), path, overwrite=overwrite)

    def spent(self) -> float:
        """Returns the dollars of all rows, also of other processes. Only rows that are new since the last time are read."""
        return self.spent_units() / UNITS

    def spent_units(self) -> int:
        """Returns the same, exactly: in millionths of a millionth of a dollar."""
        with self._database.lock:
            if self.path is None:
                return self._unread.units
            last, *parts = self._database.run(_SPENDING, (self._sum.last,))[0]
            if (last or 0) < self._sum.last:  # somebody has deleted rows
                self._sum = _CostSum(0, 0)
                return self.spent_units()
            self._sum = _CostSum(last or 0, self._sum.units + _units(*parts))
            return self._sum.units + self._unsaved.units()

    def close(self) -> None:
        """Closes the file; the next use opens it again. What is in memory stays."""
        self._reader.close()
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """A file is opened again; what is in memory does not travel."""
        return _reopen, (self.path, self._read_only)

    def __repr__(self) -> str:
        return f"Ledger({str(self.path)!r})" if self.path else "Ledger()"

    def _sums(self, groups: Sequence[Group], since: datetime | None, until: datetime | None) -> list[tuple[Any, Usage]]:
        names = [f"key{number}" for number in range(len(groups))]
        condition, parameters = _period(since, until)
        columns = ", ".join(f"{group.expression} AS {name}" for group, name in zip(groups, names, strict=True))
        source = f"SELECT {f'{columns}, ' if columns else ''}* FROM calls WHERE {condition}"  # noqa: S608 - constants
        grouping = f" GROUP BY {', '.join(names)}" if names else ""
        statement = f"SELECT {', '.join([*names, _SUMS])} FROM ({source}){grouping}"  # noqa: S608 - constants
        parameters = [name for group in groups for name in group.parameters] + parameters
        return [_to_pair(values, groups) for values in self._read(statement, parameters)]

    def _width(self, since: datetime | None, until: datetime | None) -> timedelta:
        condition, parameters = _period(since, until)
        bounds = self._read(f"SELECT min(time), max(time) FROM calls WHERE {condition}", parameters)[0]  # noqa: S608
        return interval_width(*(bound or 0 for bound in bounds))

    def _pages(self, condition: str, parameters: Sequence[Any]) -> Iterator[LedgerRow]:
        """Yields rows; no statement stays open, which would keep SQLite from clearing its log."""
        statement = f"SELECT id, {COLUMNS} FROM calls WHERE id > ? AND {condition} ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        last = 0
        while page := self._read(statement, [last, *parameters]):
            for values in page:
                yield from_values(values[1:])
            last = page[-1][0]


class _CostSum(NamedTuple):
    """The sum of the rows up to one."""

    last: int
    units: int


def _to_pair(values: Sequence[Any], groups: Sequence[Group]) -> tuple[Key, Usage]:
    count = len(groups)
    keys = tuple(group.convert(value) for group, value in zip(groups, values, strict=False))
    sums = [0 if value is None else value for value in values[count:]]
    return keys, Usage(*sums[:6], _units(*sums[6:8]) / UNITS, *sums[8:])  # type: ignore[call-arg]  # its fields in their order


def _printable(values: Sequence[Any]) -> Sequence[Any]:
    """Returns the values of a row without half characters, which UTF-8 cannot hold; most rows have none."""
    try:
        "".join(value for value in values if isinstance(value, str)).encode()
    except UnicodeEncodeError:
        return [printable(value) if isinstance(value, str) else value for value in values]
    return values


def _units(micros: int | None, rest: int | None) -> int:
    return (micros or 0) * 10**6 + (rest or 0)


def _period(since: datetime | None, until: datetime | None) -> tuple[str, list[Any]]:
    """Returns a condition of SQL, and its parameters."""
    bounds = [("since", since, "time >= ?"), ("until", until, "time < ?")]
    for name, bound, _ in bounds:
        if bound is not None and bound.tzinfo is None:
            raise ValueError(f"{name}={bound.isoformat()!r} has no time zone: use datetime.now(UTC), or astimezone()")
    present = [(condition, bound) for _, bound, condition in bounds if bound is not None]
    return " AND ".join(["1", *(condition for condition, _ in present)]), [microseconds(bound) for _, bound in present]


def _reopen(path: Path | None, read_only: bool) -> Ledger:
    return Ledger(path, read_only=read_only)
