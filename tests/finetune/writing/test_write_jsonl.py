"""Writing: complete and validated or not at all, the same bytes everywhere, and every row accounted for."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.finetune.writing.test_fixes import ROW
from together_adapters.errors import DatasetError
from together_adapters.finetune import (
    ConversionError,
    FileTooLargeError,
    Fixes,
    InvalidDatasetError,
    MethodMismatchError,
    PreparedFile,
    TrainingData,
    check_jsonl,
    load,
    write_jsonl,
)
from together_adapters.finetune.records import Example, Refusal
from together_adapters.finetune.writing import parallel


def row(question: Any = "q", answer: Any = "a", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": str(question)}, {"role": "assistant", "content": str(answer)}], **more}


PAIR = {"input": {"messages": [{"role": "user", "content": "q"}]}, "preferred_output": [{"role": "assistant", "content": "a"}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}]}  # fmt: skip
UNANSWERED = {"messages": [{"role": "user", "content": "q"}]}


def test_rows_are_written_with_their_report(tmp_path: Path) -> None:
    prepared = write_jsonl([row("ü\u2028"), row(id=3)], tmp_path / "train.jsonl")
    line = '{"messages":[{"role":"user","content":"ü\u2028"},{"role":"assistant","content":"a"}]}\n'
    assert prepared.path.read_bytes().startswith(line.encode())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.jsonl", "train.report.json"]
    assert prepared.report.ok
    assert prepared.report.changed == {"columns_stripped": 1}
    assert json.loads(prepared.report_path.read_text("utf-8"))["rows"] == 2
    assert PreparedFile.of(prepared.path) == prepared
    assert os.fspath(prepared) == str(prepared.path)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "usr", "content": "q"}]},
        {"conversations": [{"from": "human", "value": 3}]},
        {"run_type": "llm", "inputs": {"messages": []}, "outputs": {"generations": []}},
        {"prompt": 3, "completion": "a"},
    ],
    ids=lambda record: next(iter(record)),
)
def test_a_row_that_cannot_be_written_is_named_with_its_id(tmp_path: Path, record: Any) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps({"id": "row-7", **record}) + "\n")
    with pytest.raises(DatasetError, match=r"rows\.jsonl:1 \(id row-7\)") as problem:
        write_jsonl(load(source), tmp_path / "train.jsonl")
    assert {issue.id for issue in problem.value.report.issues} == {"row-7"}  # type: ignore[attr-defined]


def test_rows_that_are_dropped_are_named_with_their_ids(tmp_path: Path) -> None:
    rows = [row(id="a"), row(id="b"), row(answer="other", id="c"), row("x", id="d")]
    data = TrainingData.from_rows(rows).dedupe("prompt").filter(lambda each: each["id"] != "d", reason="unwanted")
    assert [record.id for record in data.records()] == ["a", "b", "c", "d"]
    assert [record.id for record in data.records() if isinstance(record, Refusal)] == ["b", "c", "d"]


def test_the_report_is_that_of_the_file(tmp_path: Path) -> None:
    prepared = write_jsonl([row(), {}, row("nul \0")], tmp_path / "a.jsonl", fixes=Fixes(on_error="drop"))
    report = check_jsonl(prepared.path, checksum=True)
    same = ("bytes", "sha256", "turns", "chars", "roles", "format", "valid")
    assert [getattr(prepared.report, name) for name in same] == [getattr(report, name) for name in same]
    assert prepared.report.issue_counts == {"unknown_columns": 1, "nul_character": 1}
    assert [(issue.code, issue.line, issue.source) for issue in prepared.report.issues] == [
        ("unknown_columns", None, "data record 2"),
        ("nul_character", 2, "data record 3"),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_of_another_format_are_not_dropped_as_invalid(workers: int, tmp_path: Path) -> None:
    rows = [row(), {}, *[{"prompt": "q", "completion": "a"}] * 2]
    with pytest.raises(DatasetError, match=r"form='conversation' makes conversations of questions with answers, too") as problem:
        write_jsonl(rows, tmp_path / "a.jsonl", fixes=Fixes(on_error="drop"), workers=workers)
    report = problem.value.report  # type: ignore[attr-defined]
    assert (report.rows, report.valid, report.errors, report.warnings, report.dropped) == (
        4,
        1,
        2,
        1,
        {"unknown_columns": 1},
    )
    assert [issue.severity for issue in report.issues] == ["warning", "error", "error"]
    assert write_jsonl(load(rows[2:], form="conversation"), tmp_path / "b.jsonl").report.format == "conversation"


def test_an_altered_file_is_checked_again(tmp_path: Path) -> None:
    prepared = write_jsonl([row()], tmp_path / "a.jsonl")
    with prepared.path.open("ab") as file:
        file.write(b"{}\n")
    assert not PreparedFile.of(prepared.path).report.ok
    prepared.report_path.unlink()
    assert PreparedFile.of(prepared.path).report.rows == 2
    with pytest.raises(FileNotFoundError):
        PreparedFile.of(tmp_path / "none.jsonl")


def test_all_issues_are_reported_and_nothing_is_written(tmp_path: Path) -> None:
    rows = [row(), UNANSWERED, row(), Refusal("record_unknown", "it is nothing", 7, "runs.json", "outputs"), UNANSWERED]
    with pytest.raises(ConversionError) as error:
        write_jsonl(rows, tmp_path / "a.jsonl")
    text = str(error.value)
    assert (
        "3 of 5 rows of data are invalid; a.jsonl was not written; fixes=Fixes(on_error='drop') leaves such rows out. no_assistant_message 2, record_unknown 1"
        in text
    )
    assert "record_unknown: runs.json record 7 outputs: it is nothing" in text
    assert [(issue.line, issue.source) for issue in error.value.issues] == [
        (None, "data record 2"),
        (None, "data record 5"),
        (None, "runs.json record 7"),
    ]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidDatasetError) as fault:
        write_jsonl([row(), UNANSWERED], tmp_path / "a.jsonl")
    again = pickle.loads(pickle.dumps(fault.value))
    assert again.report == fault.value.report
    assert issubclass(InvalidDatasetError, ValueError)
    assert (again.report.rows, again.report.valid, again.report.dropped, again.report.errors) == (2, 1, {}, 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_warnings_are_counted_where_nothing_is_written(tmp_path: Path, workers: int) -> None:
    good = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    rows = [good, {**good, "messages": [*good["messages"], {"role": "user", "content": "more"}]}, {"messages": []}]
    with pytest.raises(InvalidDatasetError) as caught:
        write_jsonl(rows, tmp_path / "a.jsonl", workers=workers)
    report = caught.value.report
    assert report is not None
    assert report.issue_counts["ends_with_user"] == 1
    assert {issue.code for issue in report.issues} == set(report.issue_counts)
    assert (report.errors, report.warnings) == (1, 1)


def test_invalid_rows_can_be_dropped(tmp_path: Path) -> None:
    data = (
        TrainingData.from_rows([row(), UNANSWERED, row("b", score=0), row()])
        .dedupe()
        .filter(lambda row: row.get("score", 1), reason="bad")
    )
    prepared = write_jsonl(data, tmp_path / "a.jsonl", fixes=Fixes(on_error="drop"))
    report = prepared.report
    assert (report.rows, report.valid, report.dropped) == (4, 1, {"bad": 1, "duplicate": 1, "no_assistant_message": 1})
    assert report.ok
    assert report.warnings == 1


def test_issues_can_be_collected(tmp_path: Path) -> None:
    prepared = write_jsonl([row(), UNANSWERED], tmp_path / "a.jsonl", fixes=Fixes(on_error="collect"))
    assert not prepared.written
    assert not prepared.report.ok
    assert prepared.report.errors == 1
    assert list(tmp_path.iterdir()) == []
    assert write_jsonl([row()], tmp_path / "a.jsonl", fixes=Fixes(on_error="collect")).written


@pytest.mark.parametrize(("rows", "text"), [([], "data has no rows"), ([UNANSWERED], "of 1 row of data none is left")])
def test_no_file_without_rows(tmp_path: Path, rows: list[Any], text: str) -> None:
    with pytest.raises(InvalidDatasetError, match=text):
        write_jsonl(rows, tmp_path / "a.jsonl", fixes=Fixes(on_error="drop"))
    assert list(tmp_path.iterdir()) == []


def test_the_method_is_derived_from_the_rows_or_compared_with_them(tmp_path: Path) -> None:
    assert write_jsonl([PAIR], tmp_path / "a.jsonl").report.method == "dpo"
    assert write_jsonl([PAIR], tmp_path / "b.jsonl", method="dpo").report.method_ok
    with pytest.raises(MethodMismatchError, match="data record 1 is of format preference, which does not train with sft"):
        write_jsonl([PAIR], tmp_path / "c.jsonl", method="sft")
    assert not (tmp_path / "c.jsonl").exists()


def test_the_error_of_a_large_file_has_both_sizes(tmp_path: Path) -> None:
    size = len(write_jsonl([row()] * 30, tmp_path / "a.jsonl").path.read_bytes())
    with pytest.raises(FileTooLargeError, match=rf"b.jsonl would have {size:,} bytes; 100 are allowed") as error:
        write_jsonl([row()] * 30, tmp_path / "b.jsonl", max_bytes=100)
    assert (error.value.size, error.value.limit) == (size, 100)
    assert isinstance(pickle.loads(pickle.dumps(error.value)), DatasetError)
    assert write_jsonl([row()] * 30, tmp_path / "c.jsonl", max_bytes=size).report.bytes == size
    assert not (tmp_path / "b.jsonl").exists()


def test_rows_longer_than_the_model_trains_on(tmp_path: Path) -> None:
    limits, rows = {"max_seq_length_sft": 20}, [row(), row("word " * 100)]
    with pytest.raises(InvalidDatasetError, match="about 126 tokens; the model trains on 20"):
        write_jsonl(rows, tmp_path / "a.jsonl", limits=limits)
    drops = write_jsonl(rows, tmp_path / "b.jsonl", limits=limits, fixes=Fixes(too_long="drop"))
    assert drops.report.dropped == {"row_too_long": 1}
    assert write_jsonl(rows, tmp_path / "c.jsonl", limits=limits, fixes=Fixes(too_long="keep")).report.valid == 2
    assert write_jsonl(rows, tmp_path / "d.jsonl", limits=limits, tokenizer=lambda text: 3).report.valid == 2


def test_a_model_without_support_for_tools(tmp_path: Path) -> None:
    rows = [row(tools=[{"type": "function", "function": {"name": "f"}}])]
    for mode in ("raise", "drop"):
        with pytest.raises(InvalidDatasetError, match="model_lacks_tools"):
            write_jsonl(rows, tmp_path / "a.jsonl", limits={"supports_tools": False}, fixes=Fixes(on_error=mode))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_jsonl([row()], path)
    with pytest.raises(InvalidDatasetError):
        write_jsonl([UNANSWERED], path, overwrite=True)
    assert path.read_text() == "mine"
    assert write_jsonl([row()], path, overwrite=True).report.valid == 1


@pytest.mark.parametrize("name", ["none/a.jsonl", "file/a.jsonl"])
def test_a_folder_that_cannot_be_written_to_fails_before_anything_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")

    def read() -> Any:
        raise AssertionError("read")

    with pytest.raises(OSError, match="a"):
        write_jsonl(TrainingData(read), tmp_path / name)


@pytest.mark.parametrize(
    ("name", "more"),
    [("a.json", {}), ("a.jsonl", {"method": "kto"}), ("a.jsonl", {"workers": 0}), ("a.jsonl", {"severities": {"x": "error"}})],
)
def test_invalid_arguments(tmp_path: Path, name: str, more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must end|none of|workers must|no issue"):
        write_jsonl([row()], tmp_path / name, **more)


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> Any:
        yield Example(row(), 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_jsonl(TrainingData(stop), tmp_path / "a.jsonl")
    assert list(tmp_path.iterdir()) == []


PROGRAM = """
import sys, itertools
from together_adapters.finetune import write_jsonl
def rows():
    for number in itertools.count():
        if number == 5000:
            print("going", flush=True)
        yield {"text": str(number)}
