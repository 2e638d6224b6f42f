"""`transport="fast"`: what it takes over from httpx, what goes over httpx, and what only this transport could get wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

import together_adapters as ta
from tests.conftest import HANG, KEY, Flavour, count_function_calls, eventually
from tests.transport.conftest import RawServer, in_flight
from together_adapters.emulator import Emulator
from together_adapters.transport.bodies import FileRange
from together_adapters.transport.call import Call, Flow, request
from together_adapters.transport.http_library import library_of

pytest.importorskip("wreq", reason="the extra `fast` is not installed")
from together_adapters.transport.fast.engine import Engine, Unsupported
from together_adapters.transport.fast.failures import translate

pytestmark = pytest.mark.parametrize("transport", ["fast"], indirect=True)

CERTIFICATE = Path(__file__).parent / "localhost.pem"  # with its key
NO_MODELS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"


def paid() -> Flow[Any]:
    """A call that must not be sent twice."""
    yield request("POST", "/v1/paid", lambda response: None, {}, billable="jobs.list()")


def test_it_is_an_option_of_its_own(emulator: Emulator) -> None:
    options: dict[str, Any] = {"api_key": KEY, "base_url": emulator.base_url}
    named = ta.Together(transport="fast", **options)
    clients = [named, named.with_options(max_retries=1), named.to_async().to_sync(), pickle.loads(pickle.dumps(named))]
    assert {client.config.transport for client in clients} == {"fast"}
    assert all(client.models.list() for client in clients)
    with pytest.raises(ta.ConfigurationError, match="does not go with an http_client"):
        ta.Together(transport="fast", http_client=httpx.Client(), **options)
    with pytest.raises(ta.ConfigurationError, match="does not go with http_library='httpx2'"):
        ta.Together(transport="httpx", http_library="httpx2", **options)
    with pytest.raises(ta.ConfigurationError, match="transport must be 'fast', 'httpx', 'httpx2', not 'rust'"):
        ta.Together(transport="rust", **options)  # type: ignore[arg-type]


def test_whole_calls_do_not_touch_httpx(flavour: Flavour, question: dict[str, Any]) -> None:
    client = flavour.client()
    for _ in range(2):
        assert flavour.run(client.chat.completions.create(**question)).choices
    connections = client._driver.connections
    http = next(iter(connections._pools.values()))[0] if flavour.is_async else connections.client
    assert http._ordinary is None
    assert in_flight(client) == 0


def test_a_call_takes_few_function_calls(emulator: Emulator, question: dict[str, Any]) -> None:
    """Ten times as many on httpx."""
    with ta.Together(api_key=KEY, base_url=emulator.base_url) as client:
        client.chat.completions.create(**question)
        assert count_function_calls(lambda: client.chat.completions.create(**question)) < 150


def test_the_log_names_what_goes_over_httpx(
    flavour: Flavour, raw_server: RawServer, tmp_path: Path, question: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    raw_server.answer(NO_MODELS)
    (tmp_path / "part").write_bytes(b"x" * 10)
    client = flavour.client(base_url=raw_server.base_url, max_retries=0)

    def upload() -> Flow[Any]:
        yield Call("PUT", "/v1/part", lambda response: None, FileRange(tmp_path / "part", 0, 10))

    with caplog.at_level(logging.INFO, "together_adapters"):
        for _ in range(2):
            flavour.run(client.perform(upload()))
            flavour.run(client.models.list(extra_headers={"x-name": "a\tb"}))
            with suppress(ta.TogetherError):
                flavour.run(client.chat.completions.create(stream=True, **question))
        for number in range(20):
            flavour.run(client.models.list(timeout=1 + number / 100))
    reasons = [message for message in caplog.messages if message.startswith("transport='fast'")]
    expected = ["an upload", "a header with characters that are not printable ASCII"]
    if not flavour.is_async:
        expected.append("a stream or a download of a synchronous client")
    expected.append("a connect timeout beyond the first 16 different ones")
    assert reasons == [f"transport='fast': {reason} goes over httpx" for reason in expected]
    assert len(raw_server.requests) == 26


def test_a_loop_that_is_not_asyncio_goes_over_httpx(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    trio = pytest.importorskip("trio")
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    assert trio.run(client.models.list)
    assert any("it knows asyncio alone" in message for message in caplog.messages)


def test_a_failure_to_connect_is_not_a_request(flavour: Flavour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = flavour.client(base_url=f"http://127.0.0.1:{port}", max_retries=1, default_query={"token": "sk-secret"})
    with pytest.raises(ta.APIConnectionError, match="ConnectError: Connection refused") as exc_info:
        flavour.run(client.perform(paid()))
    assert exc_info.value.attempts == 2
    assert "sk-secret" not in str(exc_info.value)


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog is refused elsewhere")
def test_a_connect_timeout_is_not_a_request(flavour: Flavour, quick_retries: None) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        full = [socket.socket() for _ in range(3)]
        for waiting in full:
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = flavour.client(base_url=base_url, max_retries=1, timeout=httpx.Timeout(HANG, connect=0.05))
        with pytest.raises(ta.APITimeoutError, match=r"timed out \(connect\)") as exc_info:
            flavour.run(client.perform(paid()))
        assert exc_info.value.attempts == 2
        for waiting in full:
            waiting.close()


@pytest.mark.parametrize(
    "source", ['ConnectError("tcp connect error", Custom { kind: TimedOut, error: "connect timeout" })', "TimedOut"]
)
def test_both_forms_of_a_connect_timeout(transport: str, source: str) -> None:
    """As wreq 0.13 words them: two timers run, and either may be first."""
    text = f"wreq::Error {{ kind: Request, uri: http://a/, source: Error {{ kind: Connect, source: Some({source}), connect_info: None }} }}"
    assert type(translate(Exception(text), library_of(None, transport=transport), lambda address: False)) is httpx.ConnectTimeout


@pytest.mark.parametrize("end", ["close", "timeout"])
def test_paid_work_that_may_have_arrived_is_not_sent_again(flavour: Flavour, raw_server: RawServer, end: str) -> None:
    raw_server.answer(raw_server.hang if end == "timeout" else b"")
    client = flavour.client(base_url=raw_server.base_url, timeout=0.2)
    with pytest.raises(ta.APIConnectionError):
        flavour.run(client.perform(paid()))
    assert len(raw_server.requests) == 1


def tunnel(context: ssl.SSLContext, connection: socket.socket) -> None:
    """Answers as a proxy before a server would, whose certificate it has."""
    with suppress(OSError), connection:
        if connection.recv(9, socket.MSG_PEEK).startswith(b"CONNECT"):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as secure:
            while secure.recv(65536):
                secure.sendall(NO_MODELS)


@pytest.fixture
def tls_port(transport: str) -> Iterator[int]:
    """The port of a server, also reachable as a proxy, with a certificate that nobody has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    Thread(target=tunnel, args=(context, listener.accept()[0]), daemon=True).start()

        Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("way", ["direct", "proxy"])
