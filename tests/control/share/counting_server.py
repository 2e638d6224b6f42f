"""A server that answers chats after some seconds, and counts: what arrived when, and how many were in progress at once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MODEL = "openai/gpt-oss-120b"
TOKENS = 50  # that each request uses
_CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "7"}}
_USAGE = {"prompt_tokens": 10, "completion_tokens": TOKENS - 10, "total_tokens": TOKENS}
_ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [_CHOICE], "usage": _USAGE}


class CountingServer:
    """Attributes are what was counted; `refusals` is how many are answered by a 429 that names a second to wait."""

    def __init__(self, seconds: float) -> None:
        self.base_url = ""
        self.seconds = seconds
        self.arrivals: list[tuple[float, str]] = []  # monotonic times, with the names of the processes
        self.refusals = 0
        self.in_progress = self.peak = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if head.startswith("GET"):  # a list, which is free
                    writer.write(_response(200, b"[]"))
                    continue
                length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
                body = json.loads(await reader.readexactly(length))
                self.arrivals.append((time.monotonic(), body["messages"][0]["content"]))
                self.in_progress += 1
                self.peak = max(self.peak, self.in_progress)
                try:
                    await asyncio.sleep(self.seconds)
                finally:
                    self.in_progress -= 1
                writer.write(_response(429 if self.refusals else 200, json.dumps(_ANSWER).encode()))
                self.refusals = max(self.refusals - 1, 0)
                await writer.drain()
        writer.close()


def _response(status: int, content: bytes) -> bytes:
    """Returns a response; every refusal names a second to wait."""
    head = f"HTTP/1.1 {status} .\r\nretry-after: 1\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


@contextmanager
def serve_counting(seconds: float = 0.0) -> Iterator[CountingServer]:
    """Runs a server in a thread."""
    server = CountingServer(seconds)
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
