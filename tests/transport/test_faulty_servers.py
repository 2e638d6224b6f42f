"""Servers that break HTTP in every way: each call ends in time, with an error of this library, after the requests of the policy."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

import together_adapters as ta
from tests.conftest import HANG, KEY, Flavour, example_count
from tests.transport.conftest import Answer, RawServer
from together_adapters.resources.downloads import download_file
from together_adapters.transport.bodies import FileRange
from together_adapters.transport.call import Call, Flow, Response, request
from together_adapters.transport.config import resolve
from together_adapters.transport.exchange import Attempt, attempts
from together_adapters.transport.retry import Failure

pytestmark = [pytest.mark.long, pytest.mark.every_transport, pytest.mark.usefixtures("quick_retries")]

CHAT: dict[str, Any] = {"model": "m/x", "messages": [{"role": "user", "content": "hi"}]}
LIMIT = 0.2  # `max_elapsed` of the calls that would not end


def head(status: str = "200 OK", content_type: str = "application/json", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(body: bytes, status: str = "200 OK", content_type: str = "application/json", **headers: object) -> bytes:
    return head(status, content_type, content_length=len(body), **headers) + body


REPLY = whole(
    b'{"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]}'
)
EVENTS = b'data: {"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": "hi"}}]}\n\ndata: [DONE]\n\n'
STREAM = whole(EVENTS, content_type="text/event-stream")


class Client:
    """The ways to use a client that differ in how a response is read."""

    def __init__(self, flavour: Flavour, server: RawServer, folder: Path, **options: Any) -> None:
        self.flavour = flavour
        self.folder = folder
        self.client = flavour.client(**{"base_url": server.base_url, "timeout": 5, "max_retries": 1, **options})

    def call(self) -> Any:
        return self.flavour.run(self.client.chat.completions.create(**CHAT))

    def stream(self) -> Any:
        return list(self.flavour.iterate(self.flavour.run(self.client.chat.completions.create(stream=True, **CHAT))))

    def upload(self) -> Any:
        file = self.folder / "upload.bin"
        file.write_bytes(b"x" * 100_000)

        def flow() -> Flow[Any]:
            yield Call("PUT", "/v1/part", lambda response: response.status_code, FileRange(file, 0, 100_000))

        return self.flavour.run(self.client.perform(flow()))

    def download(self) -> Any:
        call = request("GET", "/v1/files/f/content", lambda response: None)
        return self.flavour.run(self.client.perform(download_file(call, self.folder / "target", overwrite=True)))


USES = ["call", "stream", "upload", "download"]


@pytest.fixture
def client(flavour: Flavour, raw_server: RawServer, tmp_path: Path) -> Callable[..., Client]:
    return lambda **options: Client(flavour, raw_server, tmp_path, **options)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def then_reset(data: bytes) -> Answer:
    def send(connection: socket.socket) -> None:
        connection.sendall(data)
        time.sleep(0.02)  # so that it arrives before the reset
        reset(connection)

    return send


BROKEN_BODIES: dict[str, Callable[[str], Answer]] = {
    "cut": lambda status: head(status, content_length=100) + b'{"id"',
    "chunks-cut": lambda status: head(status, transfer_encoding="chunked") + b"5\r\n{",
    "bad-chunk": lambda status: head(status, transfer_encoding="chunked") + b"zz\r\n{",
    "reset": lambda status: then_reset(head(status, content_length=100) + b'{"id"'),
    "no-gzip": lambda status: whole(b"this is no gzip", status, content_encoding="gzip"),
    "no-deflate": lambda status: whole(b"\xff" * 40, status, content_encoding="deflate"),
    "gzip-cut": lambda status: head(status, content_encoding="gzip", content_length=100) + gzip.compress(b"{}" * 500)[:20],
    "gzip-crc": lambda status: whole(gzip.compress(b"{}" * 500)[:-8] + bytes(8), status, content_encoding="gzip"),
}


@pytest.mark.parametrize("use", USES)
def test_a_body_that_breaks_is_retried_and_ends_in_our_error(
    client: Callable[..., Client], raw_server: RawServer, use: str
) -> None:
    used = client()
    for kind in BROKEN_BODIES.values():
        for status in ("400 Bad Request", "503 Unavailable", *(("200 OK",) if use != "download" else ())):
            raw_server.answer(kind(status))
            raw_server.requests.clear()
            with pytest.raises(ta.APIConnectionError, match="2 attempts") as exc_info:
                getattr(used, use)()
            assert exc_info.value.attempts == len(raw_server.requests) == 2
            assert f"at 127.0.0.1:{raw_server.port}/gateway failed" in str(exc_info.value)


@pytest.mark.parametrize("content_type", ["application/json", "text/html; charset=utf-8", "application/xml"])
def test_a_stream_answered_by_a_document_that_stalls_times_out(
    client: Callable[..., Client], raw_server: RawServer, content_type: str
) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(head(content_type=content_type, content_length=9) + b"{")
        raw_server.stopped.wait(HANG)

    raw_server.answer(stall)
    with pytest.raises(ta.APITimeoutError, match="2 attempts"):
        client(timeout=0.1).stream()
    assert len(raw_server.requests) == 2


DRIPS: dict[str, tuple[bytes, bytes]] = {
    "status": (b"", b"H"),
    "reason": (b"HTTP/1.1 200 ", b"O"),
    "header": (b"HTTP/1.1 200 OK\r\nx-a: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x-a: a\r\n"),
    "informational": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "length": (head(content_length=10**9), b" "),
    "chunks": (head(transfer_encoding="chunked"), b"1\r\n \r\n"),
    "extension": (head(transfer_encoding="chunked") + b"1;", b"e"),
    "trailers": (head(transfer_encoding="chunked") + b"2\r\n{}\r\n0\r\n", b"x: y\r\n"),
    "until-close": (head(), b" "),
    "gzip": (head(content_encoding="gzip") + gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff"),  # empty blocks
}


@pytest.mark.parametrize("kind", DRIPS)
def test_max_elapsed_holds_however_slowly_a_response_comes(
    client: Callable[..., Client], raw_server: RawServer, kind: str
) -> None:
    start, part = DRIPS[kind]
    used = client(max_elapsed=LIMIT, timeout=None)
    for use, status in (("call", b"200 OK"), ("stream", b"200 OK"), ("stream", b"500 Failed"), ("upload", b"500 Failed")):
        raw_server.answer(raw_server.drip(start.replace(b"200 OK", status), part))
        begin = time.monotonic()
        with pytest.raises(ta.APITimeoutError, match="max_elapsed"):
            getattr(used, use)()
        assert time.monotonic() - begin < HANG / 4


@pytest.mark.parametrize("use", ["call", "stream"])
def test_max_elapsed_holds_when_a_body_stalls(client: Callable[..., Client], raw_server: RawServer, use: str) -> None:
    def stall(connection: socket.socket) -> None:
        for _ in range(2):
            connection.sendall(head(content_length=99) if _ == 0 else b"{")
            time.sleep(LIMIT / 2)
        raw_server.stopped.wait(HANG)

    raw_server.answer(stall)
    begin = time.monotonic()
    with pytest.raises(ta.APITimeoutError, match="max_elapsed"):
        getattr(client(max_elapsed=LIMIT, timeout=None), use)()
    assert time.monotonic() - begin < 1.8 * LIMIT


def test_max_elapsed_of_a_stream_ends_when_it_opens(client: Callable[..., Client], raw_server: RawServer) -> None:
    def slow(connection: socket.socket) -> None:
        connection.sendall(head(content_type="text/event-stream"))
        time.sleep(1.5 * LIMIT)
        connection.sendall(EVENTS)

    raw_server.answer(slow)
    assert client(max_elapsed=LIMIT).stream()


def test_max_elapsed_holds_for_a_server_that_does_not_read(flavour: Flavour, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(20_000_000))

    def flow() -> Flow[Any]:
        yield Call("PUT", "/v1/part", lambda response: None, FileRange(file, 0, 20_000_000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = flavour.client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", max_elapsed=LIMIT)
        begin = time.monotonic()
        with pytest.raises(ta.APITimeoutError):
            flavour.run(client.perform(flow()))
        assert time.monotonic() - begin < HANG / 4


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 400),
        (b"HTTP/1.1 200 OK\r\n", b"x-a: a\r\n" * 1000),
        (b"", b"A" * 1000),
        (head(transfer_encoding="chunked"), b"1;" + b"e" * 10_000),
        (head(transfer_encoding="chunked") + b"0\r\n", b"x: y\r\n" * 1000),
    ],
)
def test_what_has_no_end_is_bounded_in_size(
    client: Callable[..., Client], raw_server: RawServer, transport: str, start: bytes, part: bytes
) -> None:
    raw_server.answer(raw_server.drip(start, part, 0.0001))
    # wreq forgets informational responses, which the time limit ends.
    seconds = 0.5 if transport == "fast" and b"100 Continue" in part else 60
    with pytest.raises(ta.APIConnectionError):
        client(timeout=seconds).call()
    assert len(raw_server.requests) == 2


def test_informational_responses_take_no_longer_than_a_read(client: Callable[..., Client], raw_server: RawServer) -> None:
    raw_server.answer(raw_server.drip(b"", b"HTTP/1.1 102 Processing\r\n\r\n"))
    with pytest.raises(ta.APITimeoutError, match="read"):
        client(timeout=0.2).call()


# Connections that the server closes.


@pytest.fixture(params=["own", "supplied"])
def http_options(flavour: Flavour, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of a client with its own connections, and of one with those of a supplied `http_client`."""
    return {} if request.param == "own" else {"http_client": flavour.http_client()}


