"""Clients under a limiter's queue, and a service with limits, on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any

from tests.control.limited_service import Refusal, Service
from together_adapters.control.limits.admission_queue import AdmissionQueue, Ticket

Sizes = Callable[[Random], int]
"""The tokens of the next request."""

LATE = 0.0003  # seconds that a timer or a network is late, at most
REFUSAL = 0.002  # seconds that a refusal takes
BACKOFF = 0.75  # seconds after which a client repeats what was refused, at least


def equal(random: Random) -> int:
    return 1000


def mixed(random: Random) -> int:
    return random.choice((100, 500, 1900))


def heavy_tailed(random: Random) -> int:
    return min(int(100 * random.paretovariate(1.1)), 10_000)


@dataclass(frozen=True)
class Outcome:
    """What a simulation came to, after its warm-up.

    Attributes:
        sent: Requests that arrived.
        refused: Those that were refused.
        tokens: Tokens of those that were accepted.
        seconds: The time that was measured.
    """

    sent: int
    refused: int
    tokens: int
    seconds: float

    @property
    def refused_share(self) -> float:
        return self.refused / max(self.sent, 1)

    @property
    def accepted(self) -> int:
        return self.sent - self.refused


@dataclass(frozen=True)
class Load:
    """Clients that always have a request to send.

    Attributes:
        clients: How many there are.
        latency: Seconds of an answer, on average; each takes half of it to one and a half.
        sizes: The tokens of a request.
        seconds: How long to run.
        warm_up: Seconds that are not measured.
        seed: Of what is random.
    """

    clients: int
    latency: float = 0.2
    sizes: Sizes = equal
    seconds: float = 120.0
    warm_up: float = 60.0
    seed: int = 0


class Simulation:
    """Events in the order of their time."""

    def __init__(self, service: Service, load: Load, settings: Mapping[str, Any]) -> None:
        self.queue = AdmissionQueue(**settings)
        self.now = 0.0
        self.random = Random(load.seed)
        self.service = service
        self.load = load
        self.outcome = Outcome(0, 0, 0, load.seconds - load.warm_up)
        self._sizes = sizes(load)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def run(self) -> Outcome:
        for _ in range(self.load.clients):
            self.after(self.random.random() * 0.01, self._send)
        while self._events[0][0] < self.load.seconds:
            self.now, _, event = heapq.heappop(self._events)
            event()
        return self.outcome

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), event))

    def soon(self, event: Callable[[], None], seconds: float = 0.0) -> None:
        self.after(max(seconds, 0.0) + self.random.random() * LATE, event)

    def _send(self, earlier: Request | None = None) -> None:
        request = Request(self, next(self._sizes), self.queue.number()) if earlier is None else earlier.again()
        self.queue.join(request, self.now)

    def arrive(self, request: Request) -> None:
        refusal = self.service.refusal(request.tokens, self.now)
        if self.now >= self.load.warm_up:
            refused, tokens = (1, 0) if refusal else (0, request.tokens)
            outcome = self.outcome
            self.outcome = replace(
                outcome, sent=outcome.sent + 1, refused=outcome.refused + refused, tokens=outcome.tokens + tokens
            )
        if refusal is None:
            headers = self.service.success_headers(self.now)
            self.after(self.load.latency * (0.5 + self.random.random()), lambda: self._done(request, headers))
        else:
            self.after(REFUSAL, lambda: self._refused(request, refusal))

    def _done(self, request: Request, headers: Mapping[str, str]) -> None:
        self.service.in_progress -= 1
        self.soon(lambda: self._answered(request, headers))

    def _answered(self, request: Request, headers: Mapping[str, str]) -> None:
        self.queue.answer(request, 200, headers, None, self.now)
        self.queue.end(request, request.tokens, self.now)
        self._send()

    def _refused(self, request: Request, refusal: Refusal) -> None:
        self.queue.answer(request, 429, refusal.headers, refusal.error, self.now)
        self.queue.end(request, 0, self.now)
        backoff = BACKOFF + (1 - BACKOFF) * self.random.random()
        self.after(float(refusal.headers.get("retry-after", backoff)), lambda: self._send(request))


class Request(Ticket):
    """A request of a client."""

    __slots__ = ("_simulation",)

    def __init__(self, simulation: Simulation, tokens: int, number: int) -> None:
        super().__init__(tokens, number)
        self._simulation = simulation

    def again(self) -> Request:
        return Request(self._simulation, self.tokens, self.number)

    def wake(self) -> None:
        simulation = self._simulation
        if self.granted:
            simulation.soon(lambda: simulation.arrive(self))
        elif self.alarm is not None and not self.is_over:
            simulation.soon(lambda: simulation.queue.advance(simulation.now), self.alarm - simulation.now)


def sizes(load: Load) -> Iterator[int]:
    random = Random(load.seed)
    while True:
        yield load.sizes(random)


def simulate(service: Service, load: Load, **settings: Any) -> Outcome:
    """Runs clients under a queue with the settings of a `Limiter`."""
    return Simulation(service, load, settings).run()


def best(service: Service, load: Load) -> Outcome:
    """Returns what a client would reach that knows everything, and sends each request in its turn the moment that it is accepted."""
    places = load.clients
    ends: list[float] = []
    random = Random(load.seed)
    now, accepted, tokens = 0.0, 0, 0
    for size in sizes(load):
        if service.concurrent is not None:
            places = min(load.clients, service.concurrent)
        while len(ends) >= places:
            now = max(now, heapq.heappop(ends))
        now = service.ready_at(size, now)
        service.in_progress = 0
        while service.refusal(size, now):  # a limit has changed, or a rounding error
            now = service.ready_at(size, now + 1e-6)
            service.in_progress = 0
        if now >= load.seconds:
            break
        heapq.heappush(ends, now + load.latency * (0.5 + random.random()))
        if now >= load.warm_up:
            accepted += 1
            tokens += size
    return Outcome(accepted, 0, tokens, load.seconds - load.warm_up)
