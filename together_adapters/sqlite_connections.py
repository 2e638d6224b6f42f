"""Connections to SQLite databases, for one thread at a time, of which each statement is a transaction."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path


class _Connection(sqlite3.Connection):
    """A connection that closes when nobody has it any longer; Python 3.13 warns of one that is just left."""

    def __del__(self) -> None:
        with suppress(sqlite3.Error):  # it could not be opened
            self.close()


def connect(address: str | Path, *, timeout: float) -> sqlite3.Connection:
    """Opens a database.

    Args:
        address: An absolute path, a URI that begins with `file:`, or `:memory:`.
        timeout: The seconds to wait for others that have locked it.
    """
    return sqlite3.connect(address, uri=True, timeout=timeout, check_same_thread=False, isolation_level=None, factory=_Connection)


def connect_reader(path: Path, *, timeout: float) -> sqlite3.Connection:
    """Opens a database to which nothing is written; it leaves no files beside it, unless a log was there.

    SQLite makes a log and an index for each reader, and a connection that may only read cannot remove them. One that may write does, but
    it would also move the rows of a log, which a program that was killed has left, into the database: then it is one that may only read.
    """
    log = path.with_name(f"{path.name}-wal")
    has_rows = log.exists() and log.stat().st_size > 0
    connection = connect(f"{path.as_uri()}?mode={'ro' if has_rows else 'rw'}", timeout=timeout)
    connection.execute("PRAGMA query_only = 1")
    return connection
