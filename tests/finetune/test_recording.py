"""Files of recorded calls: complete lines, created for the owner only, even if a program is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG
from together_adapters.errors import ConfigurationError
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.recording import RecordingFile, read_recording
from together_adapters.finetune.records import Example, Refusal

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
LONGER = [*CHAT, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye!"}]


def test_rows_come_back_with_their_group(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    file.write({"messages": CHAT}, "t1")
    file.write({"messages": CHAT}, None)
    records = list(read_recording(file.path).records())
    assert [(one.row, one.group) for one in records if isinstance(one, Example)] == [
        ({"messages": CHAT}, "t1"),
        ({"messages": CHAT}, None),
    ]
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_calls_that_a_later_one_continues_are_dropped(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    for messages, trace in ((CHAT, "t1"), (CHAT, "t2"), (LONGER, "t1")):
        file.write({"messages": messages}, trace)
    records = list(read_recording(file.path).records())
    assert [isinstance(one, Refusal) for one in records] == [True, False, False]
    assert len(list(read_recording(file.path, collapse_prefixes=False))) == 3


def test_every_way_to_read_a_recording_gives_the_same_rows(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    for messages, trace in ((CHAT, "t1"), (CHAT, "t2"), (LONGER, "t1"), (CHAT, None)):
        file.write({"messages": messages}, trace)
    lines = [json.loads(line) for line in file.path.read_text().splitlines()]
    rows = [{"messages": CHAT}, {"messages": LONGER}, {"messages": CHAT}]
    sources: list[tuple[Any, dict[str, Any]]] = [
        (file.path, {}),
        (lines, {}),
        (iter(lines), {}),
        (file.path, {"group": "trace_id"}),
    ]
    for source, arguments in sources:
        records = list(load(source, **arguments).records())
        assert [one.row for one in records if isinstance(one, Example)] == rows == list(read_recording(file.path))
        assert [one.group for one in records if isinstance(one, Example)] == ["t2", "t1", None]
        assert [one.code for one in records if isinstance(one, Refusal)] == ["prefix_of_longer"]
    assert len(list(load(file.path, collapse_prefixes=False))) == 4
    written = [write_jsonl(data, tmp_path / f"{name}.jsonl").path.read_bytes()
               for name, data in (("b", load(file.path)), ("c", read_recording(file.path)))]  # fmt: skip
    assert written[0] == written[1]


def test_other_tools_are_another_conversation(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    file.write({"messages": CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}, "t1")
    file.write({"messages": LONGER}, "t1")
    assert len(list(read_recording(file.path))) == 2


def test_what_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    path, pipe = tmp_path / "a.jsonl", tmp_path / "pipe"
    path.touch()
    path.chmod(0o664)
    os.mkfifo(pipe, 0o622)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    mode = pipe.stat().st_mode
    for target in (path, pipe, Path("/dev/null")):
        RecordingFile(target, "a").write({"messages": CHAT}, "t1")
    assert os.read(reader, 4096) == path.read_bytes() != b""
    os.close(reader)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    assert pipe.stat().st_mode == mode
    assert stat.S_IMODE(Path("/dev/null").stat().st_mode) == 0o666
    with pytest.raises(OSError, match="No such device"):
        RecordingFile(pipe).write({"messages": CHAT}, "t1")  # nobody reads it


def test_a_new_recording_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    file = RecordingFile(path)
    for trace in "ab":
        file.write({"messages": CHAT}, trace)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r'a\.jsonl exists \(2 rows\): name another file, or pass mode="a" to add to it'):
        RecordingFile(path)
    assert path.read_bytes() == before
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        RecordingFile(tmp_path)
    with pytest.raises(ConfigurationError, match="not 'w'"):
        RecordingFile(path, "w")  # type: ignore[arg-type]


def test_streams_are_written_to_in_every_mode(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null")):
        assert RecordingFile(target).existing_rows == RecordingFile(target, "a").existing_rows == 0


def test_an_incomplete_line_affects_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"messages":[{"ro')
    RecordingFile(path, "a").write({"messages": CHAT}, "t1")
    refusal, example = read_recording(path).records()
    assert isinstance(refusal, Refusal)
    assert refusal.code == "json_syntax"
    assert isinstance(example, Example)


def test_a_missing_folder_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordingFile(tmp_path / "no" / "a.jsonl")


def test_rows_that_are_not_json_are_counted_as_lost(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "a.jsonl")
    with pytest.raises(ValueError), file.refusing():
        file.write({"messages": [{"role": "user", "content": "\ud800"}]}, None)
    assert file.counts == {"lost": 1}
    assert file.path.read_bytes() == b""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_programs_lose_only_the_line_they_were_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    program = """
        import itertools, sys
        from together_adapters.finetune.recording import RecordingFile
        file = RecordingFile(sys.argv[1], "a")
        for number in itertools.count():
            says = [{"role": "user", "content": "x" * 100_000}, {"role": "assistant", "content": str(number)}]
            file.write({"messages": says}, sys.argv[2])
    """
    running = [subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(path), name]) for name in "ab"]
    for size, one in zip((3_000_000, 6_000_000), running, strict=True):
        deadline = time.monotonic() + HANG
        while (not path.exists() or path.stat().st_size < size) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
    RecordingFile(path, "a").write({"messages": CHAT}, "c")
    records = list(read_recording(path, collapse_prefixes=False).records())
    refusals = [one for one in records if isinstance(one, Refusal)]
    assert len(refusals) <= 2
    assert {one.code for one in refusals} <= {"json_syntax"}
    for name in "ab":
        rows = [one.row for one in records if isinstance(one, Example) and one.group == name]
        assert [row["messages"][1]["content"] for row in rows] == [str(number) for number in range(len(rows))]
    assert isinstance(records[-1], Example)
    assert records[-1].group == "c"
    assert len(records) > 40
