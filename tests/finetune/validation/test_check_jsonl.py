"""Whole files: lines, encodings, extensions, sums of reports, `check_file`; and that no file raises."""

from __future__ import annotations

import json
import pickle
import random
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour
from together_adapters.errors import DatasetError, FileTypeError, InvalidDatasetError
from together_adapters.finetune import RULES_VERSION, DataReport, check_file, check_jsonl, rules
from together_adapters.finetune.validation import jsonl_reader as lines

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
PAIR = {"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": [{"role": "assistant", "content": "a"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}]}  # fmt: skip


@pytest.fixture
def check(tmp_path: Path) -> Any:
    def run_check(content: Any, name: str = "x.jsonl", **options: Any) -> DataReport:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else b"".join(json.dumps(row).encode() + b"\n" for row in content))
        return check_jsonl(path, **options)

    return run_check


def codes(report: DataReport) -> list[tuple[str, int | None]]:
    return [(issue.code, issue.line) for issue in report.issues]


@pytest.mark.parametrize(("content", "expected"), [
    (b'{"text": "a"}', []), (b'{"text": "a"}\r\n{"text": "b"}\r\n', []), (b'{"text":\r"a"}\n', []), (b'{"text": "a\xe2\x80\xa8"}\n', []),
    (b'\xef\xbb\xbf{"text": "a"}\n', [("utf8_bom", 1)]), (b'{"text": "a"}\n\xef\xbb\xbf{"text": "a"}\n', [("json_syntax", 2)]),
    (b'{"text": "a"}\n{"text": "\xff"}\n', [("not_utf8", 2)]), ('{"text": "a"}'.encode("utf-16"), [("not_utf8", 1)]), (b"\x00\x01\x02", [("json_syntax", 1)]),
    (b'{"text": "\\ud83d"}', [("not_encodable", 1)]), (b'{"text": "\\ud83d\\ude00"}', []), (b'{"text": "a\\u0000"}', [("nul_character", 1)]), (b'{"text": "a\\\\u0000"}', []),
    (b'{"text": "a", "weight": NaN}', [("json_syntax", 1)]), (b'{"text": "a", "weight": -Infinity}', [("json_syntax", 1)]), (b'{"text": "NaN"}', []),
    (b'{"text": "a", "weight": 1e999}', [("number_too_large", 1), ("sample_weight_invalid", 1)]), (b'{"text": "a", "weight": ' + b"1" * 5000 + b"}", [("number_too_large", 1)]),
    (b"[" * 100_000, [("too_deep", 1)]), (b'{"text": ' * 100_000, [("too_deep", 1)]), (b'{"text": ' + b"[" * 500 + b"]" * 500 + b"}", [("too_deep", 1)]),
    (b'{"text": "a"} x', [("json_syntax", 1)]), (b"{'text': 'a'}", [("json_syntax", 1)]), (b'{"text": "a",}', [("json_syntax", 1)]), (b'{"text": "a\nb"}', [("json_syntax", 1), ("json_syntax", 2)]),
    (b'{"text": "a"}\n\n \t\n', [("blank_line", 2), ("blank_line", 3)]), (b'"text"\n3\nnull\n', [("line_not_object", n) for n in (1, 2, 3)]),
    (b'{"text": "a", "text": 3}', [("content_wrong_type", 1)]),
])  # fmt: skip
def test_lines(check: Any, content: bytes, expected: list[Any]) -> None:
    assert codes(check(content)) == expected


def test_a_syntax_error_names_its_column(check: Any) -> None:
    assert check(b"{key: 1}").issues[0].message == "the line is not JSON: key must be a string at column 2"


@pytest.mark.parametrize(("row", "form", "format", "text"), [
    (CHAT, None, "conversation", "2 rows (conversation)"),
    (PAIR, None, "preference", "2 rows (preference)"),
    ({"prompt": "q", "completion": "a"}, None, "instruction", "2 rows (instruction)"),
    ({"text": "a"}, None, "general", "2 rows (general)"),
    ({"instruction": "q", "output": "a"}, "alpaca", None, "2 rows (of the form alpaca, which load(...) converts)"),
    ({"nothing": "q"}, None, None, "2 rows (unknown format)"),
])  # fmt: skip
def test_a_report_names_the_form(
    flavour: Flavour, check: Any, tmp_path: Path, row: Any, form: str, format: str, text: str
) -> None:
    report = check([row, row])
    assert (report.form, report.format) == (form, format) and str(report).startswith(text)
    client = flavour.client()
    assert flavour.run(client.files.check(tmp_path / "x.jsonl")).form == form
    if form:
        with pytest.raises(InvalidDatasetError, match="of the form alpaca"):
            flavour.run(client.files.upload(tmp_path / "x.jsonl"))
    assert pickle.loads(pickle.dumps(check_jsonl)) is check_jsonl


