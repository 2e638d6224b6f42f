"""A server whose answers are bytes made beforehand, in a process of its own, so that its CPU does not count.

The first segment of the path chooses the answer, so that a client chooses it by its base URL. Not the emulator: that one
thinks, and a benchmark on two cores would measure its thinking. `python -m tests.benchmarks.server` prints its port and
serves until its input closes.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.client import HTTPConnection
from typing import Final

from tests.benchmarks import payloads
from tests.server_process import server_process

PACE: Final = 0.0004
SLOW: Final = 0.05
MANY: Final = "--many"
READ: Final = 16 * 1024

Reply = list[bytes]
"""The writes that make up an answer; of a paced one, each waits its turn."""


def whole(body: bytes, status: str = "200 OK", content_type: str = "application/json", **headers: str) -> Reply:
    """Return an answer of known length."""
    return [_head(status, {"content-type": content_type, "content-length": str(len(body)), **headers}) + body]


def stream(count: int) -> list[bytes]:
    """Return head and events of a streamed answer: one HTTP chunk for each event, as the service sends them."""
    head = _head("200 OK", {"content-type": "text/event-stream;charset=utf-8", "transfer-encoding": "chunked"})
    events = payloads.events(count)
    return [
        head,
        *(b"%x\r\n%b\r\n" % (len(event), event) for event in events[:-1]),
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(events[-1]), events[-1]),
    ]


def coalesced(parts: list[bytes]) -> Reply:
    """Return the same bytes in writes of 16 KB."""
    joined = b"".join(parts)
    return [joined[begin : begin + READ] for begin in range(0, len(joined), READ)]


def _head(status: str, headers: dict[str, str]) -> bytes:
    fields = {**payloads.HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


class Replies:
    """The answers, each made when it is first asked for, and how many requests there were."""

    def __init__(self) -> None:
        self.served = 0
        self._limited = False

    def of(self, name: str, body: bytes) -> Reply:
        """Return the answer that a path asks for."""
        if name == "count":
            return whole(str(self.served).encode())
        self.served += 1
        if name == "documents":
            return _embedded(body.count(payloads.DOCUMENT_MARK.encode()))
        if name == "retry":
            self._limited = not self._limited
            return _reply("limited" if self._limited else "small")
        return _reply(name)


@cache
def _reply(name: str) -> Reply:
    match name:
        case "small" | "slow":
            return whole(payloads.chat_reply(1_000))
        case "limits":
            return whole(payloads.chat_reply(1_000), **payloads.RATE_HEADERS)
        case "large":
            return whole(payloads.chat_reply(100_000))
        case "limited":
            return whole(b'{"error":{"message":"slow down"}}', "429 Too Many Requests", retry_after_ms="1")
        case "coalesced":
            return coalesced(stream(payloads.CHUNKS))
        case "paced":
            return stream(payloads.PACED_CHUNKS)
        case "vectors":
            return whole(payloads.embedding_reply(payloads.embedding_rows(256, 1024)))
        case "base64":
            return whole(payloads.embedding_reply(payloads.embedding_rows(256, 1024, as_base64=True)))
        case "rerank":
            return whole(payloads.rerank_reply())
    raise ValueError(f"no answer is called {name!r}")


@cache
def _embedded(count: int) -> Reply:
    return whole(payloads.embedding_reply(_rows()[:count]))


@cache
def _rows() -> list[bytes]:
    return payloads.embedding_rows(256, 64)


class Connection(asyncio.Protocol):
    """Reads just enough of a request to know where it ends."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, separator, rest = head.partition(b"content-length:")
            size = int(rest.partition(b"\r")[0]) if separator else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._answer(head.split(b"/", 2)[1].split(b" ")[0].decode(), body)

    def _answer(self, name: str, body: bytes) -> None:
        reply = self._replies.of(name, body)
        if name == "paced":
            self._pace(iter(reply))
        elif name == "slow":
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
    # select() takes microseconds, where epoll rounds a pause of 0.4 ms up to 1 ms. It has room for 1,024 connections.
    return asyncio.SelectorEventLoop(selectors.DefaultSelector() if MANY in sys.argv else selectors.SelectSelector())


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
def running(*options: str) -> Iterator[Server]:
    """Run a server for the length of a block; `MANY` is for more than 1,000 connections, and paced answers are slower then."""
    with server_process(f"{__package__}.server", *options) as line:
        yield Server(int(line))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=_loop) as runner:
        runner.run(_serve())
