"""Checks a file in several processes, each a range of whole lines, and merges their reports in the order of the file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Final

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_row import validate_row
from together_adapters.finetune.validation.file_check import CheckOptions, FileChecker
from together_adapters.finetune.validation.jsonl_reader import LineReader, parse_lines
from together_adapters.types.progress import Progress

_RANGE_BYTES: Final = 64 * 2**20
_MIN_RANGE_BYTES: Final = 1 << 16
_BLOCK: Final = 1 << 20
_DIGEST_BYTES: Final = 16


def check_in_parallel(checker: FileChecker, path: Path, workers: int, progress: Callable[[Progress], object] | None) -> None:
    """Checks a file in several processes and merges their results into a checker."""
    size = path.stat().st_size
    form = first_format(path, checker.options.purpose)
    ranges = line_ranges(path, size, max(workers, -(-size // _RANGE_BYTES)))
    row_digests = Digests()
    position = line_number = 0
    # Forking a process that has threads can deadlock, and no other start method is available everywhere.
    with ProcessPoolExecutor(min(workers, len(ranges)), mp_context=get_context("spawn")) as pool:
        count = len(ranges)
        results = pool.map(check_range, [path] * count, ranges, [checker.options] * count, [None, *[form] * (count - 1)])
        for (start, end), (lines, report, digests) in zip(ranges, results, strict=True):
            for issue in report.issues:
                issue.line = issue.line + line_number if issue.line is not None else None
            line_number += lines
            checker.merge(report)
            for index in range(0, len(digests), _DIGEST_BYTES):
                if row_digests.put(digests[index : index + _DIGEST_BYTES]) is not None:
                    checker.count_duplicate()
            position += end - start
            if progress:
                progress(Progress(position, size, "check"))
    checker.report.bytes = position


def check_range(path: Path, bounds: tuple[int, int], options: CheckOptions, form: str | None) -> tuple[int, DataReport, bytes]:
    """Checks a range of whole lines in the format `form`, None for the first range; returns its lines, report and digests."""
    checker = FileChecker(path.name, options, form, collect_digests=True, starts_file=bounds[0] == 0)
    checker.check_lines(LineReader(path, *bounds))
    return checker.line_number, checker.build_report(), bytes(checker.digests or b"")


def line_ranges(path: Path, size: int, count: int) -> list[tuple[int, int]]:
    """Divides a file into ranges of whole lines and about equal size."""
    step = max(_MIN_RANGE_BYTES, -(-size // count))
    ranges: list[tuple[int, int]] = []
    start = 0
    with path.open("rb") as file:
        while start < size:
            end = _next_line_start(file, min(start + step, size), size)
            ranges.append((start, end))
            start = end
    return ranges


def _next_line_start(file: BinaryIO, position: int, size: int) -> int:
    """Returns the start of the first line at a position or after it."""
    file.seek(position - 1)
    while (part := file.readline(_BLOCK)) and not part.endswith(b"\n"):
        continue
    return min(file.tell(), size)


def first_format(path: Path, purpose: str) -> str | None:
    """Returns the format of the first row that has one."""
    findings = RowFindings()
    for _, _, parsed, value in parse_lines(LineReader(path), findings):
        if parsed:
            validate_row(findings, value, purpose)
            if findings.format is not None:
                return findings.format
    return None