@pytest.mark.parametrize("use", ["call", "stream", "upload"])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_died_idle_is_replaced_uncounted(
    client: Callable[..., Client], raw_server: RawServer, http_options: dict[str, Any], use: str, end: str
) -> None:
    """The server closes when the second request is there, which is the race that no client can see coming."""
    reply = STREAM if use == "stream" else REPLY
    die = _close if end == "close" else _reset
    raw_server.answer(reply, die, reply, die, reply, close=False)
    used = client(max_retries=0, **http_options)
    for _ in range(3):
        getattr(used, use)()
    assert len(raw_server.requests) == 5


def _close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def _reset(connection: socket.socket) -> None:
    reset(connection)
    connection.close()


def test_a_server_that_always_closes_is_not_asked_without_end(
    client: Callable[..., Client], raw_server: RawServer, http_options: dict[str, Any]
) -> None:
    used = client(max_retries=1, **http_options)
    raw_server.answer(REPLY, close=False)
    used.call()
    raw_server.answer(_close, close=False)
    with pytest.raises(ta.APIConnectionError, match="2 attempts"):
        used.call()
    assert len(raw_server.requests) == 1 + 1 + 2


def test_paid_work_is_not_sent_again_once_its_head_went_out(
    client: Callable[..., Client], raw_server: RawServer, http_options: dict[str, Any]
) -> None:
    used = client(max_retries=2, **http_options)
    raw_server.answer(REPLY, _close, close=False)
    used.call()
    with pytest.raises(ta.APIConnectionError, match="may have accepted it"):
        used.flavour.run(used.client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions"))
    assert len(raw_server.requests) == 2


@pytest.mark.parametrize("billable", [None, "somewhere"])
def test_a_head_that_cannot_be_written_goes_out_again(billable: str | None) -> None:
    call = Call("POST", "/v1/x", lambda response: response.content, billable=billable)
    steps = attempts(call, resolve("sk-k", "http://127.0.0.1:9", 1, 0, None, {}, {}))
    next(steps)
    assert isinstance(steps.send(Failure("closed", maybe_received=False, stale=True)), Attempt)
    with pytest.raises(StopIteration) as stop:
        steps.send(Response(200, {}, b""))
    assert stop.value.value[1] == 1


@pytest.mark.parametrize("use", ["call", "stream"])
def test_a_server_that_closes_after_each_response_without_saying_so(
    client: Callable[..., Client], raw_server: RawServer, use: str
) -> None:
    raw_server.answer(STREAM if use == "stream" else REPLY)
    used = client(max_retries=0)
    for _ in range(30):
        getattr(used, use)()
    assert len(raw_server.requests) == 30


# Redirects.

HOSTS = st.sampled_from(
    [
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:x",
        "[::1",
        "[zz]",
        "a..invalid",
        "x" * 64 + ".invalid",
        "\u2100.invalid",
        "[v1.x]",
        "",
        ":",
        "@",
        "u:p@:1",
        "[::1%25eth0]x",
        "127.0.0.1:0",
        "xn--.invalid",
        "-.invalid:1:2",
        "1" * 70_000,
    ]
)
LOCATIONS = st.one_of(
    st.builds(
        "{}://{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp", "file", "", "javascript"]),
        HOSTS,
        st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=8),
    ),
    st.builds("//{}".format, HOSTS),
    st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=30),
)


