"""Streams that are complete, fail, are closed early or do not end."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import Any

import pytest

import together_adapters as ta
from tests.conftest import KEY, NEVER, Flavour, eventually, eventually_async
from together_adapters.emulator import Emulator, Fault

pytestmark = pytest.mark.every_transport

LONG: dict[str, Any] = {"model": "m/long", "messages": [{"role": "user", "content": "Repeat: " + "word " * 200}]}


def text(chunks: Any) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def all_closed(emulator: Emulator, disconnects: int) -> bool:
    """Waits until the server has noticed that clients disconnected."""
    return eventually(lambda: emulator.disconnects >= disconnects and emulator.in_flight == 0)


@pytest.mark.parametrize("fault", [None, Fault("crlf"), Fault("keepalive"), Fault("trickle", seconds=0.0005)])
def test_joined_chunks_equal_the_single_response(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], fault: Fault | None
) -> None:
    client = flavour.client()
    single = flavour.run(client.chat.completions.create(**question))
    if fault:
        emulator.inject(fault)
    chunks = list(flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **question))))
    assert text(chunks) == single.choices[0].message.content
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert usages == [single.usage]


@pytest.mark.parametrize("fault", [Fault("cut"), Fault("no-done"), Fault("cut", reset=True)])
def test_a_truncated_stream_raises_after_its_events(flavour: Flavour, emulator: Emulator, fault: Fault) -> None:
    emulator.inject(fault)
    stream = flavour.iterate(flavour.run(flavour.client().chat.completions.create(stream=True, **LONG)))
    chunks: list[Any] = []
    with pytest.raises(ta.IncompleteStreamError) as exc_info:
        chunks.extend(stream)
        chunks.extend(chunk for chunk in stream)
    assert exc_info.value.request_id
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("fault", [Fault("no-done", finished=True), Fault("cut-after-finish")])
def test_a_finished_stream_is_complete_without_its_end_marker(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any], fault: Fault
) -> None:
    client = flavour.client()
    single = flavour.run(client.chat.completions.create(**question))
    emulator.inject(fault)
    chunks = flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **question)))
    assert text(chunks) == single.choices[0].message.content


@pytest.mark.parametrize("kind", ["stream-error", "stream-error-event"])
def test_an_error_in_the_stream_raises_after_the_events_before_it(flavour: Flavour, emulator: Emulator, kind: str) -> None:
    emulator.inject(Fault(kind, after=3))
    chunks: list[Any] = []
    with pytest.raises(ta.APIError, match="error in the stream") as exc_info:
        for chunk in flavour.iterate(flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))):
            chunks.append(chunk)
    assert len(chunks) == 3
    assert not isinstance(exc_info.value, ta.APIStatusError)
    assert exc_info.value.request_id
    assert len(emulator.requests) == 1


def test_an_invalid_event_raises(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("bad-json"))
    with pytest.raises(ta.APIResponseValidationError):
        list(flavour.iterate(flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))))


def test_a_response_that_is_no_stream_raises(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("not-sse"))
    with pytest.raises(ta.APIResponseValidationError, match="event stream"):
        flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))


def test_an_error_status_instead_of_a_stream(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("400", message="grammar is not valid"))
    with pytest.raises(ta.BadRequestError, match="grammar is not valid"):
        flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))


def test_a_connection_that_stays_open_after_the_end_marker(
    flavour: Flavour, emulator: Emulator, question: dict[str, Any]
) -> None:
    emulator.inject(Fault("hold-open", seconds=NEVER))
    chunks = list(
        flavour.iterate(flavour.run(flavour.client(timeout=60, max_retries=0).chat.completions.create(stream=True, **question)))
    )
    assert chunks


def test_a_stream_that_stalls_times_out(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("trickle", seconds=NEVER, size=40))
    stream = flavour.run(flavour.client(timeout=0.3, max_retries=0).chat.completions.create(stream=True, **LONG))
    with pytest.raises(ta.APITimeoutError):
        list(flavour.iterate(stream))


def test_close_closes_the_response(flavour: Flavour, emulator: Emulator) -> None:
    emulator.behave(delay=0.05)
    stream = flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))
    next(flavour.iterate(stream))
    flavour.run(stream.close())
    assert all_closed(emulator, 1)
    assert list(flavour.iterate(stream)) == []


def test_a_stream_is_read_once(flavour: Flavour, emulator: Emulator) -> None:
    stream = flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))
    assert [*flavour.iterate(stream)][-1].choices[0].finish_reason
    assert list(flavour.iterate(stream)) == []  # as of any iterator
    with pytest.raises(AttributeError, match="no attribute 'choices': iterate over the stream"):
        _ = stream.choices
    assert not hasattr(stream, "__len__")


def test_a_stream_of_a_closed_client(flavour: Flavour, emulator: Emulator) -> None:
    emulator.behave(delay=0.05)
    client = flavour.client()
    chunks = flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **LONG)))
    next(chunks)
    flavour.run(client.close())
    with pytest.raises(ta.APIConnectionError, match="the client was closed while"):
        list(chunks)


def test_a_stream_that_is_left_writes_nothing_to_stderr(emulator: Emulator) -> None:
    program = f"""
