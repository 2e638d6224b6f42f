"""Tables in memory, recognised by their package: pandas and Polars frames, Arrow tables, Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from together_adapters.errors import DatasetError
from together_adapters.finetune.readers.arrow import ROWS, batch_records
from together_adapters.finetune.readers.files import Source
from together_adapters.finetune.readers.json_values import SourceRecord
from together_adapters.finetune.records import IndexedSource


def open_table(source: Any) -> Source | None:
    """Returns a table as a source, or None for other values; a set of tables, and a lazy one, raise `DatasetError`."""
    package = type(source).__module__.partition(".")[0]
    name = type(source).__name__
    if package == "datasets" and isinstance(source, Mapping):
        raise DatasetError(f"this {name} has the splits {', '.join(map(str, source))}: load one of them, as in load(data[...])")
    if package == "datasets" and hasattr(source, "with_format"):
        return _source(name, lambda: batch_records(source.with_format("arrow").iter(batch_size=ROWS)))
    if package == "pyarrow":
        return _pyarrow(source, name)
    if package == "pandas" and hasattr(source, "iloc"):
        return Source(name, lambda: _pandas(source, name), False, True)
    if package == "polars":
        if not hasattr(source, "iter_slices"):
            raise DatasetError(f"this {name} has to be computed first: load(frame.collect())")
        return _source(name, lambda: (row for part in source.iter_slices(ROWS) for row in part.to_dicts()))
    return None


def _source(name: str, read: Any, *, read_once: bool = False) -> Source:
    return Source(name, lambda: (SourceRecord(number, name, row) for number, row in enumerate(read(), 1)), read_once, True)


def _pyarrow(source: Any, name: str) -> Source:
    if hasattr(source, "to_batches"):
        return _source(name, lambda: batch_records(source.to_batches(max_chunksize=ROWS)))
    if hasattr(source, "read_next_batch"):
        return _source(name, lambda: batch_records(source), read_once=True)
    return _source(name, lambda: batch_records([source]))


def _pandas(frame: Any, name: str) -> Iterator[SourceRecord]:
    for start in range(0, len(frame), ROWS):
        part = frame.iloc[start : start + ROWS]
        for number, (label, row) in enumerate(zip(part.index, part.to_dict("records"), strict=True), start + 1):
            source = IndexedSource(name)
            source.index = label
            yield SourceRecord(number, source, {str(key): plain_cell(value) for key, value in row.items()})


def plain_cell(value: Any) -> Any:
    """Returns a cell as plain values: arrays as lists, NaN, NaT and NA as None."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return None if value != value else value  # noqa: PLR0124 -- NaN alone differs from itself
    if isinstance(value, dict):
        return {key: plain_cell(item) for key, item in value.items()}
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        items = value if isinstance(value, list | tuple) else value.tolist()
        return (
            [plain_cell(item) for item in items]
            if isinstance(items, Iterable) and not isinstance(items, str)
            else plain_cell(items)
        )
    return None if type(value).__name__ in ("NAType", "NaTType") else value
