"""Writes rows to a JSONL file that trains, and reports what became of every row."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import file_digest
from multiprocessing import get_context
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from together_adapters.atomic_files import is_stream, new_files
from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.errors import ConversionError, FileTooLargeError, issue_summary
from together_adapters.finetune.issues import severities_of
from together_adapters.finetune.records import Record
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import MAX_FILE_BYTES, METHODS
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.finetune.validation.token_lengths import max_tokens_by_format
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.prepare_row import PreparedRow, RowPreparer
from together_adapters.finetune.writing.write_summary import WriteSummary
from together_adapters.types.progress import Progress

_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 8 << 20
_BATCHES_PER_WORKER: Final = 2
_Batch = tuple[list[Record], list[PreparedRow]]


@dataclass(frozen=True)
class PreparedFile:
    """A file of rows, ready for upload. It can be passed wherever a path can.

    Attributes:
        path: The file.
        report: Its contents, what was changed and what was dropped.
        written: False if rows are invalid and `on_error="collect"` asked for the report only: there is no such file then.
    """

    path: Path
    report: DataReport
    written: bool = True

    @classmethod
    def of(cls, path: str | PathLike[str]) -> PreparedFile:
        """Returns a file with its report; if that is missing or belongs to other contents, the file is checked again.

        Raises:
            FileNotFoundError: There is no such file.
        """
        path = Path(path)
        with path.open("rb") as file:
            checksum = file_digest(file, "sha256").hexdigest()
        try:
            report = DataReport.model_validate_json(report_path(path).read_bytes())
        except (OSError, ValueError):
            report = None
        if report is None or report.sha256 != checksum:
            report = check_jsonl(path, checksum=True)
        return cls(path, report)

    @property
    def sha256(self) -> str | None:
        """The checksum of the file."""
        return self.report.sha256

    @property
    def report_path(self) -> Path:
        """The path of the report, next to the file."""
        return report_path(self.path)

    def __fspath__(self) -> str:
        return str(self.path)


def report_path(path: Path) -> Path:
    """Returns the path of a file's report: `train.report.json` for `train.jsonl`."""
    return path.with_suffix(".report.json")


def write_jsonl(
    data: TrainingData | Iterable[Any],
    path: str | PathLike[str],
    *,
    fixes: Fixes | None = None,
    method: str | None = None,
    limits: Any = None,
    tokenizer: Any = None,
    severities: Mapping[str, str] | None = None,
    max_bytes: int = MAX_FILE_BYTES,
    max_issues: int = 1000,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[Progress], object] | None = None,
) -> PreparedFile:
    """Writes rows to a JSONL file, and a report next to it: `train.report.json` for `train.jsonl`.

    The file appears complete and checked, or not at all. The same rows and options give the same bytes everywhere. The report
    accounts for every row: in a file that was written, `rows` are `valid` and those in `dropped`.

    Args:
        data: The rows.
        path: The file, `.jsonl`.
        fixes: The fixes to apply, and what to do with rows that stay invalid. None for `Fixes()`.
        method: The training method, `sft` or `dpo`. None takes the one that fits the rows.
        limits: The limits of the model: the result of `client.fine_tuning.model_limits(model)`, or an object or mapping like it.
        tokenizer: Counts tokens, for the report and the limits of the model: a function of a string, or an object with an
            `encode` method. None estimates.
        severities: Severities that differ from the defaults, by issue code: `error`, `warning` or `ignore`.
        max_bytes: The maximum size of the file.
        max_issues: The maximum number of errors and of warnings to list. All are counted.
        workers: The number of processes that apply fixes and check rows, useful for long rows. With more than one, a script needs
            `if __name__ == "__main__":`.
        overwrite: Whether to replace an existing file.
        progress: Called with the number of rows.

    Returns:
        The file.

    Raises:
        ConversionError: The source could not convert a record to a row; see `issues` and `report`.
        InvalidDatasetError: Rows are invalid, none are left, or the model cannot train on them; see `report`.
        MethodMismatchError: The rows do not train with `method`.
        FileTooLargeError: The file would be larger than `max_bytes`.
        FileExistsError: The file exists and `overwrite` is not set.
        ValueError: An argument is invalid.
    """
    path, fixes = Path(path), fixes or Fixes()
    if path.suffix != ".jsonl":
        raise ValueError(f"{path.name} must end in .jsonl: the service accepts no other extension")
    if method is not None and method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    targets = {path: overwrite, report_path(path): True}
    refuse_foreign_report(report_path(path))
    all_severities = severities_of(severities)
    preparer = RowPreparer(fixes, all_severities, max_tokens_by_format(limits), tokenizer)
    summary = WriteSummary(all_severities, method, max_issues, drops_invalid=fixes.on_error == "drop")
    source = TrainingData.from_rows(data)
    with new_files(targets) as (draft, draft_report):
        with draft.open("xb", 1 << 20) as file:
            size = _write(file, _prepare(source.records(), preparer, workers), summary, max_bytes, progress)
            file.flush()
            os.fsync(file.fileno())
        if summary.valid and not (summary.invalid and fixes.on_error != "drop"):
            if size > max_bytes:
                raise _too_large(path, size, max_bytes)
            long_rows = {"row_too_long": "warning"} if fixes.too_long == "keep" else {}
            report = check_jsonl(
                draft, method=summary.method, limits=limits, severities={**long_rows, **(severities or {})},
                max_issues=max_issues, tokenizer=tokenizer, checksum=True,
            )  # fmt: skip
            report = summary.complete(report)
        else:
            report = summary.report()
        if not report.ok:
            if fixes.on_error == "collect":
                draft.unlink()
                return PreparedFile(path, report, written=False)
            raise _error(summary, report, source.name, path)
        refuse_foreign_report(report_path(path))
        draft_report.write_bytes(report.model_dump_json(indent=2).encode() + b"\n")
    return PreparedFile(path, report)