from together_adapters import Together
from together_adapters.emulator import serve
with serve(any_model=True) as emulator, Together(base_url=emulator.base_url, api_key="any") as client:
    for _ in range(5):
        client.chat.completions.create(stream=True, **{LONG!r})
    print(emulator.disconnects)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == "" and result.stdout.strip().isdigit()


@pytest.fixture(autouse=True)
def _no_delay(emulator: Emulator) -> Any:
    yield
    emulator.behave(delay=0.0)


def test_a_stream_is_a_context_manager(emulator: Emulator) -> None:
    emulator.behave(delay=0.05)
    with (
        ta.Together(api_key=KEY, base_url=emulator.base_url) as client,
        client.chat.completions.create(stream=True, **LONG) as stream,
    ):
        next(stream)
    assert all_closed(emulator, 1)

    async def leave_early() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            async with await client.chat.completions.create(stream=True, **LONG) as stream:
                await anext(stream)

    asyncio.run(leave_early())
    assert all_closed(emulator, 2)


@pytest.mark.parametrize("read", [0, 1])
def test_an_abandoned_stream_closes_when_collected(emulator: Emulator, read: int) -> None:
    emulator.behave(delay=0.05)
    with ta.Together(api_key=KEY, base_url=emulator.base_url) as client:
        stream: Any = client.chat.completions.create(stream=True, **LONG)
        for _ in range(read):
            next(stream)
        del stream
        assert all_closed(emulator, 1)

        for _chunk in client.chat.completions.create(stream=True, **LONG):
            break
        gc.collect()
        assert all_closed(emulator, 2)

    async def abandon() -> None:
        async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            stream: Any = await client.chat.completions.create(stream=True, **LONG)
            for _ in range(read):
                await anext(stream)
            del stream
            gc.collect()
            assert await asyncio.to_thread(all_closed, emulator, 3)

    asyncio.run(abandon())


async def test_cancelling_a_task_frees_its_connection(emulator: Emulator) -> None:
    emulator.behave(delay=NEVER)
    async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        first_chunk = asyncio.Event()

        async def consume() -> None:
            async for _ in await client.chat.completions.create(stream=True, **LONG):
                first_chunk.set()

        task = asyncio.create_task(consume())
        await first_chunk.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(all_closed, emulator, 1)
        emulator.behave(delay=0.0)
        emulator.inject(Fault("slow", seconds=NEVER))
        task = asyncio.create_task(client.chat.completions.create(**LONG))
        assert await eventually_async(lambda: emulator.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(all_closed, emulator, 2)
        assert (await client.chat.completions.create(**LONG)).choices


async def test_an_asyncio_timeout_cancels_the_request(emulator: Emulator) -> None:
    emulator.inject(Fault("slow", seconds=NEVER))
    async with ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:

                async def expire_on_arrival() -> None:
                    assert await eventually_async(lambda: emulator.in_flight == 1)
                    limit.reschedule(0)

                group.create_task(expire_on_arrival())
                await client.chat.completions.create(**LONG)
        assert await asyncio.to_thread(all_closed, emulator, 1)


def test_a_stream_outlives_the_client_that_opened_it(emulator: Emulator) -> None:
    emulator.behave(delay=0.005)
    assert text(ta.Together(api_key=KEY, base_url=emulator.base_url).chat.completions.create(stream=True, **LONG))

    async def outlive() -> str:
        stream = await ta.AsyncTogether(api_key=KEY, base_url=emulator.base_url).chat.completions.create(stream=True, **LONG)
        gc.collect()
        return text([chunk async for chunk in stream])

    assert asyncio.run(outlive())
