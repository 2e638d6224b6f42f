"""Calls of many tasks as requests of one run."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG, KEY, NEVER, eventually
from together_adapters import AsyncTogether
from together_adapters.bulk import BatchAPI, window
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.resources import chat
from together_adapters.transport.call import Flow

MODEL = "openai/gpt-oss-120b"


def asked(text: str, **params: Any) -> Flow[str]:
    body = yield chat.complete(model=MODEL, messages=[{"role": "user", "content": text}], **params).untyped()
    return body["choices"][0]["message"]["content"]


def jobs(emulator: Emulator) -> int:
    return sum((request.method, request.path) == ("POST", "/v1/batches") for request in emulator.requests)


@pytest.fixture
def settings() -> BatchAPI:
    return BatchAPI(window=0.1, poll_interval=0.02)


async def test_many_tasks_share_a_job(emulator: Emulator, settings: BatchAPI) -> None:
    emulator.reply(lambda body: body["messages"][-1]["content"])
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        answers = await asyncio.gather(*(window.perform(client, settings, asked(f"question {n % 900}")) for n in range(1_000)))
    assert answers == [f"question {number % 900}" for number in range(1_000)]
    assert jobs(emulator) == 1
    assert emulator.bill.total().requests == 900  # equal ones are sent once


async def test_a_window_that_is_full_is_sent_at_once(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MAX_CALLS", 50)
    settings = BatchAPI(window=NEVER, poll_interval=0.02)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        await asyncio.gather(*(window.perform(client, settings, asked(f"question {number}")) for number in range(100)))
    assert jobs(emulator) == 2


async def test_a_flow_can_go_on_after_an_error(emulator: Emulator, settings: BatchAPI) -> None:
    def patient() -> Flow[str]:
        try:
            return (yield from asked("Hello", top_p=9.0))
        except Exception as error:
            return f"{type(error).__name__}, then {(yield from asked('Hello'))}"

    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        assert (await window.perform(client, settings, patient())).startswith("APIError, then ")
    assert jobs(emulator) == 2


async def test_ten_thousand_tasks_that_are_cancelled(emulator: Emulator) -> None:
    settings = BatchAPI(window=NEVER)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        flows = [window.perform(client, settings, asked(str(number))) for number in range(9_999)]
        tasks = [asyncio.create_task(flow) for flow in flows]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1
    assert not emulator.requests


async def test_a_client_is_not_kept(emulator: Emulator, settings: BatchAPI) -> None:
    client = AsyncTogether(api_key=KEY, base_url=emulator.base_url)
    await window.perform(client, settings, asked("Hello"))
    await client.aclose()
    reference = weakref.ref(client)
    del client
    gc.collect()
    assert reference() is None


async def test_a_part_of_a_run_forgets_what_was_never_sent(emulator: Emulator, tmp_path: Path) -> None:
    """So that nobody pays for requests which only an earlier program has made."""
    settings = BatchAPI(window=0.1, poll_interval=0.02, checkpoint=tmp_path / "run.sqlite")
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        emulator.inject("401", "401", "401")
        for text in ("first", "second"):
            with pytest.raises(Exception, match="401"):
                await window.perform(client, settings, asked(text))
        emulator.clear()
        await window.perform(client, settings, asked("third"))
    assert (jobs(emulator), emulator.bill.total().requests) == (1, 1)


PROGRAM = """
import asyncio, sys
from together_adapters import AsyncTogether
from together_adapters.bulk import BatchAPI, window
from tests.bulk.test_window import asked

async def main(url, checkpoint, count):
    settings = BatchAPI(window=0.1, poll_interval=0.02, checkpoint=checkpoint)
    async with AsyncTogether(api_key="k", base_url=url) as client:
        flows = (window.perform(client, settings, asked(f"question {n}")) for n in reversed(range(int(count))))
        print(*await asyncio.gather(*flows), sep="\\n")

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_program_that_was_killed_goes_on(emulator: Emulator, tmp_path: Path) -> None:
    """Also where its calls come together anew: the second time there are more of them."""
    emulator.reply(lambda body: body["messages"][-1]["content"])
    emulator.inject(Fault("slow", path="/v1/batches/", seconds=1))
    command = [sys.executable, "-c", PROGRAM, emulator.base_url, str(tmp_path / "run.sqlite")]
    with subprocess.Popen([*command, "5"], stdout=subprocess.DEVNULL) as program:
        assert eventually(lambda: jobs(emulator))
        program.kill()
    output = subprocess.run([*command, "8"], capture_output=True, text=True, check=True, timeout=HANG).stdout
    assert output.split("\n")[:8] == [f"question {number}" for number in reversed(range(8))]
    assert (jobs(emulator), emulator.bill.total().requests) == (2, 8)
