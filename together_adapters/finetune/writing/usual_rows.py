"""Divides batches into usual rows, which are written at once, and others, which are converted and prepared one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from together_adapters.finetune.conversion import UnreadLines
from together_adapters.finetune.readers.json_values import Lines
from together_adapters.finetune.records import Record
from together_adapters.finetune.validation.fast_validator import FastValidator
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine
from together_adapters.finetune.validation.valid_rows import ValidRows
from together_adapters.finetune.writing.fast_lines import line_parsers
from together_adapters.finetune.writing.fast_records import RecordWriter
from together_adapters.finetune.writing.fixes import Fixes

Batch: TypeAlias = list[Record] | UnreadLines
_RECORDS: Final = "records"
_SMALL_BATCH: Final = 32
_PAUSE: Final = 8


class UsualRows:
    """Finds the usual rows of batches; pauses for a few batches where most are not. `max_chars` is the limit of a row by format."""

    def __init__(self, fixes: Fixes, max_chars: Mapping[str, int]) -> None:
        self._validator = FastValidator(max_chars, {**line_parsers(fixes), _RECORDS: (RecordWriter(fixes),)})
        self._pause = 0

    def parts(self, batch: Batch) -> Iterator[tuple[ValidRows | None, Batch]]:
        """Yields the parts of a batch in their order, each with its rows as they are written; None for those left to others."""
        self._pause = max(0, self._pause - 1)
        if self._pause or (isinstance(batch, UnreadLines) and isinstance(batch.lines.data, TruncatedLine)):
            yield None, batch
        elif valid := self._write(batch):
            yield valid, batch
        else:
            items: list[Any] = batch if isinstance(batch, list) else batch.lines.data.split(b"\n")
            unusual = start = 0
            for end, valid in self._runs(batch, items):
                if valid is None:
                    unusual += end - start
                yield valid, _part(batch, items, start, end)
                start = end
            if unusual > _PAUSE and unusual * 2 > len(items):
                self._pause = _PAUSE

    def _runs(self, batch: Batch, items: list[Any]) -> Iterator[tuple[int, ValidRows | None]]:
        """Yields the end of each run of items that are usual, or are not, with the rows of the former."""
        last = 0
        for start in range(0, len(items), _SMALL_BATCH):
            end = min(start + _SMALL_BATCH, len(items))
            valid = self._write(_part(batch, items, start, end))
            steps = [(start, end, valid)] if valid else ((index, index + 1, None) for index in range(start, end))
            for one_start, one_end, one in steps:
                valid = one or self._write(_part(batch, items, one_start, one_end))
                if valid:
                    if last < one_start:
                        yield one_start, None
                    yield one_end, valid
                    last = one_end
        if last < len(items):
            yield len(items), None

    def _write(self, batch: Batch) -> ValidRows | None:
        if isinstance(batch, list):
            return self._validator.parse(_RECORDS, batch)
        data = batch.lines.data
        return self._validator.parse(batch.conversion.schema, data.replace(b"\r\n", b"\n") if b"\r" in data else data)


def _part(batch: Batch, items: list[Any], start: int, end: int) -> Batch:
    """Returns some of the items of a batch as a batch."""
    if isinstance(batch, list):
        return items[start:end]
    lines = batch.lines
    return batch._replace(lines=Lines(lines.number + start, lines.source, b"\n".join(items[start:end])))
