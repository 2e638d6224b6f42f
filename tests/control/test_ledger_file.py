"""The file of a ledger: shared by processes that write, fork and are killed; unusable in ways that are told apart."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from together_adapters.control.ledger import Ledger, LedgerRow
from together_adapters.errors import ConfigurationError

ROW = LedgerRow(datetime(2026, 11, 29, 12, tzinfo=UTC), "chat", "openai/gpt-oss-120b", {"job": "nightly"}, 200, cost=0.001)
PRELUDE = """
import os, pickle, resource, sys
from dataclasses import replace
from threading import Thread
from together_adapters.control.ledger import Ledger
path, row = sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2]))
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.sqlite"


class Start(Protocol):
    """Starts a program in a Python of its own, which has the path and a row, and is killed at the end of the test."""

    def __call__(self, program: str) -> subprocess.Popen[str]: ...


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    processes: list[subprocess.Popen[str]] = []
    flags = ["-W", "error", "-W", "ignore:.*fork:DeprecationWarning"]

    def start(program: str) -> subprocess.Popen[str]:
        command = [sys.executable, *flags, "-c", PRELUDE + textwrap.dedent(program), str(path), pickle.dumps(ROW).hex()]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def job_counts(ledger: Ledger) -> dict[object, int]:
    return {key[0]: usage.requests for key, usage in ledger.by("tag.job")}


def test_processes_that_create_and_write_at_once_lose_nothing(start: Start, path: Path) -> None:
    program = """
    print(flush=True)
    sys.stdin.readline()  # all begin together
    ledger = Ledger(path)
    for number in range(300):
        ledger.add(replace(row, tags={"job": str(os.getpid())}))
        assert ledger.spent() >= (number + 1) / 1000
    """
    processes = [start(program) for _ in range(6)]
    assert [line(process) for process in processes] == ["\n"] * 6
    for process in processes:
        print(file=process.stdin, flush=True)
    for process in processes:
        finish(process)
    with Ledger(path) as ledger:
        assert job_counts(ledger) == {str(process.pid): 300 for process in processes}
        assert ledger.spent() == 1.8


@needs_fork
def test_forks_while_threads_write_lose_nothing(start: Start, path: Path) -> None:
    """Children write with the ledger they were born with, and so does the parent, before and after they end."""
    program = """
    ledger, memory = Ledger(path), Ledger()
    def work(name):
        for number in range(150):
            ledger.add(replace(row, tags={"job": name}))
            memory.add(row)
            ledger.total()
    threads = [Thread(target=work, args=("parent",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(4):
        if not (child := os.fork()):
            before = memory.total().requests
            work("child")
            assert memory.total().requests == before + 150
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    for thread in threads:
        thread.join()
    work("parent")
    assert memory.total().requests == 600
    """
    finish(start(program))
    with Ledger(path) as ledger:
        assert job_counts(ledger) == {"parent": 600, "child": 600}


@needs_fork
def test_a_parent_that_ends_first_takes_no_rows_of_its_child_along(start: Start, path: Path) -> None:
    """The last connection that closes deletes the log of SQLite: a child's must count, although it was opened before the fork."""
    program = """
    ledger = Ledger(path)
    ledger.add(row)
    started, ended = os.pipe(), os.pipe()
    if os.fork():
        os.read(started[0], 1)
        ledger.close()
        os.write(ended[1], b"x")
        os.wait()
    else:
        ledger.add(row)
        os.write(started[1], b"x")
        os.read(ended[0], 1)
        for number in range(200):
            ledger.add(row)
        os._exit(0)
    """
    finish(start(program))
    with Ledger(path) as ledger:
        assert ledger.total().requests == 202


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill")
def test_rows_of_a_writer_that_is_killed_are_there(start: Start, path: Path) -> None:
    program = """
    ledger = Ledger(path)
    for number in range(1_000_000):
        ledger.add(replace(row, input_tokens=number))
        print(number, flush=True)
    """
    for _ in range(3):
        process = start(program)
        while line(process) != "200\n":
            pass
        process.send_signal(signal.SIGKILL)
        last = 200
        while (text := line(process)).endswith("\n"):
            last = int(text)
        with Ledger(path) as ledger:
            numbers = [row.input_tokens for row in ledger.rows()]
        of_run = numbers[len(numbers) - 1 - numbers[::-1].index(0) :]
        assert of_run == list(range(len(of_run)))
        assert of_run[-1] in (last, last + 1)  # at most one was written and not yet printed


