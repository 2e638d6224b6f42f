"""`batches`: created, waited for, read and cancelled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import MODEL, Run, environment, one_error
from tests.conftest import HANG
from together_adapters.emulator import Emulator, serve

GONE = "meta-llama/Llama-3.3-70B-Instruct-Turbo"  # models-check: ignore


def test_batch_from_start_to_results(run: Run, tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello to Ann."}]}
    requests = [{"custom_id": f"r{number}", "body": body} for number in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests), "utf-8")
    missing = run("batches", "create", "in.jsonl", "--endpoint", "/v1/nothing", code=3)
    assert "stays" not in one_error(missing) and run("files", "list", "--json").json == []
    created = run("batches", "create", "in.jsonl")
    started = json.loads(created.out)
    id = started["id"]
    assert (
        f"in.jsonl stays in the account for the job: `together-adapters files delete {started['input_file_id']}`" in created.err
    )
    assert run("batches", "wait", id, "--poll-interval", 0.1, "--json").json["status"] == "COMPLETED"
    assert id in run("batches", "list").out
    assert id in {batch["id"] for batch in run("batches", "list", "--json").json}
    assert run("batches", "retrieve", id, "--json").json["input_file_id"] == started["input_file_id"]
    lines = [json.loads(line) for line in run("batches", "results", id).out.splitlines()]
    assert [line["custom_id"] for line in lines] == ["r0", "r1", "r2"]
    assert run("batches", "results", id, "--json").json == lines
    run("batches", "results", id, "--output", "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == 3
    assert "--overwrite" in one_error(run("batches", "results", id, "--output", "out.jsonl", code=2))
    one_error(run("batches", "cancel", id, code=3))


def test_cancel(run: Run, tmp_path: Path) -> None:
    line = {"custom_id": "a", "body": {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}}
    (tmp_path / "in.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    with serve(job_seconds=600) as slow:
        id = run("--base-url", slow.base_url, "batches", "create", "in.jsonl", "--json").json["id"]
        assert "cancel" in run("--base-url", slow.base_url, "batches", "cancel", id, "--json").json["status"].lower()


def test_models_that_are_gone(emulator: Emulator, tmp_path: Path) -> None:
    body = {"model": GONE, "messages": [{"role": "user", "content": "Hello"}]}
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"custom_id": id, "body": body}) + "\n" for id in "ab"), "utf-8")
    for command in (
        ("batches", "create", "in.jsonl"),
        ("bulk", "run", "in.jsonl", "-o", "a.jsonl", "--via", "batch", "--poll-interval", 0.05),
        ("bulk", "run", "in.jsonl", "-o", "b.jsonl", "--via", "online"),
    ):
        program = [sys.executable, "-m", "together_adapters.cli", *map(str, command)]  # the other runs make warnings errors
        result = subprocess.run(
            program, cwd=tmp_path, env=environment(emulator.base_url), capture_output=True, text=True, timeout=HANG
        )
        assert result.returncode == 0, result.stderr
        assert result.stderr.count(f"warning: {GONE} is said to be gone") == 1, command
