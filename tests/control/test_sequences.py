"""Any sequence of calls and faults: as many rows as calls, as many attempts as requests, nothing left in flight, the cost that is billed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.conftest import KEY, eventually, example_count
from together_adapters import AsyncTogether, Control, Together, TogetherError
from together_adapters.emulator import Emulator, Fault

MODEL = "openai/gpt-oss-120b"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Name three prime numbers."}]}
FAULTS = [
    Fault("400"),
    Fault("429", retry_after=0),
    Fault("503", retry_after=0),
    Fault("502-html"),
    Fault("cut", after=3),
    Fault("cut-after-finish"),
    Fault("no-done"),
    Fault("no-done", finished=True),
    Fault("stream-error", after=3),
    Fault("stream-error-event", after=1),
    Fault("bad-json"),
    Fault("empty-body"),
    Fault("redirect"),
]
CALLS = ["chat", "stream", "stream left early", "stream not read", "completion", "embeddings", "rerank"]
STEPS = st.lists(st.tuples(st.sampled_from(CALLS), st.lists(st.sampled_from(FAULTS), max_size=2)), min_size=1, max_size=5)
SETTINGS = example_count(25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)


def perform(client: Any, call: str) -> None:
    if call == "chat":
        client.chat.completions.create(**CHAT)
    elif call.startswith("stream"):
        stream = client.chat.completions.create(**CHAT, stream=True)
        if call == "stream":
            list(stream)
        elif call == "stream left early":
            next(stream)
            stream.close()
    elif call == "completion":
        client.completions.create(model=MODEL, prompt="One, two,")
    elif call == "embeddings":
        client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=[f"Text {number}" for number in range(300)])
    else:
        client.rerank.create(model="Qwen/Qwen3.5-9B", query="x", documents=[f"Text {number}" for number in range(30)])


async def perform_async(client: Any, call: str) -> None:
    if call == "chat":
        await client.chat.completions.create(**CHAT)
    elif call.startswith("stream"):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        if call == "stream":
            [chunk async for chunk in stream]
        elif call == "stream left early":
            await anext(stream)
            await stream.close()
    elif call == "completion":
        await client.completions.create(model=MODEL, prompt="One, two,")
    elif call == "embeddings":
        await client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=[f"Text {number}" for number in range(300)])
    else:
        await client.rerank.create(model="Qwen/Qwen3.5-9B", query="x", documents=[f"Text {number}" for number in range(30)])


def check(control: Control, emulator: Emulator, calls: int) -> None:
    gc.collect()
    state = control.state()
    assert (state.in_flight, state.waiting) == (0, 0)
    rows = control.ledger.rows()
    assert len(rows) == calls
    total = control.ledger.total()
    if any(
        row.kind == "embeddings" and row.error for row in rows
    ):  # its other requests were given up, before or after they were sent
        assert total.attempts >= len(emulator.requests)
    else:
        assert total.attempts == len(emulator.requests)
    assert all(row.cost is not None for row in rows)
    exact = [row for row in rows if row.error is None and not row.estimated]
    if len(exact) == len(rows) and not any(row.kind == "rerank" for row in rows):
        # A stream that is cut is billed when the emulator has noticed.
        assert eventually(lambda: total.cost == pytest.approx(emulator.bill.total().cost, abs=1e-9))
        assert total.input_tokens == emulator.bill.total().input_tokens


@SETTINGS
@given(steps=STEPS)
def test_sequences(steps: list[tuple[str, list[Fault]]], emulator: Emulator) -> None:
    emulator.reset()
    control = Control(max_concurrency=4, budget=10)
    with Together(api_key=KEY, base_url=emulator.base_url, control=control, max_retries=1) as client:
        for call, faults in steps:
            emulator.inject(*faults)
            try:
                perform(client, call)
            except TogetherError:
                pass
    check(control, emulator, len(steps))
    assert control.budget_guard is not None
    assert control.budget_guard._reservations == 0


@SETTINGS
@given(steps=STEPS)
def test_sequences_of_tasks(steps: list[tuple[str, list[Fault]]], emulator: Emulator) -> None:
    emulator.reset()
    control = Control(max_concurrency=4, budget=10)

    async def scenario() -> None:
        async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control, max_retries=1) as client:
            for _, faults in steps:
                emulator.inject(*faults)
            tasks = [perform_async(client, call) for call, _ in steps]
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result is None or isinstance(result, TogetherError), result

    asyncio.run(scenario())
    check(control, emulator, len(steps))
    assert control.budget_guard is not None
    assert control.budget_guard._reservations == 0
