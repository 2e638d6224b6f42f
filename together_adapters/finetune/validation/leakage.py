"""Finds rows of a validation file that are also in the training file; memory holds digests of the validation file only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.fingerprints import Digests, canonical, digest, prompt_of
from together_adapters.finetune.rules import TOKENIZED_NEEDED
from together_adapters.finetune.validation.jsonl_reader import LineReader, parse_lines
from together_adapters.types.progress import Progress

if TYPE_CHECKING:
    from together_adapters.finetune.validation.file_check import FileChecker

_CODES: Final = ("leaked_row", "leaked_prompt")
_BATCH_ROWS: Final = 64
_OnProgress = Callable[[Progress], object] | None


class LeakedRow(NamedTuple):
    """The line of a row that is also in the training file, and whether all of it is (`exact`) or only its prompt."""

    line: int
    exact: bool


def leaked_rows(train: Path, validation: Path, progress: _OnProgress = None) -> Iterator[LeakedRow]:
    """Yields the rows of a validation file, which is read twice, that are also in the training file; skips invalid lines."""
    rows, prompts = Digests(), Digests()
    for _, row, prompt in _digests(validation):
        rows.put(row)
        prompts.put(prompt)
    common_rows, common_prompts = Digests(), Digests()
    for _, row, prompt in _digests(train, progress):
        if prompt in prompts:
            common_prompts.put(prompt)
        if row in rows:
            common_rows.put(row)
    for line, row, prompt in _digests(validation):
        exact = row in common_rows
        if exact or prompt in common_prompts:
            yield LeakedRow(line, exact)


def check_leakage(checker: FileChecker, train: Path, validation: Path, progress: _OnProgress = None) -> None:
    """Reports and counts the rows of a validation file that are also in the training file, unless both codes are ignored."""
    severities = checker.options.severities
    if all(severities[code] == "ignore" for code in _CODES):
        return
    counts = checker.report.leakage = {"exact": 0, "prompt": 0}
    for line, exact in leaked_rows(train, validation, progress):
        counts["exact"] += exact
        counts["prompt"] += 1
        code, what = ("leaked_row", "the row") if exact else ("leaked_prompt", "the prompt")
        checker.add_finding(code, f"{what} is also in {train.name}", line)


def _digests(path: Path, progress: _OnProgress = None) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields the line of every row of a file, its digest, and that of its prompt."""
    for number, row in _parquet_rows(path) if path.suffix == ".parquet" else _jsonl_rows(path, progress):
        yield number, digest(canonical(row)), digest(prompt_of(row))


def _jsonl_rows(path: Path, progress: _OnProgress) -> Iterator[tuple[int, Any]]:
    total = path.stat().st_size
    show = None if progress is None else lambda count: progress(Progress(count, total, "leakage"))
    for number, _, parsed, row in parse_lines(LineReader(path, progress=show), RowFindings()):
        if parsed and isinstance(row, dict):
            yield number, row


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yields tokenized rows, which are equal if their tokens are; none without pyarrow."""
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return
    batches = parquet.ParquetFile(path).iter_batches(_BATCH_ROWS, columns=[TOKENIZED_NEEDED])
    rows = (tokens for batch in batches for tokens in batch.column(0).to_pylist())
    yield from ((number, {TOKENIZED_NEEDED: tokens}) for number, tokens in enumerate(rows, 1))
