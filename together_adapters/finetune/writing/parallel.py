"""Writes rows in several processes, each some batches: ranges of bytes of a file, or records. The result is as if one had."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

from together_adapters.finetune.conversion import UnreadLines
from together_adapters.finetune.records import Record
from together_adapters.finetune.writing.row_writer import Portion, RowWriter, WriteOptions

_RANGE_BYTES: Final = 4 << 20
_PORTIONS_PER_WORKER: Final = 2


def write_in_parallel(
    batches: Iterator[list[Record] | UnreadLines], writer: RowWriter, options: WriteOptions, workers: int
) -> Iterator[bytes]:
    """Yields the lines of batches in their order; the first ones decide the format, so the writer writes them itself."""
    for batch in batches:
        yield writer.write(batch)
        if writer.summary.format is not None:
            break
    else:
        return
    pending: deque[Future[Portion]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            for portion in _portions(batches):
                pending.append(pool.submit(write_portion, options, writer.summary.format, portion))
                if len(pending) > workers * _PORTIONS_PER_WORKER:
                    yield writer.add(pending.popleft().result())
            while pending:
                yield writer.add(pending.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)


def write_portion(options: WriteOptions, form: str, batches: list[list[Record] | UnreadLines]) -> Portion:
    """Writes some batches of a file whose rows have a format."""
    writer = RowWriter(options, form, is_portion=True)
    return writer.portion(batch if isinstance(batch, list) else batch.with_data() for batch in batches)


def _portions(batches: Iterable[list[Record] | UnreadLines]) -> Iterator[list[list[Record] | UnreadLines]]:
    """Yields lists of batches, lines without their bytes where these stand in a file."""
    portion: list[list[Record] | UnreadLines] = []
    size = 0
    for batch in batches:
        portion.append(batch if isinstance(batch, list) else batch.without_data())
        size += _RANGE_BYTES if isinstance(batch, list) else len(batch.lines.data)
        if size >= _RANGE_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion
