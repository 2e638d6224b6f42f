"""Connections of a client: threads, event loops, forks, supplied HTTP clients, proxies."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import socketserver
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import certifi
import httpx
import pytest

import together_adapters as ta
from tests.conftest import KEY, NEVER, Flavour, count_function_calls, eventually
from tests.transport.conftest import RawServer, in_flight
from together_adapters.emulator import Emulator, Fault, serve
from together_adapters.transport.call import Call, Flow, Parallel, Sleep, request
from together_adapters.transport.environment import ssl_context
from together_adapters.transport.http_library import library_of

pytestmark = pytest.mark.every_transport


def test_one_client_serves_many_threads(emulator: Emulator, question: dict[str, Any]) -> None:
    with ta.Together(api_key=KEY, base_url=emulator.base_url) as client, ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda _: client.chat.completions.create(**question), range(64)))
    assert len({answer.choices[0].message.content for answer in results}) == 1
    assert len(emulator.requests) == 64


def test_one_async_client_serves_many_runs(emulator: Emulator, question: dict[str, Any]) -> None:
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    for _ in range(3):
        assert asyncio.run(client.chat.completions.create(**question)).choices
    gc.collect()


def test_a_loop_that_is_closed_by_hand_leaves_no_sockets(emulator: Emulator, question: dict[str, Any]) -> None:
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    for _ in range(2):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(client.chat.completions.create(**question)).choices
        loop.close()
        gc.collect()


def test_a_client_that_is_collected_in_a_running_loop_closes_its_connections(
    emulator: Emulator, question: dict[str, Any]
) -> None:
    async def burst() -> None:
        client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
        await asyncio.gather(*(client.chat.completions.create(**question) for _ in range(20)))

    asyncio.run(burst())
    gc.collect()

    async def burst_and_go_on() -> None:
        await burst()
        gc.collect()
        await asyncio.sleep(0.1)

    asyncio.run(burst_and_go_on())
    gc.collect()


def test_one_async_client_serves_loops_in_several_threads(emulator: Emulator, question: dict[str, Any]) -> None:
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)

    async def several() -> int:
        results = await asyncio.gather(*(client.chat.completions.create(**question) for _ in range(4)))
        return len(results)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: asyncio.run(several()), range(8))) == [4] * 8
    gc.collect()


def test_a_loop_has_one_hook_however_many_clients_it_sees(emulator: Emulator) -> None:
    async def serve_requests() -> None:
        loop = asyncio.get_running_loop()
        close, descriptors = loop.close, _descriptors()
        for number in range(20):
            client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
            await client.models.list()
            if number % 2:
                await client.aclose()
            del client
            if number == 0:
                hook = loop.close
        assert (loop.close, close == hook) == (hook, False)
        del hook
        gc.collect()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1
        assert _descriptors() <= descriptors + 10  # of the server, which is in this process

    asyncio.run(serve_requests())
    loop = asyncio.new_event_loop()
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    loop.run_until_complete(client.models.list())
    loop.close()
    gc.collect()


def _descriptors() -> int:
    folder = "/proc/self/fd"
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0


@pytest.fixture
def silent_server(http_library: Any, emulator: Emulator) -> Iterator[str]:
    """The URL of a server that accepts connections and never answers. What a process opens once for all clients is open."""
    with ta.Together(api_key=KEY, base_url=emulator.base_url) as client:
        client.models.list()
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.mark.parametrize("pause", [0, 0.1])
def test_closing_ends_the_calls_of_tasks(silent_server: str, pause: float) -> None:
    async def close_in_flight() -> list[Any]:
        client = ta.AsyncTogether(api_key=KEY, base_url=silent_server)
        calls = [asyncio.create_task(client.models.list()) for _ in range(100)]
        await asyncio.sleep(pause)  # without a pause, connections are being opened
        await client.aclose()
        return await asyncio.gather(*calls, return_exceptions=True)

    descriptors = _descriptors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        errors = asyncio.run(close_in_flight())
        gc.collect()
    assert {type(error) for error in errors} <= {ta.APIConnectionError, ta.ConfigurationError}
    assert all("closed" in str(error) for error in errors)
    assert not caught
    assert eventually(lambda: _descriptors() <= descriptors)


def test_closing_ends_the_calls_of_threads(silent_server: str) -> None:
    client = ta.Together(api_key=KEY, base_url=silent_server)
    descriptors = _descriptors()
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(client.models.list) for _ in range(8)]
        assert eventually(lambda: in_flight(client) == 8)
        start = time.monotonic()
        client.close()
        for call in calls:
            with pytest.raises(ta.TogetherError, match="closed"):
                call.result()
    assert time.monotonic() - start < 30
    gc.collect()
    assert eventually(lambda: _descriptors() <= descriptors)


def test_a_loop_that_is_closed_with_calls_in_flight_leaves_no_sockets(silent_server: str) -> None:
    async def leave() -> list[asyncio.Task[Any]]:
        client = ta.AsyncTogether(api_key=KEY, base_url=silent_server, max_retries=0)
        calls = [asyncio.create_task(client.models.list()) for _ in range(20)]
        await asyncio.sleep(0.05)
        return calls

    descriptors = _descriptors()
    loop = asyncio.new_event_loop()
    calls = loop.run_until_complete(leave())
    loop.close()
    assert all(isinstance(call.exception(), ta.APIConnectionError) for call in calls)
    del calls, loop
    gc.collect()
    assert eventually(lambda: _descriptors() <= descriptors)


INTERRUPTED = """
import os, signal, sys, threading, time, together_adapters as ta
client = ta.Together(api_key="sk-k", base_url=sys.argv[1], timeout=600, transport=sys.argv[2])
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
client.embeddings.create(model="m/x", input=list("abcdefgh"), batch_size=1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of other systems")
def test_ctrl_c_does_not_wait_for_parallel_requests(silent_server: str, transport: str) -> None:
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED, silent_server, transport]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # 1, if another thread runs `exec` while Python ends: CPython forgets then that it was a signal.
    assert done.returncode in (-signal.SIGINT, 1)
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_a_failure_does_not_wait_for_parallel_requests(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("400", path="/embeddings"), Fault("slow", path="/embeddings", seconds=NEVER, times=None))
    with pytest.raises(ta.BadRequestError):
        flavour.run(flavour.client().embeddings.create(model="m/x", input=list("abcd"), batch_size=1))


