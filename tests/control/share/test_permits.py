"""Turns of requests whose limits are shared, in one process: cancelled, late, and without the store."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour, eventually
from tests.control.share.conftest import serve_redis
from together_adapters import APITimeoutError, Control
from together_adapters.control.limits.limiter import LimiterTurn
from together_adapters.control.share import permits
from together_adapters.control.share.stores import store_of
from together_adapters.emulator import Emulator

QUESTION: dict[str, Any] = {
    "model": "openai/gpt-oss-120b",
    "messages": [{"role": "user", "content": "Name one prime number."}],
    "max_tokens": 50,
}


@pytest.fixture
def pair(share: str) -> Iterator[list[Control]]:
    """Two controls that share one place, as two processes would."""
    controls = [Control(share=share, max_concurrency=1) for _ in range(2)]
    yield controls
    for control in controls:
        control.close()
    assert eventually(lambda: not any(thread.name == "together-share" for thread in threading.enumerate()))


def turn_of(control: Control, seconds: float = 30.0, tokens: int = 10) -> LimiterTurn | None:
    """Returns a turn, or None if it does not come in time."""
    turn = control.limiter.turn(tokens)
    return turn if turn.wait(control.limiter.clock() + seconds) else None


def assert_free(control: Control, seconds: float = 30.0, tokens: int = 10) -> None:
    """Takes a turn and ends it."""
    turn = turn_of(control, seconds, tokens)
    assert turn is not None
    turn.release(status=200)


def test_a_place_goes_from_one_to_the_other(pair: list[Control]) -> None:
    for _ in range(3):
        for control, other in (pair, pair[::-1]):
            turn = turn_of(control)
            assert turn is not None
            assert turn_of(other, 0.05) is None
            assert other.state().waiting == 0
            turn.release(status=200, tokens=5)


def test_who_is_late_or_cancelled_leaves_nothing_behind(pair: list[Control]) -> None:
    first, second = pair
    turn = turn_of(first)
    assert turn is not None
    late = [threading.Thread(target=turn_of, args=(second, 0.1)) for _ in range(5)]
    for thread in late:
        thread.start()
    for thread in late:
        thread.join()
    assert (second.state().in_flight, second.state().waiting) == (0, 0)
    turn.release(status=200)
    turn = turn_of(second)
    assert turn is not None
    turn.release(status=200)
    assert_free(first)


async def test_a_task_that_is_cancelled_gives_its_permit_to_the_next(pair: list[Control]) -> None:
    first, second = pair
    turn = turn_of(first)
    assert turn is not None

    async def ask() -> LimiterTurn:
        turn = second.limiter.turn(10)
        assert await turn.wait_async(None)
        return turn

    tasks = [asyncio.create_task(ask()) for _ in range(4)]
    while second.state().waiting < 4:
        await asyncio.sleep(0)
    for task in tasks[:3]:  # the first of them has asked
        task.cancel()
    turn.release(status=200)
    last = await tasks[3]
    assert (second.state().in_flight, second.state().waiting) == (1, 0)
    last.release(status=200)
    assert_free(first)


@pytest.mark.parametrize("race", range(20))
async def test_a_task_that_is_cancelled_at_any_moment_leaves_nothing_behind(race: int, tmp_path: Path) -> None:
    control = Control(share=tmp_path / "share.sqlite", max_concurrency=1, requests_per_minute=1e6)
    turn = control.limiter.turn(10)
    task = asyncio.create_task(turn.wait_async(None))
    await asyncio.sleep(race * 0.0001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        turn.release(status=200)
    assert (control.state().in_flight, control.state().waiting) == (0, 0)
    assert turn.is_over
    assert_free(control)
    control.close()


def test_the_wait_for_a_permit_counts_in_max_elapsed(pair: list[Control], flavour: Flavour, emulator: Emulator) -> None:
    turn = turn_of(pair[0])
    assert turn is not None
    client = flavour.client(control=pair[1])
    with pytest.raises(APITimeoutError, match="while it waited for its turn under the control"):
        flavour.run(client.with_options(max_elapsed=0.1).chat.completions.create(**QUESTION))
    assert len(emulator.requests) == 0
    turn.release(status=200)
    flavour.run(client.chat.completions.create(**QUESTION))
    waits = [row.waited for row in pair[1].ledger.rows()]
    assert waits[0] >= 0.05  # of the 0.1 that the call had
    assert_free(pair[0])


def test_tokens_that_were_not_used_are_free_for_the_other(share: str) -> None:
    first, second = (Control(share=share, tokens_per_minute=6000) for _ in range(2))
    turn = turn_of(first, tokens=6000)
    assert turn is not None
    assert turn_of(second, 0.05, tokens=100) is None
    turn.release(status=200, tokens=10)
    assert_free(second, tokens=100)
    first.close()
    second.close()


def test_a_program_that_ends_frees_its_places_at_once(pair: list[Control]) -> None:
    turn = turn_of(pair[0])
    assert turn is not None
    turn.release(status=200)
    pair[0].close()
    assert_free(pair[1], 1.0)


def test_without_a_share_nobody_is_asked(emulator: Emulator, flavour: Flavour) -> None:
    control = Control(max_concurrency=1, requests_per_minute=1e6)
    flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    assert control.limiter.queue.permits is None


def test_a_store_that_fails_leaves_each_process_its_part(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits, "_RETRY_SECONDS", 0.2)
    with serve_redis() as url:
        controls = [Control(share=url, max_concurrency=4, requests_per_minute=60_000) for _ in range(2)]
        turns = [turn_of(controls[1]), turn_of(controls[0])]  # in this order: the first knows of the second
    first = controls[0]
    turns.append(turn_of(first))
    assert turn_of(first, 0.3) is None  # two of the four places are its part
    assert (first.state().max_concurrency, first.state().requests_per_minute) == (2, 30_000)
    warning = next(record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert "one part in 2 of them (Redis failed: " in warning
    for each in turns:
        assert each is not None
        each.release(status=200)
    for control in controls:
        control.close()


def test_a_store_that_works_again_is_shared_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permits, "_RETRY_SECONDS", 0.05)
    folder = tmp_path / "folder"
    folder.mkdir()
    first, second = (Control(share=folder / "share.sqlite", max_concurrency=1) for _ in range(2))
    for control in (first, second):
        turn = turn_of(control)
        assert turn is not None
        turn.release(status=200)
        control.close()
    (folder / "share.sqlite").unlink()
    folder.rename(tmp_path / "elsewhere")
    turns = [turn_of(control) for control in (first, second)]
    assert None not in turns  # each has one place, the least that there is
    folder.mkdir()
    for turn in turns:
        assert turn is not None
        turn.release(status=200)
    while [record.message for record in caplog.records].count("the limits are shared again") < 2:
        assert_free(first)
        assert_free(second)
    turn = turn_of(first)
    assert turn is not None
    assert turn_of(second, 0.1) is None
    turn.release(status=200)
    first.close()
    second.close()


def test_after_a_storm_the_store_knows_what_was_sent(share: str) -> None:
    controls = [Control(share=share, max_concurrency=3, requests_per_minute=1e6, tokens_per_minute=1e9) for _ in range(2)]
    turns: list[tuple[LimiterTurn, int]] = []  # with the tokens that each used, if it was granted
    peak: list[int] = []

    def send(seed: int) -> None:
        chance = random.Random(seed)
        control = controls[seed % 2]
        for _ in range(25):
            turn = control.limiter.turn(100)
            if not turn.wait(control.limiter.clock() + chance.choice([0.0, 0.001, 0.01, 30.0])):
                turns.append((turn, 100))
                continue
            peak.append(sum(each.limiter.queue.in_flight for each in controls))
            time.sleep(chance.choice([0.0, 0.001, 0.005]))
            used = chance.choice([50, 100, 300])
            turns.append((turn, used))
            turn.release(status=200, tokens=used)

    async def send_and_cancel(seed: int) -> None:
        chance = random.Random(seed)
        turn = controls[seed % 2].limiter.turn(100)
        turns.append((turn, 100))
        try:
            async with asyncio.timeout(chance.choice([0.0, 0.001, 0.01, 30.0])):
                assert await turn.wait_async(None)
                turn.release(status=200)
        except TimeoutError:
            turn.cancel()

    async def storm() -> None:
        threads = [asyncio.to_thread(send, seed) for seed in range(8)]
        await asyncio.gather(*threads, *(send_and_cancel(seed) for seed in range(40)))

    asyncio.run(storm())
    for control in controls:
        assert (control.state().in_flight, control.state().waiting) == (0, 0)
        control.close()
    assert max(peak) <= 3
    sent = [tokens for turn, tokens in turns if turn.granted]  # one that is cancelled in this moment counts as sent
    store = store_of(share)
    data = json.loads(store.read()[2] or b"")
    store.close()
    assert data["members"] == {}
    assert sum(requests for _, requests, _ in data["minute"]) == len(sent)
    assert sum(tokens for _, _, tokens in data["minute"]) == sum(sent)
