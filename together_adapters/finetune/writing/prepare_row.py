"""Prepares records for a file: applies fixes, validates, encodes. Worker processes do the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from together_adapters.finetune.accounting import NO_ACCOUNTS, UNKNOWN_CODE, Accounts, accounts_of, harmless_accounts, is_judged
from together_adapters.finetune.findings import Finding, RowFindings
from together_adapters.finetune.issues import Severity
from together_adapters.finetune.records import Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.validation.check_messages import is_text_conversation
from together_adapters.finetune.validation.check_row import validate_row
from together_adapters.finetune.validation.jsonl_reader import parse_line
from together_adapters.finetune.validation.token_lengths import token_counter
from together_adapters.finetune.writing.fixes import Fixes

_ESCAPED_NUL: Final = b"\\u0000"


class PreparedRow(NamedTuple):
    """The line of a record, None if it is invalid or dropped; `fixes` are the codes of those that changed it."""

    line: bytes | None
    format: str | None = None
    findings: tuple[Finding, ...] = ()
    fixes: tuple[str, ...] = ()
    drop_reason: str | None = None
    accounts: Accounts = NO_ACCOUNTS


@dataclass(frozen=True)
class RowPreparer:
    """Prepares records for a file. `max_tokens` is the limit of the model by format, empty if the model is unknown."""

    fixes: Fixes
    severities: Mapping[str, Severity]
    max_tokens: Mapping[str, int]
    tokenizer: Any = None

    def prepare(self, records: Iterable[Record]) -> list[PreparedRow]:
        """Prepares records, in their order."""
        findings = RowFindings()
        count = token_counter(self.tokenizer) if self.max_tokens and self.fixes.too_long != "keep" else None
        return [
            self._prepare_example(record, findings, count) if isinstance(record, Example) else _prepare_refusal(record)
            for record in records
        ]

    def _prepare_example(self, record: Example, findings: RowFindings, count: Callable[[Row], int] | None) -> PreparedRow:
        row, fixes, accounts = record.row, record.changed, NO_ACCOUNTS
        findings.start_row()
        is_plain = type(row) is dict and is_text_conversation(findings, row) and _is_ordered(row)
        harmless = harmless_accounts(tuple(record.left_out)) if is_plain and record.left_out else None
        if harmless and not any(is_judged(name, (value,)) for name, value in record.left_out.items()):
            accounts = harmless
        elif record.left_out or not is_plain:
            if type(row) is dict:
                accounts = accounts_of(
                    row, record.left_out, self.fixes.leave_out, drops_fields=self.fixes.unknown_fields == "drop"
                )
            try:
                row, codes = self.fixes.apply(row)
            except Unconvertible as error:
                if error.skipped:
                    return PreparedRow(None, fixes=fixes, drop_reason=error.code)
                return PreparedRow(None, None, (Finding(error.code, error.path, str(error), error.value),), fixes)
            fixes = (*fixes, *codes)
            findings.start_row()
            validate_row(findings, row)
            if accounts.names:
                findings.items += accounts.findings
                if self.severities[UNKNOWN_CODE] == "error":
                    findings.items += [Finding(UNKNOWN_CODE, name, f"{name!r} is not known", "") for name in accounts.unknown]
        if count is not None and (reason := self._check_length(row, findings, count)):
            return PreparedRow(None, findings.format, (), fixes, reason)
        if findings.items and any(self.severities[finding.code] == "error" for finding in findings.items):
            return PreparedRow(None, findings.format, tuple(findings.items), fixes)
        return self._encode(row, findings, fixes, accounts)

    def _encode(self, row: Row, findings: RowFindings, fixes: tuple[str, ...], accounts: Accounts) -> PreparedRow:
        try:
            line = to_json(row)
        except ValueError as error:
            code = "not_encodable" if "surrogates" in str(error) else "not_json"
            message = "a string has half of a surrogate pair" if code == "not_encodable" else str(error).splitlines()[0][:200]
            return PreparedRow(None, findings.format, (*findings.items, Finding(code, "", message, "")), fixes)
        if _ESCAPED_NUL in line:
            parse_line(findings, line)
        return PreparedRow(line + b"\n", findings.format, tuple(findings.items), fixes, None, accounts)

    def _check_length(self, row: Row, findings: RowFindings, count: Callable[[Row], int]) -> str | None:
        """Adds a finding if a row is too long, or returns the reason to drop it."""
        limit = self.max_tokens.get(findings.format or "")
        if limit is None or (tokens := count(row)) <= limit:
            return None
        if self.fixes.too_long == "drop":
            return "row_too_long"
        about = "" if self.tokenizer is not None else "about "
        findings.add("row_too_long", "", f"the row has {about}{tokens:,} tokens; the model trains on {limit:,}")
        return None


def _prepare_refusal(refusal: Refusal) -> PreparedRow:
    if refusal.skipped:
        return PreparedRow(None, drop_reason=refusal.code)
    return PreparedRow(None, None, (Finding(refusal.code, refusal.path, refusal.message, refusal.value),))


def _is_ordered(row: Row) -> bool:
    """Whether the messages of a row with text only have their keys in the order in which they are written."""
    return all(next(iter(message)) == "role" for message in row["messages"])