def test_a_program_that_ends_leaves_one_file(start: Start, path: Path) -> None:
    finish(start("ledger = Ledger(path); ledger.add(row); ledger.total(); keep = sys.modules['keep'] = ledger"))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with Ledger(path, read_only=True) as ledger:
        assert ledger.rows() == [ROW]


@pytest.mark.parametrize("leftover", [None, b""], ids=["one file", "an empty log"])
def test_a_program_that_only_reads_leaves_one_file_as_it_was(start: Start, path: Path, leftover: bytes | None) -> None:
    with Ledger(path) as ledger:
        ledger.add(ROW)
    if leftover is not None:
        path.with_name(f"{path.name}-wal").write_bytes(leftover)
    before = path.read_bytes(), path.stat().st_mtime_ns
    finish(start("assert Ledger(path, read_only=True).rows() == [row]"))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_reader_moves_no_rows_of_a_writer_that_was_killed(start: Start, path: Path) -> None:
    writer = start("""
    ledger = Ledger(path)
    ledger.add(row)
    ledger.rows()
    os.kill(os.getpid(), 9)
    """)
    writer.wait(60)
    before = path.read_bytes()
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0
    with Ledger(path, read_only=True) as ledger:
        assert ledger.rows() == [ROW]
    assert path.read_bytes() == before


