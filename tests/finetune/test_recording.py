"""The file of recorded calls: whole lines, for their owner alone, whatever happens to the program."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from together_adapters.finetune import check_jsonl
from together_adapters.finetune.examples import Example, Refusal
from together_adapters.finetune.recording import RecordingFile, recorded

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
LONGER = [*CHAT, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]


def test_rows_come_back_with_their_group(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    file.write({"messages": CHAT}, "t1")
    file.write({"messages": CHAT}, None)
    found = list(recorded(file.path).records())
    assert [(one.row, one.group) for one in found if isinstance(one, Example)] == [
        ({"messages": CHAT}, "t1"),
        ({"messages": CHAT}, None),
    ]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_history_is_trained_on_once(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    for messages, trace in ((CHAT, "t1"), (CHAT, "t2"), (LONGER, "t1")):
        file.write({"messages": messages}, trace)
    found = list(recorded(file.path).records())
    assert [isinstance(one, Refusal) for one in found] == [True, False, False]
    assert len(list(recorded(file.path, collapse_prefixes=False))) == 3


def test_other_tools_are_another_conversation(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    file.write({"messages": CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}, "t1")
    file.write({"messages": LONGER}, "t1")
    assert len(list(recorded(file.path))) == 2


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.touch(0o644)
    RecordingFile(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_torn_line_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"messages":[{"ro')
    RecordingFile(path).write({"messages": CHAT}, "t1")
    broken, whole = recorded(path).records()
    assert isinstance(broken, Refusal)
    assert broken.code == "json_syntax"
    assert isinstance(whole, Example)


def test_a_folder_that_is_not_there_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordingFile(tmp_path / "no" / "a.jsonl")


def test_what_is_no_json_is_lost_and_counted(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    with pytest.raises(ValueError), file.refusing():
        file.write({"messages": [{"role": "user", "content": "\ud800"}]}, None)
    assert file.counts == {"lost": 1}
    assert file.path.read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_programs_leave_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    program = """
        import sys
        from together_adapters.finetune.recording import RecordingFile
        file = RecordingFile(sys.argv[1])
        while True:
            file.write({"messages": [{"role": "user", "content": "x" * 100_000}, {"role": "assistant", "content": "y"}]}, "t")
    """
    running = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(path)]) for _ in range(2)]
    deadline = time.monotonic() + 30
    while (not path.exists() or path.stat().st_size < 3_000_000) and time.monotonic() < deadline:
        time.sleep(0.01)
    for one in running:
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
    report = check_jsonl(path)
    assert report.ok
    assert report.rows > 20
