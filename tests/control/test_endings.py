"""How calls end otherwise: processes that end or fork, interrupts, cancelled streams, telemetry beside the control."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HANG, KEY, Flavour, eventually
from together_adapters import AsyncTogether, Control, Together
from together_adapters.control import Ledger
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Name three prime numbers."}]}
PROLOGUE = f"""
import os, sys
from together_adapters import Control, Together
control = Control(ledger="usage.sqlite", max_concurrency=1)
client = Together(api_key={KEY!r}, base_url=sys.argv[1], control=control)
question = {QUESTION!r}
"""


def run(program: str, emulator: Emulator, folder: Path) -> str:
    """Runs a program; returns what it prints."""
    completed = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROLOGUE + program, emulator.base_url],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert completed.stderr == ""
    return completed.stdout


def test_a_stream_that_is_open_when_the_program_ends_has_a_row(emulator: Emulator, tmp_path: Path) -> None:
    run("stream = client.chat.completions.create(**question, stream=True); next(stream)", emulator, tmp_path)
    (row,) = Ledger(tmp_path / "usage.sqlite").rows()
    assert (row.kind, row.status, row.estimated, row.streamed) == ("chat", 200, True, True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_divides_the_calls(emulator: Emulator, tmp_path: Path) -> None:
    """The call of the parent is not counted twice, and holds no place in the child."""
    program = """
stream = client.chat.completions.create(**question, stream=True)
next(stream)
child = os.fork()
if child == 0:
    assert control.state().in_flight == 0
    with control.tag(process="child"):
        Together(api_key="k", base_url=sys.argv[1], control=control).chat.completions.create(**question)
    assert control.state().in_flight == 0
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert control.state().in_flight == 1
list(stream)
assert control.state().in_flight == 0
"""
    run(program, emulator, tmp_path)
    rows = Ledger(tmp_path / "usage.sqlite").rows()
    assert [(row.tags, row.estimated) for row in rows] == [({"process": "child"}, False), ({}, False)]


def test_an_interrupt_gives_everything_back(emulator: Emulator, tmp_path: Path) -> None:
    program = """
import signal, threading, time
client.models.list()  # imports what a request needs: an interrupt may not come in the middle of that
for way in ("request", "turn"):
    stream = client.chat.completions.create(**question, stream=True) if way == "turn" else None
    def interrupt():
        while not (control.state().waiting if way == "turn" else control.state().in_flight):
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        client.with_options(default_headers={"x-emulator-fault": "slow; seconds=20"}).chat.completions.create(**question)
    except KeyboardInterrupt:
        print(way)
    thread.join()
    if stream:
        stream.close()
