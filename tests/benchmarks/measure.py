"""CPU time of the client's process, of contestants that take turns, as paired ratios.

A shared machine changes its speed from second to second, so absolute times mean little. Within a round every contestant gets
several short turns, forwards and backwards through the list; the ratio of a round is that of the sums, and the median over the
rounds is what counts. `time.process_time` is user and system time of all threads of this process, and of no other.
"""

from __future__ import annotations

import gc
import inspect
from asyncio import Runner
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time
from typing import Any, Final, TypeVar

from tests.benchmarks.server import Server

T = TypeVar("T")

TURNS: Final = 4
LEAST_ROUNDS: Final = 3
SLOW_PEER: Final = 0.3
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
        peer_share: How many times less work the peers do in a call, where all of it would take minutes.
    """

    name: str
    ours: Work
    baseline: tuple[Work, ...]
    goal: Goal | None = None
    unit: str = "us"
    per: int = 1
    peers: dict[str, Work] = field(default_factory=dict)
    peer_share: int = 1

    @property
    def scale(self) -> float:
        """What makes seconds of a call a figure of the table: the unit, for each unit of work."""
        return {"us": 1e6, "ms": 1e3}[self.unit] / self.per


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
        value = self.ratio if self.goal.kind == "ratio" else self.ours
        return "met" if value is not None and round(value, 2) <= self.goal.most else "missed"


class Bench:
    """Where operations are made: the server they ask, the event loop they run in, and the clients to close after each."""

    def __init__(self, server: Server, loop: Runner) -> None:
        self.server = server
        self.loop = loop
        self._clients: list[Any] = []

    def keep(self, client: T) -> T:
        """Return a client that is closed when its operation has been measured."""
        self._clients.append(client)
        return client

    def url(self, answer: str) -> str:
        """Return the base URL that is answered so."""
        return self.server.url(answer)

    def requests(self, work: Work) -> int:
        """Do something once, and return how many requests it took."""
        before = self.server.served()
        Contestant(work, self.loop).once()
        return self.server.served() - before

    def clear(self) -> None:
        """Close what was kept, so that the next operation finds an idle server."""
        while self._clients:
            client = self._clients.pop()
            close = getattr(client, "aclose", None) or getattr(client, "close", None)
            closing = close() if close is not None else None
            if inspect.isawaitable(closing):
                self.loop.run(_await(closing))


async def _await(value: Any) -> Any:
    return await value


Builder = Callable[[str, Bench], "Operation | Row | list[Row]"]
"""Makes an operation of its name when it is wanted, or the rows that say all there is to say."""


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Attributes:
        rounds: Paired measurements of each operation.
        turn: Seconds that one turn of one contestant should take.
        peer_rounds: Rounds that take the peers along; those that are slow get one.
        limit: Seconds after which an operation gets no further round, if it has had three.
    """

    rounds: int = 7
    turn: float = 0.04
    peer_rounds: int = 2
    limit: float = 3.0


class Contestant:
    """One way of doing an operation, and what it has cost in this round."""

    def __init__(self, work: Work, loop: Runner) -> None:
        self._work = work
        self._loop = loop
        self._asynchronous = inspect.iscoroutinefunction(work)
        self.calls = 1
        self.seconds = 0.0
        self.cpu_time = 0.0
        self.done = 0

    def once(self) -> Any:
        """Do it once, untimed."""
        return self._loop.run(self._work()) if self._asynchronous else self._work()

    def prepare(self, turn: float) -> None:
        """Choose how many calls make a turn, by a second warm-up."""
        began = perf_counter()
        self.once()
        self.seconds = perf_counter() - began
        self.calls = max(1, int(turn / max(self.seconds, 1e-7)))

    def take_turn(self) -> None:
        """Do it, timed."""
        if self._asynchronous:
            self.cpu_time += self._loop.run(self._time_loop())
        else:
            work = self._work
            began = process_time()
            for _ in range(self.calls):
                work()
            self.cpu_time += process_time() - began
        self.done += self.calls

    async def _time_loop(self) -> float:
        work = self._work
        began = process_time()
        for _ in range(self.calls):
            await work()
        return process_time() - began

    def cost(self) -> float:
        """Return the seconds that one call took in this round, and begin the next."""
        cost, self.cpu_time, self.done = self.cpu_time / self.done, 0.0, 0
        return cost


def measure(operation: Operation, bench: Bench, pace: Pace) -> list[Row]:
    """Return the rows of an operation: its own, and one for each peer.

    Raises:
        AssertionError: The contestants do not come to the same result, so their times cannot be compared.
    """
    ours = Contestant(operation.ours, bench.loop)
    baseline = [Contestant(work, bench.loop) for work in operation.baseline]
    peers = {name: Contestant(work, bench.loop) for name, work in operation.peers.items()}
    expected = ours.once()
    for contestant in baseline:
        assert (result := contestant.once()) == expected, f"{_short(result)} is not {_short(expected)}"
    failed = _failed(peers, expected if operation.peer_share == 1 else None)
    for contestant in [ours, *baseline, *peers.values()]:
        contestant.prepare(pace.turn)
    turns = TURNS if max(contestant.seconds for contestant in [ours, *baseline]) < TURNS * pace.turn else 2
    costs: list[tuple[float, float]] = []
    peer_costs: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    began = perf_counter()
    for number in range(pace.rounds):
        if number >= LEAST_ROUNDS and perf_counter() - began > pace.limit:
            break
        present = {
            name: contestant
            for name, contestant in peers.items()
            if number == 0 or (number < pace.peer_rounds and contestant.seconds < SLOW_PEER)
        }
        _round([ours, *baseline, *present.values()], turns)
        base = sum(contestant.cost() for contestant in baseline)
        costs.append((ours.cost(), base))
        for name, contestant in present.items():
            peer_costs[name].append((contestant.cost() * operation.peer_share, base))
    others = [_row(operation, name, found, None, peer=True) for name, found in peer_costs.items()]
    return [_row(operation, operation.name, costs, operation.goal), *others, *failed]


def _failed(peers: dict[str, Contestant], expected: Any) -> list[Row]:
    """Take out the peers that cannot do it, and say why."""
    rows: list[Row] = []
    for name, contestant in list(peers.items()):
        try:
            result = contestant.once()
            if expected is None or result == expected:
                continue
            problem = f"{_short(result)} is not {_short(expected)}"
        except Exception as raised:
            problem = f"{type(raised).__name__}: {raised}"
        del peers[name]
        rows.append(Row(name, note=f"failed: {problem[:70]}", peer=True))
    return rows


def _short(value: Any) -> str:
    return repr(value)[:60]


def _round(contestants: list[Contestant], turns: int) -> None:
    gc.collect()
    gc.disable()
    try:
        for turn in range(turns):
            for contestant in contestants if turn % 2 == 0 else reversed(contestants):
                contestant.take_turn()
    finally:
        gc.enable()


def _row(operation: Operation, name: str, costs: list[tuple[float, float]], goal: Goal | None, *, peer: bool = False) -> Row:
    return Row(
        name,
        operation.unit,
        median(mine for mine, _ in costs) * operation.scale,
        median(base for _, base in costs) * operation.scale,
        tuple(mine / base for mine, base in costs),
        goal,
        peer=peer,
    )
