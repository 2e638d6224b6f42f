"""One record on its way into a file: put right, checked, encoded. The same for every process that works on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from together_adapters.finetune.findings import Finding, RowFindings
from together_adapters.finetune.issues import Severity
from together_adapters.finetune.records import Example, Record, Refusal, Row, Unconvertible
from together_adapters.finetune.validation.check_row import validate_row
from together_adapters.finetune.validation.fast_path import is_text_conversation
from together_adapters.finetune.validation.jsonl_reader import parse_line
from together_adapters.finetune.validation.token_lengths import token_counter
from together_adapters.finetune.writing.fixes import Fixes

_ESCAPED_NUL: Final = b"\\u0000"


class PreparedRow(NamedTuple):
    """What became of a record.

    Attributes:
        line: What to write; None where it is faulty or left out.
        format: The format of the row, where it can be told.
        findings: What was found in it.
        changed: What was altered.
        dropped: Why it is left out, where that is as intended.
    """

    line: bytes | None
    format: str | None = None
    findings: tuple[Finding, ...] = ()
    changed: tuple[str, ...] = ()
    dropped: str | None = None


@dataclass(frozen=True)
class RowPreparer:
    """What is done with every record.

    Attributes:
        fixes: What is put right.
        severities: How grave every fault is.
        limits: The most tokens of a row by format; none where the model is not known.
        tokenizer: Counts tokens; None for an estimate.
    """

    fixes: Fixes
    severities: Mapping[str, Severity]
    limits: Mapping[str, int]
    tokenizer: Any = None

    def prepare(self, records: Iterable[Record]) -> list[PreparedRow]:
        """Prepare records, in their order."""
        notes = RowFindings()
        count = token_counter(self.tokenizer) if self.limits and self.fixes.too_long != "keep" else None
        return [
            self._example(record, notes, count) if isinstance(record, Example) else _refused(record) for record in records
        ]  # fmt: skip

    def _example(self, record: Example, notes: RowFindings, count: Callable[[Row], int] | None) -> PreparedRow:
        row, changed = record.row, record.changed
        notes.begin()
        if not (type(row) is dict and is_text_conversation(notes, row) and _in_order(row)):
            try:
                row, fixed = self.fixes.apply(row)
            except Unconvertible as refused:
                if refused.skipped:
                    return PreparedRow(None, changed=changed, dropped=refused.code)
                return PreparedRow(None, None, (Finding(refused.code, refused.path, str(refused), refused.value),), changed)
            changed = (*changed, *fixed)
            notes.begin()
            validate_row(notes, row)
        if count is not None and (long := self._too_long(row, notes, count)):
            return PreparedRow(None, notes.format, (), changed, long)
        if notes.findings and any(self.severities[finding.code] == "error" for finding in notes.findings):
            return PreparedRow(None, notes.format, tuple(notes.findings), changed)
        return self._encoded(row, notes, changed)

    def _encoded(self, row: Row, notes: RowFindings, changed: tuple[str, ...]) -> PreparedRow:
        try:
            line = to_json(row)
        except ValueError as problem:
            code = "not_encodable" if "surrogates" in str(problem) else "not_json"
            message = "a text holds half of a surrogate pair" if code == "not_encodable" else str(problem).splitlines()[0][:200]
            return PreparedRow(None, notes.format, (*notes.findings, Finding(code, "", message, "")), changed)
        if _ESCAPED_NUL in line:
            parse_line(notes, line)
        return PreparedRow(line + b"\n", notes.format, tuple(notes.findings), changed)

    def _too_long(self, row: Row, notes: RowFindings, count: Callable[[Row], int]) -> str | None:
        """Note a row that is too long, or return the reason to drop it."""
        most = self.limits.get(notes.format or "")
        if most is None or (tokens := count(row)) <= most:
            return None
        if self.fixes.too_long == "drop":
            return "row_too_long"
        about = "" if self.tokenizer is not None else "about "
        notes.add("row_too_long", "", f"the row has {about}{tokens:,} tokens; the model trains on {most:,}")
        return None


def _refused(refusal: Refusal) -> PreparedRow:
    if refusal.skipped:
        return PreparedRow(None, dropped=refusal.code)
    return PreparedRow(None, None, (Finding(refusal.code, refusal.path, refusal.message, refusal.value),))


def _in_order(row: Row) -> bool:
    """Whether the messages of a plain row have their keys in the order in which they are written."""
    return all(next(iter(message)) == "role" for message in row["messages"])