def refuse_foreign_report(path: Path) -> None:
    """Raises FileExistsError for a file that is no report of a data file: it is the user's, and never replaced."""
    if not path.exists() or is_stream(path):
        return
    try:
        report = from_json(path.read_bytes())
    except ValueError:
        report = None
    if not (isinstance(report, dict) and report.keys() >= {"rows", "rules_version"}):
        raise FileExistsError(
            f"{path} is no report of this library, whose report would take its place: move it, or name another file"
        )


def _write(
    file: BinaryIO,
    batches: Iterator[_Batch],
    summary: WriteSummary,
    max_bytes: int,
    progress: Callable[[Progress], object] | None,
) -> int:
    """Writes all rows; returns their size in bytes, also if it is above the maximum and the rest is only counted."""
    size = 0
    for records, rows in batches:
        data = b"".join(map(summary.add, records, rows))
        size += len(data)
        if size <= max_bytes:
            file.write(data)
        if progress:
            progress(Progress(summary.rows, None, "write"))
    return size


def _prepare(records: Iterator[Record], preparer: RowPreparer, workers: int) -> Iterator[_Batch]:
    """Yields batches of records in their order, with the rows prepared from them."""
    if workers == 1:
        for batch in _batches(records):
            yield batch, preparer.prepare(batch)
        return
    pending: deque[tuple[list[Record], Future[list[PreparedRow]]]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            for batch in _batches(records):
                pending.append((batch, pool.submit(preparer.prepare, batch)))
                if len(pending) > workers * _BATCHES_PER_WORKER:
                    first, future = pending.popleft()
                    yield first, future.result()
            for first, future in pending:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Yields batches of a thousand records, or fewer long ones."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += record.size
        if len(batch) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _error(summary: WriteSummary, report: DataReport, name: str, path: Path) -> ConversionError | InvalidDatasetError:
    if not summary.rows:
        return InvalidDatasetError(f"{name} has no rows; {path.name} was not written", report=report)
    if not summary.valid and summary.drop_counts:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items())
        problem = f"none of the {summary.rows:,} rows of {name} is left ({reasons})"
    elif not summary.invalid:
        return InvalidDatasetError(f"{path.name} was not written. {report.summary()}", report=report)
    else:
        problem = f"{summary.invalid:,} of the {summary.rows:,} rows of {name} are invalid"
    message = f"{problem}; {path.name} was not written. {issue_summary(report.issues, report.issue_counts)}"
    if summary.unconvertible:
        return ConversionError(message, issues=report.issues, issue_counts=report.issue_counts, report=report)
    return InvalidDatasetError(message, report=report)


def _too_large(path: Path, size: int, limit: int) -> FileTooLargeError:
    return FileTooLargeError(
        f"{path.name} would have {size:,} bytes; {limit:,} are allowed. Reduce the rows with data.limit(tokens=...) or"
        " data.dedupe(), or train in several jobs, each from the checkpoint of the previous one",
        size=size,
        limit=limit,
    )
