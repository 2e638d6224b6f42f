"""Whatever happens to the queue of a limiter: nobody waits for nothing, nobody is forgotten, and set limits hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.conftest import example_count
from together_adapters.control.limits.admission_queue import AdmissionQueue, Ticket

MINUTE = 60.0
LONGEST = 1000.0  # seconds, such as after a request that uses six times the tokens of a minute

HEADERS: list[dict[str, str]] = [
    {},
    {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "4", "x-ratelimit-reset": "2"},
    {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"},
    {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "99", "x-ratelimit-reset": "2"},
    {"x-tokenlimit-limit": "500", "x-tokenlimit-remaining": "0", "x-ratelimit-reset": "60"},
    {"x-ratelimit-limit": "none", "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "nan"},
    {"retry-after": "2"},
    {"retry-after": "0"},
    {"retry-after": "1e9"},
]
ERRORS: list[dict[str, Any] | None] = [
    None,
    {"type": "dynamic_request_limited"},
    {"type": "dynamic_token_limited"},
    {"message": "concurrency"},
]

EVENTS = st.one_of(
    st.tuples(st.just("arrive"), st.integers(0, 400)),
    st.tuples(st.just("cancel before it waits"), st.booleans()),
    st.tuples(st.just("pass"), st.sampled_from([0.0, 0.001, 0.1, 1.0, 7.0, 61.0, 3600.0])),
    st.tuples(
        st.just("answer"), st.integers(0, 50), st.sampled_from([200, 200, 200, 429, 500, 503, None]), st.sampled_from(HEADERS)
    ),
    st.tuples(st.just("refuse"), st.integers(0, 50), st.sampled_from(HEADERS), st.sampled_from(ERRORS)),
    st.tuples(st.just("end"), st.integers(0, 50), st.one_of(st.none(), st.integers(0, 600))),
    st.tuples(st.just("cancel"), st.integers(0, 50)),
    st.tuples(st.just("cancel waiting"), st.integers(0, 50)),
)
SETTINGS = st.fixed_dictionaries(
    {
        "requests_per_minute": st.sampled_from([None, 1, 7, 60, 600]),
        "tokens_per_minute": st.sampled_from([None, 100, 1000, 100_000]),
        "max_concurrency": st.sampled_from([None, 1, 3]),
    }
)


@dataclass
class World:
    """Requests under a queue. Each waits as a thread would: it asks again when its alarm rings, and when it is told to."""

    limits: dict[str, Any]
    now: float = 1000.0
    waiting: list[Request] = field(default_factory=list)
    in_flight: list[Request] = field(default_factory=list)
    sent: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = AdmissionQueue(**self.limits)

    def arrive(self, tokens: int, earlier: Request | None = None) -> None:
        request = Request(self, tokens, self.queue.number() if earlier is None else earlier.number)
        self.waiting.append(request)
        self.queue.join(request, self.now)

    def let_pass(self, seconds: float) -> None:
        """Lets time pass, and alarms ring in it."""
        end = self.now + seconds
        for _ in range(100_000):
            alarm = min((each.alarm for each in self.waiting if each.alarm is not None), default=inf)
            if alarm > end:
                break
            self.now = max(self.now, alarm)
            self.queue.advance(self.now)
            assert all(each.alarm is None or each.alarm > self.now for each in self.waiting), "an alarm that rings on and on"
        else:
            raise AssertionError("too many alarms")
        self.now = end

    def granted(self, request: Request) -> None:
        assert request in self.waiting
        assert request.number == min(each.number for each in self.waiting), "not the first that came"
        assert self.now >= self.queue.pause_until, "in a pause"
        self.waiting.remove(request)
        self.in_flight.append(request)
        self.sent.append(request)
        request.sent_at = self.now

    def check(self) -> None:
        """Checks what must always hold."""
        queue = self.queue
        assert queue.in_flight == len(self.in_flight)
        assert queue.waiting == len(self.waiting)
        assert self.limits["max_concurrency"] is None or queue.in_flight <= self.limits["max_concurrency"]
        if self.waiting:
            first = min(self.waiting, key=lambda each: each.number)
            assert first.alarm is not None or queue.in_flight, "nothing will wake the first of the queue"
            assert first.alarm is None or first.alarm - self.now <= LONGEST

    def check_minutes(self) -> None:
        """Checks each minute that ends with a request: its tokens are the estimates by which it was admitted, or what is known since."""
        for number, request in enumerate(self.sent):
            minute = [each for each in self.sent[: number + 1] if each.sent_at > request.sent_at - MINUTE + 1e-6]
            if (limit := self.limits["requests_per_minute"]) is not None:
                assert len(minute) <= max(limit, 1)
            if (limit := self.limits["tokens_per_minute"]) is not None and len(minute) > 1:
                # What was used beyond an estimate is known too late.
                assert sum(min(each.used_by(request.sent_at), each.tokens) for each in minute) <= limit

    def finish(self) -> None:
        """Answers whatever is sent, until nobody waits."""
        for _ in range(2 * (len(self.waiting) + len(self.in_flight)) + 2):
            while self.in_flight:
                self.end(self.in_flight[0], 200)
            if not self.waiting:
                return
            self.let_pass(LONGEST)
            self.check()
        raise AssertionError("some wait for ever")

    def end(
        self, request: Request, status: int | None, headers: Any = None, error: Any = None, tokens: int | None = None
    ) -> None:
        self.in_flight.remove(request)
        request.used.append((self.now, request.tokens if tokens is None else tokens))
        self.queue.answer(request, status, headers or {}, error, self.now)
        self.queue.end(request, tokens, self.now)


class Request(Ticket):
    """A request of a thread."""

    __slots__ = ("sent_at", "used", "world")

    def __init__(self, world: World, tokens: int, number: int) -> None:
        super().__init__(tokens, number)
        self.world = world
        self.sent_at = -inf
        self.used: list[tuple[float, int]] = []

    def used_by(self, time: float) -> int:
        return next((tokens for at, tokens in self.used if at <= time), self.tokens)

    def wake(self) -> None:
        if self.granted and self in self.world.waiting:
            self.world.granted(self)


def happen(world: World, event: tuple[Any, ...]) -> None:
    kind, *values = event
    if kind == "arrive":
        world.arrive(values[0])
    elif kind == "cancel before it waits":
        request = Request(world, 1, world.queue.number())
        world.queue.leave(request, world.now)
        if values[0]:
            world.queue.join(request, world.now)
    elif kind == "pass":
        world.let_pass(values[0])
    elif kind == "cancel waiting":
        if world.waiting:
            request = world.waiting.pop(values[0] % len(world.waiting))
            world.queue.leave(request, world.now)
    elif world.in_flight:
        request = world.in_flight[values[0] % len(world.in_flight)]
        if kind == "answer":  # its body follows
            world.queue.answer(request, values[1], values[2], None, world.now)
        elif kind == "refuse":
            world.end(request, 429, values[1], values[2], tokens=0)
            world.arrive(request.tokens, earlier=request)
        elif kind == "end":
            world.end(request, 200, tokens=values[1])
        elif kind == "cancel":
            world.in_flight.remove(request)
            world.queue.leave(request, world.now)


@example_count(150, suppress_health_check=[HealthCheck.too_slow])
@given(SETTINGS, st.lists(EVENTS, max_size=60))
def test_nobody_is_forgotten_and_set_limits_hold(limits: dict[str, Any], events: list[tuple[Any, ...]]) -> None:
    world = World(limits)
    for event in events:
        happen(world, event)
        world.check()
    world.finish()
    assert world.queue.in_flight == world.queue.waiting == 0
    world.check_minutes()
    world.let_pass(120)
    world.arrive(1)
    world.let_pass(120)
    world.finish()  # whatever was learned, there is a way on