def test_duplicate_keys(check: Any) -> None:
    assert check(b'{"text": "b", "text": "a"}').issues == []
    report = check(b'{"text": "b", "text": "a"}', strict=True)
    assert (codes(report), report.issues[0].path, report.ok) == ([("duplicate_key", 1)], "text", False)


@pytest.mark.long
def test_large_lines(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check([{"text": "x" * 10_000_000}]).ok
    assert not check(b"\xfe" * 10_000_000).ok
    assert not check(b'{"messages": [' + b"1," * 300_000 + b"1]}").ok
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    report = check(b'{"text": "a"}\n' + b"x" * 1_000 + b'\n{"text": 3}\n')
    assert codes(report) == [("line_too_long", 2), ("content_wrong_type", 3)]
    assert report.bytes == 14 + 1001 + 12


def test_no_garbage_raises(check: Any) -> None:
    chance = random.Random(7)
    good = json.dumps(CHAT).encode() + b"\n"
    for _ in range(300):
        data = bytearray(good * 3)
        for _ in range(chance.randrange(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        report = check(bytes(data))
        assert (
            report.rows == report.valid + len({issue.line for issue in report.issues if issue.severity == "error"}) or report.ok
        )
        check(chance.randbytes(chance.randrange(500)))


@pytest.mark.parametrize(("name", "purpose", "code"), [
    ("x.JSONL", "fine-tune", "unknown_extension"), ("x.jsonl.gz", "fine-tune", "unknown_extension"), ("x", "fine-tune", "unknown_extension"),
    ("x.csv", "fine-tune", "csv_not_for_finetune"), ("x.csv", "batch-api", "csv_not_for_purpose"), ("x.parquet", "eval", "parquet_not_for_purpose"),
    ("x.parquet", "fine-tune", "parquet_unreadable"),
])  # fmt: skip
def test_kinds_of_files(check: Any, name: str, purpose: str, code: str) -> None:
    report = check(b"a,b\n1,2\n", name, purpose=purpose)
    assert (codes(report), report.ok) == ([(code, None)], False)


def test_missing_and_empty_files(check: Any, tmp_path: Path) -> None:
    assert codes(check_jsonl(tmp_path / "none.jsonl")) == [("file_missing", None)]
    assert codes(check_jsonl(tmp_path)) == [("file_missing", None)]
    assert codes(check(b"")) == [("empty_file", None)]


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (path := tmp_path / "x.jsonl").open("wb") as file:
        file.truncate(60 * 2**30)
    assert codes(check_jsonl(path)) == [("file_too_large", None)]
    assert "53,794" in check_jsonl(path).issues[0].message


@pytest.mark.parametrize(("content", "expected"), [
    (b"a,b\n1,2\n3,4\n", []), (b"a,b\n1,2,3\n1\n", [("csv_columns", 2), ("csv_columns", 3)]), (b"a,b\n", [("too_few_samples", None)]),
    (b'a,b\n"x\ny",2\n3\n', [("csv_columns", 4)]), (b'a,b\n"x"y,2\n', [("csv_syntax", 2)]), (b"a,b\n\xff,2\n", [("not_utf8", 1)]), (b"\xef\xbb\xbfa\n1\n", [("utf8_bom", 1)]),
    (b"a,b\n" + b"x" * 300_000 + b",2\n", []),
])  # fmt: skip
def test_csv(check: Any, content: bytes, expected: list[Any]) -> None:
    assert codes(check(content, "x.csv", purpose="eval")) == expected


def test_batches(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"custom_id": "a", "body": {}}, {"custom_id": "b", "body": {}}, {"custom_id": "a", "body": {}}]
    assert codes(check(rows, purpose="batch-api")) == [("batch_custom_id_duplicate", 3)]
    monkeypatch.setattr("together_adapters.finetune.validation.file_check.BATCH_MAX_ROWS", 1)
    monkeypatch.setattr("together_adapters.finetune.validation.file_check.BATCH_MAX_BYTES", 10)
    assert {code for code, _ in codes(check(rows[:2], purpose="batch-api"))} == {"batch_too_many", "batch_too_large"}


def test_facts(check: Any) -> None:
    tools = [{"type": "function", "function": {"name": "add"}}]
    calls = [{"id": str(n), "type": "function", "function": {"name": "add", "arguments": "{}"}} for n in (1, 2)]
    row = {"tools": tools, "weight": 0.5, "messages": [
        {"role": "user", "content": "q", "weight": 1}, {"role": "assistant", "tool_calls": calls}, {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "tool", "tool_call_id": "2", "content": "y"}, {"role": "assistant", "content": "done", "reasoning": "r"}]}  # fmt: skip
    report = check([CHAT, row, {"messages": [{"role": "user", "content": "q"}]}])
    assert (report.rows, report.valid, report.format, report.turns.total) == (3, 2, "conversation", 8)
    assert report.roles == {"assistant": 3, "tool": 2, "user": 3}
    assert report.tools == {"add": 2}
    assert all(
        getattr(report, f"has_{what}")
        for what in ("tools", "parallel_tool_calls", "reasoning", "message_weights", "sample_weights")
    )
    assert (report.has_images, report.rows_with_message_weights, report.rows_without_training_signal) == (False, 1, 1)
    assert (report.rules_version, report.max_issues) == (RULES_VERSION, 1000)
    assert report.sha256 is None
    assert check([CHAT], checksum=True).sha256 == sha256(json.dumps(CHAT).encode() + b"\n").hexdigest()


def test_methods(check: Any) -> None:
    default = check([PAIR, PAIR])
    assert (default.ok, default.method, default.method_ok, default.issues) == (True, "sft", False, [])
    explicit = check([PAIR, PAIR], method="sft")
    assert (explicit.ok, codes(explicit), explicit.method_ok) == (False, [("method_mismatch", 1)], False)
    assert check([PAIR], method="dpo").ok
    assert check([PAIR], method="dpo").method_ok
    assert codes(check([CHAT], method="dpo")) == [("method_mismatch", 1)]
    with pytest.raises(ValueError, match="ppo"):
        check([CHAT], method="ppo")


def test_limits_of_a_model(check: Any) -> None:
    tools = {"tools": [{"type": "function", "function": {"name": "add"}}], **CHAT}
    assert codes(check([tools], limits={"supports_tools": False})) == [("model_lacks_tools", None)]
    assert codes(check([CHAT], limits={"supports_tools": False, "supports_reasoning": True})) == [("reasoning_missing", None)]
    assert codes(check([tools], limits=type("Limits", (), {"supports_tools": True})())) == []


def test_weights_on_some_rows_can_be_a_warning(check: Any) -> None:
    rows = [CHAT, {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}]}]
    assert check(rows).issues == []
    assert codes(check(rows, severities={"weights_on_some_rows": "warning"})) == [("weights_on_some_rows", None)]


