"""Counts the rows of a file while it is written, by what became of them, and collects their issues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from together_adapters.finetune.accounting import UNKNOWN_CODE, Accounts
from together_adapters.finetune.errors import MethodMismatchError, issue_of, location_of, location_with_id
from together_adapters.finetune.findings import Finding
from together_adapters.finetune.formats.langsmith import SYSTEM_ABSENT
from together_adapters.finetune.issues import Issue, Severity, count_of
from together_adapters.finetune.records import Example, Record, Refusal
from together_adapters.finetune.reports.report import DataReport, add_counts, most_severe
from together_adapters.finetune.rules import METHODS, method_mismatch
from together_adapters.finetune.validation.check_row import issues_of
from together_adapters.finetune.writing.prepare_row import PreparedRow

if TYPE_CHECKING:
    from together_adapters.finetune.validation.valid_rows import ValidRows

MAX_NAMES: Final = 1000
_OTHERS: Final = "(other names)"
MIXED_FORMATS: Final = "mixed_formats_across_lines"


class WriteSummary:
    """The rows of one file. `unconvertible` counts those of the `invalid` records that the source could not convert to rows."""

    def __init__(
        self,
        severities: Mapping[str, Severity],
        method: str | None,
        max_issues: int,
        *,
        drops_invalid: bool,
        max_names: int = MAX_NAMES,
    ) -> None:
        self.rows = self.valid = self.invalid = self.unconvertible = 0
        self.format: str | None = None
        self.drop_counts: Counter[str] = Counter()
        self.fix_counts: Counter[str] = Counter()
        self.issue_counts: Counter[str] = Counter()
        self._line_counts: Counter[str] = (
            Counter()
        )  # of issues of valid rows, which the check of the file counts if it is written
        self.left_out: Counter[str] = Counter()
        self._unknown: dict[str, str] = {}  # unknown columns, each with the location of its first row
        self._issues: list[Issue] = []
        self._listed_by_severity: Counter[str] = Counter()
        self._severities = severities
        self._method = method
        self._max_issues = max_issues
        self._drops_invalid = drops_invalid
        self._max_names = max_names

    def add(self, record: Record, row: PreparedRow) -> bytes:
        """Counts a record; returns what to write of it."""
        self.rows += 1
        line, form, findings, fixes, drop_reason, accounts = row
        if line is not None and form != self.format:
            findings = self._check_format(record, form, findings)
            if any(finding.code == MIXED_FORMATS and self._is_error(finding) for finding in findings):
                line = None
        if line is not None:
            self.valid += 1
            if accounts.names:
                self._account(record, accounts)
                issues = issues_of(accounts.findings, self._severities)
                self.issue_counts.update(issue.code for issue in issues)  # the check of the file does not find them
            if fixes:
                self.fix_counts.update(fixes)
            if findings:
                issues = issues_of(findings, self._severities, self.valid, location_of(record), record.id)
                self._list(issues)
                of_accounts = {finding.code for finding in accounts.findings}
                self._line_counts.update(issue.code for issue in issues if issue.code not in of_accounts)
            return line
        if drop_reason is not None:
            self._drop(record, drop_reason)
        else:
            self._add_invalid(record, findings)
        return b""

    def takes(self, form: str) -> bool:
        """Whether a row of a format is one for this file; the first row decides."""
        return form == self.format or (self.format is None and (self._method is None or form in METHODS[self._method]))

    def add_usual(self, rows: ValidRows) -> None:
        """Counts valid rows of the format of the file."""
        count = len(rows.chars)
        self.rows += count
        self.valid += count
        self.format = rows.format
        self.fix_counts.update(rows.changes)
        for name, number in rows.left_out.items():
            self._leave_out(name, number)

    def add_portion(self, other: WriteSummary) -> None:
        """Adds the rows of another process, which follow these."""
        for issue in other._issues:
            issue.line = None if issue.line is None else issue.line + self.valid
        self._list(other._issues)
        for name in ("rows", "valid", "invalid", "unconvertible"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for counts in ("drop_counts", "fix_counts", "issue_counts", "_line_counts"):
            getattr(self, counts).update(getattr(other, counts))
        for name, rows in other.left_out.items():
            self._leave_out(name, rows)
        for name, location in other._unknown.items():
            self._add_unknown(name, location)

    @property
    def has_mixed_formats(self) -> bool:
        """Whether valid rows have another format than the first: who drops invalid rows does not say that whole files may go."""
        return self.drop_counts[MIXED_FORMATS] > 0

    @property
    def method(self) -> str:
        """The training method of the file."""
        return self._method or next((name for name, formats in METHODS.items() if self.format in formats), "sft")

    def report(self) -> DataReport:
        """Returns the report if no file is written, which is at least one error."""
        self._list_unknown()
        self._list_rows_without_system()
        self.issue_counts.update(self._line_counts)
        for issue in self._issues:
            issue.line = None
            if issue.code == MIXED_FORMATS:
                issue.severity = "error"
        mismatches = self.drop_counts.pop(MIXED_FORMATS, 0)
        if not self.valid and not self.invalid:
            self.issue_counts["too_few_samples"] += 1
        errors = mismatches if self._drops_invalid else self.invalid
        warnings = sum(self.issue_counts.values()) - errors
        report = DataReport(method=self.method, valid=self.valid, errors=errors or 1, max_issues=self._max_issues)
        return report.model_copy(update={**self._updates(report), "rows": self.rows, "warnings": warnings})

    def complete(self, report: DataReport) -> DataReport:
        """Returns the report on the file that was written, completed by what was not written."""
        self._list_unknown()
        self._list_rows_without_system()
        return report.model_copy(update=self._updates(report))

    def _account(self, record: Record, accounts: Accounts) -> None:
        """Counts what training leaves out of a row; the names of many are counted together."""
        for name in accounts.names:
            self._leave_out(name)
        for name in accounts.unknown:
            self._add_unknown(name, location_of(record))

    def _add_unknown(self, name: str, location: str) -> None:
        if name not in self._unknown and len(self._unknown) < self._max_names:
            self._unknown[name] = location

    def _leave_out(self, name: str, rows: int = 1) -> None:
        counts = self.left_out
        counts[name if name in counts or len(counts) < self._max_names else _OTHERS] += rows

    def _list_unknown(self) -> None:
        """Adds an issue for each unknown column."""
        findings = [
            (
                Finding(UNKNOWN_CODE, name, f"{name!r} is left out in training, in {count_of(self.left_out[name], 'row')}", ""),
                source,
            )
            for name, source in self._unknown.items()
        ]
        issues = [issue for finding, source in findings for issue in issues_of([finding], self._severities, None, source)]
        self.issue_counts.update(issue.code for issue in issues)
        self._list(issues)
        self._unknown = {}

    def _list_rows_without_system(self) -> None:
        """Adds an issue for rows of agents whose source does not hold the system prompt; none of them was changed."""
        rows = self.fix_counts.pop(SYSTEM_ABSENT, 0)
        if not rows:
            return
        text = f"{count_of(rows, 'row')} of states or runs of agents, which do not hold the agent's system prompt, {'has' if rows == 1 else 'have'} none"
        issues = issues_of([Finding(SYSTEM_ABSENT, "", text, "")], self._severities)
        self.issue_counts.update(issue.code for issue in issues)
        self._list(issues)

    def _updates(self, report: DataReport) -> dict[str, Any]:
        known_keys = {(issue.line, issue.code, issue.path) for issue in self._issues}
        other_issues = [issue for issue in report.issues if (issue.line, issue.code, issue.path) not in known_keys]
        return {
            "rows": report.rows + sum(self.drop_counts.values()),
            "dropped": dict(sorted(self.drop_counts.items())),
            "changed": dict(sorted(self.fix_counts.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "issues": most_severe([*self._issues, *other_issues], self._max_issues),
            "issue_counts": add_counts(report.issue_counts, self.issue_counts),
            "warnings": report.warnings + sum(self.issue_counts.values()),
        }

    def _check_format(self, record: Record, form: str | None, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        if self.format is not None:
            message = f"the row has the format {form}, the first row {self.format}"
            return (*findings, Finding(MIXED_FORMATS, "", message, ""))
        if self._method is not None and form not in METHODS[self._method]:
            reason = method_mismatch(str(form), self._method)
            raise MethodMismatchError(f"{location_with_id(record)} is of format {form}, which {reason}")
        self.format = form
        return findings

    def _is_error(self, finding: Finding) -> bool:
        return self._severities[finding.code] == "error"

    def _drop(self, record: Record, reason: str) -> None:
        self.drop_counts[reason] += 1
        if self._severities.get(reason, "ignore") != "ignore":
            self.issue_counts[reason] += 1
            message = record.message if isinstance(record, Refusal) and record.message else "the row is dropped"
            self._list([issue_of(Refusal(reason, message, record.number, record.source, skipped=True, id=record.id))])

    def _add_invalid(self, record: Record, findings: tuple[Finding, ...]) -> None:
        self.invalid += 1
        self.unconvertible += not isinstance(record, Example)
        if self._drops_invalid:
            first = next(filter(self._is_error, findings), findings[0])
            self.drop_counts[first.code] += 1
        issues = issues_of(findings, self._severities, None, location_of(record), record.id)
        if self._drops_invalid:
            issues = [issue.model_copy(update={"severity": "warning"}) for issue in issues]
        self.issue_counts.update(issue.code for issue in issues)
        self._list(issues)

    def _list(self, issues: Iterable[Issue]) -> None:
        for issue in issues:
            if self._listed_by_severity[issue.severity] < self._max_issues:
                self._listed_by_severity[issue.severity] += 1
                self._issues.append(issue)
