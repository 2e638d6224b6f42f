"""The server: sockets of its own, so that it can break HTTP in any way. `python -m tests.soak.server` prints its ports.

It counts the requests of each call, and those that it dropped before any byte of an answer on a connection that had served before.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from tests.server_process import server_process
from tests.soak.faults import End, Reply, Request, http, right
from tests.soak.kinds import KINDS

_BY_NAME: Final = {kind.name: kind for kind in KINDS}


class Counts:
    """The requests of each call."""

    def __init__(self) -> None:
        self.received: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()  # before any byte of an answer, on a connection that had served before

    def take(self) -> bytes:
        """Returns the counts so far, and starts again."""
        counts = json.dumps({"received": self.received, "dropped": self.dropped}).encode()
        self.received.clear()
        self.dropped.clear()
        return counts


class Connection(asyncio.Protocol):
    """Reads requests, and performs what their kinds say."""

    def __init__(self, counts: Counts, port: int) -> None:
        self._counts = counts
        self._port = port
        self._buffer = b""
        self._served = 0
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._task and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            size = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            method, path, _ = lines[0].split(" ")
            self._answer(method, path, headers, body)

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        call, _, path = path.removeprefix("/").partition("/")
        if call == "counts":
            self._transport.write(http(self._counts.take()))
            return
        name, number, _flavour, faults = call.split(".")
        counts = self._counts
        counts.received[call] += 1
        self._served += 1
        attempt = counts.received[call] - counts.dropped[call]
        url = f"http://127.0.0.1:{self._port}/{call}"
        request = Request(method, f"/{path}", headers, body, int(number), attempt, url, Random(f"{name}.{number}.{attempt}"))
        reply = _BY_NAME[name].fault(request) if attempt <= int(faults) else right(request)
        if self._served > 1 and reply[-1] in (End.CLOSE, End.RESET) and not any(isinstance(step, bytes) for step in reply):
            counts.dropped[call] += 1
        if len(reply) == 1 and isinstance(reply[0], bytes):
            self._transport.write(reply[0])
        else:
            self._task = asyncio.create_task(self._perform(reply))

    async def _perform(self, reply: Reply) -> None:
        for step in reply:
            match step:
                case bytes():
                    self._transport.write(step)
                case End.CLOSE:
                    self._transport.close()
                case End.RESET:
                    reset(self._transport)
                case End.HANG:
                    await asyncio.Event().wait()
                case seconds:
                    await asyncio.sleep(seconds)
        self._task = None
        if self._buffer and not self._transport.is_closing():
            self.data_received(b"")


class Refusal(asyncio.Protocol):
    """Ends a connection as soon as it is there."""

    def __init__(self, is_reset: bool) -> None:
        self._is_reset = is_reset

    def connection_made(self, transport: Any) -> None:
        if self._is_reset:
            reset(transport)
        else:
            transport.close()


def reset(transport: Any) -> None:
    """Closes a connection with RST."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    counts = Counts()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, socket.socket() as refusing:
        port = listener.getsockname()[1]
        refusing.bind(("127.0.0.1", 0))  # but does not listen
        await loop.create_server(lambda: Connection(counts, port), sock=listener)
        resetting = await loop.create_server(lambda: Refusal(True), "127.0.0.1", 0, backlog=1024)
        closing = await loop.create_server(lambda: Refusal(False), "127.0.0.1", 0, backlog=1024)
        ports = {
            "port": port,
            "refused": refusing.getsockname()[1],
            "reset": resetting.sockets[0].getsockname()[1],
            "closed": closing.sockets[0].getsockname()[1],
        }
        print(json.dumps(ports), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


class Server(SimpleNamespace):
    """The running server, with its ports."""

    def take_counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Returns the requests of each call, and those of them that were dropped, since the last time."""
        connection = HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/counts")
        counts = json.loads(connection.getresponse().read())
        connection.close()
        return counts["received"], counts["dropped"]


@contextmanager
def running() -> Iterator[Server]:
    """Runs a server for the length of a block."""
    with server_process(f"{__package__}.server") as line:
        yield Server(**json.loads(line))


if __name__ == "__main__":
    asyncio.run(_serve())
