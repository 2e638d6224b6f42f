"""Clients under a control against servers with limits: threads, event loops, frameworks, all at once. Nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import anyio
import pytest

from tests.conftest import HANG, KEY, eventually
from tests.control.limited_server import QUESTION, LimitedServer, serve_limited
from tests.control.limited_service import Service
from together_adapters import APITimeoutError, AsyncTogether, Control, Together
from together_adapters.emulator import Limits, serve

CLIENTS = 20
SECONDS = 3.5
WARM_UP = 1.5


@contextmanager
def client_of(base_url: str, control: Control, **options: Any) -> Iterator[Together]:
    with Together(api_key=KEY, base_url=base_url, control=control, **options) as client:
        yield client


def in_threads(work: Callable[[int], None], count: int) -> None:
    """Runs work in threads; what one of them raises is raised here."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count), timeout=HANG))


def ask_in_threads(base_url: str, control: Control) -> None:
    end = time.monotonic() + SECONDS
    with client_of(base_url, control) as client:

        def work(number: int) -> None:
            while time.monotonic() < end:
                client.chat.completions.create(**QUESTION)

        in_threads(work, CLIENTS)


def ask_in_tasks(base_url: str, control: Control) -> None:
    end = time.monotonic() + SECONDS

    async def main() -> None:
        async with AsyncTogether(api_key=KEY, base_url=base_url, control=control) as client, anyio.create_task_group() as group:

            async def work() -> None:
                while time.monotonic() < end:
                    await client.chat.completions.create(**QUESTION)

            for _ in range(CLIENTS):
                group.start_soon(work)

    anyio.run(main)


def check(server: LimitedServer, control: Control, per_second: float) -> None:
    measured = [status for at, status in server.log if WARM_UP <= at < SECONDS]
    assert measured.count(429) <= 0.05 * len(measured) + 1  # one more or less, in so short a time
    assert measured.count(200) >= 0.6 * per_second * (SECONDS - WARM_UP)  # in the first seconds; simulations run for minutes
    assert (control.state().in_flight, control.state().waiting) == (0, 0)


@pytest.mark.slow  # by the clock: a busy machine may be too late
@pytest.mark.parametrize("ask", [ask_in_threads, ask_in_tasks])
@pytest.mark.parametrize(
    ("limits", "per_second"),
    [
        ({"requests": 1200, "window": 1.0, "headers": "true", "retry_after": True, "always_retry_after": True}, 20),
        ({"tokens": 90_000, "window": 1.0, "headers": "true", "retry_after": True}, 30),
        ({"concurrent": 3}, 30),
    ],
    ids=["requests", "tokens", "concurrent"],
)
def test_limits_are_found_and_used(limits: dict[str, Any], per_second: float, ask: Any) -> None:
    control = Control()
    with serve_limited(Service(**limits), latency=0.1) as server:
        ask(server.base_url, control)
        check(server, control, per_second)


@pytest.mark.long
def test_limits_of_the_emulator_are_found_and_used() -> None:
    control = Control()
    with serve(limits=Limits(requests_per_minute=600)) as emulator:
        ask_in_threads(emulator.base_url, control)
    rows = [*control.ledger.rows()]
    assert all(row.error is None for row in rows)
    assert sum(row.attempts - 1 for row in rows) <= 0.2 * len(rows)  # while the limit is unknown
    assert len(rows) >= 0.75 * 10 * SECONDS
    assert control.state().requests_per_minute == pytest.approx(600, rel=0.5)


def test_frameworks_share_a_limit() -> None:
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    from langchain_together_adapters import ChatTogether
    from llama_index_together_adapters import TogetherLLM

    control = Control()
    with serve_limited(Service(concurrent=2), latency=0.05) as server, client_of(server.base_url, control) as client:
        chat = ChatTogether(model=QUESTION["model"], client=client, max_tokens=40)
        llm = TogetherLLM(model=QUESTION["model"], client=client, max_tokens=40)
        jobs: list[Callable[[], Any]] = [
            lambda: client.chat.completions.create(**QUESTION),
            lambda: chat.invoke("Name one prime number."),
            lambda: "".join(chunk.text for chunk in chat.stream("Name one prime number.")),
            lambda: llm.complete("Name one prime number."),
        ]
        in_threads(lambda number: jobs[number % len(jobs)]() and None, 30)
        assert server.accepted() == 30 == len(control.ledger.rows())
        assert server.peak <= 2
        assert control.state().in_flight == 0


def test_waiting_costs_nothing() -> None:
    """Of two hundred that wait, none asks again and again."""
    control = Control(requests_per_minute=60)
    with serve_limited(Service(), latency=0.01) as server, client_of(server.base_url, control, max_elapsed=2.0) as client:

        def ask(number: int) -> None:
            with suppress(APITimeoutError):
                client.chat.completions.create(**QUESTION)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        assert eventually(lambda: control.state().waiting > 190)
        start = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - start < 0.1
        for thread in threads:
            thread.join()
        assert (control.state().in_flight, control.state().waiting) == (0, 0)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of httpx under trio
def test_loops_and_threads_that_cancel_at_random_leave_nothing_behind() -> None:
    control = Control(max_concurrency=4)
    with serve_limited(Service(), latency=0.02) as server:
        start = time.monotonic()

        def goes_on() -> bool:
            return time.monotonic() - start < 2 or (server.accepted() <= 50 and time.monotonic() - start < HANG)

        loops = [_cancel_in_asyncio, _cancel_in_asyncio, _cancel_in_trio, _leave_in_thread, _leave_in_thread, _leave_in_thread]
        in_threads(lambda number: loops[number](server.base_url, control, goes_on, Random(number)), len(loops))
        gc.collect()
        assert (control.state().in_flight, control.state().waiting) == (0, 0)
        assert server.accepted() > 50
        with client_of(server.base_url, control, max_elapsed=HANG) as client:  # all places are free
            in_threads(lambda number: client.chat.completions.create(**QUESTION) and None, 4)


def _cancel_in_asyncio(base_url: str, control: Control, goes_on: Callable[[], bool], random: Random) -> None:
    async def main() -> None:
        async with AsyncTogether(api_key=KEY, base_url=base_url, control=control) as client:

            async def work() -> None:
                while goes_on():
                    task = asyncio.create_task(client.chat.completions.create(**QUESTION))
                    await asyncio.sleep(random.random() * 0.1)
                    if random.random() < 0.4:
                        task.cancel()
                    await asyncio.wait([task])

            await asyncio.gather(*(work() for _ in range(6)))

    asyncio.run(main())


def _cancel_in_trio(base_url: str, control: Control, goes_on: Callable[[], bool], random: Random) -> None:
    async def main() -> None:
        async with AsyncTogether(api_key=KEY, base_url=base_url, control=control) as client, anyio.create_task_group() as group:

            async def work() -> None:
                while goes_on():
                    with anyio.move_on_after(random.random() * 0.15):
                        await client.chat.completions.create(**QUESTION)

            for _ in range(6):
                group.start_soon(work)

    anyio.run(main, backend="trio")


def _leave_in_thread(base_url: str, control: Control, goes_on: Callable[[], bool], random: Random) -> None:
    with client_of(base_url, control) as client:
        while goes_on():
            if random.random() < 0.4:
                stream = client.chat.completions.create(**QUESTION, stream=True)
                if random.random() < 0.5:
                    next(iter(stream))
                del stream
            else:
                with suppress(APITimeoutError):
                    client.with_options(max_elapsed=0.05 + random.random() * 0.2).chat.completions.create(**QUESTION)