def is_elsewhere(location: str) -> bool:
    """Whether a location has an address to which tests may not connect, such as `http://0`."""
    try:
        host = httpx.URL("http://127.0.0.1").join(location).host
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)}
    except (httpx.InvalidURL, ValueError, OSError):
        return False
    return not addresses <= {"127.0.0.1", "::1"}


@given(location=LOCATIONS.filter(lambda location: not is_elsewhere(location)), use=st.sampled_from(["call", "stream", "list"]))
@example_count(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(location="//u:p@:1", use="list")
def test_a_malformed_location_is_an_error_of_ours(
    client: Callable[..., Client], raw_server: RawServer, http_options: dict[str, Any], location: str, use: str
) -> None:
    value = location.encode("latin-1", "replace") if location.isascii() or max(location) < "\u0100" else location.encode()
    raw_server.answer(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: " + value + b"\r\n\r\n")
    used = client(max_retries=0, **http_options)
    with pytest.raises((ta.APIStatusError, ta.APIConnectionError)) as exc_info:
        used.flavour.run(used.client.models.list()) if use == "list" else getattr(used, use)()
    assert len(str(exc_info.value)) < 2000


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:x/", "http://[zz]/", "http://a..invalid/", "http://u:p%40w@127.0.0.1:99999/"]
)
def test_a_malformed_redirect_is_not_asked_for_again(client: Callable[..., Client], raw_server: RawServer, location: str) -> None:
    raw_server.answer(head("302 Found", content_length=0, location=location))
    used = client()
    with pytest.raises((ta.APIStatusError, ta.APIConnectionError), match="redirect|location") as exc_info:
        used.flavour.run(used.client.models.list())
    assert len(raw_server.requests) == 1
    assert "p%40w" not in str(exc_info.value)


# Sizes.


def bomb(size: int) -> bytes:
    """Spaces that are packed a thousand times."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(size // 1_000_000)), packer.flush()])


@pytest.fixture(scope="module")
def packed() -> bytes:
    return bomb(200_000_000)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("status", ["400 Bad Request", "200 OK"])
def test_a_small_body_that_unpacks_to_much_is_bounded(
    client: Callable[..., Client], raw_server: RawServer, packed: bytes, use: str, status: str
) -> None:
    content_type = "text/event-stream" if use == "stream" else "application/json"
    raw_server.answer(whole(packed, status, content_type, content_encoding="gzip"))
    tracemalloc.start()
    try:
        with pytest.raises(ta.TogetherError):
            getattr(client(), use)()
        assert tracemalloc.get_traced_memory()[1] < 150_000_000
    finally:
        tracemalloc.stop()
    if status == "400 Bad Request":
        assert len(raw_server.requests) == 1


def test_an_error_body_is_cut(client: Callable[..., Client], raw_server: RawServer) -> None:
    raw_server.answer(whole(b"x" * 3_000_000, "400 Bad Request", "text/plain"))
    with pytest.raises(ta.BadRequestError) as exc_info:
        client().call()
    assert exc_info.value.response is not None
    assert 1 << 15 < len(exc_info.value.response.content) <= 1 << 16


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_responses_are_read(client: Callable[..., Client], raw_server: RawServer, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    raw_server.answer(whole(pack(REPLY.partition(b"\r\n\r\n")[2]), content_encoding=encoding))
    assert client().call().choices[0].message.content == "hi"
    raw_server.answer(whole(pack(EVENTS), content_type="text/event-stream", content_encoding=encoding))
    assert len(client().stream()) == 1


# Everything else.


@pytest.mark.parametrize("use", ["call", "stream"])
def test_a_supplied_client_that_is_closed_is_named(flavour: Flavour, raw_server: RawServer, tmp_path: Path, use: str) -> None:
    http = flavour.http_client()
    flavour.run(http.aclose() if flavour.is_async else http.close())
    with pytest.raises(ta.ConfigurationError, match="closed"):
        getattr(Client(flavour, raw_server, tmp_path, http_client=http), use)()


@pytest.mark.parametrize("kind", ["cut", "chunks-cut", "bad-chunk", "reset", "gzip-cut"])
def test_broken_bodies_under_trio(raw_server: RawServer, kind: str) -> None:
    pytest.importorskip("trio")
    raw_server.answer(BROKEN_BODIES[kind]("200 OK"))

    async def send() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=raw_server.base_url, max_elapsed=HANG) as client:
            with pytest.raises(ta.APIConnectionError):
                await client.chat.completions.create(**CHAT)

    anyio.run(send, backend="trio")


@pytest.mark.parametrize("use", ["call", "stream"])
def test_max_elapsed_with_a_supplied_client(flavour: Flavour, raw_server: RawServer, tmp_path: Path, use: str) -> None:
    http = flavour.http_client()
    raw_server.answer(raw_server.drip(head(content_length=10**9), b" "))
    with pytest.raises(ta.APITimeoutError, match="max_elapsed"):
        getattr(Client(flavour, raw_server, tmp_path, http_client=http, max_elapsed=LIMIT), use)()


FINAL_BODIES: list[tuple[str, dict[str, Any], type[ta.TogetherError]]] = [
    ("429 Too Many Requests", {"message": "no", "code": "insufficient_quota"}, ta.PaymentRequiredError),
    ("429 Too Many Requests", {"message": "no", "type": "insufficient_quota", "code": None}, ta.PaymentRequiredError),
    ("503 Unavailable", {"message": "no", "code": "billing_hard_limit_reached"}, ta.PaymentRequiredError),
    ("500 Failed", {"message": "no", "code": "context_length_exceeded"}, ta.ContextLengthError),
    ("500 Failed", {"message": "This model's maximum context length is 8 tokens", "code": 500}, ta.ContextLengthError),
    ("429 Too Many Requests", {"message": "no", "type": "ContextWindowExceededError"}, ta.ContextLengthError),
]


@pytest.mark.parametrize("use", USES)
def test_a_body_can_say_that_another_attempt_would_fail(client: Callable[..., Client], raw_server: RawServer, use: str) -> None:
    used = client(max_retries=2)
    for status, details, kind in FINAL_BODIES:
        raw_server.answer(whole(json.dumps({"error": details}).encode(), status, retry_after=0)).requests.clear()
        with pytest.raises(kind):
            getattr(used, use)()
        assert len(raw_server.requests) == 1
    for status, code in (("429 Too Many Requests", "rate_limit_exceeded"), ("500 Failed", "server_error")):
        raw_server.answer(whole(b'{"error": {"message": "no", "code": "%s"}}' % code.encode(), status)).requests.clear()
        with pytest.raises(ta.APIStatusError):
            getattr(used, use)()
        assert len(raw_server.requests) == 3


def test_501_is_not_retried(client: Callable[..., Client], raw_server: RawServer) -> None:
    raw_server.answer(whole(b"{}", "501 Not Implemented"))
    with pytest.raises(ta.InternalServerError):
        client().call()
    assert len(raw_server.requests) == 1
