"""Rows of a ledger in memory that nobody has read yet."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Final

from together_adapters.control.rows import COST, Values

_PACK: Final = 256  # rows


class Unread:
    """Rows that a database gets when somebody reads. Until then they are packed: it costs a tenth, and takes less memory."""

    def __init__(self) -> None:
        self._rows: list[Values] = []
        self._packs: list[bytes] = []
        self.units = 0  # that all rows have cost, those that were taken too

    def __bool__(self) -> bool:
        return bool(self._rows or self._packs)

    def keep(self, values: Values) -> None:
        """Keeps the values of a row."""
        self.units += values[COST] or 0
        self._rows.append(values)
        if len(self._rows) >= _PACK:
            self._pack()

    def take(self) -> Iterator[list[Values]]:
        """Yields all rows, and keeps them no longer."""
        if self._rows:
            self._pack()
        packs, self._packs = self._packs, []
        return (pickle.loads(pack) for pack in packs)  # noqa: S301 - of this process

    def _pack(self) -> None:
        self._packs.append(pickle.dumps(self._rows, pickle.HIGHEST_PROTOCOL))
        self._rows = []