def test_other_event_loops_work_too(emulator: Emulator, question: dict[str, Any]) -> None:
    pytest.importorskip("trio")
    client = ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url)

    async def send() -> Any:
        return await client.chat.completions.create(**question)

    assert anyio.run(send, backend="trio").choices


@pytest.mark.long
def test_two_hundred_calls_at_once_spread_over_few_connections(emulator: Emulator, question: dict[str, Any]) -> None:
    async def burst() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            for _ in range(2):
                await asyncio.gather(*(client.chat.completions.create(**question) for _ in range(200)))

    asyncio.run(burst())
    assert len(emulator.requests) == 400
    assert len({request.connection for request in emulator.requests}) <= 256


SCRIPT = """
import asyncio, sys, together_adapters as ta
options = {"api_key": "sk-k", "base_url": sys.argv[1], "transport": sys.argv[2]}
question = {"model": "m/x", "messages": [{"role": "user", "content": "hi"}]}
client = ta.Together(**options)
assert client.chat.completions.create(**question).choices
for chunk in client.chat.completions.create(stream=True, **question):
    break
other = ta.AsyncTogether(**options)
async def main():
    assert (await other.chat.completions.create(**question)).choices
    async for chunk in await other.chat.completions.create(stream=True, **question):
        break
asyncio.run(main()); asyncio.run(main())
ta.Together(**options).models.list()
"""


