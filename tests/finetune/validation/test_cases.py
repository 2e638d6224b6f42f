"""Small files with the verdicts of several validators, compared with ours."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from together_adapters.finetune import DataReport, check_file, check_jsonl

FOLDER = os.environ.get("TOGETHER_FINETUNE_CASES")
CASES: list[dict[str, Any]] = json.loads((Path(FOLDER) / "cases.json").read_text("utf-8")) if FOLDER else []
ALIASES = {"multiple_formats": "extra_column", "too_few_samples": "json_syntax"}
pytestmark = pytest.mark.skipif(not CASES, reason="TOGETHER_FINETUNE_CASES names no folder of cases")


def write_case(case: dict[str, Any], folder: Path) -> Path:
    path: Path = folder / case["filename"]
    path.write_bytes(
        base64.b64decode(case["file_b64"]) if "file_b64" in case else case["file_text"].encode("utf-8", "surrogatepass")
    )
    return path


def has_verdict(report: DataReport, verdict: str) -> bool:
    severities = {issue.severity for issue in report.issues}
    return {
        "error": not report.ok,
        "warning": report.ok and "warning" in severities,
        "ok": report.ok and not report.issues,
        "clean_or_warning": report.ok,
        "flag": bool(report.issues),
        "open": True,
    }[verdict]


@each("case", CASES)
def test_verdict_line_and_meaning(case: dict[str, Any], tmp_path: Path) -> None:
    path = write_case(case, tmp_path)
    report = check_jsonl(path, purpose=case["purpose"])
    assert has_verdict(report, case["our_verdict"]), report.summary()
    meaning = case["expect_error_contains_meaning"]
    if meaning and case["our_verdict"] in ("error", "warning", "flag"):
        matches = [issue for issue in report.issues if meaning in (issue.code, ALIASES.get(issue.code))]
        assert matches, report.summary()
        assert case["line"] is None or case["line"] in {issue.line for issue in matches}
    assert DataReport.model_validate_json(report.model_dump_json()) == report
    assert check_file(path, case["purpose"])["is_check_passed"] is report.ok


def test_real_rows() -> None:
    report = check_jsonl(Path(FOLDER or "") / "samples" / "small_coqa_10.jsonl")
    assert (report.ok, report.rows, report.format, report.warnings) == (True, 10, "conversation", 0)
