"""The server of the checks: the emulator of together-adapters, told what to answer and how to fail.

It stands in for any provider: it serves every model name, and answers chats and plain completions with one text, embeddings and rerank by
common words. `script` says what the next requests get, `chat` what all chats get.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Self
from zlib import crc32

from together_adapters.emulator import Behaviour, Emulator, Fault, RecordedRequest, serve

TEXT = "Hello world from the wire"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
DIMENSIONS = 64
Delta = dict[str, Any]
Reply = dict[str, Any]  # what `Emulator.reply` takes by name


@dataclass(frozen=True)
class Request:
    """The body of a chat request."""

    json: dict[str, Any]

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


Handler = Callable[[Request], Reply]


class WireServer:
    """The server, as a context manager; `url` is the base URL for clients, `emulator` what it runs on."""

    emulator: Emulator

    @property
    def url(self) -> str:
        """The base URL, with its version."""
        return self.emulator.base_url

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests, oldest first."""
        return self.emulator.requests

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON bodies of the requests."""
        return [request.json or {} for request in self.requests]

    @property
    def connections(self) -> int:
        """The number of TCP connections that requests came on."""
        return len({request.connection for request in self.requests})

    @property
    def max_in_flight(self) -> int:
        """The maximum number of concurrent requests."""
        return self.emulator.most_in_flight

    def count(self, path: str) -> int:
        """Return how many requests went to a path that ends so."""
        return sum(request.path.endswith(path) for request in self.requests)

    def reset(self) -> None:
        """Clear all records, and restore the default answers."""
        self.emulator.reset()
        self.emulator.behave(**{**asdict(Behaviour()), "dimensions": True})
        self.emulator.reply(TEXT, usage=USAGE, times=math.inf)
        self.emulator.reply(embedding=vector)
        self.emulator.reply(scores=common_words)

    def script(self, *steps: Reply | Fault) -> None:
        """Set what the next requests get: replies and faults."""
        for step in steps:
            self.emulator.inject(step) if isinstance(step, Fault) else self.emulator.reply(**step)

    def chat(self, handler: Handler) -> None:
        """Set the handler of chats."""
        self.emulator.reply(lambda body: handler(Request(body)))

    def delay(self, seconds: float) -> None:
        """Wait before responses, and between the events of streams."""
        self.emulator.behave(delay=seconds)

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
        while self.emulator.disconnects == 0 and time.monotonic() < end:
            time.sleep(0.01)
        return self.emulator.disconnects > 0

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.emulator = self._stack.enter_context(serve(models=["*"]))
        self.reset()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()


def call(name: str, arguments: str | None, number: int = 0) -> dict[str, Any]:
    """Return a tool call of a message that is not streamed."""
    return {"id": f"call_{number}", "type": "function", "index": number, "function": {"name": name, "arguments": arguments}}


def message_reply(message: Mapping[str, Any], *, finish: str = "stop", usage: Any = USAGE) -> Reply:
    """Return a chat completion."""
    return {**message, "finish_reason": finish, "usage": usage}


def stream_reply(deltas: Iterable[Delta], *, finish: str = "stop", usage: Any = USAGE) -> Reply:
    """Return a chat completion in such deltas, or chunks with choices."""
    return {"chunks": list(deltas), "finish_reason": finish, "usage": usage}


def chunk(delta: Delta | None, *, finish: str | None = None, **choice: Any) -> dict[str, Any]:
    """Return one chunk of a stream; without a delta, one without choices."""
    choices = [] if delta is None else [{"index": 0, "finish_reason": finish, "logprobs": None, **choice, "delta": delta}]
    return {"choices": choices}


def words(text: str) -> list[str]:
    """Split a text into the words of a stream."""
    head, *tail = text.split(" ")
    return [head, *(f" {word}" for word in tail)]


def always(text: str, *, reasoning: str = "", calls: Sequence[dict[str, Any]] = ()) -> Handler:
    """Return a handler with a fixed reply."""
    return lambda request: text_reply(request, text, reasoning=reasoning, calls=calls)


def text_reply(request: Request, text: str, *, reasoning: str = "", calls: Sequence[dict[str, Any]] = ()) -> Reply:
    """Return a reply of text, reasoning and tool calls; a text alone is streamed in words."""
    if not calls and not reasoning:
        return {"chunks": words(text), "usage": USAGE}
    return {"content": text, "reasoning": reasoning or None, "tool_calls": list(calls) or None, "usage": USAGE}


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
    return text_reply(request, TEXT)


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


def vector(text: str) -> list[float]:
    """Return a stable embedding; texts that share words are close."""
    components = [0.01] * DIMENSIONS
    for word in text.lower().split():
        components[crc32(word.strip(".,?!:").encode()) % DIMENSIONS] += 1.0
    length = sum(value * value for value in components) ** 0.5
    return [round(value / length, 6) for value in components]


def common_words(query: str, document: str) -> float:
    """Return the share of the words of a query that a document has."""
    terms = set(query.lower().split())
    return len(terms & set(document.lower().split())) / (len(terms) or 1)


def error(status: int, message: str, **options: Any) -> Fault:
    """Return an error response; `retry_after=`, `times=` and `path=` are those of `Fault`."""
    return Fault(str(status), message=message, type="server_error", **options)


def raw(value: Any, **options: Any) -> Fault:
    """Return a response with a JSON value as it is, or with bytes, of a stream."""
    if isinstance(value, bytes):
        return Fault("response", body=value, content_type="text/event-stream", **options)
    return Fault("response", body=json.dumps(value), **options)
