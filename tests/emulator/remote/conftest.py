"""An engine that answers what a test says: no model, but the forms, failures and silences of real servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

MODEL = "openai/gpt-oss-120b"
HELLO = [{"role": "user", "content": "Say hello."}]
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}


def completion(content: str = "Hello.", **message: Any) -> dict[str, Any]:
    """A chat completion of a typical server."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content, **message}}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "tiny", "choices": [choice], "usage": USAGE}


def chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a stream."""
    return {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


class ScriptedEngine:
    """The server. `answers` are used in their order; the last stays. `requests` has path, headers and body of those with one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.models: Any = ["tiny"]
        self.owner = "llamacpp"
        self.answers: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.closed = threading.Event()  # the client has left a stream that does not end

    def answer(self, *answers: Any, status: int = 200) -> None:
        """Says what to answer: JSON, bytes that are text, or a list of events, of which a string is a line as it is."""
        self.answers += [(status, answer) for answer in answers]


class _Handler(BaseHTTPRequestHandler):
    engine: ScriptedEngine

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        models = self.engine.models
        data = [{"id": name, "owned_by": self.engine.owner} for name in models or ()]
        self._send(404 if models is None else 200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.engine.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        answers = self.engine.answers
        status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self._stream(answer) if isinstance(answer, list) else self._send(status, answer)

    def _send(self, status: int, answer: Any) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "text/html" if isinstance(answer, bytes) else "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, events: list[Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in events:
            if event is Ellipsis:  # says nothing more, until the client leaves
                self.connection.recv(1)
                self.engine.closed.set()
                return
            line = event if isinstance(event, str) else f"data: {json.dumps(event)}"
            self.wfile.write(f"{line}\n\n".encode())


@contextmanager
def scripted_engine() -> Iterator[ScriptedEngine]:
    handler: Any = type("Handler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        handler.engine = engine = ScriptedEngine(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with scripted_engine() as engine:
        yield engine
