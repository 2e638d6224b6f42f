"""Several processes check one file: each a range of whole lines; their reports are put together in the order of the file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.fingerprints import Digests
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_row import validate_row
from together_adapters.finetune.validation.file_check import CheckOptions, FileChecker
from together_adapters.finetune.validation.jsonl_reader import LineReader, parse_line, split_lines
from together_adapters.types.progress import Progress

_PIECE: Final = 64 * 2**20
_SMALLEST: Final = 1 << 16
_BLOCK: Final = 1 << 20
_DIGEST: Final = 16


class RangeResult(NamedTuple):
    """What was found in a range of a file; lines are counted from its beginning."""

    lines: int
    report: DataReport
    digests: bytes


def check_in_parallel(check: FileChecker, path: Path, workers: int, progress: Callable[[Progress], object] | None) -> None:
    """Check a file in several processes, and add what they find to a check."""
    size = path.stat().st_size
    first = first_format(path, check.options.purpose)
    ranges = line_ranges(path, size, max(workers, -(-size // _PIECE)))
    seen = Digests()
    done = number = 0
    # Forking a process that has threads can lock up, and no other start is the same everywhere.
    with ProcessPoolExecutor(min(workers, len(ranges)), mp_context=get_context("spawn")) as pool:
        pieces = pool.map(
            check_range,
            [path] * len(ranges),
            ranges,
            [check.options] * len(ranges),
            [None, *[first] * (len(ranges) - 1)],
        )
        for (start, end), piece in zip(ranges, pieces, strict=True):
            for issue in piece.report.issues:
                issue.line = issue.line + number if issue.line is not None else None
            number += piece.lines
            check.add(piece.report)
            for place in range(0, len(piece.digests), _DIGEST):
                if seen.put(piece.digests[place : place + _DIGEST]) is not None:
                    check.repeat()
            done += end - start
            if progress:
                progress(Progress(done, size, "check"))
    check.found.bytes = done


def check_range(
    path: Path, bounds: tuple[int, int], options: CheckOptions, first: str | None, name: str | None = None
) -> RangeResult:
    """Check a range of a file that begins and ends with lines.

    Args:
        path: The file.
        bounds: Where the range begins and ends.
        options: What is asked for.
        first: The format of the rows before; None at the beginning of the file.
        name: The name of the file in issues, if not its own.
    """
    check = FileChecker(name or path.name, options, first, collect=True, begins=bounds[0] == 0)
    check.lines(LineReader(path, *bounds))
    return RangeResult(check.number, check.report(), bytes(check.digests or b""))


def line_ranges(path: Path, size: int, pieces: int) -> list[tuple[int, int]]:
    """Divide a file into ranges of about the same size that begin and end with lines."""
    step = max(_SMALLEST, -(-size // pieces))
    ranges: list[tuple[int, int]] = []
    start = 0
    with path.open("rb") as file:
        while start < size:
            end = _next_line(file, min(start + step, size), size)
            ranges.append((start, end))
            start = end
    return ranges


def _next_line(file: BinaryIO, place: int, size: int) -> int:
    """Return where the first line begins that begins at a place or after it."""
    if place >= size:
        return size
    file.seek(place - 1)
    place -= 1
    while block := file.read(_BLOCK):
        if (found := block.find(b"\n")) >= 0:
            return min(size, place + found + 1)
        place += len(block)
    return size


def first_format(path: Path, purpose: str) -> str | None:
    """Return the format of the first row that has one."""
    notes = RowFindings()
    for batch, lines in enumerate(LineReader(path)):
        for number, line in enumerate(split_lines(lines)):
            notes.begin()
            parsed, value = parse_line(notes, line, first=batch == number == 0)
            if parsed:
                validate_row(notes, value, purpose)
                if notes.format is not None:
                    return notes.format
    return None
