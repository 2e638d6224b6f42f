"""Faults of connections, heads, framing, statuses and redirects. They concern every endpoint."""

from __future__ import annotations

import gzip
import json
import zlib
from email.utils import formatdate
from time import time
from typing import Any, Final

from tests.soak.faults import (
    ANY,
    PLAIN,
    STATUS_ERRORS,
    STREAMS,
    End,
    Kind,
    Reply,
    Request,
    Step,
    chunk,
    chunked,
    head,
    http,
    json_reply,
    right,
    right_value,
)

BROKEN: Final[dict[str, Any]] = {"error": "APIConnectionError", "retried": True}
TIMEOUT: Final = 0.6
LIMIT: Final[dict[str, Any]] = {"error": "APITimeoutError", "options": {"max_elapsed": TIMEOUT}, "weight": 0.2}


def body_of(request: Request) -> bytes:
    return json.dumps(right_value(request), ensure_ascii=False).encode()


def split(request: Request) -> tuple[bytes, bytes]:
    """Returns the head and the body of the right answer."""
    first = right(request)[0]
    assert isinstance(first, bytes)
    start, _, rest = first.partition(b"\r\n\r\n")
    return start + b"\r\n\r\n", rest


def with_head(request: Request, *lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> Reply:
    """Returns the right answer with another status line, and further lines in its head."""
    start, body = split(request)
    return [b"\r\n".join([status, *lines, start.partition(b"\r\n")[2]]) + body]


def cut(request: Request, *ends: Step) -> Reply:
    """Returns the right answer up to a random place in its body, and how it ends."""
    start, body = split(request)
    return [start + body[: request.random.randrange(len(body) - 1)], *ends]


def drip(data: bytes) -> Reply:
    """Writes bytes slowly, but steadily, for seconds."""
    return [step for byte in data[:160] for step in (bytes([byte]), 0.05)]


# Error statuses: 400 to 599, each with bodies of many forms.


def status_of(number: int) -> int:
    return 400 + number % 200


def error_of(number: int) -> str:
    status = status_of(number)
    return STATUS_ERRORS.get(status, "InternalServerError" if status >= 500 else "APIStatusError")


def is_retried(number: int) -> bool:
    status = status_of(number)
    return status in (408, 429) or (status >= 500 and status != 501)


STATUS_CALLS: Final = [call for call in ANY if "embed" not in call]  # they are sent in halves after 413 and 422


def status_kind(name: str, body: bytes, *headers: str, content_type: str = "application/json") -> Kind:
    def fault(request: Request) -> Reply:
        return [http(body, *headers, status=f"{status_of(request.number)} Odd", content_type=content_type)]

    return Kind(
        name=name,
        fault=fault,
        error=error_of,
        retried=is_retried,
        retried_paid=lambda number: status_of(number) == 429,
        calls=STATUS_CALLS,
    )


def limited(name: str, pause: tuple[float, float], *headers: str, status: str = "429 Too Many Requests") -> Kind:
    """Returns a kind that says in a header how long to wait."""
    error = STATUS_ERRORS[int(status[:3])]
    paid = status.startswith("429")

    def fault(request: Request) -> Reply:
        return [json_reply({"error": {"message": "slow down"}}, *headers, status=status)]

    return Kind(name=name, fault=fault, error=error, retried=True, retried_paid=paid, pause=pause)


def date_kind(name: str, pause: tuple[float, float], seconds: float) -> Kind:
    def fault(request: Request) -> Reply:
        date = formatdate(time() + seconds, usegmt=True)
        return [json_reply({"error": "slow down"}, f"retry-after: {date}", status="429 Too Many Requests")]

    return Kind(name=name, fault=fault, error="RateLimitError", retried=True, retried_paid=True, pause=pause)


def refusal(name: str, error: str, status: str, body: Any, *headers: str, retried: bool = False) -> Kind:
    """Returns a kind whose body or headers decide on class or retries."""
    return Kind(name=name, fault=lambda request: [json_reply(body, *headers, status=status)], error=error, retried=retried)


BACKOFF: Final = (0.75, 1.0)
MESSAGE: Final = {"error": {"message": "no", "type": "t", "param": None, "code": None}}

STATUSES: Final = [
    status_kind("status-json", json.dumps(MESSAGE).encode()),
    status_kind("status-text-error", b'{"error": "text"}'),
    status_kind("status-flat", b'{"message": "no", "type": "t", "code": 400}'),
    status_kind("status-detail", b'{"detail": [{"loc": ["body"], "msg": "missing"}]}'),
    status_kind("status-odd-json", b'[null, {"error": [[["x"]]]}]'),
    status_kind("status-nulls", b'{"error": {"message": null, "type": [], "param": {}, "code": {"a": 1}}}'),
    status_kind("status-null", b"null"),
    status_kind("status-broken-json", b'{"error": {"message": "n'),
    status_kind("status-empty", b""),
    status_kind("status-plain", b"upstream connect error", content_type="text/plain"),
    status_kind("status-html", b"<html><head><style>x</style></head><body><h1>Bad</h1></body></html>", content_type="text/html"),
    status_kind("status-open-tags", b"<" * 3_000, content_type="text/html"),
    status_kind("status-not-utf8", b"\xff\xfe\x00{\x00", content_type="text/plain; charset=utf-16"),
    status_kind("status-deep", b"[" * 5_000 + b"]" * 5_000),
    status_kind("status-gzip", gzip.compress(json.dumps(MESSAGE).encode()), "content-encoding: gzip"),
    status_kind("status-large", json.dumps({"error": "word " * 20_000}).encode()),
    refusal("context-code", "ContextLengthError", "400 Bad", {"error": {"message": "m", "code": "context_length_exceeded"}}),
    refusal("context-words", "ContextLengthError", "400 Bad", {"error": {"message": "exceeds the maximum context length of 8"}}),
    refusal("model-missing", "ModelNotFoundError", "404 No", {"error": {"message": "m", "code": "model_not_available"}}),
    refusal("model-dedicated", "ModelNotServerlessError", "400 No", {"error": {"message": "m", "code": "model_not_available"}}),
    refusal("told-to-retry", "BadRequestError", "400 No", MESSAGE, "x-should-retry: true", retried=True),
    refusal("told-not-to-retry", "InternalServerError", "500 No", MESSAGE, "x-should-retry: false"),
    limited("retry-after-none", BACKOFF),
    limited("retry-after-zero", (0, 0), "retry-after: 0"),
    limited("retry-after-seconds", (2, 2), "retry-after: 2"),
    limited("retry-after-fraction", (0.25, 0.25), "retry-after: 0.25"),
    limited("retry-after-ms", (0.2, 0.2), "retry-after-ms: 200", "retry-after: 3"),
    limited("retry-after-negative", BACKOFF, "retry-after: -5"),
    limited("retry-after-garbage", BACKOFF, "retry-after: soon"),
    limited("retry-after-nan", BACKOFF, "retry-after: nan"),
    limited("retry-after-huge", BACKOFF, "retry-after: 1e300"),
    limited("retry-after-hour", BACKOFF, "retry-after: 3600"),
    limited("retry-after-twice", BACKOFF, "retry-after: 1", "retry-after: 2"),
    limited("retry-after-503", (2, 2), "retry-after: 2", status="503 Busy"),
    limited("rate-limit-reset", (3, 3), "x-ratelimit-reset: 3"),
    date_kind("retry-after-date", (28, 40.1), 40),
    date_kind("retry-after-past", BACKOFF, -40),
    date_kind("retry-after-far", BACKOFF, 4e6),
]


# Redirects.


def redirect(name: str, location: str | None, status: str, error: str = "APIStatusError", **options: Any) -> Kind:
    """Returns a kind that leads elsewhere; in the location, `{url}` is where the call went, `{other}` the same by another name."""

    def fault(request: Request) -> Reply:
        other = request.url.replace("127.0.0.1", "localhost")
        headers = [] if location is None else [f"location: {location.format(url=request.url, other=other, path=request.path)}"]
        return [http(b"" if status.startswith("304") else b"moved", *headers, status=status)]

    return Kind(name=name, fault=fault, error=error, **options)


POSTS: Final = [call for call in ANY if call not in ("models", "content")]
GETS: Final = ["models", "content"]

REDIRECTS: Final = [
    redirect("redirect", "{url}{path}", "307 Moved", hops=5),
    redirect("redirect-get", "{url}{path}", "302 Moved", calls=GETS, hops=5),
    redirect("redirect-post-302", "{url}{path}", "302 Moved", calls=POSTS),
    redirect("redirect-other-origin", "{other}{path}", "308 Moved", calls=GETS, hops=5),
    redirect("redirect-other-origin-post", "{other}{path}", "308 Moved", calls=POSTS),
    redirect("redirect-nowhere", None, "301 Moved"),
    redirect("redirect-empty", "", "301 Moved"),
    redirect("redirect-bad-port", "http://127.0.0.1:99999/x", "307 Moved", "APIStatusError|APIConnectionError", retried=None),
    redirect("redirect-port-word", "http://127.0.0.1:port/x", "307 Moved", "APIStatusError|APIConnectionError", retried=None),
    redirect(
        "redirect-bad-label", "http://" + "a" * 70 + ".invalid/x", "307 Moved", "APIStatusError|APIConnectionError", retried=None
    ),
    redirect("redirect-bad-bracket", "http://[::1/x", "307 Moved", "APIStatusError|APIConnectionError", retried=None),
    redirect("redirect-other-scheme", "ftp://127.0.0.1/x", "302 Moved"),
    redirect("redirect-not-modified", "{url}{path}", "304 Not Modified"),
]


# Connections and heads.


def endless_hints(request: Request) -> Reply:
    return [step for _ in range(160) for step in (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", 0.05)]


def huge_header(size: int) -> bytes:
    return b"x-large: " + b"a" * size


HEADS: Final = [
    Kind(name="refused", fault=right, port="refused", always=True, error="APIConnectionError", retried=True, retried_paid=True),
    Kind(name="reset-at-once", fault=right, port="reset", always=True, retried_paid=None, **BROKEN),
    Kind(name="closed-at-once", fault=right, port="closed", always=True, retried_paid=None, **BROKEN),
    Kind(name="reset-after-request", fault=lambda request: [End.RESET], **BROKEN),
    Kind(name="closed-after-request", fault=lambda request: [End.CLOSE], **BROKEN),
    Kind(name="cut-status-line", fault=lambda request: [b"HTTP/1.1 2", End.CLOSE], **BROKEN),
    Kind(name="cut-head", fault=lambda request: [split(request)[0][:40], End.CLOSE], **BROKEN),
    Kind(name="reset-in-head", fault=lambda request: [split(request)[0][:40], 0.01, End.RESET], **BROKEN),
    Kind(name="no-http", fault=lambda request: [b"SSH-2.0-OpenSSH_9.6\r\n", End.CLOSE], **BROKEN),
    Kind(name="no-head", fault=lambda request: [body_of(request), End.CLOSE], **BROKEN),
    Kind(name="bad-version", fault=lambda request: with_head(request, status=b"HTTP/9.9 200 OK")),
    Kind(name="bad-status", fault=lambda request: with_head(request, status=b"HTTP/1.1 2OO OK"), **BROKEN),
    Kind(name="status-of-four-digits", fault=lambda request: with_head(request, status=b"HTTP/1.1 2000 OK"), **BROKEN),
    Kind(name="null-in-header", fault=lambda request: with_head(request, b"x-odd: a\x00b"), **BROKEN),
    Kind(name="control-in-header", fault=lambda request: with_head(request, b"x-odd: a\x01\x7fb")),
    Kind(name="latin-1-header", fault=lambda request: with_head(request, b"x-odd: \xe9\xff")),
    Kind(name="header-without-colon", fault=lambda request: with_head(request, b"odd"), **BROKEN),
    Kind(name="header-with-space", fault=lambda request: with_head(request, b"x odd: 1"), **BROKEN),
    Kind(name="header-of-1-mb", fault=lambda request: with_head(request, huge_header(1_000_000)), weight=0.5, **BROKEN),
    Kind(name="header-of-20-kb", fault=lambda request: with_head(request, huge_header(20_000))),
    Kind(name="many-headers", fault=lambda request: with_head(request, *[b"x-%d: y" % n for n in range(500)])),
    Kind(
        name="double-headers",
        fault=lambda request: with_head(request, b"content-type: text/x", b"server: a", b"server: b"),
        calls=PLAIN,
    ),
    Kind(name="folded-header", fault=lambda request: with_head(request, b"x-odd: a\r\n b")),
    Kind(name="no-reason", fault=lambda request: with_head(request, status=b"HTTP/1.1 200")),
    Kind(name="line-feeds", fault=lambda request: [split(request)[0].replace(b"\r\n", b"\n") + split(request)[1]]),
    Kind(name="http-10", fault=lambda request: [*with_head(request, status=b"HTTP/1.0 200 OK"), End.CLOSE], calls=PLAIN),
    Kind(
        name="http-10-open",
        fault=lambda request: with_head(request, b"connection: keep-alive", status=b"HTTP/1.0 200 OK"),
        calls=PLAIN,
    ),
    Kind(
        name="early-hints", fault=lambda request: [b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 3, 0.001, *right(request)]
    ),
    Kind(name="continue", fault=lambda request: [b"HTTP/1.1 100 Continue\r\n\r\n" + split(request)[0] + split(request)[1]]),
    Kind(
        name="switching-protocols",
        fault=lambda request: [b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", End.CLOSE],
        **BROKEN,
    ),
    Kind(name="asked-to-close", fault=lambda request: with_head(request, b"connection: close")),
    Kind(name="closed-when-asked", fault=lambda request: [*with_head(request, b"connection: close"), End.CLOSE]),
    Kind(name="closed-after-answer", fault=lambda request: [*right(request), End.CLOSE]),
    Kind(name="closed-a-little-later", fault=lambda request: [*right(request), 0.01, End.CLOSE]),
    Kind(name="reset-after-answer", fault=lambda request: [*right(request), 0.01, End.RESET]),
    Kind(name="endless-hints", fault=endless_hints, **LIMIT),
    Kind(name="head-drips", fault=lambda request: drip(split(request)[0] * 3), **LIMIT),
    Kind(name="status-line-drips", fault=lambda request: drip(b"HTTP/1.1 200 " + b"O" * 160), **LIMIT),
    Kind(
        name="no-answer-in-time",
        fault=lambda request: [End.HANG],
        error="APITimeoutError",
        retried=True,
        options={"timeout": TIMEOUT},
        weight=0.2,
    ),
    Kind(name="no-answer-within-limit", fault=lambda request: [End.HANG], **LIMIT),
    Kind(
        name="half-a-head-in-time",
        fault=lambda request: [split(request)[0][:40], End.HANG],
        error="APITimeoutError",
        retried=True,
        options={"timeout": TIMEOUT},
        weight=0.2,
    ),
]


# Framing of bodies. A stream is another matter: its answer has begun.


def bad_chunk(*parts: bytes) -> Any:
    return lambda request: [head("transfer-encoding: chunked") + b"".join(parts), End.CLOSE]


def encoded(encoding: str, encode: Any) -> Any:
    return lambda request: [http(encode(body_of(request)), f"content-encoding: {encoding}")]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


JSON_CALLS: Final = [call for call in PLAIN if call != "content"]
UNREADABLE: Final[dict[str, Any]] = {"error": "APIConnectionError|APIResponseValidationError", "calls": JSON_CALLS}

FRAMES: Final = [
    Kind(name="cut-body", fault=lambda request: cut(request, End.CLOSE), calls=PLAIN, **BROKEN),
    Kind(name="reset-in-body", fault=lambda request: cut(request, 0.01, End.RESET), calls=PLAIN, **BROKEN),
    Kind(name="body-without-length", fault=lambda request: [head() + body_of(request), End.CLOSE], calls=JSON_CALLS),
    Kind(
        name="body-too-long",
        fault=lambda request: [split(request)[0] + split(request)[1] + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
        calls=PLAIN,
    ),
    Kind(name="body-and-rubbish", fault=lambda request: [split(request)[0] + split(request)[1] + b"\x00rubbish"], calls=PLAIN),
    Kind(name="chunks", fault=lambda request: [chunked([body_of(request)[:9], body_of(request)[9:]])], calls=JSON_CALLS),
    Kind(
        name="chunks-of-a-byte", fault=lambda request: [chunked([bytes([byte]) for byte in body_of(request)])], calls=JSON_CALLS
    ),
    Kind(
        name="chunks-with-trailer",
        fault=lambda request: [chunked([body_of(request)])[:-2] + b"x-sum: 1\r\n\r\n"],
        calls=JSON_CALLS,
    ),
    Kind(
        name="chunk-extension",
        fault=lambda request: [head("transfer-encoding: chunked") + chunk(body_of(request), b";a=b") + b"0\r\n\r\n"],
        calls=JSON_CALLS,
    ),
    Kind(
        name="cut-chunks",
        fault=lambda request: [head("transfer-encoding: chunked") + chunk(body_of(request)), End.CLOSE],
        calls=JSON_CALLS,
        **BROKEN,
    ),
    Kind(name="cut-in-chunk", fault=bad_chunk(b"fff\r\n{"), calls=PLAIN, **BROKEN),
    Kind(name="bad-chunk-size", fault=bad_chunk(b"xyz\r\n{}\r\n0\r\n\r\n"), calls=PLAIN, **BROKEN),
    Kind(name="negative-chunk-size", fault=bad_chunk(b"-5\r\n{}\r\n0\r\n\r\n"), calls=PLAIN, **BROKEN),
    Kind(name="huge-chunk-size", fault=bad_chunk(b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n"), calls=PLAIN, **BROKEN),
    Kind(name="no-end-of-chunk", fault=bad_chunk(b"2\r\n{}0\r\n\r\n"), calls=PLAIN, **BROKEN),
    Kind(
        name="bad-length",
        fault=lambda request: [head("content-length: abc") + body_of(request), End.CLOSE],
        calls=JSON_CALLS,
        **BROKEN,
    ),
    Kind(
        name="negative-length",
        fault=lambda request: [head("content-length: -5") + body_of(request), End.CLOSE],
        calls=JSON_CALLS,
        **BROKEN,
    ),
    Kind(name="two-lengths", fault=lambda request: with_head(request, b"content-length: 3"), calls=PLAIN, **BROKEN),
    Kind(
        name="unknown-coding",
        fault=lambda request: [head("transfer-encoding: x") + body_of(request), End.CLOSE],
        calls=JSON_CALLS,
        **BROKEN,
    ),
    Kind(name="gzip", fault=encoded("gzip", gzip.compress), calls=JSON_CALLS),
    Kind(name="deflate", fault=encoded("deflate", zlib.compress), calls=JSON_CALLS),
    Kind(name="raw-deflate", fault=encoded("deflate", raw_deflate), calls=JSON_CALLS),
    Kind(name="unknown-encoding", fault=encoded("x-odd", bytes), calls=JSON_CALLS),
    Kind(name="broken-gzip", fault=encoded("gzip", lambda data: b"\x1f\x8b" + data), calls=JSON_CALLS, **BROKEN),
    Kind(name="no-gzip", fault=encoded("gzip", bytes), calls=JSON_CALLS, **BROKEN),
    Kind(name="cut-gzip", fault=encoded("gzip", lambda data: gzip.compress(data)[:-12]), **UNREADABLE),
    Kind(name="broken-deflate", fault=encoded("deflate", lambda data: b"\x00" + data), calls=JSON_CALLS, **BROKEN),
    Kind(
        name="broken-brotli",
        fault=encoded("br", bytes),
        error="APIConnectionError|APIResponseValidationError|answer",
        calls=JSON_CALLS,
    ),
    Kind(name="small-bomb", fault=encoded("gzip", lambda data: gzip.compress(b" " * 2_000_000, 1)), weight=0.3, **UNREADABLE),
    Kind(name="body-drips", fault=lambda request: [split(request)[0], *drip(b" " * 160)], calls=PLAIN, **LIMIT),
    Kind(
        name="chunk-extension-drips",
        fault=lambda request: [head("transfer-encoding: chunked") + b"2;", *drip(b"a" * 160)],
        calls=PLAIN,
        **LIMIT,
    ),
    Kind(
        name="half-a-body-in-time",
        fault=lambda request: cut(request, End.HANG),
        error="APITimeoutError",
        retried=True,
        options={"timeout": TIMEOUT},
        calls=PLAIN,
        weight=0.2,
    ),
    Kind(
        name="no-content",
        fault=lambda request: [head(status="204 No Content")],
        error="APIResponseValidationError",
        calls=JSON_CALLS,
    ),
    Kind(
        name="reset-content",
        fault=lambda request: [http(status="205 Reset Content")],
        error="APIResponseValidationError",
        calls=JSON_CALLS,
    ),
    Kind(name="other-success", fault=lambda request: with_head(request, status=b"HTTP/1.1 299 Fine"), calls=PLAIN),
    Kind(
        name="status-for-stream",
        fault=lambda request: [http(b"{}", status="500 No")],
        error="InternalServerError",
        retried=True,
        calls=STREAMS,
    ),
]

KINDS: Final = [*STATUSES, *REDIRECTS, *HEADS, *FRAMES]
