"""`ft check`: verdicts, issues, severities, leakage and the report file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import TRAINABLE, Run, conversation, one_error
from tests.cli.ft.conftest import report_of
from together_adapters.emulator import Emulator
from together_adapters.finetune import DataReport

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC4"


def test_valid_file(run: Run, train: Path, emulator: Emulator) -> None:
    result = run("ft", "check", train, TOGETHER_API_KEY="")
    assert result.out == f"{train} can be used: 0 errors, 0 warnings in 5 rows (conversation)\n"
    assert result.err == ""
    report = run("ft", "check", train, "--json").json
    assert (report["ok"], report["rows"], report["valid"]) == (True, 5, 5)
    assert emulator.requests == []


def test_issues_have_line_path_and_hint(run: Run, faulty: Path) -> None:
    result = run("ft", "check", faulty, code=1)
    assert "cannot be used: 3 errors" in result.out.splitlines()[0]
    assert any(line.split()[:2] == ["2", "json_syntax"] for line in result.out.splitlines())
    assert any(line.split()[:3] == ["3", "role_unknown", "messages[0].role:"] for line in result.out.splitlines())
    assert "a role is system, user, assistant or tool" in result.out
    assert result.err == "ft prepare --on-error drop leaves such rows out\n"
    report = report_of(run("ft", "check", faulty, "--json", code=1))
    assert report["ok"] is False
    assert {issue["line"] for issue in report["issues"]} == {2, 3}


def test_a_form_that_prepare_converts_is_named(run: Run, tmp_path: Path) -> None:
    langchain = {"messages": [{"type": "human", "content": "q"}, {"type": "ai", "content": "a"}]}
    forms = {"langchain": langchain, "prompt_completion with the columns question, answer": {"question": "q", "answer": "a"}}
    for form, row in forms.items():
        (tmp_path / "x.jsonl").write_text(f"{json.dumps(row)}\n" * 3, "utf-8")
        report = report_of(run("ft", "check", "x.jsonl", "--json", code=1))
        (issue,) = report["issues"]
        assert (issue["code"], report["errors"], report["rows"]) == ("form_not_trained", 1, 3)
        prepare = "`together-adapters ft prepare x.jsonl -o x.train.jsonl` makes a training file of it"
        assert issue["message"] == f"x.jsonl is of the form {form}: {prepare}"
        run("ft", "prepare", "x.jsonl", "-o", "x.train.jsonl", "--overwrite")
        submitted = run("ft", "submit", "x.jsonl", "--model", TRAINABLE, "--yes", code=1)
        assert "form_not_trained" in submitted.out and "role_missing" not in submitted.out


def test_stdin(run: Run, train: Path, faulty: Path) -> None:
    assert run("ft", "check", "-", input=train.read_text("utf-8")).out.startswith("stdin can be used")
    assert "json_syntax" in run("ft", "check", "-", input=faulty.read_text("utf-8"), code=1).out
    assert "only once" in one_error(run("ft", "check", "-", "-", code=2))


def test_several_files_are_one_document(run: Run, train: Path, faulty: Path) -> None:
    result = run("ft", "check", train, faulty, code=1)
    assert result.out.splitlines()[-1] == "2 files, 1 failed"
    report = report_of(run("ft", "check", train, faulty, "--json", code=1))
    assert report["rows"] == sum(one["rows"] for one in report["files"].values())
    assert [one["ok"] for one in report["files"].values()] == [True, False]


def test_severities_and_exit_codes(run: Run, tmp_path: Path) -> None:
    row = json.loads(conversation(1))
    row["messages"].append({"role": "user", "content": "Thanks."})
    path = tmp_path / "trailing.jsonl"
    path.write_text(json.dumps(row) + "\n", "utf-8")
    run("ft", "check", path)
    run("ft", "check", path, "--fail-on", "warning", code=1)
    run("ft", "check", path, "--fail-on", "warning", "--severity", "ends_with_user=ignore")
    run("ft", "check", path, "--severity", "ends_with_user=error", code=1)
    assert "method_mismatch" in run("ft", "check", path, "--method", "dpo", code=1).out
    assert "did you mean ends_with_user" in one_error(run("ft", "check", path, "--severity", "end_with_user=error", code=2))
    one_error(run("ft", "check", path, "--severity", "ends_with_user", code=2))
    one_error(run("ft", "check", tmp_path / "missing.jsonl", code=2))
    one_error(run("ft", "check", path, "--purpose", "fun", code=2))


def test_secrets_duplicates_and_duplicate_keys(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    secret = conversation(1).replace("Question", f"My token is {TOKEN}, and")
    path.write_text(secret + conversation(2) * 2 + conversation(3).replace("{", '{"messages": 1, ', 1), "utf-8")
    report = report_of(run("ft", "check", path, "--secrets", "--duplicates", "--strict", "--json", code=1))
    assert report["duplicates"] == 1
    assert sum(report["secrets"].values()) == 1
    assert set(report["issue_counts"]) == {"secret", "duplicate_key"}
    assert TOKEN not in json.dumps(report)
    assert report_of(run("ft", "check", path, "--json"))["issue_counts"] == {}


def test_issues_have_the_ids_of_their_rows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "ids.jsonl"
    path.write_text('{"id": "row-7", "messages": 3}\n{"messages": 3}\n', "utf-8")
    lines = run("ft", "check", path, code=1).out.splitlines()
    assert [line.split()[:3] for line in lines if "messages_not_list" in line][:2] == [
        ["1", "row-7", "messages_not_list"],
        ["2", "messages_not_list", "messages:"],
    ]
    assert report_of(run("ft", "check", path, "--json", code=1))["issues"][0]["id"] == "row-7"


def test_missing_tokenizer(run: Run, train: Path) -> None:
    message = one_error(run("ft", "stats", train, "--tokenizer", "none.json", code=2))
    assert "pip install tokenizers" in message or "none.json does not exist" in message


def test_tokens_are_counted(run: Run, train: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    report = run("ft", "check", train, "--tokenizer", "tokenizer.json", "--json").json
    assert (report["tokens_from"], report["tokens"]["total"]) == ("tokenizer", 20)
    assert re.search(r"^tokens +20$", run("ft", "stats", train, "--tokenizer", ".").out, re.M)
    assert ", 20 tokens" in run("ft", "prepare", train, "-o", "out.jsonl", "--tokenizer", "tokenizer.json").out


def test_leakage(run: Run, train: Path, tmp_path: Path) -> None:
    validation = tmp_path / "measured.jsonl"
    validation.write_text(conversation(1) + conversation(2).replace("Answer", "Reply") + conversation(77), "utf-8")
    result = run("ft", "check", train, "--validation", validation)
    assert "measured.jsonl can be used: 0 errors, 2 warnings in 3 rows" in result.out
    assert "training file has 1 of its rows and 2 of its prompts" in result.out
    assert [line.split()[:2] for line in result.out.splitlines() if "is also in train.jsonl" in line] == [
        ["1", "leaked_row"],
        ["2", "leaked_prompt"],
    ]
    report = run("ft", "check", train, "--validation", validation, "--workers", 2, "--json").json
    assert report["leakage"] == report["files"][str(validation)]["leakage"] == {"exact": 1, "prompt": 2}
    assert report["files"][str(train)]["leakage"] == {}
    assert report["issue_counts"] == {"leaked_prompt": 1, "leaked_row": 1}
    run("ft", "check", train, "--validation", validation, "--fail-on", "warning", code=1)
    run("ft", "check", train, "--validation", validation, "--severity", "leaked_prompt=error", code=1)
    report = run("ft", "check", "-", "--validation", validation, input=conversation(77), code=0)
    assert "the row is also in stdin.jsonl" in report.out
    assert "one file" in one_error(run("ft", "check", train, train, "--validation", validation, code=2))
    assert "only once" in one_error(run("ft", "check", "-", "--validation", "-", code=2))


def test_error_names_the_command_that_shows_all_issues(run: Run, faulty: Path) -> None:
    result = run("files", "upload", faulty, code=1)
    assert "`together-adapters ft check FILE` shows all" in result.err.splitlines()[-1]


def test_workers_give_the_same_report(run: Run, many: Path) -> None:
    one, two = (run("ft", "check", many, "--workers", n, "--json").json for n in (1, 2))
    assert one == two


def test_max_issues(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("x\n" * 30 + '{"messages": []}\n', "utf-8")
    result = run("ft", "check", path, code=1)
    assert result.out.count("the line is not JSON") == 5, "a few of every kind"
    assert "messages_empty" in result.out
    assert "and 25 more" in result.err
    assert run("ft", "check", path, "--max-issues", 12, code=1).out.count("the line is not JSON") == 11
    assert len(report_of(run("ft", "check", path, "--max-issues", 3, "--json", code=1))["issues"]) == 3
    assert len(report_of(run("ft", "check", path, "--json", code=1))["issues"]) == 31


def test_report_file_is_overwritten_only_on_request(run: Run, train: Path, tmp_path: Path) -> None:
    run("ft", "check", train, "--report", "r.json")
    assert DataReport.model_validate_json((tmp_path / "r.json").read_bytes()).rows == 5
    assert "--overwrite" in one_error(run("ft", "check", train, "--report", "r.json", code=2))
    run("ft", "check", train, "--report", "r.json", "--overwrite")


def test_model_limits_come_from_the_service(run: Run, train: Path, emulator: Emulator) -> None:
    report = run("ft", "check", train, "--model", TRAINABLE, "--json").json
    assert report["max_seq_length"] > 0
    emulator.inject("500")
    one_error(run("--max-retries", 0, "ft", "check", train, "--model", TRAINABLE, code=3))
    one_error(run("ft", "check", train, "--model", TRAINABLE, code=2, TOGETHER_API_KEY=""))