write_jsonl(rows(), sys.argv[1], overwrite=True)
"""


def test_a_killed_process_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    before = write_jsonl([row()], path)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    assert PreparedFile.of(path) == before
    assert len(path.read_bytes().splitlines()) == 1


def test_any_number_of_workers_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MIN_BYTES", 0)
    data = [row(number, number, weight=1.0) if number % 7 else UNANSWERED if number % 3 else row("dup") for number in range(5000)]
    source = TrainingData.from_rows(data).dedupe()
    rows = [
        write_jsonl(source, tmp_path / f"{workers}.jsonl", workers=workers, fixes=Fixes(on_error="drop")).report
        for workers in (1, 2, 8)
    ]
    assert len({report.sha256 for report in rows}) == 1
    assert rows[0] == rows[1] == rows[2]


def test_workers_read_ranges_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MIN_BYTES", 9 << 20)
    rows = [
        {"messages": row(number)["messages"], "own": "x" * 2000} if number % 5 else row("dup") | {f"id_{number}": number}
        for number in range(8000)
    ]
    rows[4000] = UNANSWERED
    lines = [json.dumps(one) for one in rows]
    lines[6000], lines[6001] = "", "{"
    (source := tmp_path / "source.jsonl").write_text("\n".join(lines))
    reports = [
        write_jsonl(
            load(source), tmp_path / f"{workers}.jsonl", workers=workers, fixes=Fixes(on_error="drop"), max_issues=9
        ).report
        for workers in (1, 3)
    ]
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "3.jsonl").read_bytes()
    assert reports[0].model_dump_json() == reports[1].model_dump_json()
    assert (reports[0].rows, reports[0].dropped) == (7999, {"json_syntax": 1, "no_assistant_message": 1})
    assert any(f"source.jsonl:{line}" in str(issue.source) for issue in reports[0].issues for line in (4001, 6002))


@pytest.mark.parametrize("from_file", [True, False])
def test_little_is_written_without_other_processes(from_file: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", None)
    rows = [row(number) for number in range(9000)]
    (source := tmp_path / "source.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = load(source) if from_file else TrainingData.from_rows(rows)
    one = write_jsonl(data, tmp_path / "1.jsonl")
    assert write_jsonl(data, tmp_path / "4.jsonl", workers=4).report == one.report
    assert one.path.read_bytes() == (tmp_path / "4.jsonl").read_bytes()
    monkeypatch.setattr(parallel, "_MIN_BYTES", 1000)
    with pytest.raises(TypeError):
        write_jsonl(data, tmp_path / "4.jsonl", workers=4, overwrite=True)


def test_progress(tmp_path: Path) -> None:
    updates: list[Any] = []
    write_jsonl([row()] * 2500, tmp_path / "a.jsonl", progress=updates.append)
    assert [(step.done, step.stage) for step in updates] == [(1000, "write"), (2000, "write"), (2500, "write")]


@given(st.lists(ROW, max_size=6), st.sampled_from(["raise", "drop", "collect"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_is_accounted_for(tmp_path: Path, rows: list[dict[str, Any]], mode: Any) -> None:
    data = TrainingData.from_rows([*rows, *rows, row()]).dedupe()
    path = tmp_path / "a.jsonl"
    try:
        prepared = write_jsonl(data, path, fixes=Fixes(on_error=mode), overwrite=True)
    except (ConversionError, InvalidDatasetError) as fault:
        report = fault.report
        assert mode == "raise"
    else:
        report = prepared.report
        assert prepared.written == report.ok
        if prepared.written:
            assert check_jsonl(path).errors == 0
            assert check_jsonl(path).rows == report.valid
    assert report.rows == 2 * len(rows) + 1
    if mode == "drop" or report.ok:
        assert report.rows == report.valid + sum(report.dropped.values())
    else:
        assert report.rows > report.valid + sum(report.dropped.values())
