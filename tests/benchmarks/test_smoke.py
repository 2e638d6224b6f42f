"""The benchmark runs and prints its table. What it measures is not asserted: times are no test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.server_process import ROOT


def test_two_operations_make_a_table(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    only = ["--only", "client chat 100 KB answer", "--only", "client async stream paced, a chunk"]
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", *only, "--json", str(path)]
    environment = {**os.environ, "HTTP_PROXY": "http://127.0.0.1:9", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in ("operation", "client chat 100 KB answer", "client async stream paced, a chunk"):
        assert f"\n{name} " in f"\n{done.stdout}"
    rows = [row for row in json.loads(path.read_text())["rows"] if not row["peer"]]
    assert [row["verdict"] in ("met", "missed") for row in rows] == [True, True]
    assert all(len(row["ratios"]) == 2 and row["ratio"] > 0 for row in rows)


def test_a_commit_is_compared_with_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    only = ["--only", "client chat 100 KB answer", "--only", "import together_adapters"]
    command = [sys.executable, "-m", "tests.benchmarks.compare", "HEAD", "--quick", *only, "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    names = ["client chat 100 KB answer", "import together_adapters, vs httpx"]
    assert [row["name"] for row in json.loads(path.read_text())["rows"]] == names
    assert all(f"\n{name} " in done.stdout for name in names)
    assert all(len(row["ratios"]) == 2 and row["ratio"] > 0 for row in json.loads(path.read_text())["rows"])


def test_a_commit_that_is_not_there() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.compare", "no-such-commit"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "error: this repository has no commit 'no-such-commit'\n")
