"""Every kind of fault, as a client sees it."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.conftest import HANG, NEVER
from tests.emulator.conftest import MODEL, Chat, events, joined
from together_adapters.emulator import Emulator, Fault
from together_adapters.emulator.http.faults import KINDS, STATUSES

pytestmark = pytest.mark.long

BODY = 'Repeat after me: "Grüße, 世界 and everyone else who listens"'


def stream_bytes(chat: Chat) -> bytes:
    answer = chat.post(BODY, stream=True)
    assert answer.status_code == 200
    return answer.content


def partial_bytes(chat: Chat) -> bytes:
    """Returns the bytes of a stream before its connection is closed."""
    data = b""
    body = {"model": MODEL, "messages": [{"role": "user", "content": BODY}], "stream": True}
    with pytest.raises(httpx.RemoteProtocolError), chat.http.stream("POST", "/chat/completions", json=body) as answer:
        for part in answer.iter_raw():
            data += part
    return data


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(emulator: Emulator, chat: Chat, status: str) -> None:
    emulator.inject(Fault(status, times=2))
    for stream in (False, True):
        answer = chat.post("hi", stream=stream)
        assert answer.status_code == int(status)
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        assert {"message", "type", "param", "code"} == set(answer.json()["error"])
        assert "retry-after" not in answer.headers
    assert chat.post("hi").status_code == 200


def test_attributes_of_a_status(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(
        Fault("429", retry_after=0.5, retry_after_ms=7, message="m", code="c", type="t", headers={"x-more": "1"}),
        Fault("500", body=b"oops", content_type="text/plain"),
    )
    response_429, failed = chat.post("hi"), chat.post("hi")
    assert response_429.json() == {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}
    assert (response_429.headers["retry-after"], response_429.headers["retry-after-ms"], response_429.headers["x-more"]) == (
        "0.5",
        "7",
        "1",
    )
    assert (failed.text, failed.headers["content-type"]) == ("oops", "text/plain")


def test_html_from_a_gateway(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("502-html")
    answer = chat.post("hi")
    assert answer.status_code == 502
    assert answer.headers["content-type"].startswith("text/html")


def test_faults_wait_for_their_path(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(Fault("503", path="/embeddings"))
    assert chat.post("hi").status_code == 200
    assert chat.http.post("/embeddings", json={}).status_code == 503
    assert emulator.pending_faults == []


def test_faults_by_header_are_counted_by_id(chat: Chat) -> None:
    wish = {"x-emulator-fault": "429; times=2; retry-after=0; id=abc"}
    assert [chat.post("hi", headers=wish).status_code for _ in range(3)] == [429, 429, 200]
    assert chat.post("hi", headers={"x-emulator-fault": "429; times=2; id=other"}).status_code == 429
    for wrong in ("nonsense", "429; times=x", "429; colour=red"):
        assert chat.post("hi", headers={"x-emulator-fault": wrong}).status_code == 400


def test_unknown_kinds_raise_value_error() -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("418")


@pytest.mark.parametrize(("reset", "error"), [(False, httpx.RemoteProtocolError), (True, httpx.ReadError)])
def test_drop(emulator: Emulator, chat: Chat, reset: bool, error: type[Exception]) -> None:
    emulator.inject(Fault("drop", reset=reset))
    with pytest.raises(error):
        chat.post("hi")
    assert chat.post("hi").status_code == 200


def test_cut(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(Fault("cut", after=3), "cut")
    data = partial_bytes(chat)
    assert data.count(b"data: ") == 3
    assert b'"finish_reason":"' not in data
    with pytest.raises(httpx.RemoteProtocolError):
        chat.post("hi")  # a complete response, shorter than its content-length


def test_cut_after_finish(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("cut-after-finish")
    data = partial_bytes(chat)
    assert b'"finish_reason":"stop"' in data
    assert b"[DONE]" not in data


@pytest.mark.parametrize("finished", [False, True])
def test_no_done(emulator: Emulator, chat: Chat, finished: bool) -> None:
    emulator.inject(Fault("no-done", finished=finished))
    data = stream_bytes(chat)
    assert b"[DONE]" not in data
    assert (b'"finish_reason":"stop"' in data) is finished


def test_stream_errors(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(Fault("stream-error", after=1, message="mid"), Fault("stream-error-event", after=1, code="c"))
    response, named = stream_bytes(chat), stream_bytes(chat)
    assert events(response)[1]["error"]["message"] == "mid"
    event = named.split(b"\n\n")[1]
    assert event.startswith(b"event: error\ndata: ")
    assert json.loads(event.split(b"data: ")[1])["error"]["code"] == "c"


def test_bad_json(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("bad-json", "bad-json")
    with pytest.raises(json.JSONDecodeError):
        events(stream_bytes(chat))
    with pytest.raises(json.JSONDecodeError):
        chat.post("hi").json()


def test_late_error_has_the_usage_of_the_answer_that_it_replaces(emulator: Emulator, chat: Chat) -> None:
    usage = chat.post("hi").json()["usage"]
    emulator.inject("late-error", Fault("late-error", status=503, body="{}"))
    late, other = chat.post("hi"), chat.post("hi")
    assert (late.status_code, late.json()["usage"], bool(late.json()["error"]["message"])) == (500, usage, True)
    assert (other.status_code, other.json()) == (503, {})
    emulator.inject("late-error")
    speech = {"model": "hexgrad/Kokoro-82M", "input": "hi", "voice": "af_alloy"}
    assert (silent := chat.http.post("/audio/speech", json=speech)).status_code == 500
    assert "usage" not in silent.json()
    assert [(row.status, row.output_tokens) for row in emulator.bill.rows()] == [
        *((status, usage["completion_tokens"]) for status in (200, 500, 503)),
        (500, 0),
    ]


def test_empty_body_and_not_sse(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("empty-body", "not-sse")
    assert chat.post("hi", stream=True).content == b""
    answer = chat.post("hi", stream=True)
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json()["object"] == "chat.completion"


def test_slow_and_hold_open(emulator: Emulator, chat: Chat) -> None:
    for kind in ("slow", "hold-open"):
        emulator.inject(Fault(kind, seconds=0.01))
        assert stream_bytes(chat).endswith(b"data: [DONE]\n\n")
        emulator.inject(Fault(kind, seconds=NEVER))
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        data = b""
        with (
            pytest.raises(httpx.ReadTimeout),
            chat.http.stream("POST", "/chat/completions", json=body, timeout=httpx.Timeout(HANG, read=1)) as response,
        ):
            for part in response.iter_raw():
                data += part
        assert data.endswith(b"data: [DONE]\n\n") is (kind == "hold-open")


def test_trickle_splits_characters(emulator: Emulator, chat: Chat) -> None:
    default = chat.text("Repeat: '世界'")
    emulator.inject(Fault("trickle", seconds=0.0005, size=4))
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Repeat: '世界'"}], "stream": True}
    with chat.http.stream("POST", "/chat/completions", json=body) as answer:
        parts = list(answer.iter_raw())
    with pytest.raises(UnicodeDecodeError):
        [part.decode() for part in parts]
    assert joined(events(b"".join(parts)))["text"] == default


def test_framing(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("crlf", "keepalive")
    crlf, keepalive = stream_bytes(chat), stream_bytes(chat)
    assert b"\n" not in crlf.replace(b"\r\n", b"")
    assert keepalive.startswith(b": keepalive\n\ndata: ")
    assert (
        joined(events(crlf.replace(b"\r\n", b"\n")))["text"] == joined(events(keepalive.replace(b": keepalive\n\n", b"")))["text"]
    )


def test_redirect(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(Fault("redirect", location="http://127.0.0.1:9/x", status=302), "redirect")
    away, again = chat.post("hi"), chat.post("hi")
    assert (away.status_code, away.headers["location"]) == (302, "http://127.0.0.1:9/x")
    assert (again.status_code, again.headers["location"]) == (307, "/v1/chat/completions")


def test_echo_key(emulator: Emulator, chat: Chat) -> None:
    emulator.inject("echo-key")
    answer = chat.post("hi")
    assert answer.status_code == 400
    assert "k-123" in answer.json()["error"]["message"]


def test_should_retry(emulator: Emulator, chat: Chat) -> None:
    emulator.inject(Fault("x-should-retry", status=400, value="true"), Fault("x-should-retry", value="false"))
    first, second = chat.post("hi"), chat.post("hi")
    assert (first.status_code, first.headers["x-should-retry"]) == (400, "true")
    assert (second.status_code, second.headers["x-should-retry"]) == (503, "false")


def test_too_large_stays_and_counts_inputs(emulator: Emulator, http: httpx.Client) -> None:
    emulator.inject(Fault("too-large", limit=2, status=422))
    model = "BAAI/bge-base-en-v1.5"
    sizes = [len(["a"] * size) for size in (3, 2, 4, 1)]
    parameters = [http.post("/embeddings", json={"model": model, "input": ["a"] * size}).status_code for size in sizes]
    assert parameters == [422, 200, 422, 200]


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_with_responses_that_are_not_streams(emulator: Emulator, chat: Chat, kind: str) -> None:
    """No fault hangs or crashes the emulator for requests that it does not fit."""
    for body in ({"stream": True, "messages": []}, {"stream": False}):
        emulator.clear()
        emulator.inject(Fault(kind, seconds=0.01, size=200))
        try:
            answer = chat.http.post(
                "/chat/completions", json={"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **body}, timeout=HANG
            )
        except (httpx.RemoteProtocolError, httpx.ReadError):
            continue
        assert answer.status_code in (200, 307, 502, *map(int, STATUSES))
