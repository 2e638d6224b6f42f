"""Checks tables: CSV files, for evaluations only, and Parquet files with tokenized data, lists with an integer for each token."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.issues import count_of
from together_adapters.finetune.reports.distribution import Tally
from together_adapters.finetune.rules import TOKENIZED_COLUMNS, TOKENIZED_NEEDED
from together_adapters.finetune.validation.file_check import FileChecker
from together_adapters.finetune.validation.token_lengths import model_limit

_BATCH_ROWS: Final = 64
"""A row may have a hundred thousand tokens."""
_IGNORED_LABEL: Final = -100
_MAX_CELL: Final = 1 << 24


def check_csv(checker: FileChecker, path: Path, way_on: str) -> None:
    """Checks that a CSV file has a header, and as many cells in every row."""
    purpose = checker.options.purpose
    if purpose != "eval":
        code = "csv_not_for_finetune" if purpose == "fine-tune" else "csv_not_for_purpose"
        checker.add_finding(code, f"CSV files cannot be used for {purpose}{way_on}")
        return
    with path.open(encoding="utf-8", newline="") as file, long_csv_cells():
        reader = csv.reader(file, strict=True)
        try:
            _check_csv_rows(checker, reader)
        except UnicodeDecodeError:
            checker.add_finding("not_utf8", "the file is not UTF-8", reader.line_num + 1)
            return
        except csv.Error as error:
            checker.add_finding("csv_syntax", f"the file is not CSV: {error}", reader.line_num)
            return
    if not checker.rows:
        checker.add_finding("too_few_samples", "the file has a header but no rows")


def _check_csv_rows(checker: FileChecker, reader: Any) -> None:
    header = next(reader, None) or []
    if header and header[0].startswith("\ufeff"):
        checker.add_finding("utf8_bom", "the file starts with a byte order mark", 1)
    for number, row in numbered_rows(reader):
        if not row:
            checker.add_finding("blank_line", "the line is blank", number)
            continue
        checker.findings.start_row()
        cells = None
        if len(row) != len(header):
            checker.findings.add("csv_columns", "", f"the row has {count_of(len(row), 'cell')}, the header {len(header)}")
            cells = dict(zip(header, row, strict=False))
        checker.finish_row(number, cells)


def numbered_rows(reader: Any, offset: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yields rows of a CSV reader with the lines of the file where they begin, which has so many lines before the reader."""
    line = reader.line_num
    for row in reader:
        yield line + offset + 1, row
        line = reader.line_num


@contextmanager
def long_csv_cells() -> Iterator[None]:
    """Lifts the limit on the length of cells to one image; it belongs to the whole process, so it is restored."""
    limit = csv.field_size_limit(_MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def check_parquet(checker: FileChecker, path: Path) -> None:
    """Checks the columns and rows of a Parquet file in batches."""
    if checker.options.purpose != "fine-tune":
        checker.add_finding("parquet_not_for_purpose", f"Parquet files cannot be used for {checker.options.purpose}")
        return
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            checker.add_finding("parquet_unreadable", "the file is not a Parquet file")
            return
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        checker.add_finding("parquet_unchecked", "the rows were not checked, because pyarrow is not installed")
        return
    try:
        with parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
            if columns := _check_columns(checker, file.schema_arrow):
                _check_parquet_rows(checker, file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False))
            else:
                checker.report.rows = checker.report.valid = file.metadata.num_rows
    except Exception as error:  # a damaged file raises errors of many kinds
        checker.add_finding("parquet_unreadable", f"the file cannot be read: {str(error)[:200]}")
        return
    if not checker.rows:
        checker.add_finding("too_few_samples", "the file has no rows")


