"""`ft prepare`: conversion, fixes, dropped rows; nothing is written if a row is invalid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, conversation, one_error
from tests.cli.ft.conftest import files, report_of
from together_adapters.finetune import ConversionError, check_jsonl, load, write_jsonl
from together_adapters.finetune.recording import RecordingFile, read_recording


def test_table_becomes_a_training_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,reply\nOne?,1\nTwo?,2\nOne?,1\n", "utf-8")
    named = ("--column", "prompt=question", "--column", "completion=reply")
    result = run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, "--schema", "prompt_completion", "--dedupe", "example")
    assert result.out.startswith("train.jsonl: 2 of 3 rows (instruction)")
    assert "duplicate" in result.out
    assert check_jsonl(tmp_path / "train.jsonl").valid == 2
    assert files(tmp_path) == {"q.csv", "train.jsonl", "train.report.json"}
    assert "--overwrite" in one_error(run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, code=2))
    report = run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, "--limit-rows", 1, "--overwrite", "--json").json
    assert (report["written"], report["path"], report["rows"], report["valid"]) == (True, "train.jsonl", 1, 1)


def test_invalid_row_writes_nothing(run: Run, faulty: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    result = run("ft", "prepare", faulty, "-o", "out.jsonl", code=1)
    assert "faulty.jsonl:3" in result.out
    assert result.err.splitlines() == [
        "error: 2 of 3 rows of faulty.jsonl are invalid; out.jsonl was not written; --on-error drop leaves such rows out"
    ]
    report = report_of(run("ft", "prepare", faulty, "-o", "out.jsonl", "--json", code=1))
    assert (report["ok"], report["errors"]) == (False, 2)
    assert files(tmp_path) == before
    report = run("ft", "prepare", faulty, "-o", "out.jsonl", "--on-error", "drop", "--json").json
    assert (report["rows"], report["valid"], sum(report["dropped"].values())) == (3, 1, 2)


def test_sources_are_concatenated(run: Run, train: Path, faulty: Path, tmp_path: Path) -> None:
    report = run("ft", "prepare", train, "-", "-o", "out.jsonl", "--json", input=conversation(99)).json
    assert report["rows"] == 6
    assert "Question 99" in (tmp_path / "out.jsonl").read_text("utf-8")
    one_error(run("ft", "prepare", "missing.jsonl", "-o", "new.jsonl", code=2))
    assert one_error(run("ft", "prepare", "-", "-o", "new.jsonl", input="", code=1))


def test_fixes_by_name(run: Run, tmp_path: Path) -> None:
    row = {"messages": [{"role": "developer", "content": "Be kind."}, *json.loads(conversation(1))["messages"]]}
    row["messages"] += [{"role": "user", "content": "Thanks."}, {"role": "user", "content": "Bye."}]
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", code=1)
    result = run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", "--fix", "merge-consecutive", "--fix", "trim_trailing", "--json")
    assert {"developer_to_system", "trailing_trimmed"} <= result.json["changed"].keys()
    assert (
        "role_unknown"
        in run(
            "ft", "prepare", "in.jsonl", "-o", "x.jsonl", "--fix", "trim_trailing", "--fix", "developer_to_system=off", code=1
        ).out
    )
    names = one_error(run("ft", "prepare", "in.jsonl", "-o", "x.jsonl", "--fix", "everything", code=2))
    assert "merge_consecutive" in names and "reasoning=drop" in names
    assert "too_long=drop" in one_error(run("ft", "prepare", "in.jsonl", "-o", "x.jsonl", "--fix", "too_long", code=2))
    assert "on or off" in one_error(run("ft", "prepare", "in.jsonl", "-o", "x.jsonl", "--fix", "trim_trailing=7", code=2))
    assert "sharegpt" in one_error(run("ft", "prepare", "in.jsonl", "-o", "x.jsonl", "--schema", "fun", code=2))
    assert not (tmp_path / "x.jsonl").exists()


def test_wrong_method(run: Run, train: Path, tmp_path: Path) -> None:
    result = run("ft", "prepare", train, "-o", "out.jsonl", "--method", "dpo", code=1)
    assert "does not train with dpo" in result.err
    assert not (tmp_path / "out.jsonl").exists()


def test_columns_left_out_are_shown_and_can_fail(run: Run, tmp_path: Path) -> None:
    rows = [{"prompt": f"q{number}", "completion": "a", "id": number, "zonk": "x"} for number in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    result = run("ft", "prepare", "in.jsonl", "-o", "out.jsonl")
    assert "Left out in training" in result.out and "'zonk' is left out in training, in 3 rows" in result.out
    report = report_of(
        run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", "--overwrite", "--json", "--fail-on", "warning", code=1)
    )
    assert (report["left_out"], report["written"]) == ({"id": 3, "zonk": 3}, True)
    allowed = ("--leave-out", "zonk", "--fail-on", "warning", "--overwrite")
    assert run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", "--json", *allowed).json["warnings"] == 0


def test_labels_are_refused_or_paired(run: Run, tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": answer, "kto_tag": answer == "good"} for answer in ("good", "bad")]
    (tmp_path / "in.json").write_text(json.dumps(rows), "utf-8")
    result = run("ft", "prepare", "in.json", "-o", "out.jsonl", code=1)
    assert "kto_tag" in result.out and "--pair best_vs_worst" in " ".join(result.out.split()) and "in.json record 1" in result.out
    report = run("ft", "prepare", "in.json", "-o", "out.jsonl", "--pair", "best_vs_worst", "--json").json
    assert (report["format"], report["dropped"], report["left_out"]) == ("preference", {"paired_with_another": 1}, {})
    report = run("ft", "prepare", "in.json", "-o", "all.jsonl", "--leave-out", "kto_tag", "--json").json
    assert (report["valid"], report["left_out"]) == (2, {"kto_tag": 2})


def test_a_system_prompt_needs_conversations(run: Run, tmp_path: Path) -> None:
    rows = [{"prompt": f"q{number}", "completion": "a"} for number in range(120)] + [
        {"prompt": "q", "completion": "a", "system": "s"}
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    result = run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", code=1)
    assert "in.jsonl:121" in result.out and "--form conversation" in " ".join(result.out.split())
    assert run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", "--form", "conversation", "--json").json["valid"] == 121


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("in.csv", 'prompt,completion\n"two\nlines",a\n\nq,a\nq,\n', "in.csv:6"),
        ("in.csv", "sep=;\r\nprompt;completion\r\nq;a\r\nq;\r\n", "in.csv:4"),
        ("in.jsonl", '{"prompt": "q", "completion": "a"}\n\n{"prompt": "q", "completion": null}\n', "in.jsonl:3"),
        (
            "in.json",
            json.dumps([{"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": None}], indent=2),
            "in.json record 2",
        ),
    ],
)
def test_a_broken_row_is_told_by_its_line_or_as_a_record(run: Run, tmp_path: Path, name: str, text: str, source: str) -> None:
    (tmp_path / name).write_text(text, "utf-8", newline="")
    assert f"\n{source}  " in run("ft", "prepare", name, "-o", "out.jsonl", code=1).out
    issues = json.loads(run("ft", "prepare", name, "-o", "out.jsonl", "--json", code=1).out)["issues"]
    assert [(issue.get("line"), issue["source"]) for issue in issues] == [(None, source)]
    with pytest.raises(ConversionError, match=rf": {source} completion: ") as error:
        write_jsonl(load(tmp_path / name), tmp_path / "out.jsonl")
    assert str(error.value.issues[0]).startswith(f"{source} completion: ")


def test_the_same_sentence_is_said_once(run: Run, tmp_path: Path) -> None:
    lines = ["prompt,completion,score,rating", *(f"q{number},a,1,2" for number in range(3))]
    (tmp_path / "in.csv").write_text("\n".join(lines), "utf-8")
    result = run("ft", "prepare", "in.csv", "-o", "out.jsonl", code=1)
    assert result.out.count("judges an answer") == 1 and "in.csv:2 and 5 more" in result.out
    assert "rating, score: judges an answer" in " ".join(result.out.split())
    assert len(json.loads(run("ft", "prepare", "in.csv", "-o", "out.jsonl", "--json", code=1).out)["issues"]) == 6


@pytest.mark.parametrize("flags", [(), ("--group", "trace_id"), ("--collapse-prefixes",)])
def test_a_recording_gives_the_rows_of_its_recorder(run: Run, tmp_path: Path, flags: tuple[str, ...]) -> None:
    first = json.loads(conversation(1))
    more = {"messages": [*first["messages"], *json.loads(conversation(2))["messages"]]}
    recording = RecordingFile(tmp_path / "calls.jsonl")
    for row, trace in ((first, "t1"), (more, "t1"), (first, "t2")):
        recording.write({"messages": row["messages"]}, trace)
    result = run("ft", "prepare", "calls.jsonl", "-o", "out.jsonl", *flags)
    assert "prefix_of_longer" in result.out
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert rows == list(read_recording(recording.path)) and len(rows) == 2
    run("ft", "prepare", "calls.jsonl", "-o", "all.jsonl", "--no-collapse-prefixes")
    assert len((tmp_path / "all.jsonl").read_text("utf-8").splitlines()) == 3
