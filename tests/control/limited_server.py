"""A small HTTP server with the limits of a `Service`, which knows nothing of the emulator."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.control.limited_service import Service

MODEL = "openai/gpt-oss-120b"
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Name one prime number."}], "max_tokens": 40}
TOKENS = 50  # that each request uses


class LimitedServer:
    """Answers chats and embeddings after some seconds.

    Attributes:
        base_url: For clients.
        log: A time and a status for each request that arrived.
        latency: Seconds until an answer.
        peak: The most requests that were in progress at once.
    """

    def __init__(self, service: Service, latency: float) -> None:
        self.service = service
        self.latency = latency
        self.base_url = ""
        self.log: list[tuple[float, int]] = []
        self.peak = 0
        self.start = time.monotonic()

    def refused_share(self, warm_up: float = 0.0) -> float:
        """Returns the share of the requests that were refused, of those after the first seconds."""
        statuses = [status for at, status in self.log if at >= warm_up]
        return statuses.count(429) / max(len(statuses), 1)

    def accepted(self, warm_up: float = 0.0) -> int:
        return sum(1 for at, status in self.log if status == 200 and at >= warm_up)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
                body = json.loads(await reader.readexactly(length))
                await self._answer(path, body, reader, writer)
                await writer.drain()
        writer.close()

    async def _answer(self, path: str, body: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic() - self.start
        refusal = self.service.refusal(TOKENS, now)
        self.log.append((now, 429 if refusal else 200))
        if refusal:
            writer.write(_response(429, dict(refusal.headers), {"error": refusal.error or {"message": "slow down"}}))
            return
        self.peak = max(self.peak, self.service.in_progress)
        headers = self.service.success_headers(now)
        try:
            if body.get("stream"):
                await self._stream(headers, writer)
            else:
                await asyncio.sleep(self.latency)
        finally:
            self.service.in_progress -= 1
        if not body.get("stream"):
            writer.write(_response(200, headers, _embeddings(body) if path.endswith("embeddings") else _chat("7", "message")))

    async def _stream(self, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(_head(200, headers | {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        for number in range(10):
            await asyncio.sleep(self.latency / 10)
            writer.write(_chunk(b"data: " + json.dumps(_chat(f"{number} ", "delta", is_last=number == 9)).encode() + b"\n\n"))
            await writer.drain()
        writer.write(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


@contextmanager
def serve_limited(service: Service, *, latency: float = 0.05) -> Iterator[LimitedServer]:
    """Runs a server in a thread."""
    server = LimitedServer(service, latency)
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1000))
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.run_until_complete(_cancel_all())
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _chat(text: str, part: str, *, is_last: bool = True) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop" if is_last else None, part: {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 10, "completion_tokens": TOKENS - 10, "total_tokens": TOKENS} if is_last else None
    kind = "chat.completion" if part == "message" else "chat.completion.chunk"
    return {"id": "1", "object": kind, "created": 1, "model": MODEL, "choices": [choice], "usage": usage}


def _embeddings(body: Any) -> dict[str, Any]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    data = [{"object": "embedding", "index": index, "embedding": [0.6, 0.8]} for index, _ in enumerate(texts)]
    usage = {"prompt_tokens": TOKENS, "total_tokens": TOKENS}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} .", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


def _response(status: int, headers: dict[str, str], body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    return _head(status, headers | {"content-type": "application/json", "content-length": str(len(content))}) + content


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
