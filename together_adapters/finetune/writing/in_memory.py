"""Checks and converts batches in memory, for engines that bring their own workers.

Both functions return a report, and reports add up, so any engine that maps over batches will do:

    report = reduce(add, sc.binaryFiles("s3://traces/*.jsonl").map(lambda f: check_bytes(f[1])).collect())    # Spark
    table = spark.read.parquet("s3://traces").mapInArrow(lambda batches: map(rows_of, batches), "data binary, report string")
    report = sum(dask.compute(*map(delayed(check_bytes), blocks))[0], DataReport())                           # Dask

where `rows_of` calls `convert_batch`. For Ray there is `together_adapters.finetune.ray`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from together_adapters.finetune.issues import severities_of
from together_adapters.finetune.records import Convert, Converted, Unconvertible, examples
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import METHODS
from together_adapters.finetune.validation.file_check import CheckOptions, FileChecker
from together_adapters.finetune.validation.jsonl_reader import line_batches
from together_adapters.finetune.writing.fixes import Fixes, fixes_of
from together_adapters.finetune.writing.prepare_row import RowPreparer
from together_adapters.finetune.writing.write_summary import WriteSummary


def check_bytes(
    data: bytes,
    *,
    name: str = "data",
    purpose: str = "fine-tune",
    method: str | None = None,
    limits: Any = None,
    max_issues: int = 1000,
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
    tokenizer: Any = None,
    duplicates: bool = False,
    secrets: bool = False,
) -> DataReport:
    """Checks lines of JSONL in memory, as `check_jsonl` checks a file.

    Args:
        data: Whole lines.
        name: The source to show in issues.
        purpose: As for `check_jsonl`, like all other parameters.

    Raises:
        ValueError: The method, a severity or an issue code is unknown.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    options = CheckOptions(purpose, method, severities_of(severities), max_issues, limits, strict, tokenizer, duplicates, secrets)
    checker = FileChecker(name, options)
    checker.report.bytes = len(data)
    checker.check_lines(line_batches(data))
    checker.finish_lines()
    checker.finish_file()
    return checker.build_report()


def convert_batch(
    rows: Any, convert: Convert | None = None, *, fixes: Fixes | None = None, name: str = "data", start: int = 1, **options: Any
) -> tuple[bytes, DataReport]:
    """Converts records to lines of JSONL.

    Args:
        rows: The records: a list or another iterable, an Arrow table or record batch.
        convert: Converts one record to rows: a generator of `Converted`, which raises `Unconvertible`. None if the records are
            rows in one of the service's formats.
        fixes: The fixes to apply. Rows that stay invalid are dropped and counted by the code of their first error, whatever
            `on_error` says, as only the caller has all reports.
        name: The source of the records to show in issues.
        start: The number of the first record.
        **options: As for `check_bytes`.

    Returns:
        The lines, and their report: `rows` are `valid` and those in `dropped`.
    """
    preparer = RowPreparer(replace(fixes_of(fixes), on_error="drop"), severities_of(options.get("severities")), {})
    max_issues = options.get("max_issues", 1000)
    summary = WriteSummary(preparer.severities, None, max_issues, drops_invalid=True)
    records = list(examples(_records(rows), convert or _identity, name, start))
    data = b"".join(map(summary.add, records, preparer.prepare(records)))
    report = check_bytes(data, name=name, **options) if data else DataReport(max_issues=max_issues)
    return data, summary.complete(report)


def _identity(row: Any) -> Iterator[Converted]:
    if not isinstance(row, dict):
        raise Unconvertible("line_not_object", "a row must be an object", value=row)
    yield Converted(row)


def _records(rows: Any) -> Iterable[Any]:
    """Returns the records of a list or an Arrow table."""
    if hasattr(rows, "to_batches"):
        return (record for batch in rows.to_batches() for record in batch.to_pylist())
    records: Iterable[Any] = rows.to_pylist() if hasattr(rows, "to_pylist") else rows
    return records
