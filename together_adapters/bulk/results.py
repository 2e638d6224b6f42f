"""The results of a run, read from its checkpoint as they are needed, in the order of the inputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import anyio.to_thread

from together_adapters.bulk.answer_files import State
from together_adapters.bulk.answer_types import AnswerTypes
from together_adapters.bulk.checkpoint import Checkpoint
from together_adapters.bulk.outcomes import AnswerParser, Failure, exception_of, failure_line, failure_of, read_id, read_line
from together_adapters.bulk.request_files import select
from together_adapters.errors import APIConnectionError, APIError, APIResponseValidationError
from together_adapters.types.response import Usage

T = TypeVar("T")
Page = tuple[Sequence[int], list[bytes]]

_PAGE: Final = 500
_NEVER_SENT: Final = failure_of(
    {"message": "it has no answer: the run did not end; start it again with the same checkpoint", "code": "unanswered"}
)


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """How far a run has come.

    Attributes:
        done: Inputs that have an answer or have failed.
        total: All inputs.
        failed: Inputs that have failed.
        phase: What it does: `read`, which comes first and tells what an earlier run has done; `upload`, `wait` and `download` of batch
            jobs; `send` without; `done`.
    """

    done: int
    total: int
    failed: int
    phase: str


class BulkItem(Generic[T]):
    """The result of one input.

    Attributes:
        index: Its position among the inputs.
        error: Why it failed; `request` is the body. None if it succeeded.
    """

    __slots__ = ("_line", "_parser", "_response", "error", "index")

    def __init__(self, index: int, line: bytes, parser: AnswerParser, error: APIError | APIConnectionError | None) -> None:
        self.index = index
        self.error = error
        self._line = line
        self._parser = parser
        self._response: Any = None

    @property
    def ok(self) -> bool:
        """Whether there is a response."""
        return self.error is None

    @property
    def id(self) -> str:
        """Made of the content of the input; equal inputs have the same, and share one answer."""
        return read_id(self._line)

    @property
    def response(self) -> T | None:
        """As the endpoint answers it: `ChatCompletion`, `Completion`, ...; None if it failed. It is parsed when it is read first.

        Raises:
            APIResponseValidationError: It has content, but is not as the endpoint answers otherwise.
        """
        if self._response is None and self.error is None:
            try:
                self._response = self._parser.parse(self._line)
            except ValueError as error:
                raise APIResponseValidationError(f"the response to request {self.index} cannot be parsed: {error}") from None
        return self._response  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"BulkItem(index={self.index}, id={self.id!r}, response={self.response!r}, error={self.error!r})"


class BulkResults(Generic[T]):
    """The results of a run in the order of its inputs, to be iterated over any number of times, also with `async for`.

    They are read from the checkpoint as they are needed, so that any number of them fits into memory.

    Attributes:
        cost: Dollars by the list prices, of each different request once, a tuned model's by its base model; None if a price is unknown.
    """

    def __init__(self, checkpoint: Checkpoint, cost: float | None, types: AnswerTypes | None = None) -> None:
        self._checkpoint = checkpoint
        self._types = AnswerTypes(checkpoint.endpoint) if types is None else types
        self._inputs = checkpoint.inputs
        self.cost = cost

    @property
    def path(self) -> Path | None:
        """The checkpoint; None for one that ends with this object."""
        return None if self._checkpoint.database.is_temporary else self._checkpoint.database.path

    def __len__(self) -> int:
        return len(self._inputs)

    def __iter__(self) -> Iterator[BulkItem[T]]:
        return chain.from_iterable(self._items(start, self._page(start)) for start in range(0, len(self), _PAGE))

    async def __aiter__(self) -> AsyncIterator[BulkItem[T]]:
        for start in range(0, len(self), _PAGE):
            for item in self._items(start, await anyio.to_thread.run_sync(self._page, start)):
                yield item

    @property
    def failed(self) -> list[BulkItem[T]]:
        """The inputs that failed, each with its error."""
        states = self._checkpoint.answers.states
        failed = [index for index, number in enumerate(self._inputs) if states[number] != State.ANSWERED]
        return [item for index in failed for item in self._items(index, self._page(index, 1))]

    @property
    def usage(self) -> Usage:
        """The tokens of all answers, of each different request once."""
        tokens = self._checkpoint.usage().values()
        prompt, completion = sum(each.input for each in tokens), sum(each.output for each in tokens)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)

    @property
    def file_ids(self) -> list[str]:
        """The files that were uploaded for batch jobs. They stay in the account until `client.files.delete(id)`."""
        return self._checkpoint.file_ids()

    def close(self) -> None:
        """Closes the checkpoint, and removes a temporary one."""
        self._checkpoint.close()

    def __repr__(self) -> str:
        return f"<BulkResults of {len(self):,} inputs in {self._checkpoint.database.path.name}>"

    def _page(self, start: int, count: int = _PAGE) -> Page:
        """Returns the numbers of the requests of some inputs, and the lines of their answers."""
        numbers = self._inputs[start : start + count]
        return numbers, self._checkpoint.answers.lines(numbers)

    def _items(self, start: int, page: Page) -> Iterator[BulkItem[T]]:
        """Returns results one by one: with many responses at once, the garbage collector would be busy."""
        numbers, lines = page
        states = select(self._checkpoint.answers.states, numbers)
        if states.count(State.ANSWERED) == len(states):
            return map(BulkItem, range(start, start + len(lines)), lines, self._types.parsers(start, len(lines)), repeat(None))
        return map(self._item, range(start, start + len(lines)), numbers, lines)

    def _item(self, index: int, number: int, line: bytes) -> BulkItem[T]:
        if self._checkpoint.answers.states[number] == State.ANSWERED:
            return BulkItem(index, line, self._types.parser(index), None)
        checkpoint = self._checkpoint
        line = line or failure_line(checkpoint.requests.id(number), _NEVER_SENT)
        outcome = read_line(line, checkpoint.endpoint)[1]
        assert isinstance(outcome, Failure)
        error = exception_of(outcome, checkpoint.endpoint, f"request {index}", checkpoint.requests.body(number))
        return BulkItem(index, line, self._types.parser(index), error)
