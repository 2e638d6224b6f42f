"""The SQLite database of a ledger: opened when it is needed, closed for the time of a fork, its failures as plain errors."""

from __future__ import annotations

import atexit
import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Final
from weakref import WeakSet

from together_adapters.errors import ConfigurationError
from together_adapters.sqlite_connections import connect, connect_reader

APPLICATION_ID: Final = 0x546F6755  # "TogU"
VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY,  -- in the order in which the calls ended; rows are never deleted
    time INTEGER NOT NULL,   -- start: microseconds since 1970, UTC
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    tags TEXT NOT NULL,      -- a JSON object, or empty
    status INTEGER,
    error TEXT,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost INTEGER,            -- 10^-12 dollars; NULL: no known price
    attempts INTEGER NOT NULL,
    seconds REAL NOT NULL,
    waited REAL NOT NULL,
    first_chunk_seconds REAL,
    request_id TEXT,
    estimated INTEGER NOT NULL,
    streamed INTEGER NOT NULL
)
"""

Parameters = Sequence[Any]
_LOCK_SECONDS: Final = 30.0
ERROR_NUMBERS: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.ETIMEDOUT,
    sqlite3.SQLITE_LOCKED: errno.ETIMEDOUT,
}
"""Numbers of system errors that say what an error of SQLite means."""


class Database:
    """A connection to a ledger's file, or to a database in memory if there is no path, for one thread at a time.

    SQLite forbids to use a connection on both sides of a fork: that to a file is closed before, and opened again at the next use.
    The lock is reentrant: a garbage collection in the middle of a statement may end a stream, which adds its row.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        _DATABASES.add(self)

    def run(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Runs a statement, which is a transaction of its own; returns its rows."""
        with self.lock:
            connection = self._connection
            try:
                if connection is None:
                    connection = self._connection = self._open()
                elif self._is_moved():
                    raise OSError(
                        errno.ESTALE,
                        "the ledger was deleted or replaced while this program had it open: start anew",
                        str(self.path),
                    )
                return connection.execute(statement, parameters).fetchall()
            except sqlite3.DatabaseError as error:
                raise failure(error, self.path) from error

    def run_many(self, statement: str, rows: Sequence[Parameters]) -> None:
        """Runs a statement with each of some parameters, in memory: with all or none."""
        with self.lock:
            self.run("SELECT 1")
            assert self._connection is not None
            with _transaction(self._connection):
                self._connection.executemany(statement, rows)

    def close(self) -> None:
        """Closes the connection to a file. What is in memory stays."""
        if self.path is not None:
            with self.lock:
                if self._connection is not None and not self._is_moved():  # it would delete the log of the file that is there now
                    self._connection.close()
                    self._connection = None

    def _is_moved(self) -> bool:
        """Whether another file, or none, is where this one was: what is written to it is lost."""
        if self.path is None:
            return False
        try:
            return _identity(self.path) != self._identity
        except OSError:
            return True

    def __del__(self) -> None:
        connection = self.__dict__.get("_connection")
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = _connect(self.path, self.read_only)
        try:
            prepare(connection, self.path, read_only=self.read_only)
        except BaseException:
            connection.close()
            raise
        if self.path is not None:
            self._identity = _identity(self.path)
        return connection


def prepare(connection: sqlite3.Connection, path: Path | None, *, read_only: bool) -> None:
    """Checks that a database is a ledger, which an empty one becomes; raises ConfigurationError if it is something else."""
    connection.execute("PRAGMA synchronous = NORMAL")  # safe from corruption, and from loss unless the machine itself stops
    if not _is_ledger(connection, path):
        if read_only:
            raise ConfigurationError(f"{path} is empty: it is not a ledger yet")
        _retry_while_locked(lambda: connection.execute("PRAGMA journal_mode = WAL"))
        with _transaction(connection):
            if not _is_ledger(connection, path):  # another process may have been first
                connection.execute(SCHEMA)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
    elif not read_only:
        with _transaction(connection):  # fails at once where nothing can be written
            pass


def failure(error: sqlite3.DatabaseError, path: Path | None) -> Exception:
    """Returns an error of SQLite as one that names the file and says what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigurationError(f"{path} is not a ledger, or it is damaged ({error}): name another file")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OSError(errno.ETIMEDOUT, f"another program has locked the ledger for {_LOCK_SECONDS:.0f} seconds", str(path))
    if code in ERROR_NUMBERS or code == sqlite3.SQLITE_IOERR:
        return OSError(ERROR_NUMBERS.get(code, errno.EIO), f"the ledger cannot be read or written: {error}", str(path))
    return ConfigurationError(f"{path} is not a ledger of this version ({error}): name another file")


def _identity(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _connect(path: Path | None, read_only: bool) -> sqlite3.Connection:
    if path is None:
        return connect(":memory:", timeout=_LOCK_SECONDS)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "a folder is no ledger", str(path))
    if not (path if read_only else path.parent).exists():
        raise FileNotFoundError(
            errno.ENOENT, "there is no such ledger" if read_only else "there is no folder for the ledger", str(path)
        )
    if not read_only:
        return connect(path, timeout=_LOCK_SECONDS)
    # A file that nobody can write to has no log beside it; SQLite reads it only if it is told that nobody does.
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        return connect(f"{path.as_uri()}?immutable=1", timeout=_LOCK_SECONDS)
    return connect_reader(path, timeout=_LOCK_SECONDS)


def _is_ledger(connection: sqlite3.Connection, path: Path | None) -> bool:
    """Whether a database has the tables of a ledger; False if it is empty."""
    # Another process may make it a ledger meanwhile, all at once: what is read last decides.
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application == APPLICATION_ID and version > VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer version of together-adapters (layout {version}, this one reads {VERSION}): "
            "upgrade, or name another file"
        )
    if application == APPLICATION_ID:
        return True
    if application or version or has_tables:
        raise ConfigurationError(f"{path} is a database of another program, not a ledger: name another file")
    return False


def _retry_while_locked(step: Callable[[], object]) -> None:
    """Repeats a step for which SQLite does not wait by itself, such as the change of the journal."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            step()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


_DATABASES: Final[WeakSet[Database]] = WeakSet()
_fork_lock: Final = RLock()
_locked: Final[list[Database]] = []


def _databases() -> list[Database]:
    """Returns all, those that write last: a connection that only reads leaves the log behind when it is the last to close."""
    return sorted(_DATABASES, key=lambda database: not database.read_only)


def _before_fork() -> None:
    _fork_lock.acquire()
    for database in _databases():
        database.lock.acquire()
        _locked.append(database)
        database.close()


def _after_fork() -> None:
    while _locked:
        _locked.pop().lock.release()
    _fork_lock.release()


def _close_all() -> None:
    """Leaves one file at the end of the program: whoever copies it without its log would lose rows."""
    for database in _databases():
        with suppress(sqlite3.Error, OSError):
            database.close()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
