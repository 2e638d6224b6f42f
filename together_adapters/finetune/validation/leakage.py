"""Rows of a file to measure with that the file to train on gives away: what is measured then is memory, not skill.

Only digests are held, and those of the file to measure with alone, which is the smaller one. `splitting.leakage` says the same of
rows in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.rules import TOKENIZED_NEEDED
from together_adapters.finetune.validation.jsonl_reader import LineReader, TruncatedLine, parse_line, split_lines
from together_adapters.types.progress import Progress

if TYPE_CHECKING:
    from together_adapters.finetune.validation.file_check import FileChecker

CODES: Final = ("leaked_row", "leaked_prompt")
_ROWS_AT_ONCE: Final = 64
Told = Callable[[Progress], object] | None


class LeakedRow(NamedTuple):
    """A row to measure with that training gives away.

    Attributes:
        line: Where it is in its file.
        exact: Whether the whole row is known from training, or its prompt alone.
    """

    line: int
    exact: bool


def leaked_rows(train: Path, validation: Path, progress: Told = None) -> Iterator[LeakedRow]:
    """Give the rows of one file that another gives away, in their order. Lines that are no rows are passed over.

    Args:
        train: The file to train on.
        validation: The file to measure with. It is read twice.
        progress: Told how much of the file to train on has been read.

    Raises:
        OSError: A file cannot be read.
    """
    rows, prompts = Digests(), Digests()
    for _, row, prompt in _digests(validation):
        rows.put(row)
        prompts.put(prompt)
    known_rows, known_prompts = Digests(), Digests()
    for _, row, prompt in _digests(train, progress):
        if prompt in prompts:
            known_prompts.put(prompt)
        if row in rows:
            known_rows.put(row)
    for line, row, prompt in _digests(validation):
        exact = row in known_rows
        if exact or prompt in known_prompts:
            yield LeakedRow(line, exact)


def check_leakage(check: FileChecker, train: Path, validation: Path, progress: Told = None) -> None:
    """Note every row of a file that another gives away, and count them; nothing is looked for if both kinds are ignored."""
    severities = check.options.severities
    if all(severities[code] == "ignore" for code in CODES):
        return
    counted = check.found.leakage = {"exact": 0, "prompt": 0}
    for line, exact in leaked_rows(train, validation, progress):
        counted["exact"] += exact
        counted["prompt"] += 1
        code, what = ("leaked_row", "the row") if exact else ("leaked_prompt", "the prompt")
        check.note(code, f"{what} is in {train.name} too", line)


def _digests(path: Path, progress: Told = None) -> Iterator[tuple[int, bytes, bytes]]:
    """Give the line of every row of a file, its digest, and that of its prompt."""
    for number, row in _tokenized(path) if path.suffix == ".parquet" else _rows(path, progress):
        yield number, digest(canonical(row)), digest(prompt_of(row))


def _rows(path: Path, progress: Told) -> Iterator[tuple[int, Any]]:
    total = path.stat().st_size
    notes = RowFindings()
    number = 0
    for lines in LineReader(path, progress=None if progress is None else lambda done: progress(Progress(done, total, "leakage"))):
        for line in split_lines(lines):
            number += 1
            if isinstance(line, TruncatedLine) or not line or line.isspace():
                continue
            notes.begin()
            parsed, row = parse_line(notes, line, first=number == 1)
            if parsed and isinstance(row, dict):
                yield number, row


def _tokenized(path: Path) -> Iterator[tuple[int, Any]]:
    """Rows of tokens are the same when their tokens are; without pyarrow there are none."""
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return
    number = 0
    for batch in parquet.ParquetFile(path).iter_batches(_ROWS_AT_ONCE, columns=[TOKENIZED_NEEDED]):
        for tokens in batch.column(0).to_pylist():
            number += 1
            yield number, {TOKENIZED_NEEDED: tokens}