def _check_columns(checker: FileChecker, schema: Any) -> list[str]:
    """Returns the columns whose values can be checked; none if a column is missing or has another type."""
    from pyarrow import types  # type: ignore[import-not-found,import-untyped,unused-ignore]

    names = list(schema.names)
    columns: list[str] = []
    if TOKENIZED_NEEDED not in names:
        text = f"the column {TOKENIZED_NEEDED} is missing; the columns are {', '.join(map(repr, names[:10]))}"
        checker.add_finding("parquet_columns", text)
    for index, name in enumerate(names):
        kind = schema.field(index).type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        if name not in TOKENIZED_COLUMNS:
            checker.add_finding("parquet_columns", f"{name[:60]!r} is not a column of tokenized data")
        elif names.index(name) < index:
            checker.add_finding("parquet_columns", f"the column {name} occurs twice")
        elif not (is_list and types.is_integer(kind.value_type)):
            checker.add_finding("parquet_types", f"the column {name} has the type {str(kind)[:60]}")
        else:
            columns.append(name)
    return columns if TOKENIZED_NEEDED in columns and len(columns) == sum(name in TOKENIZED_COLUMNS for name in names) else []


def _check_parquet_rows(checker: FileChecker, batches: Iterator[Any]) -> None:
    limit = model_limit(checker.options.limits, f"max_seq_length_{checker.report.method}")
    lengths = Tally()
    for batch in batches:
        columns = {name: batch.column(name) for name in batch.schema.names}
        column_lengths = {name: column.value_lengths().to_pylist() for name, column in columns.items()}
        rows_with_nulls = {
            name: _rows_where(column, column.flatten().is_null())
            for name, column in columns.items()
            if column.flatten().null_count
        }
        rows_with_targets = _rows_with_targets(columns.get("labels"))
        for index in range(batch.num_rows):
            checker.line_number += 1
            checker.findings.start_row()
            row_lengths = {name: counts[index] for name, counts in column_lengths.items()}
            columns_with_nulls = [name for name, rows in rows_with_nulls.items() if index in rows]
            _check_row(checker, row_lengths, columns_with_nulls, rows_with_targets is None or index in rows_with_targets)
            tokens = row_lengths[TOKENIZED_NEEDED] or 0
            lengths.add(tokens)
            if isinstance(limit, int) and tokens > limit:
                checker.report.too_long += 1
                message = f"the row has {tokens:,} tokens; the model trains on {limit:,}"
                checker.findings.add("row_too_long", "", message)
            checker.finish_row(checker.line_number)
    checker.report.tokens += lengths.distribution()
    checker.report.max_seq_length = limit if isinstance(limit, int) else None


def _check_row(checker: FileChecker, lengths: dict[str, int | None], columns_with_nulls: list[str], has_targets: bool) -> None:
    """Checks the lengths of the lists of a row, and what they hold."""
    add = checker.findings.add
    missing = [name for name, length in lengths.items() if length is None]
    for name in missing + columns_with_nulls:
        add("tokens_missing", name, "a value is null" if name in columns_with_nulls else "the list is null")
    if missing:
        return
    tokens = lengths[TOKENIZED_NEEDED]
    if not tokens:
        add("tokens_empty", TOKENIZED_NEEDED, "the row has no tokens")
    for name, length in lengths.items():
        if length != tokens:
            add("tokens_lengths_differ", name, f"the list has {length:,} values for {tokens:,} tokens")
    if tokens and lengths.get("labels") and not has_targets:
        add("tokens_untrained", "labels", f"every label is {_IGNORED_LABEL}")


def _rows_with_targets(labels: Any) -> set[int] | None:
    """Returns the rows of a batch with a label that is trained on; None without labels."""
    if labels is None:
        return None
    from pyarrow import compute, scalar  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return _rows_where(labels, compute.call_function("not_equal", [labels.flatten(), scalar(_IGNORED_LABEL)]))


def _rows_where(column: Any, mask: Any) -> set[int]:
    """Returns the rows whose lists have a value for which a mask is true."""
    return set(column.value_parent_indices().filter(mask).unique().to_pylist())
