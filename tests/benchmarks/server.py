"""A server whose answers are bytes made beforehand, in a process of its own, so that its CPU does not count.

The first segment of the path chooses the answer, so that a client chooses it by its base URL. Not the emulator: that one
thinks, and a benchmark on two cores would measure its thinking. `python -m tests.benchmarks.server` prints its port and
serves until its input closes.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from tests.benchmarks import payloads

PACE: Final = 0.0004
SLOW: Final = 0.05
READ: Final = 16 * 1024
ROOT: Final = Path(__file__).parents[2]

Reply = list[bytes]
"""The writes that make up an answer; of a paced one, each waits its turn."""


def whole(body: bytes, status: str = "200 OK", content_type: str = "application/json", **headers: str) -> Reply:
    """Return an answer of known length."""
    return [_head(status, {"content-type": content_type, "content-length": str(len(body)), **headers}) + body]


def stream(count: int) -> list[bytes]:
    """Return head and events of a streamed answer: one HTTP chunk for each event, as the service sends them."""
    head = _head("200 OK", {"content-type": "text/event-stream;charset=utf-8", "transfer-encoding": "chunked"})
    events = payloads.events(count)
    return [head, *(b"%x\r\n%b\r\n" % (len(event), event) for event in events[:-1]), b"%x\r\n%b\r\n0\r\n\r\n" % (len(events[-1]), events[-1])]


def coalesced(parts: list[bytes]) -> Reply:
    """Return the same bytes in writes of 16 KB."""
    joined = b"".join(parts)
    return [joined[begin : begin + READ] for begin in range(0, len(joined), READ)]


def _head(status: str, headers: dict[str, str]) -> bytes:
    given = {**payloads.HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


class Replies:
    """The answers, and how many were asked for."""

    def __init__(self) -> None:
        small = whole(payloads.chat_reply(1_000))
        limited = whole(b'{"error":{"message":"slow down"}}', "429 Too Many Requests", retry_after_ms="1")
        rows = payloads.embedding_rows(256, 64)
        self.served = 0
        self._retried = False
        self._limited, self._small = limited, small
        self._fixed: dict[bytes, Reply] = {
            b"small": small,
            b"slow": small,
            b"large": whole(payloads.chat_reply(100_000)),
            b"coalesced": coalesced(stream(payloads.CHUNKS)),
            b"paced": stream(payloads.PACED_CHUNKS),
            b"vectors": whole(payloads.embedding_reply(payloads.embedding_rows(256, 1024))),
            b"rerank": whole(payloads.rerank_reply()),
        }

        @cache
        def embedded(count: int) -> Reply:
            return whole(payloads.embedding_reply(rows[:count]))

        self._embedded: Callable[[int], Reply] = embedded

    def of(self, name: bytes, body: bytes) -> Reply:
        """Return the answer that a path asks for."""
        if name == b"count":
            return whole(str(self.served).encode())
        self.served += 1
        if name == b"documents":
            return self._embedded(body.count(payloads.DOCUMENT_MARK.encode()))
        if name == b"retry":
            self._retried = not self._retried
            return self._limited if self._retried else self._small
        return self._fixed[name]


class Connection(asyncio.Protocol):
    """Reads just enough of a request to know where it ends."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            _, marked, rest = head.partition(b"content-length:")
            size = int(rest.partition(b"\r")[0]) if marked else 0
            if len(self._received) < end + 4 + size:
                return
            body = self._received[end + 4 : end + 4 + size]
            self._received = self._received[end + 4 + size :]
            self._answer(head.split(b"/", 2)[1].split(b" ")[0], body)

    def _answer(self, name: bytes, body: bytes) -> None:
        reply = self._replies.of(name, body)
        if name == b"paced":
            self._pace(iter(reply))
        elif name == b"slow":
            asyncio.get_running_loop().call_later(SLOW, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: Reply) -> None:
        if self._transport is not None:
            for part in reply:
                self._transport.write(part)

    def _pace(self, parts: Iterator[bytes]) -> None:
        part = next(parts, None)
        if part is not None and self._transport is not None:
            self._transport.write(part)
            asyncio.get_running_loop().call_later(PACE, self._pace, parts)


async def _serve() -> None:
    replies = Replies()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(replies), "127.0.0.1", 0, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


def _loop() -> asyncio.AbstractEventLoop:
    # select() takes microseconds, where epoll rounds a pause of 0.4 ms up to 1 ms.
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Server:
    """The running server: a base URL for each answer, and the count of requests."""

    def __init__(self, port: int) -> None:
        self._port = port

    def url(self, answer: str) -> str:
        """Return the base URL, with its version, that is answered so."""
        return f"http://127.0.0.1:{self._port}/{answer}/v1"

    def served(self) -> int:
        """Return how many requests were answered so far."""
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("GET", "/count")
        count = int(connection.getresponse().read())
        connection.close()
        return count


@contextmanager
def running() -> Iterator[Server]:
    """Run a server for the length of a block."""
    command = [sys.executable, "-m", f"{__package__}.server"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.stdin.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_serve())
