"""The report of a check: complete counts, and issues up to a limit. Reports on parts of a file add up to that on the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import chain
from math import ceil
from operator import add, or_
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, Field, computed_field

from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.errors import refuse_method
from together_adapters.finetune.issues import Issue, count_of, issue_with_source, sorted_counts, split_source
from together_adapters.finetune.reports.distribution import Distribution
from together_adapters.finetune.rules import METHODS, RULES_VERSION

_MAX_SHOWN = 5
_NUMBER = re.compile(r"([0-9]{1,18})")


class DataReport(BaseModel):
    """The result of a check.

    `format` is what its rows are: `conversation`, `instruction`, `preference`, `general` (text), `mixed`, or None if no row has a format
    of the service; then `form` is the form from which `load` makes such rows.

    Attributes:
        purpose: What the file is for.
        method: The training method, `sft` or `dpo`.
        rows: The number of rows: of a check, those in the file, without blank lines; of a file that was written, those read.
        valid: The number of rows without an error, or of rows written. `rows == valid + invalid + sum(dropped.values())` always
            holds, and `invalid` is 0 for a file that was written.
        dropped: The number of dropped rows by reason. A check drops none.
        changed: The number of rows that each fix changed. A check changes none.
        left_out: The number of rows in which training leaves out a column or a key, by its name. A check leaves out none.
        errors: The number of errors.
        warnings: The number of warnings.
        issues: The issues, errors before warnings, up to `max_issues`, in the order of the file.
        issue_counts: The number of issues by code, listed or not.
        formats: The number of rows by format.
        form: What a file whose rows have no such format is for `load`, such as `alpaca with the columns instruction, output`, or
            None; only `check_jsonl` and the checks of `files` look for it.
        bytes: The size of the file.
        sha256: The checksum, if it was computed; None for the sum of several reports.
        turns: The messages of each row; `turns.total` is their number in all rows.
        chars: The characters of each row that a model reads: content, reasoning, tool calls, declarations of tools.
        tokens: The tokens of each row, counted or estimated.
        tokens_from: `estimate`: a quarter of the characters, which may be wrong by a third and more for code and scripts other
            than Latin; `tokenizer`: counted, without what a model's chat template adds; `mixed`: a sum of both.
        trained_chars: The characters that are trained on: answers whose weight is not 0, or all text of the format general.
        max_seq_length: The model's limit for the method, if it is known.
        too_long: The number of rows with more tokens than that, which the service truncates.
        roles: The number of messages by role.
        tools: The number of calls by tool.
        rows_with_message_weights: The number of rows in which a message has a weight.
        rows_without_training_signal: The number of rows in which nothing is trained on.
        has_tools: Whether a row declares or calls tools. This and the next five are named as in the service's own report.
        duplicates: The number of rows that repeat an earlier row of the same file byte by byte; None if it was not computed.
        leakage: The number of rows of a validation file that are also in the training file: `exact` ones, and those with the
            same `prompt`, which include them; empty if it was not computed.
        secrets: The number of secrets and personal data by kind; empty if it was not computed.
        estimated_cost: The estimated price of training, if one is known.
        rules_version: The version of the rules.
        engine: `msgspec` or `python`; both give the same results.
    """

    purpose: str = "fine-tune"
    method: str = "sft"
    rows: int = 0
    valid: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)
    changed: dict[str, int] = Field(default_factory=dict)
    left_out: dict[str, int] = Field(default_factory=dict)
    errors: int = 0
    warnings: int = 0
    issues: list[Issue] = Field(default_factory=list)
    issue_counts: dict[str, int] = Field(default_factory=dict)
    max_issues: int = 1000
    formats: dict[str, int] = Field(default_factory=dict)
    form: str | None = None
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
        """Whether the file can be used: it has no errors."""
        return not self.errors and len(self.formats) < 2

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> str | None:
        """The format of all rows; `mixed` if they differ, None if no row has one."""
        return next(iter(self.formats), None) if len(self.formats) < 2 else "mixed"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def method_ok(self) -> bool:
        """Whether the rows train with `method`."""
        return self.purpose != "fine-tune" or self.formats.keys() <= METHODS.get(self.method, self.formats.keys())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def invalid(self) -> int:
        """The number of rows with an error, which are neither valid nor dropped."""
        return self.rows - self.valid - sum(self.dropped.values())

    @computed_field  # type: ignore[prop-decorator]
    @property
    def trained_fraction(self) -> float | None:
        """The share of the characters that is trained on; None without text."""
        return self.trained_chars / self.chars.total if self.chars.total else None

    def truncated_at(self, seq: int) -> int:
        """Returns the number of rows with more than this many tokens, as far as the histogram tells."""
        return self.tokens.above(seq)

    def packed_sequences_estimate(self, seq: int | None = None) -> int | None:
        """Returns the number of sequences that the rows fill when they are packed; None if no length is known.

        Args:
            seq: The tokens of a sequence; None for `max_seq_length`.
        """
        length = seq or self.max_seq_length
        return ceil(self.tokens.cut(length) / length) if length else None

    def cost(self, price: float, epochs: int = 1) -> float:
        """Returns the price of training on these tokens, an estimate if the tokens are one.

        Args:
            price: The price of a million tokens, in any currency.
            epochs: The number of epochs.
        """
        return self.tokens.total * epochs * price / 1_000_000

    def __add__(self, other: DataReport) -> DataReport:
        """Returns the report on both files, in any order. Duplicates across files are not counted.

        Issues are in the order of the names of their files; `sum_reports` keeps the order of the reports.
        """
        if not isinstance(other, DataReport):
            return NotImplemented
        values: dict[str, Any] = {
            name: _ADD_BY_TYPE[field.annotation](getattr(self, name), getattr(other, name))
            for name, field in DataReport.model_fields.items()
            if field.annotation in _ADD_BY_TYPE
        }
        origins = {report.tokens_from for report in (self, other) if report.tokens.count} or {self.tokens_from, other.tokens_from}
        values["tokens_from"] = origins.pop() if len(origins) == 1 else "mixed"
        limits = [length for length in (self.max_seq_length, other.max_seq_length) if length is not None]
        values["max_seq_length"] = min(limits, default=None)
        values["max_issues"] = limit = max(self.max_issues, other.max_issues)
        values["issues"] = most_severe(sorted([*self.issues, *other.issues], key=_file_order), limit)
        return DataReport(**values)

    def distributions(self) -> list[tuple[str, Distribution]]:
        """Returns the distributions of lengths, each with a title."""
        tokens = {"estimate": "tokens per row, estimated", "tokenizer": "tokens per row"}
        return [
            (tokens.get(self.tokens_from, "tokens per row, partly estimated"), self.tokens),
            ("characters per row", self.chars),
            ("messages per row", self.turns),
        ]

    def summary(self) -> str:
        """Returns the result as text: the number of rows that are left and of issues by code, and the first issues."""
        issues = [issue for issue in self.issues if issue.severity == "error"] or self.issues
        counts = sorted_counts({code: self.issue_counts[code] for issue in issues if (code := issue.code) in self.issue_counts})
        has_files = len({split_source(issue)[0] for issue in self.issues}) > 1
        format = self.format or ("unknown format" if self.form is None else f"of the form {self.form}, which load(...) converts")
        issue_totals = f"{count_of(self.errors, 'error')}, {count_of(self.warnings, 'warning')}"
        rows = f"{self.rows - dropped:,} of {count_of(self.rows, 'row')}" if (dropped := sum(self.dropped.values())) else ""
        text = f"{rows or count_of(self.rows, 'row')} ({format}), {issue_totals}."
        if leakage := self.leakage_summary():
            text += f" {leakage[0].upper()}{leakage[1:]}."
        if issues:
            text += " " + ", ".join(f"{code} {count:,}" for code, count in counts)
        for issue in issues[:_MAX_SHOWN]:
            text += f"\n  {issue.code}: {issue_with_source(issue) if has_files else issue}"
        return text + (f"\n  and {len(issues) - _MAX_SHOWN:,} more" if len(issues) > _MAX_SHOWN else "")

    def __str__(self) -> str:
        return self.summary()

    def leakage_summary(self) -> str:
        """Returns as text how many rows are also in the training file; an empty string if it was not computed."""
        if not any(self.leakage.values()):
            return "the training file has none of its rows and prompts" if self.leakage else ""
        exact, prompts = self.leakage.get("exact", 0), self.leakage.get("prompt", 0)
        return f"the training file has {exact:,} of its rows and {prompts:,} of its prompts"

    leaked = leakage_summary
    """The former name of `leakage_summary`."""

    def raise_for_issues(self, max_warnings: int | None = None) -> DataReport:
        """Raises an error if the file cannot be used; else returns the report.

        Args:
            max_warnings: The maximum number of warnings; None for any number.

        Raises:
            InvalidDatasetError: There is an error, or there are too many warnings.
            MethodMismatchError: The rows do not train with `method`.
        """
        refuse_method(self)
        if not self.ok or (max_warnings is not None and self.warnings > max_warnings):
            raise InvalidDatasetError(self.summary(), report=self)
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the report to a JSON file."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")


def _sum(one: Any, other: Any) -> Any:
    """Returns the sum of the values that are not None."""
    return other if one is None else one if other is None else one + other


def _join(one: str, other: str) -> str:
    return "+".join(sorted({*one.split("+"), *other.split("+")}))


def add_counts(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Returns the sum of two counts, sorted by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted(one.keys() | other.keys())}


_ADD_BY_TYPE: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    int: add,
    Distribution: add,
    bool: or_,
    str: _join,
    int | None: _sum,
    float | None: _sum,
    dict[str, int]: add_counts,
}
"""How fields of a report add up, as far as that follows from their types."""


def sum_reports(reports: Sequence[DataReport]) -> DataReport:
    """Returns the sum of reports, with issues in the order of the reports."""
    if not reports:
        return DataReport()
    total = reduce(add, reports)
    return total.model_copy(update={"issues": most_severe(chain(*(report.issues for report in reports)), total.max_issues)})


def most_severe(issues: Iterable[Issue], limit: int) -> list[Issue]:
    """Returns as many issues as may be listed, errors before warnings and early before late, in the order of their files."""
    issues = list(issues)
    files = {file: index for index, file in enumerate(dict.fromkeys(split_source(issue)[0] for issue in issues))}

    def position(issue: Issue) -> tuple[Any, ...]:
        file, record = split_source(issue)
        return files[file], record, issue.line or 0, issue.path, issue.code, issue.message

    in_order = sorted(issues, key=position)
    listed_ids = {id(issue) for issue in sorted(in_order, key=lambda issue: issue.severity != "error")[:limit]}
    return [issue for issue in in_order if id(issue) in listed_ids]


def _file_order(issue: Issue) -> list[str | int]:
    """A key that sorts `part-9` before `part-10`."""
    parts = _NUMBER.split(issue.source or "")
    return [int(part) if index % 2 else part for index, part in enumerate(parts)]