def test_all_issues_are_counted_and_errors_listed_first(check: Any) -> None:
    rows = [{"text": "a", "x": 1}] * 50 + [{"text": 1, "x": 1}] * 50
    report = check(rows, max_issues=10)
    assert (report.errors, report.warnings, report.valid) == (50, 100, 50)
    assert report.issue_counts == {"content_wrong_type": 50, "extra_column": 100}
    assert codes(report) == [("content_wrong_type", line) for line in range(51, 61)]
    assert check(rows, max_issues=0).issues == []


def test_reports_add_up(check: Any) -> None:
    parts = [check(rows, f"{name}.jsonl", max_issues=3) for name, rows in (
        ("b", [CHAT, {"messages": 3}] * 3), ("a", [{**CHAT, "x": 1}]), ("c", [CHAT, {"messages": []}]))]  # fmt: skip
    one, two, three = parts
    total = one + two + three
    assert total == one + (two + three) == three + one + two
    assert (total.rows, total.valid, total.errors, total.warnings, total.ok) == (9, 5, 4, 1, False)
    assert [(issue.source, issue.line) for issue in total.issues] == [("b.jsonl", 2), ("b.jsonl", 4), ("b.jsonl", 6)]
    assert total.model_dump_json() == (three + two + one).model_dump_json()
    other = check([CHAT], "d.jsonl") + check([{"text": "a"}], "e.jsonl")
    assert (other.format, other.ok) == ("mixed", False)
    assert (check([CHAT]) + check([CHAT])).ok


def test_an_issue_names_the_id_of_its_row(check: Any) -> None:
    """Readers find a row by it."""
    wrong = {"messages": [{"role": "user", "content": 3}]}
    rows = [
        {"id": "a-1"} | wrong,
        {"id": 7} | wrong,
        {"custom_id": "c", "id": "b"} | wrong,
        {"id": None} | wrong,
        {"id": f"sk-{'x' * 20}"} | wrong,
    ]
    issues = [issue for issue in check(rows).issues if issue.code == "content_wrong_type"]
    assert [issue.id for issue in issues] == ["a-1", "7", "c", None, None]
    assert str(issues[0]).startswith("line 1 (id a-1) messages[0].content: content must be")
    assert str(issues[3]).startswith("line 4 messages[0].content: content must be")
    (request,) = check([{"custom_id": "q-1", "body": 3}], purpose="batch-api").issues
    assert str(request).startswith("line 1 (id q-1) body: body must be an object")
    (cells,) = check(b"id,text\nr-1,a,b\n", "x.csv", purpose="eval").issues
    assert cells.id == "r-1"


