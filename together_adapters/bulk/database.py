"""The SQLite file of a checkpoint: one process at a time, every step a transaction, failures as plain errors."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, Final

from together_adapters.control.database import ERROR_NUMBERS
from together_adapters.errors import ConfigurationError
from together_adapters.sqlite_connections import connect, connect_reader

APPLICATION_ID: Final = 0x546F6742  # "TogB"
VERSION: Final = 3
_OLDEST: Final = 2  # which has no numbers that are packed as a span
SCHEMA: Final = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE requests (  -- files of requests
    file INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    size INTEGER NOT NULL,
    numbers BLOB NOT NULL,   -- of its requests, as `request_files.pack` writes them
    ids BLOB NOT NULL        -- of its requests, made of their content
);
CREATE TABLE run (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    inputs BLOB NOT NULL,    -- the number of the request of each input, packed
    ended INTEGER NOT NULL   -- whether the run came to its end
);
CREATE TABLE shards (
    number INTEGER PRIMARY KEY,
    round INTEGER NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL,  -- written, uploading, uploaded, creating, created, answered, read
    numbers BLOB NOT NULL,
    name TEXT NOT NULL,   -- of its file
    file_id TEXT,
    batch_id TEXT,
    others TEXT NOT NULL DEFAULT '[]',  -- jobs of the same file from before
    since REAL,           -- when its job began to be created, in seconds since 1970
    status TEXT,          -- of the job that has ended
    tokens TEXT           -- of its answers
);
CREATE TABLE answers (   -- files of answers
    file INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    shard INTEGER,           -- NULL for requests that were sent one by one
    size INTEGER             -- NULL for a file that grows
);
CREATE TABLE vectors (id BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
"""

_WORK: Final = (
    "SELECT 1 FROM shards WHERE since IS NOT NULL UNION ALL SELECT 1 FROM answers UNION ALL SELECT 1 FROM vectors LIMIT 1"
)
_SENT: Final = "SELECT 1 FROM shards WHERE state != 'written' LIMIT 1"


