"""A dictionary of records by id, with the 404 response for an id that does not exist."""

from __future__ import annotations

from typing import TypeVar

from together_adapters.emulator.errors import ApiError

T = TypeVar("T")


class RecordStore(dict[str, T]):
    """Records by id, the oldest first.

    Args:
        noun: What a record is, for the error message.
        param: The `param` of the error.
        limit: How many records are kept; a new one replaces the oldest.
    """

    def __init__(self, noun: str, param: str | None = "id", limit: int | None = None) -> None:
        super().__init__()
        self._noun = noun
        self._param = param
        self._limit = limit

    def find(self, id: str) -> T:
        """Returns a record, or raises `ApiError` 404."""
        record = self.get(id)
        if record is None:
            raise ApiError(404, f"There is no {self._noun} {id[:100]!r}.", param=self._param, code="not_found")
        return record

    def add(self, id: str, record: T) -> T:
        """Stores a record; a full store forgets its oldest."""
        if self._limit is not None and len(self) >= self._limit:
            del self[next(iter(self))]
        self[id] = record
        return record

    def newest_first(self) -> list[T]:
        """Returns all records."""
        return list(reversed(self.values()))
