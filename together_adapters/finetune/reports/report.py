"""What a check found in a whole file: counted completely, listed up to a limit, the same wherever and however it was made.

Reports add up: those of the pieces of a file, or of many files, give that of the whole, in whatever order they are added.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import chain
from math import ceil
from operator import add
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, computed_field

from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.issues import Issue, file_of, issue_with_source, record_of
from together_adapters.finetune.reports.distribution import Distribution
from together_adapters.finetune.rules import METHODS, RULES_VERSION

_SHOWN = 5
_NUMBER = re.compile(r"([0-9]{1,18})")


class DataReport(BaseModel):
    """The result of a check.

    Attributes:
        purpose: What the file is for.
        method: What it is to train, `sft` or `dpo`.
        rows: Samples, in a check: those of the file; for a file that was written: those that were read. Blank lines are none.
        valid: Samples without an error; those that were written. `rows == valid + invalid + sum(dropped.values())` always, and in a
            written file none is invalid.
        dropped: How many rows were left out, by reason. A check drops none.
        changed: How many rows each fix has changed. A check changes none.
        errors: How many errors there are.
        warnings: How many warnings.
        issues: The gravest and first of them, up to `max_issues`, in the order of the file.
        issue_counts: How often each code was found, whether listed or not.
        formats: How many rows each format has.
        bytes: Size of the file.
        sha256: Its checksum, where it was asked for; None for the sum of several reports.
        turns: Messages of each row; `turns.total` are those of all.
        chars: Characters of each row that a model reads: texts, reasoning, calls, and the tools that are declared.
        tokens: Tokens of each row, counted or estimated, as `tokens_from` says.
        tokens_from: `estimate`, a quarter of the characters, which may be wrong by a third and more for code and for scripts other
            than Latin; `tokenizer`, without what a model's template adds; `mixed` in a sum of both.
        trained_chars: Characters that are trained on: answers whose weight is not 0; for plain text everything.
        max_seq_length: The model's limit for the method, where it was given.
        too_long: Rows with more tokens than that, as counted or estimated; the service cuts them off.
        roles: Messages of each role.
        tools: Calls of each tool.
        rows_with_message_weights: Rows in which a message has a weight.
        rows_without_training_signal: Rows in which there is nothing to train on.
        has_tools: Whether a row declares or calls tools. This and the next five are named as in the service's own report.
        duplicates: Rows that repeat an earlier one of the same file byte by byte; None where nobody looked.
        leakage: Rows of a validation file that the training file has too: `exact` ones, and those with the same `prompt`, the
            exact ones among them; empty where nobody looked.
        secrets: How many secrets and personal data were found, by kind; empty where nobody looked.
        estimated_cost: What training is estimated to cost, where a price was given.
        rules_version: Which rules were applied.
        engine: What applied them: `msgspec` and `python` come to the same.
    """

    purpose: str = "fine-tune"
    method: str = "sft"
    rows: int = 0
    valid: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, int] = Field(default_factory=dict)
    errors: int = 0
    warnings: int = 0
    issues: list[Issue] = Field(default_factory=list)
    issue_counts: dict[str, int] = Field(default_factory=dict)
    max_issues: int = 1000
    formats: dict[str, int] = Field(default_factory=dict)
    bytes: int = 0
    sha256: str | None = None
    turns: Distribution = Field(default_factory=Distribution)
    chars: Distribution = Field(default_factory=Distribution)
    tokens: Distribution = Field(default_factory=Distribution)
    tokens_from: str = "estimate"
    trained_chars: int = 0
    max_seq_length: int | None = None
    too_long: int = 0
    roles: dict[str, int] = Field(default_factory=dict)
    tools: dict[str, int] = Field(default_factory=dict)
    rows_with_message_weights: int = 0
    rows_without_training_signal: int = 0
    has_tools: bool = False
    has_parallel_tool_calls: bool = False
    has_reasoning: bool = False
    has_message_weights: bool = False
    has_sample_weights: bool = False
    has_images: bool = False
    duplicates: int | None = None
    leakage: dict[str, int] = Field(default_factory=dict)
    secrets: dict[str, int] = Field(default_factory=dict)
    estimated_cost: float | None = None
    rules_version: str = RULES_VERSION
    engine: str = "python"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def ok(self) -> bool:
        """Whether the file can be used: it has no error. Warnings do not count."""
        return not self.errors and len(self.formats) < 2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> str | None:
        """The format of all rows, `mixed`, or None where none can be told."""
        return next(iter(self.formats), None) if len(self.formats) < 2 else "mixed"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def method_ok(self) -> bool:
        """Whether the rows train with `method`."""
        return self.purpose != "fine-tune" or self.formats.keys() <= METHODS.get(self.method, self.formats.keys())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def invalid(self) -> int:
        """Rows with an error, which are neither valid nor dropped."""
        return self.rows - self.valid - sum(self.dropped.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trained_fraction(self) -> float | None:
        """Which part of what a model reads it is trained on; None without text."""
        return self.trained_chars / self.chars.total if self.chars.total else None

    def truncated_at(self, seq: int) -> int:
        """Return how many rows have more than this many tokens, as far as the histogram tells."""
        return self.tokens.above(seq)

    def packed_sequences_estimate(self, seq: int | None = None) -> int | None:
        """Return how many sequences the rows fill when they are packed, or None where no length is known.

        Args:
            seq: Tokens of a sequence; `max_seq_length` when it is not given.
        """
        length = seq or self.max_seq_length
        return ceil(self.tokens.cut(length) / length) if length else None

    def cost(self, price: float, epochs: int = 1) -> float:
        """Return what training costs by these tokens: an estimate, wherever the tokens are one.

        Args:
            price: Of a million tokens, in any currency. There is no price in this library.
            epochs: How often the data is gone through.
        """
        return self.tokens.total * epochs * price / 1_000_000

    def __add__(self, other: DataReport) -> DataReport:
        """Return the report of both files together. The order does not matter; duplicates across files are not counted.

        Issues are in the order of their files' names; `sum_reports` keeps the order in which reports are given.
        """
        if not isinstance(other, DataReport):
            return NotImplemented
        totals: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        counted: dict[str, Any] = {name: add_counts(getattr(self, name), getattr(other, name)) for name in _COUNTS}
        either = {
            name: getattr(self, name) or getattr(other, name) for name in type(self).model_fields if name.startswith("has_")
        }
        known: dict[str, Any] = {
            name: _sum(getattr(self, name), getattr(other, name)) for name in ("duplicates", "estimated_cost")
        }
        both: dict[str, Any] = {name: _joined(getattr(self, name), getattr(other, name)) for name in _NAMES}
        limit = max(self.max_issues, other.max_issues)
        length = _same(self.max_seq_length, other.max_seq_length)
        return DataReport(
            **both, **totals, **counted, **either, **known, tokens_from=self._tokens_from(other), max_seq_length=length,
            max_issues=limit, issues=most_severe(sorted([*self.issues, *other.issues], key=_named), limit),
        )  # fmt: skip

    def _tokens_from(self, other: DataReport) -> str:
        told = {report.tokens_from for report in (self, other) if report.tokens.count}
        if not told:
            told = {self.tokens_from, other.tokens_from}
        return told.pop() if len(told) == 1 else "mixed"

    def distributions(self) -> list[tuple[str, Distribution]]:
        """Return what a table of lengths shows: a title and the distribution under it."""
        tokens = {"estimate": "tokens per row, estimated", "tokenizer": "tokens per row"}
        return [
            (tokens.get(self.tokens_from, "tokens per row, partly estimated"), self.tokens),
            ("characters per row", self.chars),
            ("messages per row", self.turns),
        ]

    def summary(self) -> str:
        """Return the result in words: how many rows, how many faults of which kind, and the first of them."""
        what = f"{self.rows:,} rows ({self.format or 'of no known format'}), {self.errors:,} errors, {self.warnings:,} warnings."
        shown = [issue for issue in self.issues if issue.severity == "error"] or self.issues
        kinds = Counter({code: count for code, count in self.issue_counts.items() if any(i.code == code for i in shown)})
        counts = ", ".join(f"{code} {count:,}" for code, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
        several = len({file_of(issue) for issue in self.issues}) > 1
        listed = "".join(f"\n  {issue.code}: {issue_with_source(issue) if several else issue}" for issue in shown[:_SHOWN])
        more = f"\n  and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
        leaked = self.leaked()
        leaked = f" {leaked[0].upper()}{leaked[1:]}." if leaked else ""
        return what + leaked + (f" {counts}{listed}{more}" if shown else "")

    def leaked(self) -> str:
        """Return in words how many rows a training file gives away; nothing where nobody looked."""
        if not any(self.leakage.values()):
            return "training has none of its rows and prompts" if self.leakage else ""
        exact, prompts = self.leakage.get("exact", 0), self.leakage.get("prompt", 0)
        return f"training has {exact:,} of its rows and {prompts:,} of its prompts"

    def raise_for_issues(self, max_warnings: int | None = None) -> DataReport:
        """Raise where the file cannot be used.

        Args:
            max_warnings: How many warnings are tolerated; None for any number.

        Raises:
            InvalidDatasetError: There is an error, the method does not fit, or there are too many warnings.
        """
        if not self.ok or (max_warnings is not None and self.warnings > max_warnings):
            raise InvalidDatasetError(self.summary(), report=self)
        if not self.method_ok:
            raise InvalidDatasetError(f"data of format {self.format} does not train with {self.method}", report=self)
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report as JSON."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")


_SUMS = (
    "rows",
    "valid",
    "errors",
    "warnings",
    "bytes",
    "turns",
    "chars",
    "tokens",
    "trained_chars",
    "too_long",
    "rows_with_message_weights",
    "rows_without_training_signal",
)
_COUNTS = ("dropped", "changed", "issue_counts", "formats", "roles", "tools", "leakage", "secrets")
_NAMES = ("purpose", "method", "rules_version", "engine")


def _sum(one: Any, other: Any) -> Any:
    """Return a sum of what is known."""
    return other if one is None else one if other is None else one + other


def _joined(one: str, other: str) -> str:
    return "+".join(sorted({*one.split("+"), *other.split("+")}))


def _same(one: int | None, other: int | None) -> int | None:
    """The smaller of two limits, where there are any."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