class Database:
    """The file of a checkpoint with its tables, for any thread, one at a time.

    Args:
        path: The file, which is created if it is missing; None for one in a temporary folder, which `close` removes.
        read_only: Opens a file that exists, also beside the process that writes to it.

    Raises:
        ConfigurationError: The file is no checkpoint, is damaged, or another process uses it.
        OSError: The file cannot be read, created or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, read_only: bool = False) -> None:
        self.is_temporary = path is None
        folder = Path(tempfile.mkdtemp(prefix="together-bulk-")) if path is None else None
        self.path = folder / "checkpoint.sqlite" if folder else Path(os.path.abspath(path or ""))
        self.folder = self.path.with_name(self.path.name + "-files")  # of requests and answers
        self.lock = RLock()
        self._process_lock: Any = None
        self._connection: sqlite3.Connection | None = None
        self._depth = 0
        if not read_only:
            self._process_lock = _acquire(self.path)
        try:
            self._connection = self._open(read_only=read_only)
        except BaseException:
            self.release()
            raise

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement and returns its rows."""
        with self._access() as connection:
            return connection.execute(statement, parameters).fetchall()

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Runs a statement for each row of parameters."""
        with self._access() as connection:
            connection.executemany(statement, rows)

    def pages(self, statement: str, parameters: Sequence[Any] = (), size: int = 1_000) -> Iterator[list[tuple[Any, ...]]]:
        """Yields the rows of a statement, some at a time. The file must not be written to meanwhile."""
        with self._access() as connection:
            cursor = connection.execute(statement, parameters)
            while page := cursor.fetchmany(size):
                yield page

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements of a block are kept, or none of them."""
        with self._access() as connection:
            if self._depth == 0:
                connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    with suppress(sqlite3.Error):  # SQLite has rolled back by itself, as when the disk is full
                        connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if self._depth == 0:
                connection.execute("COMMIT")

    def bind(self, settings: Mapping[str, str]) -> None:
        """Notes what a new checkpoint is for; one that is for something else is a ConfigurationError."""
        with self.transaction():
            previous = dict(self.run("SELECT name, value FROM settings"))
            if not previous:
                self.run_many("INSERT INTO settings VALUES (?, ?)", settings.items())
                return
        for name, value in settings.items():
            if previous.get(name) != value:
                raise ConfigurationError(
                    f"{self.path} is the checkpoint of a run with {name} {previous.get(name)!r}, not {value!r}: "
                    "name another checkpoint for another run"
                )

    def release(self) -> None:
        """Lets other processes continue the run. The file can still be read."""
        lock, self._process_lock = self._process_lock, None
        if lock is not None:
            lock.release()

    def has_work(self) -> bool:
        """Whether there are answers, vectors, or jobs that were started."""
        return bool(self.run(_WORK))

    def close(self) -> None:
        """Closes the file, and removes a temporary one."""
        self._disconnect()
        self.release()
        if self.is_temporary:
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def give_up(self) -> None:
        """Closes the file of a run that failed, and removes it if nothing was sent."""
        is_empty = False
        with suppress(ConfigurationError, OSError):
            is_empty = not self.has_work() and not self.run(_SENT)
        self._disconnect()
        if is_empty:
            remove_checkpoint(self.path)
        self.close()

    def keep(self) -> None:
        """Keeps a temporary file, because there are jobs in it that are paid for."""
        self.is_temporary = False

    def _disconnect(self) -> None:
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()

    def __del__(self) -> None:
        if "lock" in self.__dict__:
            self.close()

    @contextmanager
    def _access(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            if self._connection is None:
                raise ConfigurationError(f"{self.path} is closed")
            try:
                yield self._connection
            except sqlite3.DatabaseError as error:
                raise _failure(error, self.path) from error

    def _open(self, *, read_only: bool) -> sqlite3.Connection:
        if self.path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is no checkpoint", str(self.path))
        if read_only and not self.path.exists():
            raise FileNotFoundError(errno.ENOENT, "there is no such checkpoint", str(self.path))
        try:
            connection = connect_reader(self.path, timeout=30.0) if read_only else connect(self.path.as_uri(), timeout=30.0)
            try:
                _prepare(connection, self.path, read_only=read_only)
            except BaseException:
                connection.close()
                raise
        except sqlite3.DatabaseError as error:
            raise _failure(error, self.path) from error
        return connection


def remove_checkpoint(path: Path) -> None:
    """Removes the files of a checkpoint."""
    for suffix in ("", "-wal", "-shm", ".lock"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink()
    shutil.rmtree(path.with_name(f"{path.name}-files"), ignore_errors=True)


def _acquire(path: Path) -> Any:
    """Returns the lock of a checkpoint, which ends with the process that holds it."""
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no folder for the checkpoint", str(path))
    lock = FileLock(f"{path}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigurationError(
            f"another run uses the checkpoint {path}: wait until it has ended, or name another checkpoint"
        ) from None
    return lock


def _prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Checks that a database is a checkpoint, which an empty one becomes."""
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -16000")  # KiB
    application, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    if application == APPLICATION_ID and version > VERSION:
        raise ConfigurationError(
            f"{path} was written by a newer version of together-adapters (layout {version}, this one reads {VERSION}): "
            "upgrade, or name another checkpoint"
        )
    if application == APPLICATION_ID and version < _OLDEST:
        raise ConfigurationError(f"{path} was written by an older version of together-adapters: name another checkpoint")
    if application == APPLICATION_ID:
        if (problem := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(problem)
        if version < VERSION and not read_only:
            connection.execute(f"PRAGMA user_version = {VERSION}")
        return
    if application or version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        raise ConfigurationError(f"{path} is a database of another program, not a checkpoint: name another file")
    if read_only:
        raise ConfigurationError(f"{path} is empty: it is not a checkpoint yet")
    connection.execute("PRAGMA journal_mode = WAL")
    script = f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    connection.executescript(script)


def _failure(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """Returns an error of SQLite as one that names the file and says what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in ERROR_NUMBERS or code == sqlite3.SQLITE_IOERR:
        return OSError(ERROR_NUMBERS.get(code, errno.EIO), f"the checkpoint cannot be read or written: {error}", str(path))
    return ConfigurationError(
        f"{path} is not a checkpoint, or it is damaged ({error}): restore a copy of it, or name another file. "
        "Jobs that were started are still in batches.list()"
    )
