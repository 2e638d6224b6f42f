"""Writing rows to a file that trains: put right, checked, all or nothing, and with a report of what became of every row.

prepared = write_jsonl(data, "train.jsonl")
print(prepared.report.summary())
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Final

from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.dataset import TrainingData
from together_adapters.finetune.errors import ConversionError, FileTooLargeError, issue_summary
from together_adapters.finetune.issues import severities_of
from together_adapters.finetune.records import Record
from together_adapters.finetune.reports.report import DataReport, add_counts
from together_adapters.finetune.rules import MAX_FILE_BYTES, METHODS
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.prepare_row import PreparedRow, RowPreparer
from together_adapters.finetune.writing.prepared_file import PreparedFile, report_path
from together_adapters.finetune.writing.write_summary import WriteSummary
from together_adapters.types.progress import Progress

__all__ = ["PreparedFile", "write_jsonl"]

_CHUNK: Final = 1000
_AHEAD: Final = 2


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
    """Write rows to a JSONL file, with a report beside it: `train.report.json` for `train.jsonl`.

    The file appears complete and checked, or not at all. The same rows and options give the same bytes everywhere. Of every
    row the report tells what became of it: in a file that was written, `rows` are `valid` and those in `dropped`.

    Args:
        data: The rows.
        path: The file, `.jsonl`.
        fixes: What is put right, and what becomes of rows that stay faulty. None for `Fixes()`.
        method: What it is to train, `sft` or `dpo`. None takes what fits the rows.
        limits: What the model can: the answer of `client.fine_tuning.model_limits(model)`, or anything with its attributes or keys.
        tokenizer: Counts tokens, for the report and the model's longest row: a function of a text, or anything with `encode`. None estimates.
        severities: Other severities by issue code: `error`, `warning`, `ignore`.
        max_bytes: The largest file.
        max_issues: How many errors and how many warnings are listed. All are counted.
        workers: Processes that put rows right and check them; worth it for long rows. With more than one, a script needs
            `if __name__ == "__main__":`.
        overwrite: Whether a file that is there is replaced.
        progress: Told how many rows are done.

    Returns:
        The file.

    Raises:
        ConversionError: Something in the source could not become a row; `issues` and `report` tell.
        InvalidDatasetError: Rows are faulty, none are left, or the model cannot train with them; `report` tells.
        MethodMismatchError: The rows do not train with `method`.
        FileTooLargeError: The file would be larger than `max_bytes`.
        FileExistsError: The file is there, and `overwrite` is not set.
        ValueError: An argument is wrong.
    """
    path, fixes = Path(path), fixes or Fixes()
    if path.suffix != ".jsonl":
        raise ValueError(f"{path.name} must end in .jsonl: other files are refused by the service")
    if method is not None and method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    if workers < 1:
        raise ValueError(f"workers must be 1 or more, not {workers}")
    _refuse_existing(path, overwrite)
    graves = severities_of(severities)
    plan = RowPreparer(fixes, graves, _longest(limits), tokenizer)
    ledger = WriteSummary(graves, method, max_issues, drops=fixes.on_error == "drop")
    source = TrainingData.from_rows(data)
    part = path.with_name(f".{path.stem}.{token_hex(4)}.jsonl")
    try:
        with part.open("xb", 1 << 20) as file:
            size = _write(file, source, plan, ledger, workers, max_bytes, progress)
            file.flush()
            os.fsync(file.fileno())
        if ledger.valid and not (ledger.faulty and fixes.on_error != "drop"):
            if size > max_bytes:
                raise _too_large(path, size, max_bytes)
            cut = {"row_too_long": "warning"} if fixes.too_long == "keep" else {}
            report = _report(part, path, ledger, limits, {**cut, **(severities or {})}, max_issues, tokenizer)
        else:
            report = _nothing(ledger)
        if not report.ok:
            if fixes.on_error == "collect":
                return PreparedFile(path, report, written=False)
            raise _fault(ledger, report, source.name, path)
        _refuse_existing(path, overwrite)
        _publish(part, path, report)
    finally:
        part.unlink(missing_ok=True)
    return PreparedFile(path, report)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already; overwrite=True replaces it")


def _longest(limits: Any) -> dict[str, int]:
    """Return the longest row that the model trains on, by format."""
    found = {}
    for method, formats in METHODS.items():
        name = f"max_seq_length_{method}"
        most = limits.get(name) if isinstance(limits, Mapping) else getattr(limits, name, None)
        if isinstance(most, int):
            found.update(dict.fromkeys(formats, most))
    return found


def _write(
    file: BinaryIO,
    source: TrainingData,
    plan: RowPreparer,
    ledger: WriteSummary,
    workers: int,
    max_bytes: int,
    progress: Callable[[Progress], object] | None,
) -> int:
    """Write all rows; return the bytes that they have, also when there are too many and the rest is only counted."""
    size = 0
    for records, prepared in _prepared(source.records(), plan, workers):
        data = b"".join(map(ledger.take, records, prepared))
        size += len(data)
        if size <= max_bytes:
            file.write(data)
        if progress:
            progress(Progress(ledger.rows, None, "write"))
    return size


def _prepared(records: Iterator[Record], plan: RowPreparer, workers: int) -> Iterator[tuple[list[Record], list[PreparedRow]]]:
    """Give records in their order, each with what became of it."""
    if workers == 1:
        while chunk := list(islice(records, _CHUNK)):
            yield chunk, plan.prepare(chunk)
        return
    waiting: deque[tuple[list[Record], Future[list[PreparedRow]]]] = deque()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            while chunk := list(islice(records, _CHUNK)):
                waiting.append((chunk, pool.submit(plan.prepare, chunk)))
                if len(waiting) > workers * _AHEAD:
                    done, future = waiting.popleft()
                    yield done, future.result()
            for done, future in waiting:
                yield done, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _report(
    part: Path, path: Path, ledger: WriteSummary, limits: Any, severities: Any, max_issues: int, tokenizer: Any
) -> DataReport:  # fmt: skip
    """Check the file as it was written, and add what did not get into it."""
    found = check_jsonl(
        part, method=ledger.method, limits=limits, severities=severities, max_issues=max_issues, tokenizer=tokenizer,
        checksum=True,
    )  # fmt: skip
    issues = [issue.model_copy(update={"source": path.name}) for issue in found.issues]
    return found.model_copy(
        update={
            "rows": found.rows + sum(ledger.dropped.values()),
            "dropped": dict(sorted(ledger.dropped.items())),
            "changed": dict(sorted(ledger.changed.items())),
            "issues": ledger.issues(issues),
            "issue_counts": add_counts(found.issue_counts, ledger.counts),
            "warnings": found.warnings + sum(ledger.counts.values()),
        }
    )


def _nothing(ledger: WriteSummary) -> DataReport:
    """The report where no file comes about."""
    if not ledger.valid and not ledger.faulty:
        ledger.counts["too_few_samples"] += 1
    report = ledger.report()
    return report if report.errors else report.model_copy(update={"errors": 1, "warnings": sum(ledger.counts.values())})


def _fault(ledger: WriteSummary, report: DataReport, name: str, path: Path) -> ConversionError | InvalidDatasetError:
    details = issue_summary(report.issues, report.issue_counts)
    if not ledger.rows:
        return InvalidDatasetError(f"{name} holds no rows; {path.name} was not written", report=report)
    if not ledger.valid and ledger.dropped:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items())
        what = f"none of the {ledger.rows:,} rows of {name} is left ({dropped})"
    elif not ledger.faulty:
        return InvalidDatasetError(f"{path.name} was not written. {report.summary()}", report=report)
    else:
        what = f"{ledger.faulty:,} of the {ledger.rows:,} rows of {name} are faulty"
    message = f"{what}; {path.name} was not written. {details}"
    if ledger.unconvertible:
        return ConversionError(message, issues=report.issues, issue_counts=report.issue_counts, report=report)
    return InvalidDatasetError(message, report=report)


def _too_large(path: Path, size: int, limit: int) -> FileTooLargeError:
    return FileTooLargeError(
        f"{path.name} would have {size:,} bytes; {limit:,} are allowed. Take fewer rows with data.limit(tokens=...) or"
        " data.dedupe(), or train in several jobs, each from the checkpoint of the one before",
        size=size,
        limit=limit,
    )


def _publish(part: Path, path: Path, report: DataReport) -> None:
    """Put the file and its report in their places, each at once."""
    beside = report_path(path)
    paper = part.with_suffix(".report.json")
    try:
        with paper.open("x", encoding="utf-8", newline="\n") as file:
            file.write(report.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        paper.replace(beside)
    finally:
        paper.unlink(missing_ok=True)
