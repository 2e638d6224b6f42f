"""What a queue makes of times that it is asked to wait, and of limits that headers say have risen. On a virtual clock."""

from __future__ import annotations

import pytest

from tests.control import simulation
from tests.control.limited_service import Service
from tests.control.simulation import Load, simulate
from together_adapters.control.limits.admission_queue import AdmissionQueue, Ticket

ERROR = {"message": "too many requests per minute"}


def send(queue: AdmissionQueue, now: float) -> Ticket:
    ticket = Ticket(0, queue.number())
    queue.join(ticket, now)
    while not ticket.granted:
        assert ticket.alarm is not None
        now = ticket.alarm
        queue.advance(now)
    return ticket


def accept(queue: AdmissionQueue, now: float, limit: int, remaining: int) -> float:
    """Sends a request as soon as possible, and accepts it. Returns the time after that."""
    ticket = send(queue, now)
    now = ticket.granted_at + 0.01
    headers = {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(remaining), "x-ratelimit-reset": str(60 - now % 60)}
    queue.finish(ticket, 200, headers, None, None, now)
    return now


def learn(queue: AdmissionQueue, limits: tuple[int, int]) -> float:
    """Lets a service refuse at the end of each of some minutes; returns the time after that."""
    other = send(queue, 0.0)  # a long one, so that no time is idle
    now = 0.0
    for minute in range(1, 7):
        number = 0
        while now < 60 * minute - 10:
            number += 1
            now = accept(queue, max(now, 60 * minute - 60 + number / 2), limits[number % 2], 50)
        queue.finish(send(queue, now), 429, {"retry-after": "10"}, ERROR, None, now + 0.01)
        queue.end(other, None, now + 0.01)
        now = accept(queue, now + 0.01, limits[1], 99)  # waits all the time
    return now


def test_a_limit_that_headers_say_has_risen_is_used_soon() -> None:
    queue = AdmissionQueue()
    start = now = learn(queue, (100, 100))
    for number in range(20):
        now = accept(queue, now, 100, 98 - number)
    pace = (now - start) / 20
    start = now
    for number in range(100):
        now = accept(queue, now, 300, 280 - number)
    assert (now - start) / 100 <= pace / 1.5


def test_headers_of_two_limits_in_turn_do_not_hurry_the_search() -> None:
    queue = AdmissionQueue()
    start = now = learn(queue, (100, 300))
    for number in range(20):
        now = accept(queue, now, 300, 98 - number)
    pace = (now - start) / 20
    start = now
    for number in range(100):
        now = accept(queue, now, (100, 300)[number % 2], 50)
    assert pace / 1.2 <= (now - start) / 100


@pytest.mark.parametrize("asked", ["0", "1", "2"])
def test_a_time_that_was_too_short_is_not_believed_for_long(asked: str) -> None:
    queue = AdmissionQueue()
    now = refused = 0.0
    while now < 60:  # for as long as the service refuses, and asks to wait for a second
        ticket = send(queue, now)
        now = ticket.granted_at + 0.01
        queue.finish(ticket, 429, {"retry-after": asked}, ERROR, None, now)
        refused += 1
    assert refused <= 14


def test_a_time_that_was_asked_for_is_kept_and_not_lengthened() -> None:
    queue = AdmissionQueue()
    ticket = send(queue, 0.0)
    queue.finish(ticket, 429, {"retry-after": "1"}, ERROR, None, 0.01)
    ticket = send(queue, 0.02)
    assert 1.01 <= ticket.granted_at <= 1.02
    queue.finish(ticket, 429, {"retry-after": "30"}, ERROR, None, 1.03)
    ticket = send(queue, 1.04)
    assert 31.03 <= ticket.granted_at <= 31.04


@pytest.mark.parametrize(("asked", "is_rate"), [("1", False), ("45", True)])
def test_nobody_knows_long_before_when_a_place_will_be_free(asked: str, is_rate: bool) -> None:
    queue = AdmissionQueue()
    tickets = [send(queue, 0.0) for _ in range(8)]  # more than ever before
    for ticket in tickets[:7]:
        queue.finish(ticket, 200, {}, None, None, 0.5)
    queue.finish(tickets[7], 429, {"retry-after": asked}, None, None, 0.5)
    ticket = send(queue, 0.5)
    queue.finish(ticket, 200, {}, None, None, ticket.granted_at + 0.5)
    assert (queue.requests.estimate < 1) == is_rate


@pytest.mark.parametrize("concurrent", [4, 8])
def test_a_network_that_is_slow_does_not_make_a_rate_of_concurrency(concurrent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "LATE", 0.02)  # while an answer is on its way, its place is free again
    load = Load(100, latency=0.2, seconds=400.0, warm_up=60.0)
    outcome = simulate(Service(concurrent=concurrent), load)
    ideal = concurrent / (0.2 + 0.02) * (load.seconds - load.warm_up)
    assert outcome.accepted >= 0.87 * ideal, (outcome, ideal)
    assert outcome.refused_share < 0.01, outcome
