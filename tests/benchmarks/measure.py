"""CPU time of the client's process, of contestants that take turns, as paired ratios.

A shared machine changes its speed from second to second, so absolute times mean little. Within a round every contestant gets
several short turns, forwards and backwards through the list; the ratio of a round is that of the sums, and the median over the
rounds is what counts. `time.process_time` is user and system time of all threads of this process, and of no other.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final

TURNS: Final = 4
Loop = asyncio.Runner
Work = Callable[[], Any]
"""One call of an operation, or a function that gives its coroutine. What it returns is the same for every contestant."""


@dataclass(frozen=True)
class Goal:
    """What an operation should reach.

    Attributes:
        most: The largest value that meets it.
        kind: What is held against it: the `ratio` to the baseline, our own `value`.
    """

    most: float
    kind: str = "ratio"


@dataclass(frozen=True)
class Operation:
    """Something to be timed, ours against a baseline.

    Attributes:
        name: What is done.
        ours: Our way.
        baseline: The work that ours is held against; of several, their costs add up.
        goal: What to reach.
        unit: `us` or `ms`.
        per: Units of work in one call, chunks or documents for example.
        peers: Other libraries' ways.
        close: What to do afterwards.
    """

    name: str
    ours: Work
    baseline: tuple[Work, ...]
    goal: Goal | None = None
    unit: str = "us"
    per: int = 1
    peers: dict[str, Work] = field(default_factory=dict)
    close: Work | None = None


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        ours: Cost for each unit of work, the median over the rounds.
        baseline: That of the baseline.
        ratios: Ours to the baseline, one for each round.
        note: Why there are no figures.
        peer: Whether this is another library, under the operation above it.
    """

    name: str
    unit: str = ""
    ours: float | None = None
    baseline: float | None = None
    ratios: tuple[float, ...] = ()
    goal: Goal | None = None
    note: str = ""
    peer: bool = False

    @property
    def ratio(self) -> float | None:
        """The median ratio."""
        return median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """Whether the goal is met, judged on the digits that are shown."""
        if self.note or self.goal is None:
            return "" if self.peer or self.note else "no goal"
        reached = self.ratio if self.goal.kind == "ratio" else self.ours
        return "met" if reached is not None and round(reached, 2) <= self.goal.most else "missed"


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Attributes:
        rounds: Paired measurements of each operation.
        turn: Seconds that one turn of one contestant should take.
        peer_rounds: Rounds that take the peers along.
    """

    rounds: int = 7
    turn: float = 0.05
    peer_rounds: int = 3


class Contestant:
    """One way of doing an operation, and what it has cost in this round."""

    def __init__(self, work: Work, loop: Loop) -> None:
        self._work = work
        self._loop = loop
        self._asynchronous = inspect.iscoroutinefunction(work)
        self.calls = 1
        self.spent = 0.0
        self.done = 0

    def once(self) -> Any:
        """Do it once, untimed."""
        return self._loop.run(self._work()) if self._asynchronous else self._work()

    def prepare(self, turn: float) -> None:
        """Warm up, and choose how many calls make a turn."""
        self.once()
        began = perf_counter()
        self.once()
        self.calls = max(1, int(turn / max(perf_counter() - began, 1e-7)))

    def take_turn(self) -> None:
        """Do it, timed."""
        if self._asynchronous:
            self.spent += self._loop.run(self._timed())
        else:
            work = self._work
            began = process_time()
            for _ in range(self.calls):
                work()
            self.spent += process_time() - began
        self.done += self.calls

    async def _timed(self) -> float:
        work = self._work
        began = process_time()
        for _ in range(self.calls):
            await work()
        return process_time() - began

    def cost(self) -> float:
        """Return the seconds that one call took in this round, and begin the next."""
        cost, self.spent, self.done = self.spent / self.done, 0.0, 0
        return cost


def measure(operation: Operation, loop: Loop, pace: Pace) -> list[Row]:
    """Return the rows of an operation: its own, and one for each peer.

    Raises:
        AssertionError: The contestants do not come to the same result, so their times cannot be compared.
    """
    ours = Contestant(operation.ours, loop)
    baseline = [Contestant(work, loop) for work in operation.baseline]
    peers = {name: Contestant(work, loop) for name, work in operation.peers.items()}
    expected = ours.once()
    for contestant in [*baseline, *peers.values()]:
        result = contestant.once()
        assert result == expected, f"{operation.name}: {str(result)[:80]!r} is not {str(expected)[:80]!r}"
    for contestant in [ours, *baseline, *peers.values()]:
        contestant.prepare(pace.turn)
    costs: list[tuple[float, float]] = []
    peer_costs: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for number in range(pace.rounds):
        with_peers = number < pace.peer_rounds
        _round([ours, *baseline, *(peers.values() if with_peers else ())])
        base = sum(contestant.cost() for contestant in baseline)
        costs.append((ours.cost(), base))
        if with_peers:
            for name, contestant in peers.items():
                peer_costs[name].append((contestant.cost(), base))
    if operation.close is not None:
        Contestant(operation.close, loop).once()
    rows = [_row(operation, operation.name, costs, operation.goal)]
    return rows + [_row(operation, name, found, None, peer=True) for name, found in peer_costs.items()]


def _round(contestants: list[Contestant]) -> None:
    gc.collect()
    gc.disable()
    try:
        for turn in range(TURNS):
            for contestant in contestants if turn % 2 == 0 else reversed(contestants):
                contestant.take_turn()
    finally:
        gc.enable()


def _row(operation: Operation, name: str, costs: list[tuple[float, float]], goal: Goal | None, *, peer: bool = False) -> Row:
    scale = {"us": 1e6, "ms": 1e3}[operation.unit] / operation.per
    return Row(
        name,
        operation.unit,
        median(mine for mine, _ in costs) * scale,
        median(base for _, base in costs) * scale,
        tuple(mine / base for mine, base in costs),
        goal,
        peer=peer,
    )
