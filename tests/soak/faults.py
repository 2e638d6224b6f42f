"""What a kind of fault is: what the server writes, and what must come of the call. Also the right answers of the API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from random import Random
from typing import Any, Final


class End(Enum):
    """How a connection ends. A reply without an end leaves it open for the next request."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


Step = bytes | float | End
Reply = Sequence[Step]
"""What a server does: writes of bytes, pauses in seconds, an end."""

PLAIN: Final = tuple(
    "chat completion embed rerank models batch content langchain-chat llama-chat langchain-embed llama-embed".split()
)
STREAMS: Final = tuple("stream langchain-stream llama-stream".split())
ANY: Final = (*PLAIN, *STREAMS)
CHATS: Final = ("chat", "langchain-chat", "llama-chat")
PAID: Final = frozenset({"batch"})

ANSWER: Final = "answer"
STATUS_ERRORS: Final = {
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "PaymentRequiredError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    415: "InvalidRequestError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}


@dataclass(frozen=True)
class Request:
    """A request as the server reads it. The first segment of its path names kind, number and flavour of the call."""

    method: str
    path: str  # without that segment
    headers: Mapping[str, str]
    body: bytes
    number: int  # of the script; both flavours perform the same
    attempt: int  # requests of this call so far, this one included
    url: str  # base URL with the segment, to redirect to
    random: Random

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def is_stream(self) -> bool:
        return b'"stream":true' in self.body.replace(b" ", b"")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of fault.

    The first requests of a call meet the fault, those after them the right answer. `error` names the documented errors that may come,
    `answer` among them if the answer may be right; without one the answer is right in spite of the fault.
    """

    name: str
    fault: Callable[[Request], Reply]
    error: str | Callable[[int], str] = ""
    retried: bool | Callable[[int], bool] | None = False  # None where it does not matter
    retried_paid: bool | Callable[[int], bool] | None = False  # also where the work costs money: nothing can have been accepted
    calls: Sequence[str] = ANY
    hops: int = 0  # faults that are overcome with further requests that are no attempts: redirects, resumed downloads
    always: bool = False  # every request of a call meets it
    max_requests: int | None = None  # for calls of several requests, whose number depends on what comes first
    options: Mapping[str, Any] = field(default_factory=dict)  # of the client
    pause: tuple[float, float] | None = None  # bounds of the first pause, in seconds
    text: Callable[[int], str] = lambda number: right_text(number)
    port: str = "port"  # of the server: also `refused`, `reset` and `closed`
    weight: float = 1.0  # below 1 where the fault needs real time

    def errors(self, number: int) -> list[str]:
        names = self.error(number) if callable(self.error) else self.error
        return names.split("|") if names else [ANSWER]

    @property
    def is_timed(self) -> bool:
        """Whether a limit of time ends the call: a busy machine may not get as far as the fault."""
        return bool(self.options)

    def is_open(self, number: int) -> bool:
        """Whether a right answer and an error are both right."""
        return len(names := self.errors(number)) > 1 and ANSWER in names

    def is_retried(self, number: int, call: str) -> bool | None:
        retried = self.retried_paid if call in PAID else self.retried
        return retried(number) if callable(retried) else retried


def right_text(number: int) -> str:
    return f"answer {number} ü€😀"


def http(body: bytes = b"", *headers: str, status: str = "200 OK", content_type: str = "application/json") -> bytes:
    """Returns a response with a length."""
    return head(*headers, f"content-length: {len(body)}", status=status, content_type=content_type) + body


def head(*headers: str, status: str = "200 OK", content_type: str = "application/json", version: str = "HTTP/1.1") -> bytes:
    lines = [f"{version} {status}", f"content-type: {content_type}", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def json_reply(value: Any, *headers: str, status: str = "200 OK") -> bytes:
    return http(json.dumps(value).encode(), *headers, status=status)


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def chunked(parts: Sequence[bytes], *headers: str, content_type: str = "application/json") -> bytes:
    """Returns a response in chunks."""
    start = head("transfer-encoding: chunked", *headers, content_type=content_type)
    return start + b"".join(map(chunk, parts)) + b"0\r\n\r\n"


def right(request: Request) -> Reply:
    """Returns the right answer of the API."""
    number, path = request.number, request.path.partition("?")[0]
    if path.endswith("completions") and request.is_stream:
        return [stream_reply(right_events(request))]
    if path == "/v1/files" and request.method == "POST":
        target = f"location: {request.url}/storage"
        return [http(b"", target, f"x-together-file-id: file-{number}", status="302 Found")]
    if path.endswith("/content"):
        return [file_reply(request)]
    if path == "/storage":
        return [http(b"", 'etag: "part"')]
    return [json_reply(right_value(request))]


def right_value(request: Request) -> Any:
    """Returns the JSON of the right answer."""
    number, path = request.number, request.path.partition("?")[0]
    match path:
        case "/v1/chat/completions":
            return chat_value(number)
        case "/v1/completions":
            choice = {"index": 0, "text": right_text(number), "finish_reason": "stop"}
            return {"id": "c", "object": "text.completion", "choices": [choice], "usage": USAGE}
        case "/v1/embeddings":
            return embeddings_value(request)
        case "/v1/rerank":
            return rerank_value(request)
        case "/v1/models":
            return [{"id": right_text(number), "object": "model", "type": "chat"}]
        case "/v1/batches":
            return {"job": {"id": right_text(number), "status": "VALIDATING"}}
        case "/v1/files/multipart/initiate":
            part = {"PartNumber": 1, "URL": f"{request.url}/storage", "Headers": {}}
            return {"upload_id": "u", "file_id": f"file-{number}", "parts": [part]}
        case _:
            return {"id": f"file-{number}", "filename": right_text(number), "object": "file", "processed": True}


USAGE: Final = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chat_value(number: int, **message: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": right_text(number), **message}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": USAGE}


def embeddings_value(request: Request) -> dict[str, Any]:
    texts = request.json["input"]
    count = 1 if isinstance(texts, str) else len(texts)
    first = int(texts[0])
    rows = [{"object": "embedding", "index": index, "embedding": vector(request.number, first + index)} for index in range(count)]
    return {"object": "list", "model": "m", "data": rows, "usage": {"prompt_tokens": count, "total_tokens": count}}


def vector(number: int, index: int) -> list[float]:
    return [number % 1000 + 0.5, index + 0.5, 0.25, -0.125]


def rerank_value(request: Request) -> dict[str, Any]:
    count = len(request.json["documents"])
    results = [{"index": index, "relevance_score": (index + 1) / (count + 1)} for index in reversed(range(count))]
    return {"object": "rerank", "model": "m", "results": results, "usage": USAGE}


def delta(content: str | None = None, *, index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """Returns a chunk of a streamed answer."""
    choice = {"index": index, "delta": {"content": content, **fields}, "text": content or "", "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE: Final = b"data: [DONE]\n\n"


def right_events(request: Request) -> list[bytes]:
    """Returns the events of the right answer: two pieces of text, the finish reason with the usage, the end marker."""
    text = right_text(request.number)
    return [
        event(delta(text[:8], role="assistant")),
        event(delta(text[8:])),
        event({**delta(finish="stop"), "usage": USAGE}),
        DONE,
    ]


def stream_reply(events: Sequence[bytes], *headers: str, content_type: str = "text/event-stream") -> bytes:
    return chunked([part for part in events if part], *headers, content_type=content_type)


def file_content(number: int) -> bytes:
    return right_text(number).encode() * 40


def file_reply(request: Request, *headers: str) -> bytes:
    """Returns the content of a file, or the range that is asked for."""
    content, etag = file_content(request.number), f'etag: "v{request.number}"'
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not asked:
        return http(content, etag, *headers, content_type="application/octet-stream")
    begin, end = int(asked[1]), int(asked[2] or len(content) - 1)
    span = f"content-range: bytes {begin}-{end}/{len(content)}"
    return http(
        content[begin : end + 1], etag, span, *headers, status="206 Partial Content", content_type="application/octet-stream"
    )
