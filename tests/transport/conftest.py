"""What the transport's scenarios share."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import anyio
import pytest


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff of a millisecond, where a test is about what is repeated and not about when."""
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the drivers, in seconds, which take no time."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("together_adapters.transport.sync_driver.time", SimpleNamespace(**{**vars(time), "sleep": pauses.append}))
    monkeypatch.setattr("together_adapters.transport.async_driver.anyio", _AnyioWithSleep(sleep))
    return pauses


class _AnyioWithSleep:
    """The module `anyio` with another function `sleep`."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.sleep = sleep

    def __getattr__(self, name: str) -> object:
        return getattr(anyio, name)


def in_flight(client: Any) -> int:
    """The requests of a client that hold a connection, whatever its transport."""
    connections = client._driver.connections
    clients = [pool[0] for pool in connections._pools.values()] if hasattr(connections, "_pools") else [connections.client]
    count = 0
    for http in clients:
        if hasattr(http, "pending"):
            count += len(http.pending) + len(http.bodies)
        else:
            count += sum(shard.in_use for shard in http._transport._routes._direct.all)
    return count


Answer = bytes | Callable[[socket.socket], None]


class RawServer:
    """A server that answers each request with bytes, or as a function pleases, and closes the connection afterwards if told to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/gateway"
        self.requests: list[bytes] = []
        self.answers: list[Answer] = []  # in turn; the last one is repeated
        self.close_after = True
        self.stopped = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, *answers: Answer, close: bool = True) -> RawServer:
        self.answers, self.close_after = list(answers), close
        return self

    def stop(self) -> None:
        self.stopped.set()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while request := _read_request(connection):
                self.requests.append(request)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    connection.sendall(answer)
                else:
                    answer(connection)
                if self.close_after:
                    return

    def hang(self, connection: socket.socket) -> None:
        """An answer that never comes."""
        self.stopped.wait(60)

    def drip(self, head: bytes, part: bytes, seconds: float = 0.02) -> Answer:
        """An answer that begins and then repeats a part without end."""

        def send(connection: socket.socket) -> None:
            connection.sendall(head)
            while not self.stopped.wait(seconds):
                connection.sendall(part)

        return send


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (read := connection.recv(65536)):
            return b""
        data += read
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    while len(body) < (int(length[1]) if length else 0) and (read := connection.recv(65536)):
        body += read
    return head + b"\r\n\r\n" + body


@pytest.fixture
def raw_server(http_library: Any) -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.stop()
