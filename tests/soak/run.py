"""The soak: scripts by a seed, performed by threads and by tasks, in rounds; what must hold of each call and of the process."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import re
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from typing import Any, Final

from tests.soak.calls import Outcome, Script, perform, perform_async
from tests.soak.faults import ANSWER, PAID, Kind
from tests.soak.server import Server
from together_adapters import AsyncTogether, Together
from together_adapters.transport.http_library import LibraryName

THREADS: Final = 16
TASKS: Final = 200
ROUND: Final = 5_000  # scripts; each is a call of both flavours
HANG: Final = 120.0  # seconds after which a call that has not ended is a violation
SLACK: Final = 5.0  # seconds by which a busy machine may exceed a limit
KEY: Final = "sk-soak-0123456789abcdef"
ALWAYS: Final = 99
ADAPTERS: Final = ("langchain", "llama")
MAX_SOCKETS: Final = 32 * 8  # idle connections that a client keeps
MAX_GROWTH: Final = 4.0  # MB per 10,000 calls, once the process is warm
WARM: Final = 80_000  # calls that a run needs, so that its second half is warm


def scripts(kinds: Sequence[Kind], seed: int) -> Iterator[Script]:
    """Yields the scripts of a seed: every kind in turn; those that need real time more seldom."""
    quick = [kind for kind in kinds if kind.weight == 1] or list(kinds)
    number = seed * 10_000_000
    while True:
        is_first = number % 10_000_000 < len(kinds)
        kind = kinds[number % 10_000_000 % len(kinds)]
        random = Random(f"script {number}")
        if not is_first and random.random() > kind.weight:
            kind = random.choice(quick)
        yield _script(kind, number, random)
        number += 1


def _script(kind: Kind, number: int, random: Random) -> Script:
    adapters = [call for call in kind.calls if call.startswith(ADAPTERS)]
    own = [call for call in kind.calls if call not in adapters]
    is_adapter = adapters and (not own or random.random() < 0.15)
    call = random.choice(adapters if is_adapter else own)
    faults = ALWAYS if kind.always or kind.is_timed else random.choice([1, 1, 2, ALWAYS])
    return Script(
        kind, number, call, random.choice([0, 1, 2, 2]), faults, "max_elapsed" not in kind.options and random.random() < 0.2
    )


def violations(script: Script, outcome: Outcome, received: int, dropped: int) -> Iterator[str]:
    """Yields what is wrong with a call. `dropped` requests met a connection that the server had served and then closed."""
    kind = script.kind
    expected, requests = script.expectation()
    if outcome.result not in expected:
        yield f"{outcome.result} instead of {'|'.join(expected)}"
    wanted = kind.text(script.number)
    if outcome.result == ANSWER and not kind.is_open(script.number) and outcome.text != wanted:
        yield f"text {outcome.text[:60]!r} instead of {wanted!r}"
    if outcome.result not in (ANSWER, "CancelledError") and not wanted.startswith(outcome.text) and ANSWER not in expected:
        yield f"text {outcome.text[:60]!r} before the error"
    limit = kind.options.get("max_elapsed")
    if outcome.seconds > (limit or HANG) + SLACK:
        yield f"took {outcome.seconds:.1f} s"
    # Paid work that was dropped is not sent again; other calls are, without counting.
    sent = received if script.call in PAID else received - dropped
    if kind.port == "port" and sent not in requests:
        yield f"{sent} requests instead of {_numbers(requests)}"
    if outcome.attempts and not kind.hops and outcome.attempts not in requests:
        yield f"{outcome.attempts} attempts in the error instead of {_numbers(requests)}"
    if kind.pause and outcome.pauses and not kind.pause[0] <= outcome.pauses[0] <= kind.pause[1]:
        yield f"paused for {outcome.pauses[0]:.2f} s instead of {kind.pause}"


def is_unsent(script: Script, outcome: Outcome, received: int) -> bool:
    """Whether paid work met a connection that had died: it is not sent again, because it might have been received."""
    return script.call in PAID and script.kind.port == "port" and received == 0 and outcome.result == "APIConnectionError"


def _numbers(numbers: range) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


@dataclass
class Row:
    """What came of the calls of one kind."""

    calls: int = 0
    answers: int = 0
    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)


@dataclass
class Sample:
    """The process at rest, after a number of calls."""

    calls: int
    megabytes: float  # resident
    trimmed: float  # resident, without what the allocator keeps free
    descriptors: int
    threads: int
    objects: int


class Soak:
    """Runs scripts and collects what came of them."""

    def __init__(
        self, server: Server, kinds: Sequence[Kind], seed: int, flavours: Sequence[str], http_library: LibraryName = "httpx"
    ) -> None:
        self.rows: dict[str, Row] = defaultdict(Row)
        self.violations: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.samples: list[Sample] = []
        self.calls = self.adapter_calls = self.unsent = 0
        self._server = server
        self._scripts = scripts(kinds, seed)
        self._flavours = flavours
        self._options: dict[str, Any] = {"api_key": KEY, "http_library": http_library}
        self._in_flight: dict[int, tuple[Script, float]] = {}
        self._unraisable: list[str] = []

    def run(self, calls: int) -> None:
        """Performs the calls in rounds, half of each on either client."""
        sys.unraisablehook = lambda unraisable: self._unraisable.append(repr(unraisable.exc_value))
        threading.Thread(target=self._watch, daemon=True, name="watch").start()
        self._measure()
        left = -(-calls // len(self._flavours))
        with Together(**self._options) as client, asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: self._unraisable.append(str(context)))
            async_client = AsyncTogether(**self._options)
            while left > 0:
                batch = list(islice(self._scripts, min(ROUND, left)))
                left -= len(batch)
                outcomes: dict[str, list[Outcome]] = {}
                if "sync" in self._flavours:
                    outcomes["s"] = self._in_threads(batch, client)
                if "async" in self._flavours:
                    outcomes["a"] = runner.run(self._in_tasks(batch, async_client))
                self._judge(batch, outcomes)
                del batch, outcomes
                runner.run(_rest())
                self._measure()
            runner.run(async_client.close())
        gc.collect()
        self._measure()
        self._judge_process()

    def _in_threads(self, batch: list[Script], client: Together) -> list[Outcome]:
        outcomes: list[Any] = [None] * len(batch)
        positions: SimpleQueue[int] = SimpleQueue()
        for position in range(len(batch)):
            positions.put(position)

        def work() -> None:
            while True:
                try:
                    position = positions.get_nowait()
                except Empty:
                    return
                script = batch[position]
                if script.call.startswith("cancel"):
                    continue
                self._in_flight[position] = (script, time.monotonic())
                outcomes[position] = perform(script, client.with_options(**script.options(self._server, "s")))
                del self._in_flight[position]

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    async def _in_tasks(self, batch: list[Script], client: AsyncTogether) -> list[Outcome]:
        outcomes: list[Any] = [None] * len(batch)
        positions = iter(range(len(batch)))

        async def work() -> None:
            for position in positions:
                script = batch[position]
                self._in_flight[position] = (script, time.monotonic())
                outcomes[position] = await perform_async(script, client.with_options(**script.options(self._server, "a")))
                del self._in_flight[position]

        async with asyncio.TaskGroup() as tasks:
            for _ in range(TASKS):
                tasks.create_task(work())
        await asyncio.sleep(0.2)
        if (left := len(asyncio.all_tasks()) - 1) > 0:
            self._report("process", f"{left} tasks are left", "")
        return outcomes

    def _watch(self) -> None:
        """Ends the process when a call hangs: a thread cannot be interrupted."""
        while True:
            time.sleep(1)
            for script, start in list(self._in_flight.values()):
                if time.monotonic() - start > 2 * HANG:
                    print(f"hangs: {script}", flush=True)
                    os._exit(1)

    def _judge(self, batch: list[Script], outcomes: dict[str, list[Outcome]]) -> None:
        received, dropped = self._server.take_counts()
        for position, script in enumerate(batch):
            unsent = False
            for flavour in outcomes:
                outcome = outcomes[flavour][position]
                if outcome is None:
                    continue
                name = script.name(flavour)
                self._add(script, outcome, received.get(name, 0))
                if is_unsent(script, outcome, received.get(name, 0)):
                    self.unsent += 1
                    unsent = True
                    continue
                for problem in violations(script, outcome, received.get(name, 0), dropped.get(name, 0)):
                    self._report(script.kind.name, problem, f"{script.call} {name} retries={script.retries}: {outcome}")
            both = [outcomes[flavour][position] for flavour in outcomes]
            if len(both) == 2 and both[0] and not unsent and not _agree(script, *both):
                self._report(script.kind.name, "the flavours differ", f"{script.call} {script.name('')}: {both[0]} | {both[1]}")
        for problem in self._unraisable:
            self._report("process", "an error that nobody sees", problem)
        self._unraisable.clear()

    def _add(self, script: Script, outcome: Outcome, requests: int) -> None:
        row = self.rows[script.kind.name]
        row.calls += 1
        self.calls += 1
        self.adapter_calls += script.call.startswith(ADAPTERS)
        row.requests += requests
        if outcome.result == ANSWER:
            row.answers += 1
        else:
            row.errors[outcome.result] += 1

    def _report(self, kind: str, problem: str, example: str) -> None:
        key = f"{kind}: " + re.sub(r"\d+(\.\d+)?", "N", problem)
        self.violations[key] += 1
        self.examples.setdefault(key, f"{problem}: {example}")

    def _measure(self) -> None:
        gc.collect()
        megabytes = resident()
        trim()
        descriptors = len(os.listdir("/proc/self/fd"))
        self.samples.append(
            Sample(self.calls, megabytes, resident(), descriptors, threading.active_count(), len(gc.get_objects()))
        )

    def growth(self) -> float | None:
        """Returns the growth of the resident memory in MB per 10,000 calls, over the second half; None for a short run."""
        warm = [sample for sample in self.samples[:-1] if sample.calls >= self.calls / 2]
        if len(warm) < 3:
            return None
        return (warm[-1].trimmed - warm[0].trimmed) / (warm[-1].calls - warm[0].calls) * 10_000

    def _judge_process(self) -> None:
        first, *rounds, last = self.samples
        for sample in rounds:
            if sample.descriptors > first.descriptors + 2 * MAX_SOCKETS:
                self._report("process", "too many descriptors", str(sample))
        if last.descriptors > first.descriptors:
            self._report("process", "descriptors are left", f"{first} {last}")
        if last.threads > first.threads:
            self._report("process", "threads are left", f"{[thread.name for thread in threading.enumerate()]}")
        growth = self.growth()
        if growth is not None and self.calls > WARM and growth > MAX_GROWTH:
            self._report("process", "memory grows", f"{growth:.1f} MB per 10,000 calls")


def resident() -> float:
    """Returns the resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def trim() -> None:
    """Gives free memory back to the system, where the C library can."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _agree(script: Script, one: Outcome, other: Outcome) -> bool:
    if script.kind.is_timed:
        return one.result == other.result
    is_exact = script.kind.is_retried(script.number, script.call) is not None
    return one[:2] == other[:2] and (not is_exact or one.attempts == other.attempts)


async def _rest() -> None:
    """Lets streams that were dropped close."""
    gc.collect()
    await asyncio.sleep(0.1)
