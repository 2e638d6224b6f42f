"""Nothing grows: descriptors, threads, tasks and busy connections after many calls that end in every way but the usual one."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

import together_adapters as ta
from tests.conftest import KEY, Flavour, eventually, eventually_async
from tests.transport.conftest import RawServer, in_flight
from together_adapters.transport.bodies import FileRange
from together_adapters.transport.call import Call, Flow, Parallel

pytestmark = [
    pytest.mark.every_transport,
    pytest.mark.long,
    pytest.mark.usefixtures("quick_retries"),
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors cannot be counted"),
]

REPEATS = 200
SLACK = 12  # descriptors and threads of connections that are kept open, at both ends
CHAT: dict[str, Any] = {"model": "m/x", "messages": [{"role": "user", "content": "hi"}]}
EVENT = b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "hi"}}]}\n\n'
OPEN_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + EVENT
NO_MODELS = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]"
REFUSAL = b"HTTP/1.1 400 No\r\ncontent-length: 2\r\n\r\n{}"
LATE = ta.APITimeoutError


def counts() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def has_not_grown(before: tuple[int, int]) -> bool:
    return all(now <= old + SLACK for now, old in zip(counts(), before, strict=True))


class Use:
    """A client of either flavour, of a server that answers as a scenario says."""

    def __init__(self, flavour: Flavour, server: RawServer, folder: Path) -> None:
        self.flavour = flavour
        self.server = server
        self.file = folder / "part"
        self.file.write_bytes(b"x" * 300_000)
        self.client = flavour.client(base_url=server.base_url, timeout=10, max_retries=0)

    def stream(self) -> Any:
        return self.flavour.run(self.client.chat.completions.create(stream=True, **CHAT))

    def abandon(self) -> None:
        for _ in self.flavour.iterate(self.stream()):
            break

    def drop(self) -> None:
        self.stream()

    def close(self) -> None:
        stream = self.stream()
        next(self.flavour.iterate(stream))
        self.flavour.run(stream.close())

    def raise_in_consumer(self) -> None:
        with suppress(ZeroDivisionError):
            for _ in self.flavour.iterate(self.stream()):
                raise ZeroDivisionError

    def time_out(self) -> None:
        with pytest.raises(LATE):
            self.flavour.run(self.client.with_options(timeout=0.002).models.list())

    def end_at_max_elapsed(self) -> None:
        with pytest.raises(LATE):
            self.flavour.run(self.client.with_options(max_elapsed=0.002).chat.completions.create(**CHAT))

    def refuse_a_body(self) -> None:
        def flow() -> Flow[Any]:
            yield Call("PUT", "/v1/part", lambda response: None, FileRange(self.file, 0, 300_000))

        with pytest.raises(ta.TogetherError):
            self.flavour.run(self.client.perform(flow()))

    def leave_a_client(self) -> None:
        kind = ta.AsyncTogether if self.flavour.is_async else ta.Together
        client = kind(api_key=KEY, base_url=self.server.base_url)
        self.flavour.run(client.with_options(timeout=5).models.list())


SCENARIOS: list[tuple[Callable[[Use], None], Any]] = [
    *((use, OPEN_STREAM) for use in (Use.abandon, Use.drop, Use.close, Use.raise_in_consumer)),
    (Use.time_out, RawServer.hang),
    (Use.end_at_max_elapsed, RawServer.hang),
    (Use.refuse_a_body, REFUSAL),
    (Use.leave_a_client, NO_MODELS),
]


@pytest.mark.parametrize(("use", "answer"), SCENARIOS, ids=[use.__name__ for use, _ in SCENARIOS])
def test_what_ends_badly_leaves_nothing(
    flavour: Flavour, raw_server: RawServer, tmp_path: Path, use: Callable[[Use], None], answer: Any
) -> None:
    def hang(connection: Any) -> None:
        connection.recv(1)  # until the client closes the connection

    def stream(connection: Any) -> None:
        connection.sendall(OPEN_STREAM)
        connection.recv(1)

    answers = {RawServer.hang: hang, OPEN_STREAM: stream}
    raw_server.answer(answers.get(answer, answer), close=False)
    used = Use(flavour, raw_server, tmp_path)
    use(used)
    before = counts()
    for _ in range(REPEATS):
        use(used)
    gc.collect()
    if flavour.is_async:
        flavour.run(anyio.sleep(0.05))
        assert flavour.run(_tasks()) == 1
    assert eventually(lambda: has_not_grown(before)), (before, counts())
    assert in_flight(used.client) == 0


async def _tasks() -> int:
    return len(asyncio.all_tasks())


def _tasks_of(backend: str) -> int:
    if backend != "trio":
        return len(asyncio.all_tasks())
    import trio

    return trio.lowlevel.current_statistics().tasks_living


BACKENDS = ["asyncio", "uvloop", "trio"]
# Trio closes the generators of clients that nobody closes, and those in httpx of bodies that are cut off, but says so.
TRIO_NAMES_GENERATORS = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


def run(backend: str, main: Callable[[], Any]) -> None:
    """Runs an asynchronous scenario on an event loop."""
    if backend != "asyncio":
        pytest.importorskip(backend)
    if backend == "trio":
        anyio.run(main, backend="trio")
    else:
        anyio.run(main, backend="asyncio", backend_options={"use_uvloop": backend == "uvloop"})


@TRIO_NAMES_GENERATORS
@pytest.mark.parametrize("backend", BACKENDS)
def test_calls_that_are_cancelled_at_any_moment_leave_nothing(raw_server: RawServer, tmp_path: Path, backend: str) -> None:
    def slow_stream(connection: Any) -> None:
        with suppress(OSError):
            connection.sendall(OPEN_STREAM)
            while not raw_server.stopped.wait(0.0005):
                connection.sendall(EVENT)

    file = tmp_path / "part"
    file.write_bytes(b"x" * 300_000)

    def upload() -> Flow[Any]:
        yield Parallel([Call("PUT", "/v1/part", lambda response: None, FileRange(file, 0, 300_000)) for _ in range(2)], 2)

    async def read(client: Any) -> None:
        async for _ in await client.chat.completions.create(stream=True, **CHAT):
            pass

    uses: list[Callable[[Any], Any]] = [read, lambda client: client.models.list(), lambda client: client.perform(upload())]

    async def main() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=raw_server.base_url, max_retries=1) as client:
            tasks = 0
            before = counts()
            for number in range(REPEATS):
                raw_server.answer(*((NO_MODELS,) if number % 3 else (slow_stream,)))
                with anyio.move_on_after((number // 3) * 0.0001):
                    await uses[number % 3](client)
                if number % 40 == 0:  # another connection is begun in each step of an event loop
                    for steps in range(12):
                        async with anyio.create_task_group() as group:
                            group.start_soon(client.models.list)
                            for _ in range(steps):
                                await anyio.sleep(0)
                            group.cancel_scope.cancel()
                tasks = tasks or _tasks_of(backend)
            gc.collect()
            await anyio.sleep(0.05)
            assert _tasks_of(backend) <= tasks
            assert in_flight(client) == 0
            if backend != "trio":
                assert await eventually_async(lambda: has_not_grown(before)), (before, counts())

    run(backend, main)


def _is_open(file: Path) -> bool:
    links = Path("/proc/self/fd")
    for number in os.listdir(links):
        with suppress(OSError):  # closed meanwhile
            if os.readlink(links / number) == str(file):
                return True
    return False


@TRIO_NAMES_GENERATORS
@pytest.mark.parametrize("moment", ["sent", "read"])
@pytest.mark.parametrize("backend", [*BACKENDS, "asyncio task"])
def test_a_cancelled_upload_closes_its_file(raw_server: RawServer, tmp_path: Path, backend: str, moment: str) -> None:
    file = tmp_path / "part"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 26)  # more than the sockets hold of a body that nobody reads
    raw_server.answer(raw_server.hang)
    reads: list[int] = []

    def on_read(position: int) -> None:
        reads.append(position)
        if moment == "read":
            time.sleep(0.3)

    def upload() -> Flow[Any]:
        yield Call("PUT", "/v1/part", lambda response: None, FileRange(file, 0, 1 << 26, on_read))

    async def cancel(stop: Callable[[], object]) -> None:
        while not (reads if moment == "read" else _is_open(file)):
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        stop()

    async def main() -> None:
        url = raw_server.base_url if moment == "read" else f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with ta.AsyncTogether(api_key=KEY, base_url=url, max_retries=0) as client:
            if backend == "asyncio task":  # not shielded from the thread that reads
                task = asyncio.create_task(client.perform(upload()))
                await cancel(task.cancel)
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                async with anyio.create_task_group() as group:
                    group.start_soon(lambda: client.perform(upload()))
                    await cancel(group.cancel_scope.cancel)
            if moment == "read":
                await anyio.sleep(0.5)  # until the thread has read
            assert not _is_open(file)

    gc.disable()  # the file is not closed because a collection happens to come
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            run(backend.split(maxsplit=1)[0], main)
    finally:
        gc.enable()


@TRIO_NAMES_GENERATORS
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_for_each_request_leaves_nothing(raw_server: RawServer, backend: str) -> None:
    raw_server.answer(NO_MODELS, close=False)

    async def main() -> None:
        before, tasks = counts(), _tasks_of(backend)
        for number in range(REPEATS):
            client = ta.AsyncTogether(api_key=KEY, base_url=raw_server.base_url)
            await client.models.list()
            if number % 2:
                await client.close()
            del client
        gc.collect()
        await anyio.sleep(0.1)
        assert _tasks_of(backend) <= tasks
        for _ in range(100):
            if has_not_grown(before):
                return
            await anyio.sleep(0.05)
        raise AssertionError((before, counts()))

    run(backend, main)