def test_only_the_certificates_of_the_environment_are_trusted(
    flavour: Flavour, tls_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    base_url = f"https://localhost:{tls_port}"
    if way == "proxy":
        base_url = "https://localhost:1"
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pw-secret@127.0.0.1:{tls_port}")
    with pytest.raises(ta.APIConnectionError, match="CERTIFICATE_VERIFY_FAILED") as exc_info:
        flavour.run(flavour.client(base_url=base_url, max_retries=0).models.list())
    assert "pw-secret" not in str(exc_info.value)
    certificate = CERTIFICATE.read_text("ascii").partition("-----BEGIN PRIVATE")[0]
    (tmp_path / "ca.pem").write_text(certificate, "ascii")
    (tmp_path / "0123abcd.0").write_text(certificate, "ascii")
    for name, value in (("SSL_CERT_DIR", tmp_path), ("SSL_CERT_FILE", tmp_path / "ca.pem")):
        monkeypatch.setenv(name, str(value))
        assert flavour.run(flavour.client(base_url=base_url, max_retries=0).models.list()) == []


def test_a_socks_proxy_is_left_to_httpx(monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    monkeypatch.setattr("together_adapters.transport.environment.find_spec", lambda name: name == "socksio")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(Unsupported, match="a SOCKS proxy"):
        Engine(library_of(None)).proxy("https://gateway.invalid/v1")


INTERRUPTED = """
import signal, sys, together_adapters as ta
client = ta.Together(api_key="sk-k", base_url=sys.argv[1], max_retries=0, transport="fast")
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    client.models.list()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
@pytest.mark.parametrize("start", [b"", NO_MODELS[:-1]], ids=["head", "body"])
def test_ctrl_c_ends_a_call_and_its_connection(raw_server: RawServer, start: bytes) -> None:
    ended = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.sendall(start)
        connection.recv(1)  # until the client closes the connection
        ended.set()

    raw_server.answer(stall)
    command = [sys.executable, "-c", INTERRUPTED, raw_server.base_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        assert eventually(lambda: raw_server.requests)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert ended.wait(HANG)
        process.stdin.close()


def test_cancelling_a_task_closes_its_connection(raw_server: RawServer) -> None:
    ended = threading.Event()

    def stall(connection: socket.socket) -> None:
        connection.recv(1)
        ended.set()

    raw_server.answer(stall)

    async def cancel() -> None:
        client = ta.AsyncTogether(api_key=KEY, base_url=raw_server.base_url)
        task = asyncio.create_task(client.models.list())
        await asyncio.to_thread(eventually, lambda: raw_server.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, HANG)

    asyncio.run(cancel())


def test_a_synchronous_call_inside_of_a_running_loop(emulator: Emulator) -> None:
    async def call() -> int:
        with ta.Together(api_key=KEY, base_url=emulator.base_url) as client:
            first = client.models.list()
            await asyncio.sleep(0)
            return len(first) - len(client.models.list())

    assert asyncio.run(call()) == 0


def test_a_system_without_poll(emulator: Emulator, raw_server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Windows is."""
    monkeypatch.delattr(select, "poll", raising=False)
    raw_server.answer(raw_server.hang)
    results: list[Any] = []

    def call() -> None:
        results.append(ta.Together(api_key=KEY, base_url=emulator.base_url).models.list())
        with pytest.raises(ta.APITimeoutError, match="read"):
            ta.Together(api_key=KEY, base_url=raw_server.base_url, timeout=0.05, max_retries=0).models.list()
        results.append(True)

    thread = Thread(target=call)
    thread.start()
    thread.join()
    assert len(results) == 2


def test_headers_are_those_of_httpx(flavour: Flavour, raw_server: RawServer) -> None:
    extra = "X-Request-Id: a\r\nx-many: b\r\nx-many: c\r\nx-name: Zoë\r\nset-cookie: session=secret\r\n"
    for encoding in ("utf-8", "iso-8859-1"):
        raw_server.answer(NO_MODELS.replace(b"\r\n\r\n", b"\r\n" + extra.encode(encoding) + b"\r\n"))
        response = flavour.run(flavour.client(base_url=raw_server.base_url).with_raw_response.models.list())
        assert response.headers == {
            "content-type": "application/json",
            "content-length": "2",
            "x-request-id": "a",
            "x-many": "b, c",
            "x-name": "Zoë",
        }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_other_threads_use_it(emulator: Emulator) -> None:
    script = f"""
import asyncio, os, threading, together_adapters as ta
options = dict(api_key="sk-k", base_url={emulator.base_url!r}, transport="fast")
client, other = ta.Together(**options), ta.AsyncTogether(**options)
asyncio.run(other.models.list())
stop = threading.Event()
threads = [threading.Thread(target=lambda: [client.models.list() for _ in iter(stop.is_set, True)]) for _ in range(3)]
[thread.start() for thread in threads]
for _ in range(5):
    client.models.list()
    if not (child := os.fork()):
        client.models.list()
        asyncio.run(other.models.list())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
[thread.join() for thread in threads]
"""
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stderr) == (0, "")
