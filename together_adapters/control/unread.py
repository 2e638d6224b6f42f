"""Rows of a ledger in memory that nobody has read yet."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final

from together_adapters.control.rows import COST

Values = list[Any]
_PACK: Final = 256  # rows


class Unread:
    """Rows that a database gets when somebody reads. Until then they are packed: it costs a tenth, and takes less memory."""

    def __init__(self) -> None:
        self._rows: list[Values | Callable[[], Values]] = []
        self._functions = 0  # among the rows
        self._packs: list[bytes] = []
        self._units = 0  # that all rows have cost, those that were taken too

    def __bool__(self) -> bool:
        return bool(self._rows or self._packs)

    def keep(self, row: Values | Callable[[], Values]) -> None:
        """Keeps the values of a row, or the function that returns them: many at once cost less."""
        if isinstance(row, list):
            self._units += row[COST] or 0
        else:
            self._functions += 1
        self._rows.append(row)
        if len(self._rows) >= _PACK:
            self._pack()

    def units(self) -> int:
        """Returns the sum of the costs of all rows that were ever kept."""
        if self._functions:
            self._pack()
        return self._units

    def take(self) -> Iterator[list[Values]]:
        """Yields all rows, and keeps them no longer."""
        self._pack()
        packs, self._packs = self._packs, []
        return (pickle.loads(pack) for pack in packs)  # noqa: S301 - of this process

    def _pack(self) -> None:
        rows, self._rows, self._functions = self._rows, [], 0
        all_values, errors = [], []
        for row in rows:
            if isinstance(row, list):
                all_values.append(row)
                continue
            try:
                values = row()
            except Exception as error:  # of one row, which must not cost the others
                errors.append(error)
            else:
                self._units += values[COST] or 0
                all_values.append(values)
        if all_values:
            self._packs.append(pickle.dumps(all_values, pickle.HIGHEST_PROTOCOL))
        if errors:
            raise errors[0]
