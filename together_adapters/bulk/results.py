"""The results of a run, read from its checkpoint as they are needed, in the order of the inputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.outcomes import exception_of, of_error, parser_for
from together_adapters.errors import APIConnectionError, APIError
from together_adapters.types.response import Usage

_PAGE: Final = 500
_ITEMS: Final = (
    "SELECT idx, requests.id, answers.response, answers.error, CASE WHEN answers.response IS NULL THEN requests.body END "
    "FROM items JOIN requests USING (number) LEFT JOIN answers USING (number) WHERE idx > ?{} ORDER BY idx LIMIT ?"
)
_FAILED: Final = " AND answers.response IS NULL"
_NEVER_SENT: Final = {
    "message": "it has no answer: the run did not end; start it again with the same checkpoint",
    "code": "unanswered",
}


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far a run has come.

    Attributes:
        done: Inputs that have an answer or have failed.
        total: All inputs.
        failed: Inputs that have failed.
        phase: What it does: `read`, `upload`, `wait`, `download` or `done` with batch jobs, `send` or `done` without.
    """

    done: int
    total: int
    failed: int
    phase: str


@dataclass(frozen=True, slots=True)
class BulkItem:
    """The result of one input.

    Attributes:
        index: Its position among the inputs.
        id: Made of its content; equal inputs have the same, and share one answer.
        response: As the endpoint answers it: `ChatCompletion`, `Completion`, ...; None if it failed.
        error: Why it failed; `request` is the body. None if it succeeded.
    """

    index: int
    id: str
    response: Any = None
    error: APIError | APIConnectionError | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a response."""
        return self.error is None


class BulkResults:
    """The results of a run in the order of its inputs, to be iterated over any number of times, also with `async for`.

    They are read from the checkpoint as they are needed, so that any number of them fits into memory.

    Attributes:
        cost: Dollars by the list prices, of each different request once; None if a price is unknown.
    """

    def __init__(self, checkpoint: Checkpoint, cost: float | None) -> None:
        self._checkpoint = checkpoint
        self._parse = parser_for(checkpoint.endpoint)
        self._count = checkpoint.counts()[0]
        self.cost = cost

    @property
    def path(self) -> Path | None:
        """The checkpoint; None for one that ends with this object."""
        return None if self._checkpoint.database.is_temporary else self._checkpoint.database.path

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[BulkItem]:
        last: int | None = -1
        while last is not None:
            rows, last = self._page(last)
            for row in rows:  # one response at a time: many objects at once would keep the garbage collector busy
                yield self._item(*row)

    async def __aiter__(self) -> AsyncIterator[BulkItem]:
        last: int | None = -1
        while last is not None:
            rows, last = await anyio.to_thread.run_sync(self._page, last)
            for row in rows:
                yield self._item(*row)

    @property
    def failed(self) -> list[BulkItem]:
        """The inputs that failed, each with its error."""
        items: list[BulkItem] = []
        last: int | None = -1
        while last is not None:
            rows, last = self._page(last, _FAILED)
            items += (self._item(*row) for row in rows)
        return items

    @property
    def usage(self) -> Usage:
        """The tokens of all answers, of each different request once."""
        tokens = self._checkpoint.usage().values()
        prompt, completion = sum(each.input for each in tokens), sum(each.output for each in tokens)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)

    def close(self) -> None:
        """Closes the checkpoint, and removes a temporary one."""
        self._checkpoint.database.close()

    def __repr__(self) -> str:
        return f"<BulkResults of {self._count:,} inputs in {self._checkpoint.database.path.name}>"

    def _page(self, last: int, condition: str = "") -> tuple[list[tuple[Any, ...]], int | None]:
        """Returns the rows of the next items, and the index of the last of them; None at the end."""
        rows = self._checkpoint.database.run(_ITEMS.format(condition), (last, _PAGE))
        return rows, rows[-1][0] if len(rows) == _PAGE else None

    def _item(self, index: int, id: bytes, response: bytes | None, error: str | None, body: bytes | None) -> BulkItem:
        if response is not None:
            try:
                return BulkItem(index, id.hex(), self._parse(response))
            except ValueError as problem:
                document = of_error({"message": f"the response cannot be parsed: {problem}", "code": "invalid_response"}).error
                return BulkItem(index, id.hex(), error=exception_of(document or "", self._checkpoint.endpoint, index, b"{}"))
        document = error or of_error(_NEVER_SENT).error
        return BulkItem(index, id.hex(), error=exception_of(document or "", self._checkpoint.endpoint, index, body or b"{}"))
