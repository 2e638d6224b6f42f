"""Where processes keep what they share: a row of an SQLite file, or a hash of Redis. What was read is written only if nobody was faster."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from together_adapters._lazy import require
from together_adapters.control.settings import location
from together_adapters.control.share.state import SharedState
from together_adapters.errors import ConfigurationError
from together_adapters.sqlite_connections import connect
from together_adapters.transport.redaction import redactor, secrets_of_url

APPLICATION_ID: Final = 0x546F6753  # "TogS"
_VERSION: Final = 1  # of the layout
_SECONDS: Final = 5.0  # for which a store may be locked, or silent
_EXPIRY: Final = 3_600_000  # milliseconds after which Redis forgets what nobody uses
_MAX_PAUSE: Final = 0.01
_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_WRITE: Final = """
if (redis.call('hget', KEYS[1], 'revision') or '0') ~= ARGV[1] then return 0 end
redis.call('hset', KEYS[1], 'revision', ARGV[2], 'state', ARGV[3])
redis.call('pexpire', KEYS[1], ARGV[4])
return 1
"""

T = TypeVar("T")


class Store(Protocol):
    """A text with a revision. All methods raise OSError if the store fails."""

    def read(self) -> tuple[float, int, bytes | None]:
        """Returns the time of the clock that all share, the revision and the text."""
        ...

    def write(self, revision: int, text: bytes) -> bool:
        """Replaces the text unless it has another revision by now."""
        ...

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""


def store_of(share: str | os.PathLike[str]) -> Store:
    """Returns the store that an argument `share` names, which can be read and written."""
    text = location("share", share, "the path of a file or a URL such as redis://host:6379")
    scheme, separator, _ = text.partition("://")
    if separator and not text.startswith(_SCHEMES):
        raise ConfigurationError(f"share= knows paths and the URLs {', '.join(_SCHEMES)}, not {scheme}://")
    store = RedisStore(text) if separator else SQLiteStore(Path(text))
    try:
        transact(store, lambda state: setattr(state, "is_changed", True))  # it can be written, too
    except OSError as error:
        raise ConfigurationError(f"share= cannot be used: {error}") from error
    return store


def transact(store: Store, change: Callable[[SharedState], T]) -> T:
    """Performs a change of the state, again if another process was faster."""
    pause = 0.0
    while True:
        now, revision, text = store.read()
        state = SharedState(text, now)
        result = change(state)
        if not state.is_changed or store.write(revision, state.to_json()):
            return result
        time.sleep(pause)
        pause = min(2 * pause + 0.0005, _MAX_PAUSE)


class SQLiteStore:
    """A file with one row. Deleted or replaced, it starts anew, for all who use it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        with _fork_lock:
            _STORES.add(self)

    def read(self) -> tuple[float, int, bytes | None]:
        with _fork_lock:
            revision, text = self._run("SELECT revision, state FROM share").fetchone()
        return time.time(), revision, text

    def write(self, revision: int, text: bytes) -> bool:
        with _fork_lock:
            statement = "UPDATE share SET revision = revision + 1, state = ? WHERE revision = ?"
            return self._run(statement, text, revision).rowcount == 1

    def close(self) -> None:
        with _fork_lock:
            self.disconnect()

    def disconnect(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _run(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
        try:
            if self._connection is None or self._is_moved():
                self.disconnect()
                self._connection = self._open()
            return self._connection.execute(statement, parameters)
        except sqlite3.Error as error:
            self.disconnect()
            raise OSError(f"{self.path} cannot be read or written: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = connect(self.path, timeout=_SECONDS)
        try:
            self._prepare(connection)
            status = os.stat(self.path)
        except BaseException:
            connection.close()
            raise
        self._identity = status.st_dev, status.st_ino
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = OFF")  # after a crash of the machine, nothing is in flight
        if _pragma(connection, "application_id") != APPLICATION_ID:
            connection.execute("BEGIN IMMEDIATE")  # another process may be at it
            if _pragma(connection, "application_id") != APPLICATION_ID:
                if connection.execute("SELECT 1 FROM sqlite_master").fetchone() or _pragma(connection, "user_version"):
                    raise ConfigurationError(
                        f"{self.path} is a database of something else, not of shared limits: name another file"
                    )
                connection.execute("CREATE TABLE share (revision INTEGER NOT NULL, state BLOB)")
                connection.execute("INSERT INTO share VALUES (0, NULL)")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
        if _pragma(connection, "user_version") != _VERSION:
            raise ConfigurationError(f"{self.path} belongs to another version of together-adapters: name another file")
        connection.execute("PRAGMA journal_mode = TRUNCATE")

    def _is_moved(self) -> bool:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            return True
        return (status.st_dev, status.st_ino) != self._identity


class RedisStore:
    """A hash of Redis. Two groups of processes may share one database: `redis://host#name` has a hash of its own for each name."""

    def __init__(self, url: str) -> None:
        require(f"share={url.partition('://')[0]}://", "control", "redis")
        import redis

        url, _, name = url.partition("#")
        self._hide = redactor(tuple(secrets_of_url(url)))
        self._error = redis.RedisError
        self._key = f"together-adapters:share:{_VERSION}:{name}"
        try:
            options = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
            self._client: Any = redis.Redis.from_url(url, **options)
            self._write = self._client.register_script(_WRITE)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"share= is no URL of Redis: {self._hide(str(error))}") from None

    def read(self) -> tuple[float, int, bytes | None]:
        def query() -> tuple[float, int, bytes | None]:
            pipeline = self._client.pipeline(transaction=False)
            (seconds, microseconds), (revision, text) = pipeline.time().hmget(self._key, "revision", "state").execute()
            return seconds + microseconds / 1e6, int(revision or 0), text

        return self._run(query)

    def write(self, revision: int, text: bytes) -> bool:
        return self._run(lambda: bool(self._write(keys=[self._key], args=[revision, revision + 1, text, _EXPIRY])))

    def close(self) -> None:
        with suppress(self._error, OSError):
            self._client.close()

    def _run(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except self._error as error:
            raise OSError(f"Redis failed: {self._hide(str(error))}") from None


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


_STORES: Final[WeakSet[SQLiteStore]] = WeakSet()
_fork_lock: Final = threading.RLock()
"""Held while SQLite is at work: a fork in the middle of it would leave its locks held in the child."""


def _before_fork() -> None:
    _fork_lock.acquire()
    for store in [*_STORES]:
        store.disconnect()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_fork_lock.release, after_in_child=_fork_lock.release)
