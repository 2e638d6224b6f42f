"""One row: which format it has, and what is wrong with it. The one place that decides; everything faster must agree with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.finetune.findings import Finding, RowFindings, kind_of
from together_adapters.finetune.issues import RULES, Issue, Severity, severities_of
from together_adapters.finetune.redaction import excerpt
from together_adapters.finetune.rules import BATCH_MAX_ID, FORMATS, METHODS, OPTIONAL
from together_adapters.finetune.validation.check_content import check_content
from together_adapters.finetune.validation.check_messages import check_messages
from together_adapters.finetune.validation.check_preference import check_preference
from together_adapters.finetune.validation.check_tools import check_tools
from together_adapters.finetune.validation.fast_path import is_text_conversation
from together_adapters.finetune.validation.json_values import is_finite

_MOST_WEIGHT: Final = sys.float_info.max
_KNOWN: Final = {needed: [name] for name, needed in FORMATS.items()}


def check_row(
    row: Any,
    *,
    purpose: str = "fine-tune",
    method: str | None = None,
    severities: Mapping[str, str] | None = None,
    line: int | None = None,
    source: str | None = None,
) -> list[Issue]:
    """Check one row.

    Args:
        row: The row, as parsed JSON.
        purpose: What it is for: `fine-tune`, `eval`, `batch-api`.
        method: `sft` or `dpo`: rows of another format are then an error.
        severities: Other severities by issue code: `error`, `warning`, `ignore`.
        line: Its line, for the issues.
        source: Where it comes from, for the issues.

    Returns:
        Every issue that is not ignored; none for a good row.
    """
    notes = RowFindings()
    if _is_json(notes, row):
        validate_row(notes, row, purpose)
    if method is not None and notes.format is not None and notes.format not in METHODS[method]:
        notes.add("method_mismatch", "", f"a row of format {notes.format} does not train with {method}")
    return issues_of(notes.findings, severities_of(severities), line, source)


def issues_of(
    findings: Iterable[Finding], severities: Mapping[str, Severity], line: int | None = None, source: str | None = None
) -> list[Issue]:
    """Give findings their severity and hint, and leave out what is ignored."""
    issues = []
    for code, path, message, value in findings:
        severity = severities[code]
        if severity != "ignore":
            shown = "" if isinstance(value, str) and not value else excerpt(value)
            issues.append(
                Issue(
                    code=code, severity=severity, line=line, source=source, path=path, message=message, hint=RULES[code].hint,
                    excerpt=shown,
                )
            )  # fmt: skip
    return issues


def validate_row(notes: RowFindings, row: Any, purpose: str = "fine-tune") -> None:
    """Look at one row of parsed JSON."""
    if not isinstance(row, dict):
        notes.add("line_not_object", "", f"a row must be an object, not {kind_of(row)}", row)
        return
    if purpose == "fine-tune":
        if is_text_conversation(notes, row):
            return
        validate_training_row(notes, row)
        if not notes.findings and not notes.unseen:
            return
    elif purpose == "batch-api":
        _inspect_batch(notes, row)
    if not is_finite(row):
        notes.add("number_too_large", "", "a number is too large to be kept")


def validate_training_row(notes: RowFindings, row: dict[str, Any]) -> None:
    """Look at a row of training data in every detail."""
    columns = row.keys()
    fitting = _KNOWN.get(frozenset(columns)) or [name for name, needed in FORMATS.items() if needed <= columns]
    if not fitting:
        listed = ", ".join(repr(str(key)[:40]) for key in list(row)[:10]) or "none"
        notes.add("unknown_columns", "", f"no format has these columns: {listed}")
        return
    if len(fitting) > 1:
        notes.add("multiple_formats", "", f"the columns of several formats are mixed: {', '.join(fitting)}")
        return
    notes.format = fitting[0]
    for key in columns - FORMATS[notes.format] - OPTIONAL[notes.format] if len(columns) > len(FORMATS[notes.format]) else ():
        within = "; tools of a preference belong into input.tools" if (key, notes.format) == ("tools", "preference") else ""
        notes.add("extra_column", str(key)[:80], f"the column {str(key)[:60]!r} is not part of the format {notes.format}{within}")
    if "weight" in row:
        _inspect_sample_weight(notes, row["weight"])
    if notes.format == "conversation":
        declared = check_tools(notes, row["tools"], "tools") if "tools" in row else None
        check_messages(notes, row["messages"], "messages", declared)
    elif notes.format == "preference":
        check_preference(notes, row)
    elif notes.format == "instruction":
        check_content(notes, row["prompt"], "prompt", "user")
        before = notes.chars
        check_content(notes, row["completion"], "completion", "assistant")
        notes.trained_chars += notes.chars - before
    else:
        before = notes.chars
        check_content(notes, row["text"], "text", "user")
        notes.trained_chars += notes.chars - before


def _inspect_sample_weight(notes: RowFindings, weight: Any) -> None:
    notes.has_sample_weights = True
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        notes.add("sample_weight_invalid", "weight", f"the weight of a sample must be a number, not {kind_of(weight)}", weight)
    elif weight < 0 or (isinstance(weight, float) and not isfinite(weight)) or weight > _MOST_WEIGHT:
        notes.add("sample_weight_invalid", "weight", "the weight of a sample must be finite and not negative", weight)
    elif weight == 0:
        notes.add("sample_weight_zero", "weight", "the sample has weight 0")


def _inspect_batch(notes: RowFindings, row: dict[str, Any]) -> None:
    name = row.get("custom_id")
    if not isinstance(name, str) or not 1 <= len(name) <= BATCH_MAX_ID:
        notes.add("batch_custom_id_invalid", "custom_id", f"custom_id must be a text of 1 to {BATCH_MAX_ID} characters", name)
    if not isinstance(row.get("body"), dict):
        notes.add("batch_body_invalid", "body", f"body must be an object, not {kind_of(row.get('body'))}", row.get("body"))
    for key in row.keys() - {"custom_id", "body", "method", "url"}:
        notes.add("extra_column", str(key)[:80], f"{str(key)[:60]!r} is not part of a batch request")


def _is_json(notes: RowFindings, row: Any) -> bool:
    """Whether a row can be written as JSON at all."""
    try:
        text = to_json(row, inf_nan_mode="constants")
    except (ValueError, RecursionError) as problem:
        code = "not_encodable" if "surrogate" in str(problem) or "utf-8" in str(problem) else "json_syntax"
        notes.add(code, "", f"the row cannot be written as JSON: {str(problem).splitlines()[0][:200]}")
        return False
    if (b"NaN" in text or b"Infinity" in text) and not is_finite(row):
        notes.add("json_syntax", "", "NaN and Infinity are not JSON")
        return False
    return True
