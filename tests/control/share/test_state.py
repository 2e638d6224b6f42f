"""The state that processes share, with a clock of the test: no limit is exceeded, and nobody is passed over."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from together_adapters.control.limits.rates import PACE
from together_adapters.control.share.state import MEMBER_SECONDS, Limits, SharedState

START = 1_000_000.0


@dataclass
class Group:
    """Processes with one state, each of which asks again when it is told to."""

    limits: Limits
    text: bytes | None = None
    grants: list[tuple[float, str, float]] = field(default_factory=list)

    def visit(self, name: str, now: float, *, in_flight: int = 0, tokens: float | None = None) -> float:
        """Performs one visit of a process; returns what it is told to wait."""
        state = SharedState(self.text, START + now)
        state.visit(name, in_flight)
        wait = 0.0
        if tokens is None:
            state.withdraw(name)
        elif not (wait := state.admit(name, tokens, self.limits)):
            self.grants.append((now, name, tokens))
        if state.is_changed:
            self.text = state.to_json()
        return wait

    def settle(self, now: float, at: float, difference: tuple[float, float]) -> None:
        """Corrects what was granted at a time."""
        slot = SharedState(None, START + at).slot
        state = SharedState(self.text, START + now)
        state.settle(slot, difference, self.limits)
        self.text = state.to_json()

    def run(self, seconds: float, sizes: dict[str, list[float]]) -> None:
        """Lets processes send without a pause, each request taking no time; each has sizes that it repeats."""
        agenda = [(index * 0.001, name, 0) for index, name in enumerate(sizes)]
        while agenda[0][0] < seconds:
            now, name, count = heapq.heappop(agenda)
            wait = self.visit(name, now, tokens=sizes[name][count % len(sizes[name])])
            heapq.heappush(agenda, (now + (wait or 0.0005), name, count + (not wait)))


def most_in_a_minute(grants: list[tuple[float, float]]) -> float:
    """Returns the largest sum of any minute."""
    return max(sum(amount for other, amount in grants if at - 60 < other <= at) for at, _ in grants)


def test_requests_of_three_processes_stay_within_the_minute() -> None:
    group = Group(Limits(requests_per_minute=90))
    group.run(200, {"a": [1], "b": [1], "c": [1]})
    assert most_in_a_minute([(at, 1) for at, _, _ in group.grants]) <= 90
    assert len(group.grants) >= 0.98 * PACE * 90 * 200 / 60
    counts = [sum(name == other for _, name, _ in group.grants) for other in "abc"]
    assert max(counts) - min(counts) <= 2  # in turns
    assert sum(at < 10 for at, _, _ in group.grants) <= 90 / 6 + 1  # evenly, not all at once


@pytest.mark.parametrize(("limit", "window"), [(60, 2.0), (90, 2.0), (600, 2.0), (60, 60.0)])
def test_a_service_that_counts_in_windows_refuses_nothing(limit: int, window: float) -> None:
    group, jitter = Group(Limits(requests_per_minute=limit)), random.Random(2)
    group.run(130, {"a": [1], "b": [1]})
    end = left = 0.0
    for at in sorted(at + jitter.random() * 0.005 for at, _, _ in group.grants):
        if at >= end:  # the first request after a window begins the next
            end, left = at + window, limit * window / 60
        left -= 1
        assert left >= 0, at


def test_tokens_of_three_processes_stay_within_the_minute() -> None:
    group = Group(Limits(tokens_per_minute=10_000))
    sizes = random.Random(1)
    group.run(200, {name: [sizes.choice([10, 100, 500, 3000]) for _ in range(50)] for name in "abc"})
    assert most_in_a_minute([(at, tokens) for at, _, tokens in group.grants]) <= 10_000
    assert sum(tokens for _, _, tokens in group.grants) >= 0.85 * 10_000 * 200 / 60


def test_a_request_that_is_larger_than_the_limit_waits_for_an_empty_minute() -> None:
    group = Group(Limits(tokens_per_minute=1000))
    assert group.visit("a", 0, tokens=10) == 0
    assert group.visit("b", 1, tokens=5000) > 0
    assert group.visit("a", 1.1, tokens=10) > 0  # behind the large one
    now = 1.0
    while group.visit("b", now, tokens=5000):
        now += 0.5
    assert 60 <= now <= 61


def test_places_in_flight_are_those_of_all() -> None:
    group = Group(Limits(max_concurrency=3))
    assert group.visit("a", 0, in_flight=0, tokens=1) == 0
    assert group.visit("a", 0, in_flight=1, tokens=1) == 0
    assert group.visit("b", 0, in_flight=0, tokens=1) == 0
    assert group.visit("b", 0, in_flight=1, tokens=1) > 0
    assert group.visit("a", 0.1, in_flight=2, tokens=1) > 0
    group.visit("a", 0.2, in_flight=1)
    assert group.visit("b", 0.3, in_flight=1, tokens=1) == 0


def test_who_frees_a_place_does_not_take_it_from_who_waits() -> None:
    group = Group(Limits(max_concurrency=1))
    assert group.visit("a", 0, tokens=1) == 0
    assert group.visit("b", 0.1, tokens=1) > 0
    assert group.visit("a", 0.2, in_flight=0, tokens=1) > 0  # its request has ended, and the next one asks in the same moment
    assert group.visit("b", 0.21, tokens=1) == 0
    assert group.visit("b", 0.3, in_flight=0, tokens=1) > 0
    assert group.visit("a", 0.31, tokens=1) == 0


@pytest.mark.parametrize("ends", ["it withdraws", "it says nothing any more"])
def test_who_does_not_wait_any_more_holds_up_nobody(ends: str) -> None:
    group = Group(Limits(max_concurrency=1))
    group.visit("a", 0, tokens=1)
    group.visit("b", 0.1, tokens=1)
    group.visit("c", 0.2, tokens=1)
    if ends == "it withdraws":
        group.visit("b", 0.3)
        group.visit("a", 0.4)
        assert group.visit("c", 0.5, tokens=1) == 0
    else:
        group.visit("a", 0.4)
        assert group.visit("c", 0.5, tokens=1) > 0
        assert group.visit("c", 2.5, tokens=1) == 0


def test_the_places_of_a_dead_process_become_free() -> None:
    group = Group(Limits(max_concurrency=2))
    assert group.visit("dead", 0, tokens=1) == 0
    assert group.visit("dead", 0, in_flight=1, tokens=1) == 0
    assert group.visit("a", 1, tokens=1) > 0
    assert group.visit("a", MEMBER_SECONDS - 0.1, tokens=1) > 0
    assert group.visit("a", MEMBER_SECONDS + 0.1, tokens=1) == 0


def test_a_process_that_says_so_keeps_its_places() -> None:
    group = Group(Limits(max_concurrency=1))
    assert group.visit("slow", 0, tokens=1) == 0
    for second in range(1, 40):
        group.visit("slow", second, in_flight=1)
        assert group.visit("a", second + 0.5, tokens=1) > 0


def test_tokens_that_were_not_used_are_free_for_all() -> None:
    group = Group(Limits(tokens_per_minute=1000))
    assert group.visit("a", 0, tokens=1000) == 0
    assert group.visit("b", 10, tokens=500) > 0
    group.settle(11, 0, (0.0, -900.0))
    assert group.visit("b", 11.1, tokens=500) == 0
    assert group.visit("a", 58, tokens=500) > 0  # 100 and 500 were used


def test_a_pause_is_for_all() -> None:
    group = Group(Limits())
    state = SharedState(None, START)
    state.pause(3.0)
    group.text = state.to_json()
    assert group.visit("a", 2.9, tokens=1) > 0
    assert group.visit("a", 3.1, tokens=1) == 0


def test_a_question_that_changes_nothing_is_not_written() -> None:
    group = Group(Limits(max_concurrency=1))
    group.visit("a", 0, tokens=1)
    group.visit("b", 0.1, tokens=1)
    before = group.text
    for step in range(2, 9):
        group.visit("b", step / 10, tokens=1)
    assert group.text is before


def test_a_clock_that_is_set_back_stops_nobody() -> None:
    group = Group(Limits(requests_per_minute=1))
    assert group.visit("a", 7200, tokens=1) == 0
    assert group.visit("a", 0, tokens=1) == 0
    assert group.visit("a", 1, tokens=1) > 0
