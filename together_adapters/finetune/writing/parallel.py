"""Writes rows in several processes, each some batches: ranges of bytes of a file, or records. The result is as if one had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from typing import Final

from together_adapters.finetune.conversion import UnreadLines
from together_adapters.finetune.records import Record
from together_adapters.finetune.writing.row_writer import Portion, RowWriter, WriteOptions

_RANGE_BYTES: Final = 4 << 20
_PORTIONS_PER_WORKER: Final = 2
_MIN_BYTES: Final = 64 << 20
"""What one process writes while others start."""
_IN_MEMORY: Final = 4


def write_in_parallel(
    batches: Iterator[list[Record] | UnreadLines], writer: RowWriter, options: WriteOptions, workers: int
) -> Iterator[bytes]:
    """Yields the lines of batches in their order; the first ones decide the format, so the writer writes them itself.

    It writes all of them if there are so few that they are written before other processes have started.
    """
    form: str | None = None
    for batch in batches:
        yield writer.write(batch)
        form = writer.summary.format
        if form is not None:
            break
    if form is None:
        return
    first, are_all = _first(batches)
    if are_all and options.tokenizer is None:
        yield from map(writer.write, _with_data(first))
        return
    pending: deque[Future[Portion]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            for portion in _portions(chain(first, batches)):
                pending.append(pool.submit(write_portion, options, form, portion))
                if len(pending) > workers * _PORTIONS_PER_WORKER:
                    yield writer.add(pending.popleft().result())
            while pending:
                yield writer.add(pending.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)


def write_portion(options: WriteOptions, form: str, batches: list[list[Record] | UnreadLines]) -> Portion:
    """Writes some batches of a file whose rows have a format."""
    return RowWriter(options, form, is_portion=True).portion(_with_data(batches))


def _first(batches: Iterable[list[Record] | UnreadLines]) -> tuple[list[list[Record] | UnreadLines], bool]:
    """Returns the first batches, without bytes that can be read again, and whether they are all of a small source."""
    first: list[list[Record] | UnreadLines] = []
    size = 0
    for batch in batches:
        first.append(_without_data(batch))
        size += _size(batch)
        if size >= _MIN_BYTES:
            return first, False
    return first, True


def _portions(batches: Iterable[list[Record] | UnreadLines]) -> Iterator[list[list[Record] | UnreadLines]]:
    """Yields lists of batches, lines without their bytes where these stand in a file."""
    portion: list[list[Record] | UnreadLines] = []
    size = 0
    for batch in batches:
        portion.append(_without_data(batch))
        size += _size(batch)
        if size >= _RANGE_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _size(batch: list[Record] | UnreadLines) -> int:
    """Returns the size of a batch in a file; of records and of bytes in memory, which must not become too many, a higher one."""
    if isinstance(batch, list):
        return max(_RANGE_BYTES, _IN_MEMORY * sum(record.size for record in batch))
    byte_range = batch.lines.byte_range
    return byte_range.size if byte_range else _IN_MEMORY * len(batch.lines.data)


def _without_data(batch: list[Record] | UnreadLines) -> list[Record] | UnreadLines:
    return batch if isinstance(batch, list) else batch.without_data()


def _with_data(batches: Iterable[list[Record] | UnreadLines]) -> Iterator[list[Record] | UnreadLines]:
    return (batch if isinstance(batch, list) else batch.with_data() for batch in batches)
