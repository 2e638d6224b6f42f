"""Training data from a shell: checked, prepared, split, looked at, compared, trained on; and nothing half-written, whatever happens."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import COMMAND, KEY, TRAINABLE, Run, conversation, environment, one_error
from together_adapters import Together
from together_adapters.emulator import Emulator, serve
from together_adapters.finetune import DataReport, check_jsonl

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA1bC4"
PAIR = {
    "input": {"messages": [{"role": "user", "content": "Red or blue?"}]},
    "preferred_output": [{"role": "assistant", "content": "Blue."}],
    "non_preferred_output": [{"role": "assistant", "content": "Red."}],
}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own: files and jobs stay at a service."""
    with serve(job_seconds=0.2) as running:
        yield running


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(map(conversation, range(60))), "utf-8")
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def report_of(done: Any) -> Any:
    return json.loads(done.out)


# check


def test_a_file_that_can_be_used(run: Run, train: Path, emulator: Emulator) -> None:
    done = run("ft", "check", train, TOGETHER_API_KEY="")
    assert done.out == f"{train} can be used: 0 errors, 0 warnings in 5 rows (conversation)\n"
    assert done.err == ""
    report = run("ft", "check", train, "--json").json
    assert (report["ok"], report["rows"], report["valid"]) == (True, 5, 5)
    assert emulator.requests == []


def test_every_fault_is_named_with_line_path_and_hint(run: Run, faulty: Path) -> None:
    done = run("ft", "check", faulty, code=1)
    assert "cannot be used: 3 errors" in done.out.splitlines()[0]
    assert any(line.split()[:2] == ["2", "json_syntax"] for line in done.out.splitlines())
    assert any(line.split()[:3] == ["3", "role_unknown", "messages[0].role:"] for line in done.out.splitlines())
    assert "a role is system, user, assistant or tool" in done.out
    report = report_of(run("ft", "check", faulty, "--json", code=1))
    assert report["ok"] is False
    assert {issue["line"] for issue in report["issues"]} == {2, 3}


def test_a_file_from_stdin(run: Run, train: Path, faulty: Path) -> None:
    assert run("ft", "check", "-", input=train.read_text("utf-8")).out.startswith("stdin can be used")
    assert "json_syntax" in run("ft", "check", "-", input=faulty.read_text("utf-8"), code=1).out
    assert "only once" in one_error(run("ft", "check", "-", "-", code=2))


def test_several_files_give_one_document(run: Run, train: Path, faulty: Path) -> None:
    done = run("ft", "check", train, faulty, code=1)
    assert done.out.splitlines()[-1] == "2 files, 1 failed"
    report = report_of(run("ft", "check", train, faulty, "--json", code=1))
    assert report["rows"] == sum(one["rows"] for one in report["files"].values())
    assert [one["ok"] for one in report["files"].values()] == [True, False]


def test_what_makes_a_check_fail(run: Run, tmp_path: Path) -> None:
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


