"""What a check found in a whole file: counted completely, listed up to a limit, the same wherever and however it was made.

Reports add up: those of the pieces of a file, or of many files, give that of the whole, in whatever order they are added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, computed_field

from together_adapters.errors import InvalidDatasetError
from together_adapters.finetune.issues import Issue
from together_adapters.finetune.rules import METHODS, RULES_VERSION

_SHOWN = 5


class DataReport(BaseModel):
    """The result of a check.

    Attributes:
        purpose: What the file is for.
        method: What it is to train, `sft` or `dpo`.
        rows: Samples; blank lines are none.
        valid: Samples without an error.
        errors: How many errors there are.
        warnings: How many warnings.
        issues: The gravest and first of them, up to `max_issues`, in the order of the file.
        issue_counts: How often each code was found, whether listed or not.
        formats: How many rows each format has.
        bytes: Size of the file.
        sha256: Its checksum; None for the sum of several reports.
        turns: Messages of all rows.
        chars: Characters of all texts.
        roles: Messages of each role.
        tools: Calls of each tool.
        rows_with_message_weights: Rows in which a message has a weight.
        rows_without_training_signal: Rows in which there is nothing to train on.
        has_tools: Whether a row declares or calls tools. This and the next five are named as in the service's own report.
        rules_version: Which rules were applied.
        engine: What applied them.
    """

    purpose: str = "fine-tune"
    method: str = "sft"
    rows: int = 0
    valid: int = 0
    errors: int = 0
    warnings: int = 0
    issues: list[Issue] = Field(default_factory=list)
    issue_counts: dict[str, int] = Field(default_factory=dict)
    max_issues: int = 1000
    formats: dict[str, int] = Field(default_factory=dict)
    bytes: int = 0
    sha256: str | None = None
    turns: int = 0
    chars: int = 0
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

    def __add__(self, other: DataReport) -> DataReport:
        """Return the report of both files together."""
        if not isinstance(other, DataReport):
            return NotImplemented
        summed: dict[str, Any] = {name: getattr(self, name) + getattr(other, name) for name in _SUMS}
        counted: dict[str, Any] = {name: added(getattr(self, name), getattr(other, name)) for name in _COUNTS}
        either = {
            name: getattr(self, name) or getattr(other, name) for name in type(self).model_fields if name.startswith("has_")
        }
        limit = max(self.max_issues, other.max_issues)
        same: dict[str, Any] = {name: getattr(self, name) for name in ("purpose", "method", "rules_version", "engine")}
        return DataReport(
            **same, **summed, **counted, **either, max_issues=limit, issues=gravest([*self.issues, *other.issues], limit)
        )

    def summary(self) -> str:
        """Return the result in words: how many rows, how many faults of which kind, and the first of them."""
        what = f"{self.rows:,} rows ({self.format or 'of no known format'}), {self.errors:,} errors, {self.warnings:,} warnings."
        shown = [issue for issue in self.issues if issue.severity == "error"] or self.issues
        kinds = Counter({code: count for code, count in self.issue_counts.items() if any(i.code == code for i in shown)})
        counts = ", ".join(f"{code} {count:,}" for code, count in sorted(kinds.items(), key=lambda item: (-item[1], item[0])))
        listed = "".join(f"\n  {issue.code}: {issue}" for issue in shown[:_SHOWN])
        more = f"\n  and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
        return what + (f" {counts}{listed}{more}" if shown else "")

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
    "rows_with_message_weights",
    "rows_without_training_signal",
)
_COUNTS = ("issue_counts", "formats", "roles", "tools")


def added(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    """Return the sum of two counts, sorted by name."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted(one.keys() | other.keys())}


def gravest(issues: Iterable[Issue], limit: int) -> list[Issue]:
    """Return the issues to list: errors before warnings, the first before the later; then in the order of the file."""
    kept = sorted(issues, key=lambda issue: (issue.severity != "error", *_place(issue)))[:limit]
    return sorted(kept, key=_place)


def _place(issue: Issue) -> tuple[Any, ...]:
    return (issue.source or "", issue.line or 0, issue.path, issue.code, issue.message)
