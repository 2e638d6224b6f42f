"""`check_file` as the `together` 1.x SDK has it: the same rules as `check_jsonl`, told in that SDK's report."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.types.files import parse_purpose

_BY_CODE: Final = {
    "not_utf8": "utf8",
    "line_not_object": "line_type",
    "too_few_samples": "has_min_samples",
    "unknown_columns": "format",
    "multiple_formats": "format",
    "mixed_formats_across_lines": "format",
    "csv_columns": "format",
}
_NO_SAMPLES: Final = frozenset({"empty_file", "too_few_samples"})
_UNREADABLE: Final = frozenset({"json_syntax", "too_deep", "number_too_large", "not_encodable", "utf8_bom", "not_utf8"})


def check_file(file: str | PathLike[str], purpose: str = "fine-tune") -> dict[str, Any]:
    """Check a data file, and say so in the dictionary that `together.utils.check_file` returned.

    Args:
        file: Its path.
        purpose: What it is for.

    Returns:
        `is_check_passed`, `message`, and what was found on the way. `message` tells the first fault; unlike the old check
        it is never the text of success where the check failed.
    """
    path = Path(file)
    report = check_jsonl(path, purpose=parse_purpose(purpose), max_issues=1000)
    told: dict[str, Any] = {
        "is_check_passed": report.ok,
        "message": "Checks passed",
        "found": path.is_file(),
        "file_size": path.stat().st_size if path.is_file() else None,
        "utf8": None,
        "line_type": None,
        "text_field": None,
        "key_value": None,
        "has_min_samples": None,
        "num_samples": None,
        "load_json": None,
        "load_csv": None,
    }
    kind = path.suffix.removeprefix(".")
    if told["found"]:
        known = kind in ("jsonl", "csv", "parquet")
        told["filetype"] = kind if known else f"unknown extension {path.suffix!r}: use .jsonl, .parquet or .csv"
    if told["found"] and report.bytes and kind in ("jsonl", "csv"):
        told |= {"utf8": True, "line_type": True, "text_field": True, "key_value": True, "has_min_samples": True}
        told["load_json" if kind == "jsonl" else "load_csv"] = True
        told["num_samples"] = report.rows if report.ok else None
    _tell_first_error(told, report, kind)
    return told


def _tell_first_error(told: dict[str, Any], report: DataReport, kind: str) -> None:
    first = next((issue for issue in report.issues if issue.severity == "error"), None)
    if first is None:
        return
    told["message"] = str(first)
    if first.line is not None:
        told["line_number"] = first.line - 1 if kind == "csv" else first.line
    if first.code.startswith("parquet"):
        told["load_parquet"] = first.message
    elif first.code in _NO_SAMPLES:
        told["has_min_samples"] = False
    elif kind == "jsonl" and told["found"]:
        told["load_json"] = False
        if first.code not in _UNREADABLE:
            told[_BY_CODE.get(first.code, "key_value")] = False
        elif first.code == "not_utf8":
            told["utf8"] = False
    elif first.code in _BY_CODE:
        told[_BY_CODE[first.code]] = False
