"""`check_file` of the `together` 1.x SDK: the rules of `check_jsonl`, with the report of that SDK."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, Final

from together_adapters.finetune.reports.report import DataReport
from together_adapters.finetune.validation.check_jsonl import check_jsonl
from together_adapters.types.files import parse_purpose

_KEYS_BY_CODE: Final = {
    "not_utf8": "utf8",
    "line_not_object": "line_type",
    "too_few_samples": "has_min_samples",
    "unknown_columns": "format",
    "multiple_formats": "format",
    "mixed_formats_across_lines": "format",
    "csv_columns": "format",
}
_NO_ROWS: Final = frozenset({"empty_file", "too_few_samples"})
_NOT_JSON: Final = frozenset({"json_syntax", "too_deep", "number_too_large", "not_encodable", "utf8_bom", "not_utf8"})


def check_file(file: str | PathLike[str], purpose: str = "fine-tune") -> dict[str, Any]:
    """Checks a data file; returns the dictionary that `together.utils.check_file` returned.

    Args:
        file: The path of the file.
        purpose: What the file is for.

    Returns:
        `is_check_passed`, `message` and the other keys of that SDK. `message` is the first error; unlike in that SDK it is never
        the text of success for a file that did not pass.
    """
    path = Path(file)
    report = check_jsonl(path, purpose=parse_purpose(purpose), max_issues=1000)
    exists = path.is_file()
    result: dict[str, Any] = {
        "is_check_passed": report.ok,
        "message": "Checks passed",
        "found": exists,
        "file_size": path.stat().st_size if exists else None,
        **dict.fromkeys("utf8 line_type text_field key_value has_min_samples num_samples load_json load_csv".split()),
    }
    kind = path.suffix.removeprefix(".")
    if exists:
        is_known = kind in ("jsonl", "csv", "parquet")
        result["filetype"] = kind if is_known else f"unknown extension {path.suffix!r}: use .jsonl, .parquet or .csv"
        if report.bytes and kind in ("jsonl", "csv"):
            result |= {"utf8": True, "line_type": True, "text_field": True, "key_value": True, "has_min_samples": True}
            result["load_json" if kind == "jsonl" else "load_csv"] = True
            result["num_samples"] = report.rows if report.ok else None
    _set_first_error(result, report, kind)
    return result


def _set_first_error(result: dict[str, Any], report: DataReport, kind: str) -> None:
    error = next((issue for issue in report.issues if issue.severity == "error"), None)
    if error is None:
        return
    result["message"] = str(error)
    if error.line is not None:
        result["line_number"] = error.line - 1 if kind == "csv" else error.line
    if error.code.startswith("parquet"):
        result["load_parquet"] = error.message
    elif error.code in _NO_ROWS:
        result["has_min_samples"] = False
    elif kind == "jsonl" and result["found"]:
        result["load_json"] = False
        if error.code not in _NOT_JSON:
            result[_KEYS_BY_CODE.get(error.code, "key_value")] = False
        elif error.code == "not_utf8":
            result["utf8"] = False
    elif error.code in _KEYS_BY_CODE:
        result[_KEYS_BY_CODE[error.code]] = False
