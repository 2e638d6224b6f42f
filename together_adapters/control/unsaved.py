"""Rows that a ledger's file did not take, because the disk was full or the file was locked."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from together_adapters.control.rows import COST

_MAX_ROWS: Final = 100_000


class Unsaved:
    """A queue of rows. Those that are too many for it are dropped; their costs are not forgotten."""

    def __init__(self) -> None:
        self.rows: deque[Sequence[Any]] = deque()
        self._dropped_units = 0
        self._process = os.getpid()

    def keep(self, values: Sequence[Any]) -> None:
        """Keeps a row, which `take` returns later."""
        self._forget_parent()
        if len(self.rows) < _MAX_ROWS:
            self.rows.append(values)
        else:
            self._dropped_units += values[COST] or 0

    def take(self) -> Sequence[Any] | None:
        """Removes and returns the oldest row; None if there is none."""
        self._forget_parent()
        with suppress(IndexError):  # another thread was faster
            return self.rows.popleft()
        return None

    def units(self) -> int:
        """Returns the sum of the costs."""
        return self._dropped_units + sum(values[COST] or 0 for values in tuple(self.rows))

    def _forget_parent(self) -> None:
        """After a fork the rows are the parent's, which writes them."""
        if self._process != os.getpid():
            self.rows.clear()
            self._process = os.getpid()