def add_counts(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return the sum of two counts, sorted by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted(one.keys() | other.keys())}


def sum_reports(reports: Sequence[DataReport]) -> DataReport:
    """Return the sum of reports, with issues in the order in which the reports are given."""
    if not reports:
        return DataReport()
    whole = reduce(add, reports)
    return whole.model_copy(update={"issues": most_severe(chain(*(report.issues for report in reports)), whole.max_issues)})


def most_severe(issues: Iterable[Issue], limit: int) -> list[Issue]:
    """Return the issues to list: errors before warnings, the first before the later; then in the order of the file.

    Files are in the order in which they come.
    """
    issues = list(issues)
    order = {file: place for place, file in enumerate(dict.fromkeys(map(file_of, issues)))}

    def place(issue: Issue) -> tuple[Any, ...]:
        return order[file_of(issue)], record_of(issue), issue.line or 0, issue.path, issue.code, issue.message

    in_order = sorted(issues, key=place)
    kept = {id(issue) for issue in sorted(in_order, key=lambda issue: issue.severity != "error")[:limit]}
    return [issue for issue in in_order if id(issue) in kept]


def _named(issue: Issue) -> list[str | int]:
    """Sort `part-9` before `part-10`."""
    parts = _NUMBER.split(issue.source or "")
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
