"""Writers of files: one of several wins, the file appears whole, and what killed writers leave is deleted by the next."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from together_adapters.atomic_files import new_files
from together_adapters.finetune import write_jsonl
from together_adapters.resources.batch_files import write_input

RACE = """
import json, os, sys
from pathlib import Path
from together_adapters.atomic_files import new_files, publish
from together_adapters.finetune import write_jsonl
from together_adapters.resources.batch_files import write_input

def rows(number):
    return [{"text": f"{number} " + "x" * 300}] * 500

def jsonl(path, number, overwrite):
    write_jsonl(rows(number), path, overwrite=overwrite)

def batch(path, number, overwrite):
    write_input([{"n": number}] * 500, path, overwrite=overwrite)

def four(path, number, overwrite):
    names = [path, path.with_suffix(".b"), path.with_suffix(".c")]
    with new_files(dict.fromkeys(names, overwrite)) as drafts:
        for draft in drafts:
            draft.write_text(str(number) * 1000)

def moved(path, number, overwrite):
    part = path.with_suffix(f".{number}")
    part.write_text(str(number) * 1000)
    publish(part, path, overwrite=overwrite)

folder = Path(sys.argv[1])
for write in (jsonl, batch, four, moved):
    for overwrite in (False, True):
        start, go = os.pipe()
        children = []
        for number in range(4):
            if not (child := os.fork()):
                os.close(go)
                os.read(start, 1)
                try:
                    write(folder / f"{write.__name__}-{overwrite}.jsonl", number, overwrite)
                except FileExistsError:
                    os._exit(1)
                except BaseException as error:
                    print(repr(error), flush=True)
                    os._exit(3)
                os._exit(0)
            children.append(child)
        os.close(go)
        codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
        print(json.dumps([write.__name__, overwrite, codes]), flush=True)
"""


def test_one_of_several_processes_writes_a_new_file(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", RACE, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True)
    for line in ended.stdout.splitlines():
        name, overwrite, codes = json.loads(line)
        assert codes == ([0, 0, 0, 0] if overwrite else [0, 1, 1, 1]), line
        text = (tmp_path / f"{name}-{overwrite}.jsonl").read_text()
        if name == "jsonl":
            report = json.loads((tmp_path / f"{name}-{overwrite}.report.json").read_text())
            assert report["bytes"] == len(text)
            assert len(set(text.splitlines())) == 1
        elif name == "four":
            assert {(tmp_path / f"{name}-{overwrite}{suffix}").read_text() for suffix in (".jsonl", ".b", ".c")} == {text}
        else:
            assert text.count("\n") in (0, 500)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


KILLED = """
import sys
from pathlib import Path
from together_adapters.atomic_files import new_files
with new_files({Path(sys.argv[1]): True}) as (draft,):
    draft.write_text("half")
    print("going", flush=True)
    sys.stdin.read()
"""


def test_drafts_of_killed_writers_are_deleted_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a [1].jsonl"
    command = [sys.executable, "-c", KILLED, str(path)]
    writers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    writers[0].send_signal(signal.SIGKILL)
    writers[0].communicate()
    assert len(list(tmp_path.iterdir())) == 2
    mine = tmp_path / ".a [1].jsonl.notes.draft"
    mine.write_text("the user's")
    write_input([{}], path)
    assert len(list(tmp_path.glob(".a*.draft"))) == 2  # the living writer's, and the user's
    writers[1].communicate()
    assert (path.read_text(), writers[1].returncode) == ("half", 0)
    assert sorted(tmp_path.iterdir()) == [mine, path]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    real, link, new = tmp_path / "real.jsonl", tmp_path / "link.jsonl", tmp_path / "new.jsonl"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_input([{}], link, overwrite=True)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "request-1" in real.read_text()
    umask = os.umask(0o027)
    try:
        write_jsonl([{"text": "a"}], new)
    finally:
        os.umask(umask)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (new, tmp_path / "new.report.json")} == {0o640}


def test_a_link_into_another_file_system(tmp_path: Path) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system only")
    target = shared / f"{tmp_path.name}-{os.getpid()}.report.json"
    (tmp_path / "a.report.json").symlink_to(target)
    try:
        write_jsonl([{"text": "a"}], tmp_path / "a.jsonl")
        assert json.loads(target.read_text())["rows"] == 1
    finally:
        target.unlink()
    assert not list(shared.glob(f".{tmp_path.name}*"))


def test_pipes_and_devices_are_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "a.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_input([{}], pipe)
    assert json.loads(os.read(reader, 4096))["custom_id"] == "request-1"
    os.close(reader)
    write_input([{}], "/dev/null")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_report_of_the_user_is_not_replaced(tmp_path: Path) -> None:
    path, report = tmp_path / "a.jsonl", tmp_path / "a.report.json"
    for text in ("{}", "my notes", '["rows", "rules_version"]'):
        report.write_text(text)
        with pytest.raises(FileExistsError, match=r"a\.report\.json is no report of this library"):
            write_jsonl([{"text": "a"}], path, overwrite=True)
        assert (report.read_text(), path.exists()) == (text, False)
    report.unlink()
    write_jsonl([{"text": "a"}], path)
    write_jsonl([{"text": "a"}, {"text": "b"}], path, overwrite=True)
    assert json.loads(report.read_text())["rows"] == 2


def test_nothing_is_left_of_files_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_input([{}], tmp_path, overwrite=True)
    with pytest.raises(FileNotFoundError, match="missing'"):
        write_input([{}], tmp_path / "missing" / "a.jsonl")
    old, new, bad = tmp_path / "old", tmp_path / "new", tmp_path / "bad"
    old.write_text("old")
    with pytest.raises(OSError, match=r"old|new|bad"), new_files({old: True, new: False, bad: True}) as drafts:
        for draft in drafts:
            draft.write_text("draft")
        bad.mkdir()
    assert (old.read_text(), new.exists()) == ("old", False)
    assert sorted(tmp_path.iterdir()) == [bad, old]


def test_a_full_disk_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom together_adapters.finetune import write_jsonl\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "write_jsonl([{'text': 'x' * 1000}] * 5000, sys.argv[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.jsonl")], capture_output=True, text=True, timeout=60)
    assert ended.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{tmp_path / 'a.jsonl'}'"
    assert list(tmp_path.iterdir()) == []
