"""The emulator's own check of uploaded files, which shares no code with that of `together_adapters.finetune`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cases import each
from together_adapters.emulator.store.file_check import check_file
from together_adapters.finetune import check_jsonl

FOLDER = os.environ.get("TOGETHER_FINETUNE_CASES")
CASES: list[dict[str, Any]] = json.loads((Path(FOLDER) / "cases.json").read_text("utf-8")) if FOLDER else []
JSONL = [case for case in CASES if "file_text" in case and case["filename"].endswith(".jsonl")]
USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FLAGS = ("has_tools", "has_parallel_tool_calls", "has_reasoning", "has_message_weights", "has_sample_weights")


def check(folder: Path, *rows: Any, purpose: str = "fine-tune") -> dict[str, Any]:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return check_file(path, "jsonl", purpose)


@pytest.mark.skipif(not CASES, reason="TOGETHER_FINETUNE_CASES names no folder of cases")
@each("case", [case for case in JSONL if case["our_verdict"] != "open"])
def test_both_checkers_agree(case: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / case["filename"]
    path.write_bytes(case["file_text"].encode("utf-8", "surrogatepass"))
    report, expected = check_file(path, "jsonl", case["purpose"]), check_jsonl(path, purpose=case["purpose"])
    assert report["valid"] == expected.ok, report
    if expected.ok and case["purpose"] == "fine-tune":
        assert report["nlines"] == expected.rows
        assert [report[f"dataset_{flag}"] for flag in FLAGS] == [getattr(expected, flag) for flag in FLAGS]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"text": "t"}, "GENERAL"),
        ({"prompt": "p", "completion": "c"}, "INSTRUCTION"),
        ({"messages": [USER, ASSISTANT], "weight": 0.5, "note": "another column"}, "CONVERSATION"),
        (
            {
                "input": {"messages": [USER]},
                "preferred_output": [ASSISTANT],
                "non_preferred_output": [{"role": "assistant", "content": "b"}],
            },
            "PREFERENCE_OPENAI",
        ),
    ],
)
def test_formats(row: dict[str, Any], format: str, tmp_path: Path) -> None:
    report = check(tmp_path, row)
    assert (report["valid"], report["dataset_format"], report["nlines"]) == (True, format, 1)


def test_flags(tmp_path: Path) -> None:
    calls = {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "2"}], "reasoning": "r"}
    results = [{"role": "tool", "tool_call_id": id, "content": "x"} for id in ("1", "2")]
    report = check(tmp_path, {"messages": [USER, calls, *results, {**ASSISTANT, "weight": 1}], "weight": 2})
    assert [report[f"dataset_{flag}"] for flag in FLAGS] == [True] * 5


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([], "`messages`: List should have at least 1 item"),
        ([ASSISTANT], "the first message must not be an answer"),
        ([USER, USER, ASSISTANT], "two messages of role user follow each other"),
        ([USER], "no assistant message to train on"),
        ([USER, {**ASSISTANT, "weight": 0}], "no assistant message to train on"),
        ([USER, {**ASSISTANT, "weight": True}], "`messages[1].weight`"),
        ([USER, {"role": "assistant"}], "message 1 has no content"),
        ([USER, {**ASSISTANT, "content": None, "tool_calls": [CALL]}, USER, ASSISTANT], "a tool call has no result"),
        ([USER, {"role": "tool", "content": "x", "tool_call_id": "9"}, ASSISTANT], "tool_call_id matches no tool call"),
        ([USER, {**ASSISTANT, "content": [{"type": "audio"}]}], "`messages[1].content[0]`"),
    ],
)
def test_invalid_messages(messages: list[Any], error: str, tmp_path: Path) -> None:
    report = check(tmp_path, {"messages": [USER, ASSISTANT]}, {"messages": messages})
    assert (report["valid"], report["nlines"]) == (False, 2)
    assert report["error"].startswith("Line 2: ")
    assert error in report["error"]


def test_invalid_files(tmp_path: Path) -> None:
    assert check(tmp_path)["error"] == "The file has no rows."
    assert "match no format" in check(tmp_path, {"question": "q"})["error"]
    assert "the rows before have GENERAL" in check(tmp_path, {"text": "t"}, {"prompt": "p", "completion": "c"})["error"]
    request = {"custom_id": "a", "body": {}}
    assert check(tmp_path, request, {**request, "custom_id": "b"}, purpose="batch-api") == {"valid": True, "nlines": 2}
    assert "is not unique" in check(tmp_path, request, request, purpose="batch-api")["error"]
    table = tmp_path / "rows.csv"
    table.write_text("a,b\n1,2\n3,4\n")
    assert check_file(table, "csv", "eval") == {"valid": True, "nlines": 2}
    assert check_file(table, "csv", "fine-tune")["valid"] is False
    table.write_text("a,b\n1\n")
    assert check_file(table, "csv", "eval")["error"] == "Line 2: the row has 1 cell, the header 2"


def test_tokenized_data(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"text")
    assert check_file(path, "parquet", "fine-tune")["error"] == "The file is not Parquet."
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet  # type: ignore[import-untyped]

    parquet.write_table(arrow.table({"input_ids": [[1, 2]], "labels": [[1, 2]]}), path)
    report = check_file(path, "parquet", "fine-tune")
    assert (report["valid"], report["dataset_format"], report["nlines"]) == (True, "TOKENIZED", 1)
    parquet.write_table(arrow.table({"text": ["a"]}), path)
    assert check_file(path, "parquet", "fine-tune")["valid"] is False
