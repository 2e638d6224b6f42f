"""A small scriptable server of the OpenAI-compatible API, which misbehaves exactly as a check requires.

It stands in for any provider: chat and plain completions, embeddings, rerank. Handlers produce the replies. It records requests,
connections, concurrency, and clients that disconnected.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from zlib import crc32

DIMENSIONS = 64


@dataclass(frozen=True)
class Request:
    """One request as it arrived. `connection` names the TCP connection it came on."""

    path: str
    headers: Mapping[str, str]
    json: dict[str, Any]
    connection: str

    @property
    def streams(self) -> bool:
        """Whether a stream is requested."""
        return bool(self.json.get("stream"))

    @property
    def last(self) -> str:
        """The text of the last message, or the prompt."""
        messages = self.json.get("messages")
        if not messages:
            return str(self.json.get("prompt", ""))
        content = messages[-1].get("content") or ""
        return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


@dataclass
class Reply:
    """One reply.

    Attributes:
        status: HTTP status.
        json: The body, unless it is a stream.
        events: The events of a stream: objects, or bytes that are sent as they are.
        headers: Further headers.
        delay: Seconds before the reply.
        pause: Seconds between events.
        done: Whether `[DONE]` ends the stream.
    """

    status: int = 200
    json: Any = None
    events: Iterable[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    pause: float = 0.0
    done: bool = True


Handler = Callable[[Request], Reply]


class WireServer:
    """The server, as a context manager; `url` is the base URL for clients.

    Attributes:
        requests: The requests, oldest first.
        most_in_flight: The maximum number of concurrent requests.
        hang_ups: Clients that disconnected before their reply was complete.
        handlers: The handlers, by the end of the path.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.max_in_flight = 0
        self.disconnects = 0
        self.handlers: dict[str, Handler] = {}
        self._queue: deque[Reply] = deque()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.wire = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self.reset()

    @property
    def url(self) -> str:
        """The base URL, with its version."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON bodies of the requests."""
        return [request.json for request in self.requests]

    @property
    def connections(self) -> int:
        """The number of TCP connections that requests came on."""
        return len({request.connection for request in self.requests})

    def count(self, path: str) -> int:
        """Return how many requests went to a path that ends so."""
        return sum(request.path.endswith(path) for request in self.requests)

    def reset(self) -> None:
        """Clear all records, and restore the default handlers."""
        with self._lock:
            self.requests = []
            self.max_in_flight = self.disconnects = 0
            self._queue.clear()
        self.handlers = {
            "/chat/completions": always("Hello world from the wire"),
            "/completions": _complete,
            "/embeddings": _embed,
            "/rerank": _rerank,
        }

    def script(self, *replies: Reply) -> None:
        """Set the replies to the next requests."""
        self._queue.extend(replies)

    def chat(self, handler: Handler) -> None:
        """Set the handler of chats."""
        self.handlers["/chat/completions"] = handler

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request."""
        with self._lock:
            self.requests.append(request)
            if self._queue:
                return self._queue.popleft()
        for path in sorted(self.handlers, key=len, reverse=True):
            if request.path.endswith(path):
                return self.handlers[path](request)
        return Reply(404, {"error": {"message": f"nothing at {request.path}", "type": "invalid_request_error"}})

    def count_in_flight(self, change: int) -> None:
        """Count the concurrent requests."""
        with self._lock:
            self._in_flight += change
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def together(self, count: int, handler: Handler) -> Handler:
        """Return a handler that replies only when so many requests have arrived; requests that come one after another fail."""
        barrier = threading.Barrier(count, timeout=30)

        def reply(request: Request) -> Reply:
            barrier.wait()
            return handler(request)

        return reply

    def wait_for_disconnect(self, seconds: float = 60.0) -> bool:
        """Return whether a client disconnects within some seconds."""
        end = time.monotonic() + seconds
        while self.disconnects == 0 and time.monotonic() < end:
            time.sleep(0.01)
        return self.disconnects > 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256
    wire: WireServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, _Http)
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.path, headers, body, f"{self.client_address[0]}:{self.client_address[1]}")
        server.wire.count_in_flight(1)
        try:
            reply = server.wire.answer(request)
            time.sleep(reply.delay)
        finally:
            server.wire.count_in_flight(-1)  # before the reply, after which a client may send the next request
        try:
            self._send(reply)
        except OSError:
            server.wire.disconnects += 1
            self.close_connection = True

    do_GET = do_POST

    def _send(self, reply: Reply) -> None:
        if reply.events is not None:
            return self._stream(reply)
        content = reply.json if isinstance(reply.json, bytes) else json.dumps(reply.json).encode()
        self._head(reply, "application/json", {"content-length": str(len(content))})
        self.wfile.write(content)

    def _stream(self, reply: Reply) -> None:
        self._head(reply, "text/event-stream", {"transfer-encoding": "chunked"})
        for event in reply.events or ():
            self._write_chunk(event if isinstance(event, bytes) else b"data: " + json.dumps(event).encode() + b"\n\n")
            time.sleep(reply.pause)
        if reply.done:
            self._write_chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _head(self, reply: Reply, kind: str, more: Mapping[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in {"content-type": kind, **more, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ENVELOPE = {"id": "chat-1", "created": 1_700_000_000, "model": "wire-model"}
Delta = dict[str, Any]


def call(name: str, arguments: str | None, number: int = 0) -> dict[str, Any]:
    """Return a tool call of a message that is not streamed."""
    return {"id": f"call_{number}", "type": "function", "index": number, "function": {"name": name, "arguments": arguments}}


def message_reply(message: Mapping[str, Any], *, finish: str = "stop", usage: Any = USAGE, **choice: Any) -> Reply:
    """Return a chat completion."""
    example_of = {"role": "assistant", "content": None, "tool_calls": [], **message}
    choice_fields = {"index": 0, "finish_reason": finish, "logprobs": None, **choice, "message": example_of}
    return Reply(json={**ENVELOPE, "object": "chat.completion", "choices": [choice_fields], "usage": usage})


def chunk(delta: Delta | None, *, finish: str | None = None, usage: Any = None, **choice: Any) -> dict[str, Any]:
    """Return one chunk of a stream; without a delta, one without choices."""
    choice_fields = {
        "index": 0,
        "finish_reason": finish,
        "logprobs": None,
        **choice,
        "delta": {"role": "assistant", **(delta or {})},
    }
    choices = [] if delta is None else [choice_fields]
    return {**ENVELOPE, "object": "chat.completion.chunk", "choices": choices, "usage": usage}


def stream_reply(deltas: Iterable[Delta], *, finish: str = "stop", usage: Any = USAGE, **reply: Any) -> Reply:
    """Return a streamed chat completion; usage is on the chunk with the finish reason."""
    last = chunk({"content": ""}, finish=finish, usage=usage)
    return Reply(events=[*(chunk(delta) for delta in deltas), last], **reply)


def words(text: str) -> list[str]:
    """Split a text into the words of a stream."""
    head, *tail = text.split(" ")
    return [head, *(f" {word}" for word in tail)]


def always(text: str, *, reasoning: str = "", calls: Sequence[dict[str, Any]] = ()) -> Handler:
    """Return a handler with a fixed reply, single or streamed as requested."""

    def handler(request: Request) -> Reply:
        return text_reply(request, text, reasoning=reasoning, calls=calls)

    return handler


def text_reply(request: Request, text: str, *, reasoning: str = "", calls: Sequence[dict[str, Any]] = ()) -> Reply:
    """Return a reply of text, reasoning and tool calls, single or streamed as requested."""
    finish = "tool_calls" if calls else "stop"
    if not request.streams:
        message: dict[str, Any] = {"content": text or None, "tool_calls": list(calls)}
        return message_reply(message | ({"reasoning": reasoning} if reasoning else {}), finish=finish)
    deltas: list[Delta] = [{"content": None, "reasoning": word} for word in words(reasoning)] if reasoning else []
    deltas += [{"content": word} for word in words(text)] if text else []
    deltas += [delta for each in calls for delta in fragments(each)]
    return stream_reply(deltas, finish=finish)


def fragments(whole_call: dict[str, Any], size: int = 5) -> list[Delta]:
    """Return the deltas of a tool call: id and name first, then its arguments in fragments."""
    function = whole_call["function"]
    arguments = function["arguments"] or ""
    head = {**whole_call, "function": {**function, "arguments": ""}}
    rest = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    deltas = [{"index": whole_call["index"], "function": {"arguments": part}} for part in rest]
    return [{"tool_calls": [part]} for part in (head, *deltas)]


def schema_reply(request: Request) -> Reply:
    """Reply with an object of the requested schema, with a call of the first tool, or else with text."""
    response_format = request.json.get("response_format") or {}
    if schema := (response_format.get("json_schema") or {}).get("schema") or response_format.get("schema"):
        return text_reply(request, json.dumps(example_of(schema)))
    tools = request.json.get("tools")
    if tools and request.json["messages"][-1]["role"] != "tool":
        function = tools[0]["function"]
        return text_reply(request, "", calls=[call(function["name"], json.dumps(example_of(function["parameters"])))])
    return text_reply(request, "Hello world from the wire")


def example_of(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """Return an example of a JSON schema."""
    root = schema if root is None else root
    if reference := schema.get("$ref"):
        return example_of(root["$defs"][reference.rsplit("/", 1)[-1]], root)
    if options := schema.get("enum"):
        return options[0]
    if choices := schema.get("anyOf") or schema.get("allOf"):
        return example_of(choices[0], root)
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: example_of(inner, root) for name, inner in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [example_of(schema.get("items") or {"type": "string"}, root)]
    return {"integer": 1, "number": 1.0, "boolean": True, "null": None}.get(kind, "filled")


def _complete(request: Request) -> Reply:
    text = " once upon a time"
    if not request.streams:
        choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
        return Reply(json={**ENVELOPE, "object": "text.completion", "choices": [choice], "usage": USAGE})
    events = [
        {**ENVELOPE, "choices": [{"index": 0, "text": word, "delta": {"content": word}, "finish_reason": None}], "usage": None}
        for word in words(text)
    ]
    last = {**ENVELOPE, "choices": [{"index": 0, "text": "", "finish_reason": "stop"}], "usage": USAGE}
    return Reply(events=[*events, last])


def vector(text: str) -> list[float]:
    """Return a stable embedding; texts that share words are close."""
    components = [0.01] * DIMENSIONS
    for word in text.lower().split():
        components[crc32(word.strip(".,?!:").encode()) % DIMENSIONS] += 1.0
    length = sum(value * value for value in components) ** 0.5
    return [round(value / length, 6) for value in components]


def _embed(request: Request) -> Reply:
    value = request.json["input"]
    texts = [value] if isinstance(value, str) else value
    vectors = [
        (vector(text) * 64)[: request.json.get("dimensions")] if "dimensions" in request.json else vector(text) for text in texts
    ]
    data = [{"object": "embedding", "index": index, "embedding": values} for index, values in enumerate(vectors)]
    return Reply(json={"object": "list", "model": "wire-model", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})


def _rerank(request: Request) -> Reply:
    query = set(request.json["query"].lower().split())
    documents = request.json["documents"]
    scores = [len(query & set(str(text).lower().split())) / (len(query) or 1) for text in documents]
    order = sorted(range(len(documents)), key=lambda index: -scores[index])[: request.json.get("top_n") or len(documents)]
    return Reply(json={"object": "rerank", "results": [{"index": index, "relevance_score": scores[index]} for index in order]})


def error(status: int, message: str, **headers: str) -> Reply:
    """Return an error reply."""
    body = {"error": {"message": message, "type": "server_error", "param": None, "code": None}}
    return Reply(status, body, headers={name.replace("_", "-"): value for name, value in headers.items()})
