"""What an emulator has started and written ends with it, in whatever way it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG, eventually
from tests.emulator.routes.test_code_interpreter import client_of
from together_adapters.emulator import serve
from together_adapters.emulator.store import interpreter_session

COMMAND = [sys.executable, "-m", "together_adapters.emulator", "--allow-code-execution", "--job-seconds", "600"]
PROGRAM = """
import os, signal, sys
from together_adapters.emulator import serve
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it is ignored where the tests run under nohup
with serve(allow_code_execution=True, job_seconds=600) as emulator:
    print(emulator.base_url)
    print(emulator.exports, flush=True)
    sys.stdin.readline()
    {end}
"""
CODE = """
import os, subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
processes = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
read, write = os.pipe()
if os.fork() == 0:  # a daemon: its parent ends, and it leaves the group
    os.setsid()
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        os.execv(sys.executable, sleep)
    os._exit(0)
processes.append(int(os.read(read, 20)))
processes += [os.getpid(), os.getppid()]
open("file", "w").write("x" * 1000)
print(*processes)
"""


def run_code(http: httpx.Client) -> list[int]:
    """Starts processes in two sessions, and writes files; returns the ids of the processes."""
    processes: list[int] = []
    for _ in range(2):
        answer = http.post("/tci/execute", json={"code": CODE, "language": "python"}).json()
        processes += map(int, answer["data"]["outputs"][0]["data"].split())
    form = {"file_name": "a.jsonl", "purpose": "eval", "file_type": "jsonl"}
    assert http.post("/files/upload", data=form, files={"file": ("a.jsonl", b'{"text": "a"}')}).is_success
    assert all(map(is_running, processes))
    return processes


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ENDS: dict[str, tuple[list[str], Any]] = {
    **{f"command, {number.name}": (COMMAND, number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)},
    **{
        f"program, {number.name}": ([sys.executable, "-c", PROGRAM.format(end="pass")], number)
        for number in (signal.SIGTERM, signal.SIGHUP)
    },
    **{
        f"program, {end}": ([sys.executable, "-c", PROGRAM.format(end=end)], None)
        for end in ("pass", "raise ValueError", "sys.exit(3)", "os._exit(3)")
    },
}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", ENDS)
def test_nothing_is_left(name: str, tmp_path: Path) -> None:
    command, number = ENDS[name]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdout and process.stdin
        url, _, key = (process.stdout.readline().strip().rpartition("=")[2] for _ in range(3))
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=HANG, verify=False) as http:
            processes = run_code(http)
        assert list(tmp_path.rglob("file"))
        if number:
            process.send_signal(number)
        else:
            process.stdin.write("\n")
            process.stdin.close()
        process.wait(HANG)
    assert eventually(lambda: not any(map(is_running, processes)))
    assert eventually(lambda: list(tmp_path.iterdir()) == [])


def test_reset_ends_sessions_and_removes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(threading.enumerate())
    with serve(allow_code_execution=True) as emulator, client_of(emulator) as http:
        processes = run_code(http)
        emulator.reset()
        assert not any(map(is_running, processes))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        processes = run_code(http)
    assert not any(map(is_running, processes))
    assert list(tmp_path.iterdir()) == []
    assert eventually(lambda: set(threading.enumerate()) <= before)


def test_the_end_does_not_wait_for_code(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\nwhile True: pass"

    def run(http: httpx.Client) -> None:
        with contextlib.suppress(httpx.TransportError):
            http.post("/tci/execute", json={"code": code, "language": "python"})

    with serve(allow_code_execution=True) as emulator, client_of(emulator) as http:
        waiting = threading.Thread(target=run, args=(http,))
        waiting.start()
        assert eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        start = time.monotonic()
    assert time.monotonic() - start < interpreter_session.TIME_LIMIT - 1
    waiting.join(HANG)
    assert not is_running(int((tmp_path / "pid").read_text()))
