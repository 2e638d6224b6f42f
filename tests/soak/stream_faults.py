"""Faults of streamed answers, and of files that are sent and fetched."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.soak.faults import (
    DONE,
    STREAMS,
    USAGE,
    End,
    Kind,
    Reply,
    Request,
    Step,
    chat_value,
    chunk,
    delta,
    event,
    file_content,
    file_reply,
    head,
    http,
    json_reply,
    right,
    right_events,
    right_text,
    stream_reply,
)

TIMEOUT: Final = 0.6
INCOMPLETE: Final = "IncompleteStreamError"
INVALID: Final = "APIResponseValidationError"
DOCUMENTED: Final = "answer|APIError|APIResponseValidationError"
NOT_REPEATED: Final = "APIError|APIResponseValidationError"
LANGCHAIN: Final = ["langchain-stream"]


def events_kind(name: str, change: Callable[[Request, list[bytes]], Sequence[bytes]], error: str = "", **options: Any) -> Kind:
    """Returns a kind whose events are those of the right answer, changed."""

    def fault(request: Request) -> Reply:
        return [stream_reply(change(request, right_events(request)))]

    return Kind(**{"name": name, "fault": fault, "error": error, "calls": STREAMS, **options})


def deltas_kind(name: str, *chunks: Any, error: str = DOCUMENTED, **options: Any) -> Kind:
    """Returns a kind with further chunks between the first piece of text and the second."""
    return events_kind(name, lambda request, events: [events[0], *map(event, chunks), *events[1:]], error, **options)


def open_kind(name: str, *steps: Step, error: str = INCOMPLETE, pieces: int = 2, **options: Any) -> Kind:
    """Returns a kind whose connection ends, or hangs, after some events."""

    def fault(request: Request) -> Reply:
        return [
            head("transfer-encoding: chunked", content_type="text/event-stream")
            + b"".join(map(chunk, right_events(request)[:pieces])),
            *steps,
        ]

    return Kind(**{"name": name, "fault": fault, "error": error, "calls": STREAMS, **options})


def pieces(data: bytes, request: Request) -> list[bytes]:
    """Cuts bytes at random, also inside a character."""
    cuts = sorted({0, len(data), *(request.random.randrange(len(data)) for _ in range(12))})
    return [data[begin:end] for begin, end in itertools.pairwise(cuts)]


def in_reads(request: Request) -> Reply:
    """Writes the right answer so that reads end anywhere."""
    data = b"".join(json_events(request))
    reads = [step for part in pieces(data, request) for step in (chunk(part), 0.0)]
    return [head("transfer-encoding: chunked", content_type="text/event-stream"), *reads, b"0\r\n\r\n"]


def json_events(request: Request) -> list[bytes]:
    """The events of the right answer, with characters instead of escapes."""
    return [
        b"data: " + json.dumps(json.loads(part[6:]), ensure_ascii=False).encode() + b"\n\n" if part is not DONE else part
        for part in right_events(request)
    ]


def halves(request: Request, events: list[bytes]) -> list[bytes]:
    """A pair of surrogates in two pieces."""
    text = right_text(request.number)
    high, low = json.dumps(text[-1])[1:-1].split("\\u")[1:]
    first, second = text[:-1], ""
    raw = [
        json.dumps(delta(first + "?")).replace("?", f"\\u{high}", 1),
        json.dumps(delta(second + "?")).replace("?", f"\\u{low}", 1),
    ]
    return [*(b"data: " + part.encode() + b"\n\n" for part in raw), *events[2:]]


def mixed_ends(request: Request, events: list[bytes]) -> list[bytes]:
    return [part.replace(b"\n", request.random.choice([b"\n", b"\r", b"\r\n"])) for part in events]


def lines(*names: bytes) -> Callable[[Request, list[bytes]], list[bytes]]:
    return lambda request, events: [part for one in events for part in (*names, one)]


def whole(*extra: bytes) -> Callable[[Request], Reply]:
    return lambda request: [http(json.dumps(chat_value(request.number)).encode(), *map(bytes.decode, extra))]


ERROR: Final = {"error": {"message": "engine died", "type": "server_error", "code": None}}

EVENTS: Final = [
    events_kind("comments", lines(b": keepalive\n\n", b":\n\n", b"\n\n")),
    events_kind("empty-data", lines(b"data:\n\n", b"data: \n\n")),
    events_kind("ids-and-retries", lines(b"id: 1\nretry: 5\n\n", b"event: ping\n\n", b"odd\n\n")),
    events_kind("carriage-returns", lambda request, events: [part.replace(b"\n", b"\r") for part in events]),
    events_kind("both-line-ends", lambda request, events: [part.replace(b"\n", b"\r\n") for part in events]),
    events_kind("mixed-line-ends", mixed_ends),
    events_kind("no-space", lambda request, events: [part.replace(b"data: ", b"data:") for part in events]),
    events_kind("named-events", lambda request, events: [b"event: message\n" + part for part in events]),
    events_kind("data-of-two-lines", lambda request, events: [part.replace(b', "', b',\ndata: "') for part in events]),
    events_kind("mark-at-start", lambda request, events: [b"\xef\xbb\xbf" + events[0], *events[1:]]),
    events_kind("one-write", lambda request, events: [b"".join(events)]),
    events_kind("single-bytes", lambda request, events: [bytes([byte]) for part in events for byte in part], weight=0.3),
    Kind(name="reads-end-anywhere", fault=in_reads, calls=STREAMS),
    events_kind(
        "usage-alone",
        lambda request, events: [*events[:2], event(delta(finish="stop")), event({"choices": [], "usage": USAGE}), DONE],
    ),
    events_kind("usage-never", lambda request, events: [*events[:2], event(delta(finish="stop")), DONE]),
    events_kind("more-after-done", lambda request, events: [*events, event(delta("late")), b"data: {broken\n\n"]),
    events_kind("done-twice", lambda request, events: [*events, DONE]),
    events_kind("done-in-lower-case", lambda request, events: [*events[:3], b"data: [done]\n\n"]),
    events_kind("no-done", lambda request, events: events[:3]),
    events_kind("no-last-line-end", lambda request, events: [*events[:3], b"data: [DONE]"]),
    events_kind("finish-twice", lambda request, events: [*events[:3], event(delta(finish="stop")), DONE]),
    events_kind("event-of-1-mb", lambda request, events: [event({**delta(""), "padding": "x" * 1_000_000}), *events], weight=0.3),
    events_kind("surrogates-in-halves", halves),
    events_kind("only-done", lambda request, events: [DONE], INCOMPLETE),
    events_kind("neither-finish-nor-done", lambda request, events: events[:2], INCOMPLETE),
    events_kind("nothing", lambda request, events: [], INCOMPLETE),
    events_kind("only-comments", lambda request, events: [b": x\n\n"], INCOMPLETE),
    events_kind("error-in-stream", lambda request, events: [events[0], event(ERROR), *events[1:]], "APIError"),
    events_kind("error-text-in-stream", lambda request, events: [events[0], event({"error": "died"})], "APIError"),
    events_kind("error-event", lambda request, events: [events[0], b"event: error\ndata: engine died\n\n"], "APIError"),
    events_kind("error-at-once", lambda request, events: [event(ERROR), DONE], "APIError"),
    events_kind("error-is-null", lambda request, events: [events[0], event({**delta(""), "error": None}), *events[1:]]),
    events_kind("broken-event", lambda request, events: [events[0], b"data: {broken\n\n", *events[1:]], INVALID),
    events_kind("event-is-null", lambda request, events: [events[0], b"data: null\n\n", *events[1:]], DOCUMENTED),
    events_kind("event-is-a-list", lambda request, events: [events[0], b"data: [1]\n\n", *events[1:]], NOT_REPEATED),
    events_kind("event-is-text", lambda request, events: [events[0], b'data: "x"\n\n', *events[1:]], NOT_REPEATED),
    events_kind("event-not-utf8", lambda request, events: [events[0], b'data: {"a": "\xff"}\n\n', *events[1:]], DOCUMENTED),
    events_kind(
        "event-too-deep", lambda request, events: [events[0], b"data: " + b"[" * 5_000 + b"\n\n", *events[1:]], NOT_REPEATED
    ),
    Kind(
        name="stream-of-plain-text",
        fault=lambda request: [stream_reply(right_events(request), content_type="text/plain")],
        calls=STREAMS,
    ),
    Kind(name="stream-without-type", fault=lambda request: [stream_reply(right_events(request), content_type="")], calls=STREAMS),
    Kind(
        name="stream-in-gzip",
        fault=lambda request: [
            http(gzip.compress(b"".join(right_events(request))), "content-encoding: gzip", content_type="text/event-stream")
        ],
        calls=STREAMS,
    ),
    Kind(
        name="stream-in-broken-gzip",
        fault=lambda request: [http(b"\x1f\x8bno", "content-encoding: gzip", content_type="text/event-stream")],
        error="APIConnectionError|IncompleteStreamError",
        calls=STREAMS,
    ),
    Kind(
        name="stream-with-length",
        fault=lambda request: [http(b"".join(right_events(request)), content_type="text/event-stream")],
        calls=STREAMS,
    ),
    Kind(
        name="stream-until-close",
        fault=lambda request: [head(content_type="text/event-stream") + b"".join(right_events(request)), End.CLOSE],
        calls=STREAMS,
    ),
    Kind(name="json-for-stream", fault=whole(), error=NOT_REPEATED, calls=STREAMS),
    Kind(name="error-for-stream", fault=lambda request: [json_reply(ERROR)], error="APIError", calls=STREAMS),
    Kind(
        name="html-for-stream",
        fault=lambda request: [http(b"<html>sign in</html>", content_type="text/html")],
        error=INVALID,
        calls=STREAMS,
    ),
    Kind(
        name="nothing-for-stream",
        fault=lambda request: [head(status="204 No Content", content_type="text/event-stream")],
        error=INCOMPLETE + "|" + INVALID,
        calls=STREAMS,
    ),
    Kind(
        name="cut-json-for-stream",
        fault=lambda request: [head("content-length: 500") + b'{"choices": [', End.CLOSE],
        error="APIConnectionError",
        retried=True,
        calls=STREAMS,
    ),
    Kind(
        name="reset-html-for-stream",
        fault=lambda request: [head("content-length: 500", content_type="text/html") + b"<html>", 0.01, End.RESET],
        error="APIConnectionError",
        retried=True,
        calls=STREAMS,
    ),
    Kind(
        name="broken-gzip-for-stream",
        fault=lambda request: [http(b"\x1f\x8bno", "content-encoding: gzip")],
        error="APIConnectionError",
        retried=True,
        calls=STREAMS,
    ),
    Kind(
        name="json-for-stream-drips",
        fault=lambda request: [head("content-length: 500"), *(step for _ in range(160) for step in (b" ", 0.05))],
        error="APITimeoutError",
        options={"max_elapsed": TIMEOUT},
        calls=STREAMS,
        weight=0.2,
    ),
    Kind(
        name="json-for-stream-hangs",
        fault=lambda request: [head("content-length: 500") + b"{", End.HANG],
        error="APITimeoutError",
        retried=True,
        options={"timeout": TIMEOUT},
        calls=STREAMS,
        weight=0.2,
    ),
]

ENDS: Final = [
    open_kind("cut-before-events", End.CLOSE, pieces=0),
    open_kind("cut-between-events", End.CLOSE),
    open_kind("cut-in-event", chunk(b'data: {"choices": [{"delta'), End.CLOSE),
    open_kind("cut-in-frame", b"ff\r\ndata: {", End.CLOSE),
    open_kind("reset-in-stream", 0.01, End.RESET),
    open_kind("bad-frame-in-stream", b"xyz\r\n", End.CLOSE),
    open_kind("cut-after-finish", End.CLOSE, pieces=3, error=""),
    open_kind("cut-after-done", End.CLOSE, pieces=4, error=""),
    open_kind("reset-after-done", 0.01, End.RESET, pieces=4, error=""),
    open_kind("hangs-after-done", End.HANG, pieces=4, error="", weight=0.3),
    open_kind("hangs-in-stream", End.HANG, error="APITimeoutError", options={"timeout": TIMEOUT}, retried=None, weight=0.2),
    open_kind(
        "hangs-before-events", End.HANG, error="APITimeoutError", options={"timeout": TIMEOUT}, retried=None, pieces=0, weight=0.2
    ),
    open_kind(
        "hangs-in-event",
        chunk(b'data: {"cho'),
        End.HANG,
        error="APITimeoutError",
        options={"timeout": TIMEOUT},
        retried=None,
        weight=0.2,
    ),
]


def tool(index: int | None = 0, id: str | None = None, name: str | None = None, arguments: str | None = None) -> dict[str, Any]:
    call = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {name: value for name, value in call.items() if value is not None}


def calls(*deltas: Any) -> list[Any]:
    return [delta(None, tool_calls=[call]) for call in deltas]


DELTAS: Final = [
    deltas_kind("choices-null-in-stream", {"choices": None}),
    deltas_kind("choices-of-null-in-stream", {"choices": [None]}),
    deltas_kind("choice-without-delta", {"choices": [{"index": 0}]}),
    deltas_kind("delta-null", {"choices": [{"index": 0, "delta": None}]}),
    deltas_kind("delta-text", {"choices": [{"index": 0, "delta": "x"}]}, error=NOT_REPEATED),
    deltas_kind("delta-list", {"choices": [{"index": 0, "delta": []}]}),
    deltas_kind("delta-content-null", delta(None)),
    deltas_kind("delta-content-parts", delta("", extra=[{"type": "text"}])),
    deltas_kind("delta-content-number", {"choices": [{"index": 0, "delta": {"content": 7}}]}),
    deltas_kind("delta-content-object", {"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}),
    deltas_kind("delta-reasoning-object", delta("", reasoning={"a": 1})),
    deltas_kind("delta-role-number", delta("", role=7)),
    deltas_kind("delta-finish-number", {"choices": [{"index": 0, "delta": {}, "finish_reason": 5}]}),
    deltas_kind("delta-index-text", {"choices": [{"index": "x", "delta": {"content": ""}}]}),
    deltas_kind("delta-index-list", {"choices": [{"index": [], "delta": {"content": ""}}]}),
    deltas_kind("delta-logprobs-null", {"choices": [{"index": 0, "delta": {"content": ""}, "logprobs": {"content": [None]}}]}),
    deltas_kind("delta-usage-list", {**delta(""), "usage": []}),
    deltas_kind("tools-null", delta(None, tool_calls=None)),
    deltas_kind("tools-of-null", delta(None, tool_calls=[None])),
    deltas_kind("tools-object", delta(None, tool_calls={"a": 1})),
    deltas_kind("tools-of-text", delta(None, tool_calls=["x"])),
    deltas_kind("tool-function-null", delta(None, tool_calls=[{"index": 0, "function": None}])),
    deltas_kind("tool-in-pieces", *calls(tool(0, "c1", "f", ""), tool(0, arguments='{"a"'), tool(0, arguments=": 1}"))),
    deltas_kind("tool-without-index", *calls(tool(None, "c1", "f", "{}"))),
    deltas_kind("tool-name-in-pieces", *calls(tool(0, "c1", "get_", ""), tool(0, name="time", arguments="{}"))),
    deltas_kind("tools-of-one-id", *calls(tool(0, "c1", "f", "{}"), tool(1, "c1", "g", "{}"))),
    deltas_kind("tools-at-once", delta(None, tool_calls=[tool(0, "c1", "f", "{}"), tool(1, "c2", "g", "{}")])),
    deltas_kind(
        "tools-across", *calls(tool(0, "c1", "f", "{"), tool(1, "c2", "g", "{"), tool(0, arguments="}"), tool(1, arguments="}"))
    ),
    deltas_kind("tool-arguments-object", *calls({"index": 0, "id": "c1", "function": {"name": "f", "arguments": {"a": 1}}})),
    deltas_kind("tool-index-text", *calls({"index": "x", "id": "c1", "function": {"name": "f", "arguments": "{}"}})),
    events_kind(
        "choices-across",
        lambda request, events: [
            events[0],
            event(delta("other", index=1)),
            events[1],
            event(delta(finish="stop", index=1)),
            *events[2:],
        ],
        calls=["stream"],
    ),
    events_kind(
        "choice-never-finishes", lambda request, events: [events[0], event(delta("", index=1)), *events[1:3]], INCOMPLETE
    ),
]


# Leaving early.

LEAVING: Final = [
    Kind(name="leaves-stream", fault=right, calls=["leave"], always=True, text=lambda number: right_text(number)[:8]),
    Kind(name="drops-stream", fault=right, calls=["drop"], always=True, text=lambda number: right_text(number)[:8]),
    open_kind(
        "leaves-stream-that-hangs",
        End.HANG,
        calls=["leave"],
        pieces=1,
        always=True,
        error="",
        text=lambda number: right_text(number)[:8],
    ),
    open_kind(
        "drops-stream-that-hangs",
        End.HANG,
        calls=["drop"],
        pieces=1,
        always=True,
        error="",
        text=lambda number: right_text(number)[:8],
    ),
    Kind(
        name="cancelled",
        fault=lambda request: [request.random.random() * 0.3, *right(request)],
        calls=["cancel"],
        always=True,
        error="answer|CancelledError",
    ),
    Kind(
        name="cancelled-in-body",
        fault=lambda request: [head("content-length: 900") + b"{", End.HANG],
        calls=["cancel"],
        always=True,
        error="CancelledError",
    ),
    Kind(
        name="cancelled-in-pause",
        fault=lambda request: [json_reply({}, "retry-after: 50", status="429 Busy")],
        calls=["cancel"],
        always=True,
        error="CancelledError|RateLimitError",
        retried=True,
    ),
    open_kind("cancelled-in-stream", End.HANG, calls=["cancel-stream"], pieces=1, always=True, error="CancelledError"),
]


# Files.


def cut_file(request: Request) -> Reply:
    start, _, body = file_reply(request).partition(b"\r\n\r\n")
    return [start + b"\r\n\r\n" + body[: len(body) // 2], End.CLOSE]


def cut_then(change: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    """Cuts a whole answer; a request for the rest is answered by the change."""
    return lambda request: change(request) if "range" in request.headers else cut_file(request)


def other_range(request: Request) -> Reply:
    data = file_content(request.number)
    span = f"content-range: bytes 0-9/{len(data)}"
    return [http(data[:10], f'etag: "v{request.number}"', span, status="206 Partial Content")]


def other_version(request: Request) -> Reply:
    first = file_reply(request)
    return [re.sub(rb'etag: "v\d+"', b'etag: "other"', first)]


def ignored_range(request: Request) -> Reply:
    return [http(file_content(request.number), f'etag: "v{request.number}"')]


FETCH: Final[dict[str, Any]] = {"calls": ["download"]}
LOST: Final = "APIConnectionError|DownloadError|APIResponseValidationError|APIStatusError"


def put_kind(name: str, method: str, path: str, fault: Callable[[Request], Reply], error: str, **options: Any) -> Kind:
    """Returns a kind that meets one of the requests of an upload."""

    def change(request: Request) -> Reply:
        return fault(request) if request.method == method and request.path.startswith(path) else right(request)

    return Kind(**{"name": name, "fault": change, "error": error, "calls": ["upload"], "always": True, **options})


FILES: Final = [
    Kind(name="download", fault=right, **FETCH),
    Kind(name="download-cut", fault=cut_file, error="APIConnectionError", hops=5, **FETCH),
    Kind(name="download-range-ignored", fault=cut_then(ignored_range), always=True, max_requests=2, **FETCH),
    Kind(name="download-other-range", fault=cut_then(other_range), error=LOST, always=True, max_requests=12, **FETCH),
    Kind(name="download-other-version", fault=cut_then(other_version), error=LOST, always=True, max_requests=12, **FETCH),
    Kind(
        name="download-no-range",
        fault=cut_then(lambda request: [http(b"", status="416 No")]),
        error=LOST,
        always=True,
        max_requests=12,
        **FETCH,
    ),
    Kind(
        name="download-bad-range",
        fault=cut_then(lambda request: [http(b"x", "content-range: odd", status="206 Part")]),
        error=LOST,
        always=True,
        max_requests=12,
        **FETCH,
    ),
    Kind(
        name="download-in-gzip",
        fault=lambda request: [http(gzip.compress(file_content(request.number)), "content-encoding: gzip")],
        error="DownloadError",
        always=True,
        **FETCH,
    ),
    Kind(
        name="download-other-sum",
        fault=lambda request: [file_reply(request, "digest: sha-256=" + "A" * 43 + "=")],
        error="DownloadError",
        always=True,
        **FETCH,
    ),
    Kind(name="download-gone", fault=lambda request: [json_reply(ERROR, status="404 Gone")], error="NotFoundError", **FETCH),
    put_kind("upload", "GET", "/", right, "", max_requests=3),
    put_kind(
        "upload-without-address",
        "POST",
        "/v1/files",
        lambda request: [http(b"", "x-together-file-id: file-1", status="302 Found")],
        INVALID,
        max_requests=1,
    ),
    put_kind(
        "upload-without-id",
        "POST",
        "/v1/files",
        lambda request: [http(b"", f"location: {request.url}/s", status="302 Found")],
        INVALID,
        max_requests=1,
    ),
    put_kind(
        "upload-bad-address",
        "POST",
        "/v1/files",
        lambda request: [http(b"", "x-together-file-id: file-1", "location: http://[::1/x", status="302 Found")],
        INVALID + "|APIConnectionError",
        max_requests=5,
    ),
    put_kind(
        "upload-bad-port",
        "POST",
        "/v1/files",
        lambda request: [http(b"", "x-together-file-id: file-1", "location: http://127.0.0.1:99999/x", status="302 Found")],
        INVALID + "|APIConnectionError",
        max_requests=5,
    ),
    put_kind(
        "upload-refused",
        "PUT",
        "/storage",
        lambda request: [http(b"<Error/>", status="403 No")],
        "PermissionDeniedError",
        max_requests=3,
    ),
    put_kind(
        "upload-fails", "PUT", "/storage", lambda request: [http(b"", status="500 No")], "InternalServerError", max_requests=5
    ),
    put_kind("upload-reset", "PUT", "/storage", lambda request: [End.RESET], "APIConnectionError", max_requests=8),
    put_kind(
        "upload-not-finished",
        "POST",
        "/v1/files/",
        lambda request: [json_reply(ERROR, status="400 No")],
        "BadRequestError",
        max_requests=4,
    ),
]


def part_kind(name: str, method: str, path: str, fault: Callable[[Request], Reply], error: str, most: int) -> Kind:
    """Returns a kind that meets one of the requests of an upload in parts."""
    return put_kind(name, method, path, fault, error, calls=["upload-parts"], max_requests=most)


def parts_reply(*parts: Any) -> Callable[[Request], Reply]:
    return lambda request: [json_reply({"upload_id": "u", "file_id": "f", "parts": parts})]


INITIATE: Final = "/v1/files/multipart/initiate"
PARTS: Final = [
    part_kind("parts", "GET", "/", right, "", 3),
    part_kind("parts-missing", "POST", INITIATE, parts_reply(), "TogetherError", 2),
    part_kind("parts-null", "POST", INITIATE, parts_reply(None), INVALID, 1),
    part_kind("part-without-address", "POST", INITIATE, parts_reply({"PartNumber": 1, "URL": ""}), "TogetherError", 2),
    part_kind(
        "part-bad-port", "POST", INITIATE, parts_reply({"PartNumber": 1, "URL": "http://127.0.0.1:99999/"}), "TogetherError", 2
    ),
    part_kind(
        "part-of-number-2", "POST", INITIATE, parts_reply({"PartNumber": 2, "URL": "http://127.0.0.1/"}), "TogetherError", 2
    ),
    part_kind("part-without-etag", "PUT", "/storage", lambda request: [http(b"")], INVALID, 3),
    part_kind("part-refused", "PUT", "/storage", lambda request: [http(b"", status="403 No")], "PermissionDeniedError", 3),
    part_kind("parts-not-completed", "POST", "/v1/files/multipart/complete", lambda request: [http(b"null")], INVALID, 4),
]

KINDS: Final = [*EVENTS, *ENDS, *DELTAS, *LEAVING, *FILES, *PARTS]