state = control.state()
assert (state.in_flight, state.waiting) == (0, 0)
"""
    assert run(program, emulator, tmp_path).split() == ["request", "turn"]
    rows = Ledger(tmp_path / "usage.sqlite").rows()
    assert [(row.error, row.attempts, row.estimated) for row in rows] == [
        ("KeyboardInterrupt", 1, True),
        ("KeyboardInterrupt", 0, False),
        (None, 1, True),
    ]


async def test_a_stream_whose_task_is_cancelled(emulator: Emulator) -> None:
    control = Control(max_concurrency=1)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as client:
        stream = await client.chat.completions.create(**QUESTION, stream=True, extra_headers={"x-emulator-behaviour": "delay=5"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                [chunk async for chunk in stream]
    (row,) = control.ledger.rows()
    assert (row.error, row.status, row.estimated) == ("CancelledError", 200, True)
    assert control.state().in_flight == 0


def test_threads_and_event_loops_share_a_control(emulator: Emulator) -> None:
    control = Control(max_concurrency=3, budget=1)

    def in_thread() -> None:
        with Together(api_key=KEY, base_url=emulator.base_url, control=control) as client:
            for _ in range(5):
                client.chat.completions.create(**QUESTION)
                list(client.chat.completions.create(**QUESTION, stream=True))

    async def in_tasks() -> None:
        async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as client:
            await asyncio.gather(*(client.chat.completions.create(**QUESTION) for _ in range(10)))

    threads = [threading.Thread(target=in_thread) for _ in range(3)]
    threads += [threading.Thread(target=asyncio.run, args=(in_tasks(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    total = control.ledger.total()
    assert (total.requests, total.attempts, total.estimated) == (60, len(emulator.requests), 0)
    assert total.cost == pytest.approx(emulator.bill.total().cost, abs=1e-9)
    assert (control.state().in_flight, control.state().waiting) == (0, 0)


def test_streams_are_collected_while_others_add_rows(emulator: Emulator, tmp_path: Path) -> None:
    """A garbage collection may end a stream in the middle of anything, in any thread."""
    control = Control(ledger=tmp_path / "usage.sqlite", budget=10)

    def leave_streams() -> None:
        with Together(api_key=KEY, base_url=emulator.base_url, control=control) as client:
            for _ in range(15):
                stream: Any = client.chat.completions.create(**QUESTION, stream=True)
                stream.itself = stream  # a cycle
                client.chat.completions.create(**QUESTION)
                del stream

    threads = [threading.Thread(target=leave_streams) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)

    def are_all_there() -> bool:
        gc.collect()  # again: it does nothing while another thread collects
        return control.ledger.total().requests == 120

    assert eventually(are_all_there)
    assert control.state().in_flight == 0
    assert control.ledger.total().estimated == 60
    control.close()


def test_a_ledger_that_cannot_be_written_does_not_cost_the_answer(
    flavour: Flavour, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "usage.sqlite"
    control = Control(ledger=path)
    path.unlink()
    assert flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION)).choices
    assert "the row of a call is not in the ledger yet" in caplog.text
    assert control.state().in_flight == 0


def test_a_budget_whose_ledger_cannot_be_read_sends_nothing(flavour: Flavour, tmp_path: Path, emulator: Emulator) -> None:
    path = tmp_path / "usage.sqlite"
    control = Control(ledger=path, budget=1)
    path.unlink()
    with pytest.raises(OSError, match="the ledger was deleted"):
        flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    assert emulator.requests == []


def test_spans_and_rows_are_of_the_same_calls(flavour: Flavour) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    processors = pytest.importorskip("opentelemetry.sdk.trace.export")
    from together_adapters import telemetry

    exporter, provider = export.InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(processors.SimpleSpanProcessor(exporter))
    control = Control(budget=5)
    client = flavour.client(control=control)
    telemetry.instrument(tracer_provider=provider)
    try:
        flavour.run(client.chat.completions.create(**QUESTION))
        list(flavour.iterate(flavour.run(client.chat.completions.create(**QUESTION, stream=True))))
        flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=[f"text {number}" for number in range(300)]))
    finally:
        telemetry.uninstrument()
    spans, rows = exporter.get_finished_spans(), control.ledger.rows()
    assert [span.name.split()[0] for span in spans] == [row.kind for row in rows] == ["chat", "chat", "embeddings"]
    assert [span.attributes["gen_ai.usage.input_tokens"] for span in spans] == [row.input_tokens for row in rows]
    assert [len(span.events) for span in spans] == [row.attempts for row in rows]


def test_the_wait_for_a_turn_is_part_of_the_span_and_of_the_seconds(emulator: Emulator) -> None:
    control = Control(max_concurrency=1)
    with Together(api_key=KEY, base_url=emulator.base_url, control=control) as client:
        stream = client.chat.completions.create(**QUESTION, stream=True)
        threading.Timer(0.2, stream.close).start()
        start = time.monotonic()
        client.chat.completions.create(**QUESTION)
        assert time.monotonic() - start > 0.15
    row = control.ledger.rows()[-1]
    assert 0.15 < row.waited <= row.seconds


def test_the_handler_of_a_signal_may_ask(emulator: Emulator) -> None:
    """It runs in the middle of whatever its thread does, and would wait for itself."""
    control = Control(max_concurrency=2)
    seen: list[object] = []
    control.limiter.tell(lambda now: seen.append(control.state().max_concurrency))
    assert seen == [2]

    class Stream:
        def end(self) -> None:
            seen.append(control.ledger.total().requests)

    control.abandon(Stream())  # type: ignore[arg-type]
    assert control.ledger.total().requests == 0
    assert seen == [2, 0]
