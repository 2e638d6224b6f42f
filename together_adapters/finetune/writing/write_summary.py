"""What became of every row while a file was written: written, altered, left out or faulty, and where it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from together_adapters.finetune.errors import MethodMismatchError, issue_of, location_of
from together_adapters.finetune.findings import Finding
from together_adapters.finetune.issues import Issue, Severity
from together_adapters.finetune.records import Example, Record, Refusal
from together_adapters.finetune.reports.report import DataReport, most_severe
from together_adapters.finetune.rules import METHODS
from together_adapters.finetune.validation.check_row import issues_of
from together_adapters.finetune.writing.prepare_row import PreparedRow


class WriteSummary:
    """The account of one file.

    Attributes:
        rows: Records that came.
        valid: Rows that were written.
        faulty: Rows that could not be, because of their faults.
        unconvertible: How many of these a source could not even make.
        format: The format of the file: that of its first row.
        dropped: Rows that were left out, by reason.
        changed: Rows that were altered, by fix.
    """

    def __init__(self, severities: Mapping[str, Severity], method: str | None, max_issues: int, *, drops: bool) -> None:
        self.rows = self.valid = self.faulty = self.unconvertible = 0
        self.format: str | None = None
        self.dropped: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._issues: list[Issue] = []
        self._listed: Counter[str] = Counter()
        self._severities = severities
        self._method = method
        self._max_issues = max_issues
        self._drops = drops

    def take(self, record: Record, prepared: PreparedRow) -> bytes:
        """Enter what became of a record; return what to write of it."""
        self.rows += 1
        line, form, findings, changed, dropped = prepared
        if line is not None and form != self.format:
            findings = self._judge_format(record, form, findings)
            if any(finding.code == "mixed_formats_across_lines" and self._grave(finding) for finding in findings):
                line = None
        if line is not None:
            self.valid += 1
            self.changed.update(changed)
            if findings:
                self._list(issues_of(findings, self._severities, self.valid + self._left, location_of(record)))
            return line
        if dropped is not None:
            self._leave_out(record, dropped)
        else:
            self._refuse(record, findings)
        return b""

    @property
    def method(self) -> str:
        """What the file trains."""
        return self._method or next((name for name, formats in METHODS.items() if self.format in formats), "sft")

    def issues(self, found: Iterable[Issue] = ()) -> list[Issue]:
        """Return the issues to list, among them those that a check of the written file found besides."""
        known = {(issue.line, issue.code, issue.path) for issue in self._issues}
        more = [issue for issue in found if (issue.line, issue.code, issue.path) not in known]
        return most_severe([*self._issues, *more], self._max_issues)

    def report(self) -> DataReport:
        """Return the report of a file that is not written."""
        issues = self.issues()
        errors = self.faulty if not self._drops else 0
        return DataReport(
            method=self.method, rows=self.rows, valid=self.valid, dropped=dict(sorted(self.dropped.items())),
            changed=dict(sorted(self.changed.items())), errors=errors, warnings=sum(self.counts.values()) - errors, issues=issues,
            issue_counts=dict(sorted(self.counts.items())), max_issues=self._max_issues,
        )  # fmt: skip

    @property
    def _left(self) -> int:
        """Faulty rows have a line of their own where nothing is written before they are mended."""
        return 0 if self._drops else self.faulty

    def _judge_format(self, record: Record, form: str | None, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        if self.format is not None:
            message = f"the row is of format {form}, the first is of {self.format}"
            return (*findings, Finding("mixed_formats_across_lines", "", message, ""))
        if self._method is not None and form not in METHODS[self._method]:
            raise MethodMismatchError(f"{location_of(record)} is of format {form}, which does not train with {self._method}")
        self.format = form
        return findings

    def _grave(self, finding: Finding) -> bool:
        return self._severities[finding.code] == "error"

    def _leave_out(self, record: Record, reason: str) -> None:
        self.dropped[reason] += 1
        if self._severities.get(reason, "ignore") != "ignore":
            self.counts[reason] += 1
            message = record.message if isinstance(record, Refusal) and record.message else "the row is left out"
            self._list([issue_of(Refusal(reason, message, record.number, record.source, skipped=True))])

    def _refuse(self, record: Record, findings: tuple[Finding, ...]) -> None:
        self.faulty += 1
        self.unconvertible += not isinstance(record, Example)
        grave = [finding for finding in findings if self._grave(finding)] or list(findings)
        if self._drops:
            self.dropped[grave[0].code] += 1
        line = None if self._drops else self.valid + self.faulty
        issues = issues_of(findings, self._severities, line, location_of(record))
        if self._drops:
            issues = [issue.model_copy(update={"severity": "warning"}) for issue in issues]
        self.counts.update(issue.code for issue in issues)
        self._list(issues)

    def _list(self, issues: Iterable[Issue]) -> None:
        for issue in issues:
            if self._listed[issue.severity] < self._max_issues:
                self._listed[issue.severity] += 1
                self._issues.append(issue)