@pytest.mark.long
def test_a_program_that_closes_nothing_leaves_nothing_behind(emulator: Emulator, transport: str) -> None:
    command = [sys.executable, "-W", "error", "-X", "tracemalloc", "-c", SCRIPT, emulator.base_url, transport]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_opens_its_own_connections(emulator: Emulator, transport: str, question: dict[str, Any]) -> None:
    script = f"""
import os, together_adapters as ta
client = ta.Together(api_key="sk-k", base_url={emulator.base_url!r}, transport={transport!r})
send = lambda: client.chat.completions.create(**{question!r})
send()
child = os.fork()
send()
if child:
    assert os.waitpid(child, 0)[1] == 0
send()
"""
    flags = [
        "-W",
        "ignore:This process:DeprecationWarning",
    ]  # Python 3.12 warns of any fork while there are threads, as of `fast`
    done = subprocess.run([sys.executable, *flags, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(emulator.requests) == 5
    assert len({request.connection for request in emulator.requests}) == 2


def test_a_closed_client_raises(flavour: Flavour, question: dict[str, Any]) -> None:
    client = flavour.client()
    flavour.run(client.chat.completions.create(**question))
    flavour.run(client.close())
    flavour.run(client.close())
    with pytest.raises(ta.ConfigurationError, match="closed"):
        flavour.run(client.chat.completions.create(**question))


def head(size: int, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n".encode()


@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified", "204 No Content"])
@pytest.mark.parametrize("rest", [b"rubbish", head(12) + b'[{"id":"x"}]'])
def test_bytes_after_a_response_are_not_the_next_response(flavour: Flavour, status: str, rest: bytes) -> None:
    """As when a gateway sends a body that is longer than it said: the answer of one call must not reach another."""

    class Gateway(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                if line == b"\r\n":
                    started, self.server.started = self.server.started, True  # type: ignore[attr-defined]
                    self.wfile.write(head(2) + b"[]" if started else head(0, status) + rest)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Gateway) as server:
        server.daemon_threads, server.started = True, False  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        client = flavour.client(base_url=f"http://127.0.0.1:{server.server_address[1]}", max_retries=0)
        try:
            with suppress(ta.APIError):
                flavour.run(client.models.list())
            assert flavour.run(client.models.list()) == []
        finally:
            flavour.run(client.close())
            server.shutdown()


def test_a_supplied_http_client_is_used_and_left_open(emulator: Emulator, http_library: Any, question: dict[str, Any]) -> None:
    paths: list[str] = []
    with http_library.Client(event_hooks={"request": [lambda request: paths.append(request.url.path)]}) as http:
        with ta.Together(api_key=KEY, base_url=emulator.base_url, http_client=http) as client:
            client.chat.completions.create(**question)
        assert paths == ["/v1/chat/completions"]
        assert not http.is_closed


async def test_the_aiohttp_transport(emulator: Emulator, http_library: Any, question: dict[str, Any]) -> None:
    name = "httpx_aiohttp" if http_library is httpx else "httpx_aiohttp.httpx2"
    aiohttp = pytest.importorskip(name, reason="the extra `aiohttp` is not installed")
    async with (
        http_library.AsyncClient(transport=aiohttp.AiohttpTransport()) as http,
        ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url, http_client=http) as client,
    ):
        single = await client.chat.completions.create(**question)
        chunks = [chunk async for chunk in await client.chat.completions.create(stream=True, **question)]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert text == single.choices[0].message.content
        emulator.inject(Fault("drop", times=None))
        with pytest.raises(ta.APIConnectionError):
            await client.with_options(max_retries=0).chat.completions.create(**question)


def test_proxies_of_the_environment_are_used(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, question: dict[str, Any]
) -> None:
    def send() -> None:
        with ta.Together(api_key=KEY, base_url=emulator.base_url) as client, suppress(ta.NotFoundError):
            client.chat.completions.create(**question)

    async def send_async() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            with suppress(ta.NotFoundError):
                await client.chat.completions.create(**question)

    with serve() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        send()
        asyncio.run(send_async())
        # The emulator is no proxy, but it records the requests.
        assert (len(proxy.requests), len(emulator.requests)) == (2, 0)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        send()
        asyncio.run(send_async())
        assert (len(proxy.requests), len(emulator.requests)) == (2, 2)


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b"rubbish\r\n\r\n"]
)
def test_a_proxy_that_fails_is_an_error_of_the_connection(
    flavour: Flavour, raw_server: RawServer, monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    port = raw_server.answer(answer).port if answer else 9
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pw-secret@127.0.0.1:{port}")
    client = flavour.client(base_url="https://gateway.invalid/v1", max_retries=0)
    with pytest.raises(ta.APIConnectionError, match=r"gateway\.invalid") as exc_info:
        flavour.run(client.models.list())
    assert "pw-secret" not in str(exc_info.value)
    assert all(request.startswith(b"CONNECT gateway.invalid:443") for request in raw_server.requests)


ALIAS = """
import sys, httpx2
if hasattr(httpx2, "alias_httpx"):
    httpx2.alias_httpx()
import httpx
import together_adapters as ta
for options in ({}, {"http_client": httpx.Client()}, {"http_client": httpx2.Client(), "http_library": "httpx2"}):
    assert ta.Together(api_key="sk-k", base_url=sys.argv[1], timeout=httpx.Timeout(60), **options).models.list()
"""


def test_one_library_under_the_name_of_the_other(emulator: Emulator) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALIAS, emulator.base_url], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_certificates_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch, http_library: Any, tmp_path: Path) -> None:
    library = library_of(http_library.__name__)
    assert ssl_context(library) is ssl_context(library)
    first = ssl_context(library)
    bundle = tmp_path / "ca.pem"
    certificates = Path(certifi.where()).read_text(encoding="utf-8").split("-----END CERTIFICATE-----\n")
    bundle.write_text(certificates[0] + "-----END CERTIFICATE-----\n", encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    other = ssl_context(library)
    assert other is not first
    assert other.cert_store_stats()["x509"] == 1


def test_construction_is_cheap(http_library: Any) -> None:
    for kind in (ta.Together, ta.AsyncTogether):
        kind(api_key=KEY)
        assert count_function_calls(partial(kind, api_key=KEY)) < 200


def _count(results: list[Any]) -> Flow[int]:
    """A flow of calls, a pause and parallel calls."""
    first = yield _models()
    yield Sleep(0.01)
    rest = yield Parallel([_models() for _ in range(5)], 2)
    results += [first, *rest]
    return len(results)


def _models() -> Call[Any]:
    return request("GET", "/v1/models", lambda response: response.json())


def test_a_flow_runs_in_both_flavours(flavour: Flavour, emulator: Emulator) -> None:
    results: list[Any] = []
    assert flavour.run(flavour.client().perform(_count(results))) == 6
    assert all(answer == results[0] for answer in results)
    assert len(emulator.requests) == 6


def test_a_flow_cleans_up_after_a_failure(flavour: Flavour, emulator: Emulator) -> None:
    cleanups: list[int] = []

    def failing() -> Flow[None]:
        try:
            yield Parallel([request("GET", f"/v1/none/{i}", lambda response: response.json()) for i in range(4)], 2)
        finally:
            cleanups.append(len((yield _models())))

    with pytest.raises(ta.NotFoundError):
        flavour.run(flavour.client(max_retries=0).perform(failing()))
    assert cleanups
    # Nobody waits for the other requests, so that one of them may arrive after it.
    assert [request.path for request in emulator.requests].count("/v1/models") == 1


def test_parallel_results_keep_their_order_and_the_limit(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("slow", times=3, seconds=0.1))

    def parallel() -> Flow[list[int]]:
        results: list[int] = yield Parallel([part(index) for index in range(12)], 3)
        return results

    active: list[int] = []
    counts: list[int] = []

    def part(index: int) -> Flow[int]:
        active.append(index)
        counts.append(len(active))
        yield _models()
        active.remove(index)
        return index

    assert flavour.run(flavour.client().perform(parallel())) == list(range(12))
    assert max(counts) == 3
