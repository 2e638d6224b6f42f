"""`files`: checked, uploaded, listed, downloaded and deleted; overwritten only on request."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run, one_error
from together_adapters.emulator import Emulator


def test_file_from_upload_to_deletion(run: Run, train: Path, tmp_path: Path) -> None:
    file = json.loads(run("files", "upload", train).out)  # details are JSON in a pipe
    id = file["id"]
    assert run("files", "wait", id, "--json").json["processing_status"] == "COMPLETED"
    table = run("files", "list").out
    assert next(line for line in table.splitlines() if id in line).startswith("train.jsonl")
    assert id in {file["id"] for file in run("files", "list", "--json").json}
    assert run("files", "retrieve", id, "--json").json["bytes"] == train.stat().st_size

    download = run("files", "retrieve-content", id, "--output", "back.jsonl", "--json").json
    assert Path(download["filename"]).read_bytes() == train.read_bytes()
    assert "--overwrite" in one_error(run("files", "retrieve-content", id, "--output", "back.jsonl", code=2))
    run("files", "retrieve-content", id, "--output", "back.jsonl", "--overwrite")
    assert run("files", "retrieve-content", id, "--output", "-").out == train.read_text("utf-8")
    run("files", "retrieve-content", id)
    assert (tmp_path / f"{id}.jsonl").read_bytes() == train.read_bytes()

    assert json.loads(run("files", "delete", id).out)["deleted"] is True
    assert "404" in one_error(run("files", "retrieve", id, code=3))


def test_check_needs_no_key_and_no_network(run: Run, train: Path, emulator: Emulator) -> None:
    result = run("files", "check", train, TOGETHER_API_KEY="")
    assert "train.jsonl can be used: 0 errors" in result.out
    assert run("files", "check", train, "--json").json["ok"] is True
    assert emulator.requests == []


def test_issues_are_shown(run: Run, faulty: Path) -> None:
    result = run("files", "check", faulty, code=1)
    assert "cannot be used" in result.out
    assert "json_syntax" in result.out
    report = json.loads(run("files", "check", faulty, "--json", code=1).out)
    assert report["ok"] is False
    assert {issue["line"] for issue in report["issues"]} == {2, 3}


def test_invalid_file_is_not_uploaded(run: Run, faulty: Path, emulator: Emulator) -> None:
    assert "was not uploaded" in one_error(run("files", "upload", faulty, code=1))
    assert emulator.requests == []
    file = run("files", "upload", faulty, "--no-check", "--json").json
    assert "fault" in one_error(run("files", "wait", file["id"], code=1))


def test_not_a_data_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x", "utf-8")
    one_error(run("files", "upload", "a.txt", code=1))
    one_error(run("files", "upload", "missing.jsonl", code=2))
    one_error(run("files", "upload", "a.txt", "--purpose", "fun", code=2))
