"""Checking and converting in memory: pure functions of a batch, for engines that bring their own workers.

Each gives a report, and reports add up, so any engine that maps over batches will do:

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
from together_adapters.finetune.reports.report import DataReport, add_counts
from together_adapters.finetune.rules import METHODS
from together_adapters.finetune.validation.file_check import DEFAULT_METHOD, CheckOptions, FileChecker
from together_adapters.finetune.validation.jsonl_reader import line_batches
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.prepare_row import RowPreparer
from together_adapters.finetune.writing.write_summary import WriteSummary


def check_bytes(
    data: bytes,
    *,
    name: str = "data",
    purpose: str = "fine-tune",
    method: str = DEFAULT_METHOD,
    limits: Any = None,
    max_issues: int = 1000,
    severities: Mapping[str, str] | None = None,
    strict: bool = False,
    tokenizer: Any = None,
    duplicates: bool = False,
    secrets: bool = False,
) -> DataReport:
    """Check lines of JSONL in memory, as `check_jsonl` checks a file.

    Args:
        data: Whole lines.
        name: Where they come from, for the issues.
        purpose: As for `check_jsonl`, and so are the others.

    Raises:
        ValueError: The method, a severity or a code does not exist.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    options = CheckOptions(purpose, method, severities_of(severities), max_issues, limits, strict, tokenizer, duplicates, secrets)
    check = FileChecker(name, options)
    check.found.bytes = len(data)
    check.lines(line_batches(data))
    check.end_lines()
    check.judge_whole()
    return check.report()


def convert_batch(
    rows: Any,
    convert: Convert | None = None,
    *,
    fixes: Fixes | None = None,
    name: str = "data",
    start: int = 1,
    **options: Any,
) -> tuple[bytes, DataReport]:
    """Turn records into lines of JSONL, and say what became of each.

    Args:
        rows: The records: a list or another iterable, an Arrow table or record batch.
        convert: Turns one record into rows: a generator of `Converted`, which raises `Unconvertible`. None takes the records as
            rows that are in the service's form already.
        fixes: What is put right. Rows that stay faulty are left out and counted under the code of their first fault,
            whatever `on_error` says: who has all reports decides.
        name: Where the records come from, for the issues.
        start: The number of the first one.
        **options: As for `check_bytes`.

    Returns:
        The lines, and their report: `rows` are `valid` and those in `dropped`.
    """
    plan = RowPreparer(replace(fixes or Fixes(), on_error="drop"), severities_of(options.get("severities")), {})
    ledger = WriteSummary(plan.severities, None, options.get("max_issues", 1000), drops=True)
    records = list(examples(_records(rows), convert or _as_it_is, name, start))
    data = b"".join(map(ledger.take, records, plan.prepare(records)))
    report = check_bytes(data, name=name, **options) if data else DataReport(max_issues=options.get("max_issues", 1000))
    counts = add_counts(report.issue_counts, ledger.counts)
    return data, report.model_copy(
        update={
            "rows": ledger.rows,
            "dropped": dict(sorted(ledger.dropped.items())),
            "changed": dict(sorted(ledger.changed.items())),
            "issues": ledger.issues(report.issues),
            "issue_counts": counts,
            "warnings": report.warnings + sum(ledger.counts.values()),
        }
    )


def _as_it_is(row: Any) -> Iterator[Converted]:
    if not isinstance(row, dict):
        raise Unconvertible("line_not_object", "a row must be an object", value=row)
    yield Converted(row)


def _records(rows: Any) -> Iterable[Any]:
    """Return the records of a list or of an Arrow table."""
    if hasattr(rows, "to_batches"):
        return (record for batch in rows.to_batches() for record in batch.to_pylist())
    records: Iterable[Any] = rows.to_pylist() if hasattr(rows, "to_pylist") else rows
    return records
