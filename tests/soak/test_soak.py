"""A short soak: every call against a server that breaks HTTP ends in a right answer or a documented error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.server_process import ROOT

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")


@pytest.mark.long
@pytest.mark.parametrize("calls", [300, pytest.param(1200, marks=pytest.mark.slow)])
def test_faults_end_in_right_answers_or_documented_errors(calls: int) -> None:
    environment = {**os.environ, "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "tests.soak", "--calls", str(calls)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-5000:] + done.stderr[-5000:]
    assert "every call ended right" in done.stdout
