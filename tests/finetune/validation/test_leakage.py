"""Rows of a validation file that are also in the training file, in files and in memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from together_adapters.finetune import check_jsonl, leakage
from together_adapters.finetune.validation.leakage import LeakedRow, leaked_rows

WORDS = st.sampled_from(["Red?", "red? ", "Blue?", "Green?", "É", "E\u0301"])
CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    question, answer = draw(WORDS), draw(WORDS)
    messages = [{"role": "user", "content": question}]
    match draw(st.integers(0, 5)):
        case 0:
            return {"messages": [*messages, {"role": "assistant", "content": answer}]}
        case 1:
            call = {**CALL, "id": draw(st.sampled_from("ab"))}
            return {"messages": [*messages, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": call["id"], "content": answer}]}  # fmt: skip
        case 2:
            return {"prompt": question, "completion": answer}
        case 3:
            return {"text": question}
        case 4:
            return {
                "messages": [
                    {"content": [{"type": "text", "text": question}], "role": "user"},
                    {"role": "assistant", "content": answer},
                ]
            }
        case _:
            answers = {"preferred_output": [{"role": "assistant", "content": answer}], "non_preferred_output": []}
            return {"input": {"messages": messages}, **answers}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows(), max_size=8), st.lists(rows(), max_size=8))
def test_files_leak_what_rows_leak(tmp_path: Path, train: list[Any], validation: list[Any]) -> None:
    files = write(tmp_path / "train.jsonl", *train), write(tmp_path / "validation.jsonl", *validation)
    leaks = list(leaked_rows(*files))
    assert (sum(leak.exact for leak in leaks), len(leaks)) == leakage(train, validation)
    for leak in leaks:
        assert leakage(train, [validation[leak.line - 1]]) == (leak.exact, 1)


def test_invalid_lines_are_skipped(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    train = write(tmp_path / "train.jsonl", "\ufeff" + json.dumps(row), "", "{", "[1]", "3", '"x"')
    validation = write(tmp_path / "validation.jsonl", "{", "", "[1]", row, '"x"')
    assert list(leaked_rows(train, validation)) == [LeakedRow(4, True)]


def test_severities(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    train, validation = write(tmp_path / "train.jsonl", row), write(tmp_path / "validation.jsonl", row)
    report = check_jsonl(validation, train=train, severities={"leaked_row": "error"})
    assert (report.ok, report.errors, report.rows, report.valid, report.leakage) == (False, 1, 1, 1, {"exact": 1, "prompt": 1})
    assert check_jsonl(validation, train=train, severities={"leaked_row": "ignore"}).leakage == {"exact": 1, "prompt": 1}
    report = check_jsonl(validation, train=train, severities={"leaked_row": "ignore", "leaked_prompt": "ignore"})
    assert (report.leakage, report.leakage_summary(), report.warnings) == ({}, "", 0)
    other_report = check_jsonl(validation, train=tmp_path / "gone.jsonl")
    assert [issue.code for issue in other_report.issues] == ["file_unreadable"]
    assert "gone.jsonl" in other_report.issues[0].message


def test_progress_and_the_order_do_not_depend_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.finetune.validation.check_jsonl._MIN_BYTES", 0)
    many = [{"text": f"{number} " * 9} for number in range(9_000)]
    train, validation = write(tmp_path / "train.jsonl", *many), write(tmp_path / "validation.jsonl", *many[::-3])
    updates: list[Any] = []
    one = check_jsonl(validation, train=train, progress=updates.append)
    assert one == check_jsonl(validation, train=train, workers=2)
    assert one.leakage == {"exact": 3_000, "prompt": 3_000}
    assert [issue.line for issue in one.issues] == list(range(1, 1_001))
    assert updates[-1].stage == "leakage"
    assert updates[-1].fraction == 1


def test_memory_depends_on_the_validation_file_only(tmp_path: Path) -> None:
    validation = write(tmp_path / "validation.jsonl", {"text": "x"})
    train = tmp_path / "train.jsonl"
    with train.open("w", encoding="utf-8") as file:
        for number in range(2_000):
            file.write(json.dumps({"text": f"{number} " + "y" * 9_000}) + "\n")
    list(leaked_rows(validation, validation))
    tracemalloc.start()
    try:
        assert list(leaked_rows(train, validation)) == []
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_tokenized_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, tokens in (("train", [[1, 2], [3, 4], [5]]), ("validation", [[9], [3, 4], [5, 6]])):
        parquet.write_table(pa.table({"input_ids": tokens}), tmp_path / f"{name}.parquet")
    assert list(leaked_rows(tmp_path / "train.parquet", tmp_path / "validation.parquet")) == [LeakedRow(2, True)]
