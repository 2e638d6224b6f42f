"""Writes rows to a JSONL file that trains, and reports what became of every row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from pydantic_core import from_json

from together_adapters.atomic_files import is_stream, new_files
from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.arguments import path_of
from together_adapters.finetune.conversion import UnreadLines
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.errors import ConversionError, FileTooLargeError, issue_summary, way_on
from together_adapters.finetune.issues import count_of
from together_adapters.finetune.records import Record
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.rules import MAX_FILE_BYTES, METHODS
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.finetune.validation.file_check import keep_freed_memory
from together_adapters.finetune.writing.fixes import Fixes, fixes_of
from together_adapters.finetune.writing.parallel import write_in_parallel
from together_adapters.finetune.writing.row_writer import RowWriter, WriteOptions
from together_adapters.finetune.writing.write_summary import MIXED_FORMATS, WriteSummary
from together_adapters.types.progress import Progress

_BATCH_ROWS: Final = 1000
_BATCH_BYTES: Final = 8 << 20


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
        workers: The number of processes. Those of a file of lines read their own ranges of it. One writes up to 64 MiB by itself,
            unless a tokenizer counts. With more than one, a script needs `if __name__ == "__main__":`.
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
    path, fixes = path_of(path), fixes_of(fixes)
    if path.suffix != ".jsonl":
        raise ValueError(f"{path.name} must end in .jsonl: the service accepts no other extension")
    if method is not None and method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    targets = {path: overwrite, report_path(path): True}
    refuse_foreign_report(report_path(path))
    options = WriteOptions(
        name=path.name,
        fixes=fixes,
        method=method,
        limits=limits,
        tokenizer=tokenizer,
        severities=severities,
        max_issues=max_issues,
    )
    writer = RowWriter(options)
    summary = writer.summary
    source = TrainingData.from_rows(data)
    with new_files(targets) as (draft, draft_report):
        with draft.open("xb", 1 << 20) as file:
            batches = _batches(source.unread())
            lines = map(writer.write, batches) if workers == 1 else write_in_parallel(batches, writer, options, workers)
            size, checksum = _write(file, lines, summary, max_bytes, progress)
            file.flush()
            os.fsync(file.fileno())
        if summary.valid and not writer.is_refused and size > max_bytes:
            raise _too_large(path, size, max_bytes)
        report = writer.report(size, checksum)
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
    lines: Iterable[bytes],
    summary: WriteSummary,
    max_bytes: int,
    progress: Callable[[Progress], object] | None,
) -> tuple[int, str]:
    """Writes all rows; returns their size in bytes and the checksum. Rows beyond the maximum size are only counted."""
    size, checksum = 0, sha256()
    keep_freed_memory()
    for data in lines:
        size += len(data)
        if size <= max_bytes:
            file.write(data)
            checksum.update(data)
        if progress:
            progress(Progress(summary.rows, None, "write"))
    return size, checksum.hexdigest()


def _batches(items: Iterator[Record | UnreadLines]) -> Iterator[list[Record] | UnreadLines]:
    """Yields batches of a thousand records, or fewer long ones, and lines that are no records yet."""
    batch: list[Record] = []
    size = 0
    for item in items:
        if type(item) is UnreadLines:
            if batch:
                yield batch
                batch, size = [], 0
            yield item
            continue
        record = cast("Record", item)
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
        problem = f"of {count_of(summary.rows, 'row')} of {name} none is left ({reasons})"
    elif not summary.invalid:
        return InvalidDatasetError(f"{path.name} was not written. {report.summary()}", report=report)
    else:
        verb = "is" if summary.invalid == 1 else "are"
        problem = f"{summary.invalid:,} of {count_of(summary.rows, 'row')} of {name} {verb} invalid"
    is_mixed = summary.issue_counts[MIXED_FORMATS]
    way = "; form='conversation' makes conversations of questions with answers, too" if is_mixed else way_on(summary)
    message = f"{problem}; {path.name} was not written{way}. {issue_summary(report.issues, report.issue_counts)}"
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
