"""Validates one row. This is the reference: every faster check must agree with it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any, Final

from pydantic_core import to_json

from together_adapters.finetune.findings import Finding, RowFindings, kind_of
from together_adapters.finetune.issues import Issue, Severity, new_issue, severities_of
from together_adapters.finetune.records import id_of
from together_adapters.finetune.rules import BATCH_MAX_ID, FORMATS, METHODS, OPTIONAL, method_mismatch
from together_adapters.finetune.validation.check_content import check_content, refuse_blank
from together_adapters.finetune.validation.check_messages import check_messages, is_text_conversation
from together_adapters.finetune.validation.check_preference import check_preference
from together_adapters.finetune.validation.check_tools import check_tools
from together_adapters.finetune.validation.json_values import is_finite

_MAX_WEIGHT: Final = sys.float_info.max
_BATCH_COLUMNS: Final = frozenset({"custom_id", "body", "method", "url"})
_FORMATS_BY_COLUMNS: Final = {columns: [name] for name, columns in FORMATS.items()}


def check_row(
    row: Any,
    *,
    purpose: str = "fine-tune",
    method: str | None = None,
    severities: Mapping[str, str] | None = None,
    line: int | None = None,
    source: str | None = None,
) -> list[Issue]:
    """Validates one row.

    Args:
        row: The row, as parsed JSON.
        purpose: What the row is for: `fine-tune`, `eval` or `batch-api`.
        method: `sft` or `dpo`. If set, a row of a format that does not train with it is an error.
        severities: Severities that differ from the defaults, by issue code: `error`, `warning` or `ignore`.
        line: The line number to show in issues.
        source: The source to show in issues, such as a file name.

    Returns:
        All issues that are not ignored; an empty list for a valid row.
    """
    findings = RowFindings()
    if _is_json(findings, row):
        validate_row(findings, row, purpose)
    if method is not None and findings.format is not None and findings.format not in METHODS[method]:
        findings.add("method_mismatch", "", f"a row of format {findings.format} {method_mismatch(findings.format, method)}")
    return issues_of(findings.items, severities_of(severities), line, source, id_of(row))


def issues_of(
    findings: Iterable[Finding],
    severities: Mapping[str, Severity],
    line: int | None = None,
    source: str | None = None,
    id: str | None = None,
) -> list[Issue]:
    """Returns findings as issues with severity and hint, without those to be ignored."""
    return [
        new_issue(code, severity, message, value, path, line, source, id)
        for code, path, message, value in findings
        if (severity := severities[code]) != "ignore"
    ]


def validate_row(findings: RowFindings, row: Any, purpose: str = "fine-tune") -> None:
    """Validates a row of parsed JSON against the rules of its format."""
    if not isinstance(row, dict):
        findings.add("line_not_object", "", f"a row must be an object, not {kind_of(row)}", row)
        return
    if purpose == "fine-tune":
        if is_text_conversation(findings, row):
            return
        validate_training_row(findings, row)
        if not findings.items and not findings.has_unchecked_values:
            return
    elif purpose == "batch-api":
        _check_batch_request(findings, row)
    if not is_finite(row):
        findings.add("number_too_large", "", "a number is too large for a float")


def validate_training_row(findings: RowFindings, row: dict[str, Any]) -> None:
    """Validates a row of training data without the fast path."""
    columns = row.keys()
    formats = _FORMATS_BY_COLUMNS.get(frozenset(columns)) or [name for name, required in FORMATS.items() if required <= columns]
    if not formats:
        names = ", ".join(repr(str(key)[:40]) for key in list(row)[:10]) or "none"
        missing = [(form, required - columns) for form, required in FORMATS.items() if not required.isdisjoint(columns)]
        problem = "; ".join(f"{' and '.join(sorted(map(repr, rest)))} is missing for the format {form}" for form, rest in missing)
        findings.add("unknown_columns", "", f"{problem or 'no format has these columns'}: {names}")
        return
    if len(formats) > 1:
        findings.add("multiple_formats", "", f"the row has the columns of several formats: {', '.join(formats)}")
        return
    findings.format = formats[0]
    columns_of_format = FORMATS[formats[0]] | OPTIONAL[formats[0]]
    for key in [key for key in row if key not in columns_of_format] if len(columns) > len(FORMATS[formats[0]]) else ():
        advice = "; use input.tools" if (key, formats[0]) == ("tools", "preference") else ""
        message = f"{str(key)[:60]!r} is not a column of the format {formats[0]}{advice}"
        findings.add("extra_column", str(key)[:80], message)
    if "weight" in row:
        _check_sample_weight(findings, row["weight"])
    if findings.format == "conversation":
        tool_names = check_tools(findings, row["tools"], "tools") if "tools" in row else None
        check_messages(findings, row["messages"], "messages", tool_names)
    elif findings.format == "preference":
        check_preference(findings, row)
    elif findings.format == "instruction":
        check_content(findings, row["prompt"], "prompt", "user")
        before = findings.chars
        refuse_blank(
            findings, check_content(findings, row["completion"], "completion", "assistant"), "completion", "the completion"
        )
        findings.trained_chars += findings.chars - before
    else:  # the service takes an empty text, too
        before = findings.chars
        check_content(findings, row["text"], "text", "user")
        findings.trained_chars += findings.chars - before


def _check_sample_weight(findings: RowFindings, weight: Any) -> None:
    findings.has_sample_weights = True
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        findings.add("sample_weight_invalid", "weight", f"weight must be a number, not {kind_of(weight)}", weight)
    elif weight < 0 or (isinstance(weight, float) and not isfinite(weight)) or weight > _MAX_WEIGHT:
        findings.add("sample_weight_invalid", "weight", "weight must be finite and not negative", weight)
    elif weight == 0:
        findings.add("sample_weight_zero", "weight", "the weight of the row is 0")


def _check_batch_request(findings: RowFindings, row: dict[str, Any]) -> None:
    custom_id, body = row.get("custom_id"), row.get("body")
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= BATCH_MAX_ID:
        message = f"custom_id must be a string of 1 to {BATCH_MAX_ID} characters"
        findings.add("batch_custom_id_invalid", "custom_id", message, custom_id)
    if not isinstance(body, dict):
        findings.add("batch_body_invalid", "body", f"body must be an object, not {kind_of(body)}", body)
    for key in [key for key in row if key not in _BATCH_COLUMNS]:
        findings.add("extra_column", str(key)[:80], f"{str(key)[:60]!r} is not a field of a batch request")


def _is_json(findings: RowFindings, row: Any) -> bool:
    """Whether a row can be written as JSON."""
    try:
        text = to_json(row, inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        code = "not_encodable" if "surrogate" in str(error) or "utf-8" in str(error) else "json_syntax"
        findings.add(code, "", f"the row cannot be written as JSON: {str(error).splitlines()[0][:200]}")
        return False
    if (b"NaN" in text or b"Infinity" in text) and not is_finite(row):
        findings.add("json_syntax", "", "NaN and Infinity are not JSON")
        return False
    return True
