"""Runs of the command line as processes, with their streams and exit codes. No run may show the key."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG
from tests.fork_server import ForkServer
from together_adapters.emulator import Emulator

KEY = "sk-cli-0f9e8d7c6b5a49382716"
MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
TRAINABLE = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
COMMAND = [sys.executable, "-W", "error", "-m", "together_adapters.cli"]


@dataclass(frozen=True)
class RunResult:
    """The exit code and the output of a run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document on stdout."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Run = Callable[..., RunResult]


def environment(base_url: str, **changes: str) -> dict[str, str]:
    settings = {"TOGETHER_BASE_URL": base_url, "TOGETHER_API_KEY": KEY, "TERM": "xterm-256color", "TZ": "UTC"}
    process_environment = {
        name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")
    }
    return {**process_environment, **settings, **changes}


@pytest.fixture(scope="session")
def warm() -> Iterator[ForkServer]:
    process = ForkServer("tests.cli.warm")
    yield process
    process.close()


@pytest.fixture
def run(warm: ForkServer, emulator: Emulator, tmp_path: Path) -> Run:
    """Run a command in an empty folder, against the emulator."""

    def run(*arguments: object, input: str = "", code: int = 0, **changes: str) -> RunResult:
        ended = warm.run(list(map(str, arguments)), tmp_path, environment(emulator.base_url, **changes), input)
        result = RunResult(ended.returncode, ended.stdout, ended.stderr)
        assert KEY not in result.out + result.err
        assert "Traceback" not in result.err, result.err
        assert result.code == code, result.err
        return result

    return run


def one_error(result: RunResult) -> str:
    """The only line on stderr; stdout must be empty."""
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    return lines[0]


def conversation(number: int) -> str:
    messages = [{"role": "user", "content": f"Question {number}"}, {"role": "assistant", "content": f"Answer {number}"}]
    return json.dumps({"messages": messages}) + "\n"


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(map(conversation, range(5))), "utf-8")
    return path


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.jsonl"
    path.write_text(conversation(1) + "no json\n" + '{"messages": [{"role": "robot", "content": "x"}]}\n', "utf-8")
    return path


CTRL_C = "\x03"
Terminal = Callable[..., str]
_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def without_styles(screen: str) -> str:
    return _STYLES.sub("", screen).replace("\r\n", "\n").replace("\r", "\n")


@pytest.fixture
def terminal(warm: ForkServer, emulator: Emulator, tmp_path: Path) -> Terminal:
    """Runs a command in a pseudo-terminal; returns its output.

    Where something is typed it is a process that starts anew, as signals and the terminal's modes are at stake.
    """

    def terminal(
        *arguments: object, typed: Sequence[tuple[str, str]] = (), columns: int = 80, code: int = 0, **changes: str
    ) -> str:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        words = list(map(str, arguments))
        settings = environment(emulator.base_url, **changes)
        process = None
        if typed:
            process = subprocess.Popen(
                [*COMMAND, *words],
                stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, start_new_session=True, env=settings,
            )  # fmt: skip
        else:
            warm.start(words, tmp_path, settings, [Path(os.ttyname(slave))])
        os.close(slave)
        screen = ""
        waiting = list(typed)
        deadline = time.monotonic() + HANG
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.5)[0]:
                try:
                    read = os.read(master, 65_536)
                except OSError:
                    break
                if not read:
                    break
                screen += read.decode("utf-8", "replace")
            if waiting and waiting[0][0] in without_styles(screen):
                answer = waiting.pop(0)[1]
                if answer == CTRL_C and process:
                    time.sleep(0.5)  # a signal between the prompt and the read is seen with the next key alone
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(master, answer.encode())
        if process and time.monotonic() >= deadline:
            process.kill()
        assert (process.wait(HANG) if process else warm.wait()) == code, screen
        os.close(master)
        assert KEY not in screen
        return screen

    return terminal