def test_secrets_duplicates_and_keys_that_stand_twice(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    secret = conversation(1).replace("Question", f"My token is {TOKEN}, and")
    path.write_text(secret + conversation(2) * 2 + conversation(3).replace("{", '{"messages": 1, ', 1), "utf-8")
    report = report_of(run("ft", "check", path, "--secrets", "--duplicates", "--strict", "--json", code=1))
    assert report["duplicates"] == 1
    assert sum(report["secrets"].values()) == 1
    assert set(report["issue_counts"]) == {"secret", "duplicate_key"}
    assert TOKEN not in json.dumps(report)
    assert report_of(run("ft", "check", path, "--json"))["issue_counts"] == {}


def test_a_tokenizer_that_is_not_there(run: Run, train: Path) -> None:
    message = one_error(run("ft", "stats", train, "--tokenizer", "none.json", code=2))
    assert "pip install tokenizers" in message or "none.json does not exist" in message


def test_tokens_are_counted(run: Run, train: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    told = run("ft", "check", train, "--tokenizer", "tokenizer.json", "--json").json
    assert (told["tokens_from"], told["tokens"]["total"]) == ("tokenizer", 20)
    assert re.search(r"^tokens +20$", run("ft", "stats", train, "--tokenizer", ".").out, re.M)
    assert ", 20 tokens" in run("ft", "prepare", train, "-o", "out.jsonl", "--tokenizer", "tokenizer.json").out


def test_leakage_into_the_rows_to_measure_with(run: Run, train: Path, tmp_path: Path) -> None:
    measured = tmp_path / "measured.jsonl"
    measured.write_text(conversation(1) + conversation(2).replace("Answer", "Reply") + conversation(77), "utf-8")
    done = run("ft", "check", train, "--validation", measured)
    assert "measured.jsonl can be used: 0 errors, 2 warnings in 3 rows" in done.out
    assert "training file has 1 of its rows and 2 of its prompts" in done.out
    assert [line.split()[:2] for line in done.out.splitlines() if "is also in train.jsonl" in line] == [
        ["1", "leaked_row"],
        ["2", "leaked_prompt"],
    ]
    told = run("ft", "check", train, "--validation", measured, "--workers", 2, "--json").json
    assert told["leakage"] == told["files"][str(measured)]["leakage"] == {"exact": 1, "prompt": 2}
    assert told["files"][str(train)]["leakage"] == {}
    assert told["issue_counts"] == {"leaked_prompt": 1, "leaked_row": 1}
    run("ft", "check", train, "--validation", measured, "--fail-on", "warning", code=1)
    run("ft", "check", train, "--validation", measured, "--severity", "leaked_prompt=error", code=1)
    told = run("ft", "check", "-", "--validation", measured, input=conversation(77), code=0)
    assert "the row is also in stdin.jsonl" in told.out
    assert "one file" in one_error(run("ft", "check", train, train, "--validation", measured, code=2))
    assert "only once" in one_error(run("ft", "check", "-", "--validation", "-", code=2))


def test_submit_tells_of_leakage(run: Run, train: Path, many: Path, emulator: Emulator) -> None:
    options = ("ft", "submit", many, "--validation", train, "--n-evals", 1, "--model", TRAINABLE, "--yes")
    done = run(*options)
    assert "warning: " in done.err
    assert "training file has 5 of its rows and 5 of its prompts" in done.err
    before = len(emulator.requests)
    assert "leaked_row" in run(*options, "--severity", "leaked_row=error", code=1).out
    assert all(request.method == "GET" for request in emulator.requests[before:])


def test_a_fault_in_one_line_names_the_command_that_shows_all(run: Run, faulty: Path) -> None:
    done = run("files", "upload", faulty, code=1)
    assert "`together-adapters ft check FILE` shows all" in done.err.splitlines()[-1]


def test_workers_come_to_the_same(run: Run, many: Path) -> None:
    one, two = (run("ft", "check", many, "--workers", n, "--json").json for n in (1, 2))
    assert one == two


def test_the_listed_issues(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("x\n" * 30 + '{"messages": []}\n', "utf-8")
    listed = run("ft", "check", path, code=1)
    assert listed.out.count("the line is not JSON") == 5, "a few of every kind"
    assert "messages_empty" in listed.out
    assert "and 25 more" in listed.err
    assert run("ft", "check", path, "--max-issues", 12, code=1).out.count("the line is not JSON") == 11
    assert len(report_of(run("ft", "check", path, "--max-issues", 3, "--json", code=1))["issues"]) == 3
    assert len(report_of(run("ft", "check", path, "--json", code=1))["issues"]) == 31


def test_the_report_is_kept_and_not_replaced_unasked(run: Run, train: Path, tmp_path: Path) -> None:
    run("ft", "check", train, "--report", "r.json")
    assert DataReport.model_validate_json((tmp_path / "r.json").read_bytes()).rows == 5
    assert "--overwrite" in one_error(run("ft", "check", train, "--report", "r.json", code=2))
    run("ft", "check", train, "--report", "r.json", "--overwrite")


def test_the_limits_of_a_model_come_from_the_service(run: Run, train: Path, emulator: Emulator) -> None:
    report = run("ft", "check", train, "--model", TRAINABLE, "--json").json
    assert report["max_seq_length"] > 0
    emulator.inject("500")
    one_error(run("--max-retries", 0, "ft", "check", train, "--model", TRAINABLE, code=3))
    one_error(run("ft", "check", train, "--model", TRAINABLE, code=2, TOGETHER_API_KEY=""))


# prepare


def test_a_table_becomes_a_file_that_trains(run: Run, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question,reply\nOne?,1\nTwo?,2\nOne?,1\n", "utf-8")
    named = ("--column", "prompt=question", "--column", "completion=reply")
    done = run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, "--schema", "prompt_completion", "--dedupe", "example")
    assert done.out.startswith("train.jsonl: 2 of 3 rows (instruction)")
    assert "duplicate" in done.out
    assert check_jsonl(tmp_path / "train.jsonl").valid == 2
    assert files(tmp_path) == {"q.csv", "train.jsonl", "train.report.json"}
    assert "--overwrite" in one_error(run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, code=2))
    report = run("ft", "prepare", "q.csv", "-o", "train.jsonl", *named, "--limit-rows", 1, "--overwrite", "--json").json
    assert (report["written"], report["path"], report["rows"], report["valid"]) == (True, "train.jsonl", 1, 1)


def test_a_bad_row_writes_nothing(run: Run, faulty: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    done = run("ft", "prepare", faulty, "-o", "out.jsonl", code=1)
    assert "faulty.jsonl:3" in done.out
    assert done.err.splitlines() == ["error: 2 of the 3 rows of faulty.jsonl are invalid; out.jsonl was not written"]
    report = report_of(run("ft", "prepare", faulty, "-o", "out.jsonl", "--json", code=1))
    assert (report["ok"], report["errors"]) == (False, 2)
    assert files(tmp_path) == before
    dropped = run("ft", "prepare", faulty, "-o", "out.jsonl", "--on-error", "drop", "--json").json
    assert (dropped["rows"], dropped["valid"], sum(dropped["dropped"].values())) == (3, 1, 2)


def test_sources_are_joined_and_stdin_is_one(run: Run, train: Path, faulty: Path, tmp_path: Path) -> None:
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
    fixed = run("ft", "prepare", "in.jsonl", "-o", "out.jsonl", "--fix", "merge-consecutive", "--fix", "trim_trailing", "--json")
    assert {"developer_to_system", "trailing_trimmed"} <= fixed.json["changed"].keys()
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


def test_a_method_that_does_not_fit(run: Run, train: Path, tmp_path: Path) -> None:
    done = run("ft", "prepare", train, "-o", "out.jsonl", "--method", "dpo", code=1)
    assert "does not train with dpo" in done.err
    assert not (tmp_path / "out.jsonl").exists()


# split


def test_a_split_shares_nothing_and_is_repeatable(run: Run, many: Path, tmp_path: Path) -> None:
    done = run("ft", "split", many, "--validation", 0.2, "--seed", 3, "-o", "a")
    assert "a/train.jsonl" in done.out
    told = run("ft", "split", many, "--validation", 0.2, "--seed", 3, "-o", "b/c", "--json").json
    assert told["train"]["valid"] + told["validation"]["valid"] == 60
    assert told["validation"]["leakage"] == {"exact": 0, "prompt": 0}
    assert told["validation"]["path"] == "b/c/validation.jsonl"
    for name in ("train.jsonl", "validation.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b/c" / name).read_bytes()
    assert files(tmp_path / "a") == {f"{name}.{kind}" for name in ("train", "validation") for kind in ("jsonl", "report.json")}
    assert "--overwrite" in one_error(run("ft", "split", many, "-o", "a", code=2))
    run("ft", "split", many, "--validation", 0.3, "-o", "a", "--overwrite")


def test_a_split_by_a_column_keeps_groups_together(run: Run, tmp_path: Path) -> None:
    rows = [{**json.loads(conversation(n)), "talk": f"t{n // 3}"} for n in range(60)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run("ft", "split", "-", "--validation", 0.3, "--by", "talk", "-o", "out", input=(tmp_path / "in.jsonl").read_text("utf-8"))
    asked = [
        json.loads(line)["messages"][0]["content"] for line in (tmp_path / "out/validation.jsonl").read_text("utf-8").splitlines()
    ]
    numbers = {int(text.split()[1]) for text in asked}
    assert numbers and all({n // 3 * 3, n // 3 * 3 + 1, n // 3 * 3 + 2} <= numbers for n in numbers)


def test_two_files_or_none(run: Run, train: Path, faulty: Path, tmp_path: Path) -> None:
    before = files(tmp_path)
    assert "--validation" not in one_error(run("ft", "split", train, "--by", "talk", "-o", "new/out", code=1))
    run("ft", "split", faulty, "-o", "new/out", code=1)
    assert "is empty" in one_error(run("ft", "split", train, "--validation", 0.0001, "-o", "new/out", code=1))
    one_error(run("ft", "split", train, "--validation", 1.5, "-o", "new/out", code=2))
    assert files(tmp_path) == before


# stats


def test_what_is_in_a_file(run: Run, many: Path, tmp_path: Path) -> None:
    many.write_text(many.read_text("utf-8") + conversation(1), "utf-8")
    (tmp_path / "validation.jsonl").write_text(conversation(2) + conversation(100), "utf-8")
    done = run("ft", "stats", many, "--validation", "validation.jsonl", "--price", 5, "--epochs", 2, "--picture", "p.svg")
    assert "61 rows (conversation)" in done.out.splitlines()[0]
    told = {line[:14].strip(): line[14:].strip() for line in done.out.splitlines()[1:13] if line}
    assert told["duplicates"] == "1"
    assert told["leakage"] == "1 exact, 1 prompt"
    assert told["trained on"].endswith("% of the characters")
    assert "estimated cost" in told
    assert "messages per row" in done.out
    assert "█" in done.out
    assert (tmp_path / "p.svg").read_text("utf-8").startswith("<?xml")
    assert "--overwrite" in one_error(run("ft", "stats", many, "--picture", "p.svg", code=2))
    assert ".png" in one_error(run("ft", "stats", many, "--picture", "p.gif", code=2))
    assert run("ft", "stats", "-", "--json", input=many.read_text("utf-8")).json["duplicates"] == 1


def test_stats_of_what_cannot_be_used(run: Run, faulty: Path) -> None:
    done = run("ft", "stats", faulty, code=1)
    assert "cannot be used" in done.out
    assert "json_syntax" in done.out


def test_a_terminal_without_blocks_gets_other_bars(run: Run, many: Path) -> None:
    done = run("ft", "stats", many, PYTHONIOENCODING="ascii")
    assert "####" in done.out
    assert done.out.isascii() and "\\u" not in done.out


# diff


def test_our_check_against_the_service(run: Run, train: Path, faulty: Path, emulator: Emulator) -> None:
    with Together(api_key="any", base_url=emulator.base_url) as client:
        id = client.files.upload(train).id or ""
        client.files.wait(id)
    done = run("ft", "diff", train, id)
    assert (done.out, done.err) == ("", "no differences\n")
    assert run("ft", "diff", train, id, "--json").json == []
    other = run("ft", "diff", faulty, id, code=1)
    assert any(line.split() == ["valid", "no", "yes"] for line in other.out.splitlines())
    one_error(run("ft", "diff", train, "file-nothing", code=3))


def test_two_reports(run: Run, train: Path, many: Path, tmp_path: Path) -> None:
    run("ft", "check", train, "--report", "a.json")
    run("ft", "check", many, "--report", "b.json")
    run("ft", "diff", train, "a.json")
    found = report_of(run("ft", "diff", "a.json", "b.json", "--json", code=1))
    assert {"name": "rows", "local": 5, "remote": 60} in found
    (tmp_path / "remote.json").write_text('{"id": "file-1", "validation_report": {"valid": true, "nlines": 7}}', "utf-8")
    assert report_of(run("ft", "diff", train, "remote.json", "--json", code=1)) == [{"name": "nlines", "local": 5, "remote": 7}]
    (tmp_path / "no.json").write_text("[1]", "utf-8")
    assert "is not a report" in one_error(run("ft", "diff", train, "no.json", code=1))


# submit and watch


def test_from_a_file_to_a_tuned_model(run: Run, many: Path, train: Path, emulator: Emulator) -> None:
    options = ("ft", "submit", many, "--validation", train, "--n-evals", 2, "--model", TRAINABLE, "--suffix", "mine", "--yes")
    done = run(*options, "--watch", "--poll-interval", 0.05)
    assert "The estimated price of this job is $" in done.err
    assert "The job is completed" in done.out
    assert "mine" in next(line for line in done.out.splitlines() if line.startswith("model"))
    job = run("ft", "submit", many, "--model", TRAINABLE, "--full", "--n-epochs", 2, "--yes", "--json").json
    watched = run("ft", "watch", job["id"], "--poll-interval", 0.05, "--json").json
    assert (watched["id"], watched["status"], watched["n_epochs"]) == (job["id"], "completed", 2)


def test_nothing_is_paid_without_a_yes(run: Run, many: Path, emulator: Emulator) -> None:
    assert "pass --yes" in one_error(run("ft", "submit", many, "--model", TRAINABLE, input="y\n", code=2))
    assert "--from-checkpoint" in one_error(run("ft", "submit", many, "--yes", code=2))
    assert emulator.requests == []
    dear = run("ft", "submit", many, "--model", TRAINABLE, "--yes", "--max-price", 0.000001, code=1)
    assert "no job was started" in dear.err
    assert not [request for request in emulator.requests if request.path == "/v1/fine-tunes"]


def test_faulty_data_and_secrets_stay_here(run: Run, faulty: Path, tmp_path: Path, emulator: Emulator) -> None:
    done = run("ft", "submit", faulty, "--model", TRAINABLE, "--yes", code=1)
    assert "json_syntax" in done.out
    assert done.err.splitlines() == ["error: faulty.jsonl was not uploaded"]
    (tmp_path / "secret.jsonl").write_text(conversation(1).replace("Answer", TOKEN) * 2, "utf-8")
    secret = run("ft", "submit", "secret.jsonl", "--model", TRAINABLE, "--yes", code=1)
    assert "--allow-secrets" in secret.err
    assert TOKEN not in secret.out + secret.err
    (tmp_path / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n", "utf-8")
    run("ft", "submit", "pairs.jsonl", "--model", TRAINABLE, "--yes", code=1)
    assert not [request for request in emulator.requests if request.method != "GET"]
    assert run("ft", "submit", "pairs.jsonl", "--method", "dpo", "--model", TRAINABLE, "--yes", "--json").json["id"]


def test_a_fault_that_the_service_alone_sees(run: Run, tmp_path: Path) -> None:
    (tmp_path / "robot.jsonl").write_text(conversation(1).replace("user", "robot"), "utf-8")
    options = ("ft", "submit", "robot.jsonl", "--model", TRAINABLE, "--severity", "role_unknown=ignore", "--yes")
    assert "the service found an error in robot.jsonl: Line 1" in one_error(run(*options, code=1))
    told = report_of(run(*options, "--json", code=1))
    assert (told["local"]["ok"], told["remote"]["valid"]) == (True, False)


def test_a_job_that_fails(run: Run, many: Path) -> None:
    job = run("ft", "submit", many, "--model", TRAINABLE, "--suffix", "[fail]", "--yes", "--json").json
    done = run("ft", "watch", job["id"], "--poll-interval", 0.05, code=3)
    assert "The job failed" in done.out
    assert done.err.startswith("error: ")
    one_error(run("ft", "watch", "ft-nothing", code=3))


def test_a_question_in_a_terminal(emulator: Emulator, many: Path) -> None:
    def answer(word: bytes) -> tuple[str, int]:
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe(
                COMMAND[0], [*COMMAND, "ft", "submit", str(many), "--model", TRAINABLE], environment(emulator.base_url)
            )  # fmt: skip
        shown = b""
        while piece := _read(terminal):
            shown += piece
            if b"[y/N]" in piece:
                os.write(terminal, word + b"\n")
        os.close(terminal)
        return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    shown, code = answer(b"n")
    assert code == 1 and "no job was started" in shown
    assert not [request for request in emulator.requests if request.path == "/v1/fine-tunes"]
    shown, code = answer(b"y")
    assert code == 0 and "To follow it: together-adapters ft watch ft-" in shown
    assert KEY not in shown


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is gone
        return b""


# ends before the end


@pytest.mark.parametrize("command", [("prepare", "-", "-o", "out.jsonl"), ("split", "-", "-o", "out"), ("check", "-")])
def test_a_command_that_is_told_to_end_leaves_nothing(
    command: tuple[str, ...], emulator: Emulator, tmp_path: Path
) -> None:  # fmt: skip
    spool = tmp_path / "tmp"
    spool.mkdir()
    process = subprocess.Popen(
        [*COMMAND, "ft", *command],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(emulator.base_url, TMPDIR=str(spool)),
    )
    with process:
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write("".join(map(conversation, range(3000))).encode())
        process.stdin.flush()
        until(lambda: len(files(tmp_path)) > 1)
        until(lambda: told_to_end(process))
        assert process.returncode == 143
        assert b"Traceback" not in process.stderr.read()
    assert files(tmp_path) == {"tmp"}


def told_to_end(process: subprocess.Popen[bytes]) -> bool:
    """Tell it again where it was told in the instant before it waits for input, when Python sees no signal."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(1) is not None
    except subprocess.TimeoutExpired:
        return False


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_reader_who_goes_away(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("x\n" * 20_000, "utf-8")
    done = subprocess.run(
        f"{' '.join(COMMAND)} ft check bad.jsonl --max-issues 20000 | head -1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(emulator.base_url),
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["check", "prepare", "split", "stats", "diff", "submit", "watch"])
def test_help_has_an_example(run: Run, name: str) -> None:
    assert f"  together-adapters ft {name} " in run("ft", name, "--help").out


def test_help_of_the_group_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from together_adapters.cli.app import run\n"
        "run(['ft', '--help'])\n"
        "sys.stderr.write(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(json.loads(done.stderr)) & {"httpx", "pydantic", "rich", "matplotlib", "together_adapters.client"}