def test_a_report_survives_json(check: Any, tmp_path: Path) -> None:
    report = check([CHAT, {"messages": 3}])
    report.save(tmp_path / "report.json")
    result = json.loads((tmp_path / "report.json").read_text())
    assert (result["ok"], result["format"], result["method_ok"]) == (False, "conversation", True)
    assert DataReport.model_validate(result) == report
    assert check([CHAT, {"messages": 3}]).model_dump_json() == report.model_dump_json()


def test_raising(check: Any) -> None:
    assert check([CHAT]).raise_for_issues().ok
    with pytest.raises(InvalidDatasetError, match=r"(?s)1 error,.*messages_not_list: line 1 messages") as error:
        check([{"messages": 3}]).raise_for_issues()
    assert isinstance(error.value, DatasetError | ValueError)
    assert isinstance(error.value, FileTypeError)
    with pytest.raises(InvalidDatasetError, match="extra_column"):
        check([{**CHAT, "x": 1}]).raise_for_issues(max_warnings=0)
    with pytest.raises(InvalidDatasetError, match="does not train with sft"):
        check([PAIR]).raise_for_issues()


def test_progress(check: Any) -> None:
    result: list[Any] = []
    report = check([{"text": "x" * 1000}] * 3_000, progress=result.append)
    assert result[-1].done == result[-1].total == report.bytes
    assert len(result) >= 3
    assert {progress.stage for progress in result} == {"check"}


def test_check_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(CHAT) + "\n" + json.dumps(CHAT))
    assert check_file(path) == {
        "is_check_passed": True, "message": "Checks passed", "found": True, "file_size": path.stat().st_size, "utf8": True, "line_type": True,
        "text_field": True, "key_value": True, "has_min_samples": True, "num_samples": 2, "load_json": True, "load_csv": None, "filetype": "jsonl",
    }  # fmt: skip
    path.write_text(json.dumps(CHAT) + "\n[1]\n")
    result = check_file(path)
    assert (
        result["is_check_passed"],
        result["line_type"],
        result["line_number"],
        result["load_json"],
        result["num_samples"],
    ) == (
        False,
        False,
        2,
        False,
        None,
    )
    assert "line 2" in result["message"]
    path.write_bytes(b"\xff")
    assert check_file(path)["utf8"] is False
    missing = check_file(tmp_path / "none.jsonl")
    assert (missing["found"], missing["is_check_passed"], missing["file_size"]) == (False, False, None)
    assert missing["message"] != "Checks passed"
    (tmp_path / "x.txt").write_text("x")
    assert "extension" in check_file(tmp_path / "x.txt")["filetype"]
    (tmp_path / "x.csv").write_text("a,b\n1,2\n3\n")
    result = check_file(tmp_path / "x.csv", "eval")
    assert (result["format"], result["line_number"], result["load_csv"]) == (False, 2, True)


def test_limits_of_the_service() -> None:
    assert rules.MAX_IMAGE_URL == 13_981_036
    assert round(rules.MAX_FILE_BYTES / 2**30, 3) == 50.1


@pytest.mark.parametrize("severity", ["warning", "error", "ignore"])
def test_blank_lines_take_linear_time(tmp_path: Path, severity: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + b"\n" * 10_000_000 + b'{"text": "b"}\n')
    begin = time.process_time()
    report = check_jsonl(path, severities={"blank_line": severity}, max_issues=10)
    assert time.process_time() - begin < 1.5
    assert (report.rows, report.issue_counts.get("blank_line", 0)) == (2, 0 if severity == "ignore" else 10_000_000)
    assert [issue.line for issue in report.issues] == ([] if severity == "ignore" else list(range(2, 12)))


@pytest.mark.parametrize("text", ["a", 3])
def test_blank_lines_among_rows_take_little_time(tmp_path: Path, text: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes((json.dumps({"text": text}).encode() + b"\n" * 1001) * 2000)
    begin = time.process_time()
    report = check_jsonl(path, max_issues=2)
    assert time.process_time() - begin < 3
    assert (report.rows, report.errors, report.warnings) == (2000, 0 if text == "a" else 2000, 2_000_000)
    assert {issue.line for issue in report.issues} == ({2, 3} if text == "a" else {1, 1002})
