"""Parquet: data that is tokenized already, as lists of integers, one for each token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.reports.distribution import Tally
from together_adapters.finetune.rules import TOKENIZED_COLUMNS, TOKENIZED_NEEDED
from together_adapters.finetune.validation.file_check import FileChecker, model_limit

_ROWS_AT_ONCE: Final = 64
"""Few: a row may have a hundred thousand tokens."""
_UNTRAINED: Final = -100


def check_parquet(check: FileChecker, path: Path) -> None:
    """Look at the columns and the rows of a Parquet file, a few at a time."""
    if check.options.purpose != "fine-tune":
        check.note("parquet_not_for_purpose", f"Parquet cannot be used for {check.options.purpose}")
        return
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            check.note("parquet_unreadable", "the file is no Parquet")
            return
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        check.note("parquet_unchecked", "Parquet was not looked into, because pyarrow is not installed")
        return
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            if columns := _columns(check, file.schema_arrow):
                _check_rows(check, file.iter_batches(_ROWS_AT_ONCE, columns=columns, use_threads=False))
            else:
                check.found.rows = check.found.valid = file.metadata.num_rows
    except Exception as problem:  # what is broken within shows in many ways
        check.note("parquet_unreadable", f"the file cannot be read: {str(problem)[:200]}")
        return
    if not check.rows:
        check.note("too_few_samples", "there is no row")


def _columns(check: FileChecker, schema: Any) -> list[str]:
    """Return the columns whose rows can be looked at; none where one is not what it must be."""
    from pyarrow import types  # type: ignore[import-not-found,import-untyped,unused-ignore]

    names = list(schema.names)
    good: list[str] = []
    if TOKENIZED_NEEDED not in names:
        check.note("parquet_columns", f"the column {TOKENIZED_NEEDED} is missing; there are {', '.join(map(repr, names[:10]))}")
    for place, name in enumerate(names):
        kind = schema.field(place).type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if name not in TOKENIZED_COLUMNS:
            check.note("parquet_columns", f"the column {name[:60]!r} is not expected")
        elif names.index(name) < place:
            check.note("parquet_columns", f"there are two columns {name}")
        elif not (is_list and types.is_integer(kind.value_type)):
            check.note("parquet_types", f"the column {name} is {str(kind)[:60]}")
        else:
            good.append(name)
    return good if TOKENIZED_NEEDED in good and len(good) == sum(name in TOKENIZED_COLUMNS for name in names) else []


def _check_rows(check: FileChecker, batches: Iterator[Any]) -> None:
    most = model_limit(check.options.limits, f"max_seq_length_{check.options.method}")
    lengths = Tally()
    for batch in batches:
        columns = {name: batch.column(name) for name in batch.schema.names}
        counts = {name: column.value_lengths().to_pylist() for name, column in columns.items()}
        holes = {name: _rows_where(column, column.flatten().is_null()) for name, column in columns.items() if _holed(column)}
        trained = _trained(columns.get("labels"))
        for place in range(batch.num_rows):
            check.number += 1
            check.notes.begin()
            here = {name: count[place] for name, count in counts.items()}
            _judge(check, here, [name for name, rows in holes.items() if place in rows], trained is None or place in trained)
            tokens = here[TOKENIZED_NEEDED] or 0
            lengths.add(tokens)
            if isinstance(most, int) and tokens > most:
                check.found.too_long += 1
                check.notes.add("row_too_long", "", f"the row has {tokens:,} tokens; the model trains on {most:,}")
            check.row(check.number)
    check.found.tokens += lengths.distribution()
    check.found.max_seq_length = most if isinstance(most, int) else None


def _judge(check: FileChecker, lengths: dict[str, int | None], holed: list[str], trained: bool) -> None:
    """Note what is wrong with a row of tokens."""
    add = check.notes.add
    gone = [name for name, length in lengths.items() if length is None]
    for name in gone + holed:
        add("tokens_missing", name, "there is a null among the values" if name in holed else "there is no list")
    if gone:
        return
    tokens = lengths[TOKENIZED_NEEDED]
    if not tokens:
        add("tokens_empty", TOKENIZED_NEEDED, "the row has no token")
    for name, length in lengths.items():
        if length != tokens:
            add("tokens_lengths_differ", name, f"there are {length:,} values for {tokens:,} tokens")
    if tokens and lengths.get("labels") and not trained:
        add("tokens_untrained", "labels", f"every label is {_UNTRAINED}")


def _holed(column: Any) -> bool:
    return bool(column.flatten().null_count)


def _trained(labels: Any) -> set[int] | None:
    """Return the rows of a batch that have something to train on; None where there are no labels."""
    if labels is None:
        return None
    from pyarrow import compute, scalar  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return _rows_where(labels, compute.call_function("not_equal", [labels.flatten(), scalar(_UNTRAINED)]))


def _rows_where(column: Any, mask: Any) -> set[int]:
    """Return the rows whose lists have a value for which a mask is true."""
    return set(column.value_parent_indices().filter(mask).unique().to_pylist())
