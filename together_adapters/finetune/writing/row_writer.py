"""Turns the rows of a source, or of a part of it, into the lines of a file; counts and checks them on the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from together_adapters.finetune.conversion import UnreadLines
from together_adapters.finetune.issues import severities_of
from together_adapters.finetune.records import Record
from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.file_check import CheckOptions, FileChecker
from together_adapters.finetune.validation.jsonl_reader import line_batches
from together_adapters.finetune.validation.token_lengths import CHARS_PER_TOKEN, max_tokens_by_format
from together_adapters.finetune.writing.fixes import Fixes
from together_adapters.finetune.writing.prepare_row import RowPreparer
from together_adapters.finetune.writing.write_summary import MAX_NAMES, WriteSummary

if TYPE_CHECKING:
    from together_adapters.finetune.writing.usual_rows import UsualRows


@dataclass(frozen=True, kw_only=True)
class WriteOptions:
    """The options of a file; see the parameters of `write_jsonl`."""

    name: str  # of the file
    fixes: Fixes
    method: str | None = None
    limits: Any = None
    tokenizer: Any = None
    severities: Mapping[str, str] | None = None
    max_issues: int = 1000


class Portion(NamedTuple):
    """What became of some batches: their lines, the count of their rows, and the check of the lines, which are so many."""

    data: bytes
    summary: WriteSummary
    report: DataReport | None
    lines: int


class RowWriter:
    """Writes batches of rows, and reports on them; `form` is the format of the file if these are not the first.

    A portion keeps all names, which the writer that adds it limits.
    """

    def __init__(self, options: WriteOptions, form: str | None = None, *, is_portion: bool = False) -> None:
        fixes, severities = options.fixes, severities_of(options.severities)
        self.summary = WriteSummary(
            severities,
            options.method,
            options.max_issues,
            drops_invalid=fixes.on_error == "drop",
            max_names=sys.maxsize if is_portion else MAX_NAMES,
        )
        self.summary.format = form
        self._options = options
        self._preparer = RowPreparer(fixes, severities, max_tokens_by_format(options.limits), options.tokenizer)
        self._usual_rows = _usual_rows(options)
        self._checker: FileChecker | None = None

    @property
    def is_refused(self) -> bool:
        """Whether nothing is to be written, since rows are invalid and are not dropped, or valid in another format."""
        return bool(self.summary.invalid) and (self._options.fixes.on_error != "drop" or self.summary.has_mixed_formats)

    def write(self, batch: list[Record] | UnreadLines) -> bytes:
        """Returns the lines of a batch."""
        parts: list[bytes] = []
        for valid, part in self._usual_rows.parts(batch) if self._usual_rows else ((None, batch),):
            if valid is not None and self.summary.takes(valid.format):
                self.summary.add_usual(valid)
                if not self.is_refused:
                    checker = self._check()
                    checker.line_number += checker.add_valid_rows(valid)
                parts.append(valid.lines)
            else:
                records = part if isinstance(part, list) else list(part.records())
                data = b"".join(map(self.summary.add, records, self._preparer.prepare(records)))
                if data and not self.is_refused:
                    self._check().check_lines(line_batches(data))
                parts.append(data)
        return b"".join(parts)

    def portion(self, batches: Iterable[list[Record] | UnreadLines]) -> Portion:
        """Writes batches for another writer, which adds them."""
        data = b"".join(map(self.write, batches))
        checker = self._checker
        return Portion(data, self.summary, checker.build_report() if checker else None, checker.line_number if checker else 0)

    def add(self, portion: Portion) -> bytes:
        """Adds batches that follow those so far; returns their lines."""
        self.summary.add_portion(portion.summary)
        if portion.report is not None and not self.is_refused:
            checker = self._check()
            for issue in portion.report.issues:
                issue.line = None if issue.line is None else issue.line + checker.line_number
            checker.line_number += portion.lines
            checker.merge(portion.report)
        return portion.data

    def report(self, size: int, sha256: str) -> DataReport:
        """Returns the report on a file of so many bytes."""
        if not self.summary.valid or self.is_refused:
            return self.summary.report()
        checker = self._check()
        checker.report.bytes, checker.report.sha256 = size, sha256
        checker.finish_lines()
        checker.finish_file()
        return self.summary.complete(checker.build_report())

    def _check(self) -> FileChecker:
        """Returns the checker of the lines, which needs the format of the first."""
        if self._checker is None:
            options, summary = self._options, self.summary
            long_rows = {"row_too_long": "warning"} if options.fixes.too_long == "keep" else {}
            severities = severities_of({**long_rows, **(options.severities or {})})
            check = CheckOptions(
                "fine-tune", summary.method, severities, options.max_issues, options.limits, tokenizer=options.tokenizer
            )
            self._checker = FileChecker(options.name, check, summary.format)
        return self._checker


def _usual_rows(options: WriteOptions) -> UsualRows | None:
    """Returns the way of usual rows; a tokenizer counts each row."""
    if options.tokenizer is not None:
        return None
    try:
        from together_adapters.finetune.writing.usual_rows import UsualRows
    except ImportError:
        return None
    max_tokens = max_tokens_by_format(options.limits)
    return UsualRows(options.fixes, {form: tokens * CHARS_PER_TOKEN for form, tokens in max_tokens.items()})