def test_sums_can_be_read_while_rows_are_written(start: Start, path: Path) -> None:
    program = """
    ledger = Ledger(path)
    for number in range(2_000):
        ledger.add(row)
    """
    Ledger(path).close()
    process = start(program)
    counts = [0]
    with Ledger(path, read_only=True) as ledger:
        while process.poll() is None:
            counts.append(ledger.total().requests)
            assert ledger.by("model", "tag.job") == [] or ledger.rows(last=1) == [ROW]
        assert ledger.total().requests == 2_000
    finish(process)
    assert counts == sorted(counts)
    assert len(set(counts) - {0, 2_000}) > 1, "nothing was read in between"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_file_that_becomes_a_ledger_while_it_is_checked(path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Another process creates it between two of the questions that tell whether it is one."""
    path.touch()
    questions: list[str] = []

    class Connection(sqlite3.Connection):
        def execute(self, statement: str, *parameters: object) -> sqlite3.Cursor:
            if statement.startswith(("PRAGMA user_version", "PRAGMA application_id", "SELECT 1 FROM sqlite_master")):
                questions.append(statement)
                if len(questions) == count:
                    monkeypatch.undo()
                    Ledger(path).close()
            return super().execute(statement, *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *names, **options: connect(*names, **options | {"factory": Connection}))
    with Ledger(path) as ledger:
        ledger.add(ROW)
        assert ledger.rows() == [ROW]
    assert len(questions) >= count


def test_a_file_that_is_no_ledger(path: Path) -> None:
    path.write_bytes(b"A text of some length.\n" * 100)
    for read_only in (False, True):
        with pytest.raises(ConfigurationError, match=r"usage\.sqlite is not a ledger, or it is damaged .*: name another file"):
            Ledger(path, read_only=read_only)
    assert path.read_bytes() == b"A text of some length.\n" * 100


def test_a_database_of_another_program(path: Path) -> None:
    edit(path, "CREATE TABLE notes (text)")
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(ConfigurationError, match=r"usage\.sqlite is a database of another program, not a ledger"):
            Ledger(path, read_only=read_only)
    assert path.read_bytes() == before


def test_a_ledger_of_a_newer_version(path: Path) -> None:
    Ledger(path).close()
    edit(path, "PRAGMA user_version = 2")
    with pytest.raises(
        ConfigurationError, match=r"usage\.sqlite was written by a newer version .*layout 2, this one reads 1.*upgrade"
    ):
        Ledger(path)


def test_a_damaged_ledger(path: Path) -> None:
    with Ledger(path) as ledger:
        for _ in range(500):
            ledger.add(ROW)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xee" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"usage\.sqlite is not a ledger, or it is damaged"):
        Ledger(path).total()


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    with pytest.raises(ConfigurationError, match=r"usage\.sqlite is empty"):
        Ledger(path, read_only=True)
    with Ledger(path) as ledger:
        ledger.add(ROW)
    with Ledger(path, read_only=True) as ledger:
        assert ledger.rows() == [ROW]
        with pytest.raises(OSError, match=r"usage\.sqlite") as caught:
            ledger.add(ROW)
    assert caught.value.errno == errno.EACCES


def test_a_path_without_a_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such ledger.*usage\.sqlite"):
        Ledger(path, read_only=True)
    assert not path.exists()
    with pytest.raises(FileNotFoundError, match="no folder for the ledger"):
        Ledger(path / "usage.sqlite")
    with pytest.raises(IsADirectoryError, match="folder"):
        Ledger(path.parent)


def test_a_name_that_means_something_to_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (":memory:", "file:x?mode=memory", "a%20b#c?d"):
        with Ledger(name) as ledger:
            ledger.add(ROW)
        assert (tmp_path / name).is_file()
        with Ledger(name, read_only=True) as ledger:
            monkeypatch.chdir("/")
            assert ledger.rows() == [ROW]
        monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a file's size is of POSIX")
def test_a_full_disk(start: Start, path: Path) -> None:
    """What was written stays; a row that could not be is named by an error, is spent, and is written when there is space again."""
    program = """
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    ledger = Ledger(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    count = 0
    try:
        while True:
            ledger.add(row)
            count += 1
    except OSError as error:
        print(type(error).__name__, error)
    try:
        ledger.add(row)
    except OSError:
        pass
    assert ledger.total().requests == count, (ledger.total(), count)
    assert ledger.spent() == (count + 2) / 1000
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        ledger.add(row)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    count += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger.add(row)
    assert ledger.total().requests == count + 3
    assert ledger.spent() == (count + 3) / 1000
    """
    out = finish(start(program))
    assert out.startswith("OSError")
    assert "the ledger cannot be read or written" in out
    assert str(path) in out


@needs_fork
def test_a_file_that_may_not_be_written(start: Start, path: Path) -> None:
    with Ledger(path) as ledger:
        ledger.add(ROW)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        out = finish(start(READ_ONLY))
    finally:
        path.parent.chmod(0o755)
    assert out == "1 0.001\nPermissionError True\n"


READ_ONLY = """
import urllib.parse  # for the paths of URIs; the user who is not root may not read the folder of Python
for folder in reversed(__import__("pathlib").Path(path).parents):
    if os.geteuid() == 0 and not os.stat(folder).st_mode & 1:
        folder.chmod(os.stat(folder).st_mode | 0o11)  # the folders of pytest, for a user who is not root
if os.geteuid() == 0:
    os.setuid(65534)
with Ledger(path, read_only=True) as ledger:
    print(ledger.total().requests, ledger.spent())
try:
    Ledger(path)
except OSError as error:
    print(type(error).__name__, path in str(error))
"""


def test_a_ledger_that_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.control.database._LOCK_SECONDS", 0.05)
    with Ledger(path) as ledger:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError, match=r"another program has locked the ledger.*usage\.sqlite"):
            ledger.add(ROW)
        assert (ledger.total().requests, ledger.spent()) == (0, 0.001)
        with pytest.raises(TimeoutError):
            Ledger(path)
        other.close()
        ledger.add(ROW)
        assert (ledger.total().requests, ledger.spent()) == (2, 0.002)


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be deleted")
@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_ledger_that_is_deleted_while_it_is_open(path: Path, is_replaced: bool) -> None:
    """What SQLite wrote to such a file would be gone without a word."""
    with Ledger(path) as ledger:
        ledger.add(ROW)
        for file in path.parent.iterdir():
            file.unlink()
        if is_replaced:
            path.touch()
        for _ in range(2):
            with pytest.raises(OSError, match="deleted or replaced") as caught:
                ledger.add(ROW)
            assert caught.value.errno == errno.ESTALE
            ledger.close()


def test_rows_that_somebody_deletes_are_not_spent(path: Path) -> None:
    with Ledger(path) as ledger:
        for _ in range(5):
            ledger.add(ROW)
        assert ledger.spent() == 0.005
        edit(path, "DELETE FROM calls WHERE id > 3")
        assert ledger.spent() == 0.003
        ledger.add(ROW)
        assert ledger.spent() == 0.004


def edit(path: Path, statement: str) -> None:
    """Changes a file as other programs do."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
