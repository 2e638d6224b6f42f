"""`ft`: help pages, SIGTERM and closed pipes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run, conversation, environment
from tests.cli.ft.conftest import files
from tests.conftest import HANG
from together_adapters.emulator import Emulator


@pytest.mark.parametrize("command", [("prepare", "-", "-o", "out.jsonl"), ("split", "-", "-o", "out"), ("check", "-")])
def test_sigterm_leaves_no_files(
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
        wait_until(lambda: len(files(tmp_path)) > 1)
        wait_until(lambda: terminate(process))
        assert process.returncode == 143
        assert b"Traceback" not in process.stderr.read()
    assert files(tmp_path) == {"tmp"}


def terminate(process: subprocess.Popen[bytes]) -> bool:
    """Sends SIGTERM again if it arrived just before a read, when Python handles no signal."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(1) is not None
    except subprocess.TimeoutExpired:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_closed_pipe(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("x\n" * 20_000, "utf-8")
    result = subprocess.run(
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
    assert result.stdout.splitlines()[-1] == "141"
    assert result.stderr == ""


@pytest.mark.parametrize("name", ["check", "prepare", "split", "stats", "diff", "submit", "watch"])
def test_help_has_an_example(run: Run, name: str) -> None:
    assert re.search(rf"^  Examples?:\n    together-adapters ft {name} ", run("ft", name, "--help").out, re.M)


def test_help_imports_no_heavy_module() -> None:
    code = (
        "import json, sys\n"
        "from together_adapters.cli.app import run\n"
        "run(['ft', '--help'])\n"
        "sys.stderr.write(json.dumps(list(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(json.loads(result.stderr)) & {"httpx", "pydantic", "rich", "matplotlib", "together_adapters.client"}
