"""Waiting for a job, without a clock and a service: requests, progress, timeouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from together_adapters import APITimeoutError
from together_adapters.bulk.jobs import JobRun
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.call import Call, Sleep, request
from together_adapters.types.progress import Progress

RETRIEVE = request("GET", "/v1/jobs/1", lambda response: response.text)


class Clock:
    """A clock that advances with sleeps and with each request."""

    def __init__(self, retrieve: float = 0.0) -> None:
        self.now = 0.0
        self.request_seconds = retrieve

    def __call__(self) -> float:
        return self.now


def run(
    stages: Sequence[str], clock: Clock, progress: Callable[[Progress], None] | None = None, **options: Any
) -> tuple[str, list[float]]:
    """Drives the flow over the stages of a job; returns its result and the sleeps."""
    settings: dict[str, Any] = {"poll_interval": 2.0, "timeout": None, "name": "job 1", **options}
    flow = wait_for(
        RETRIEVE,
        done=lambda job: job == "done",
        progress=progress,
        describe=lambda job: Progress(0, None, job),
        clock=clock,
        **settings,
    )
    sleeps: list[float] = []
    left = iter(stages)
    step = next(flow)
    try:
        while True:
            if isinstance(step, Sleep):
                sleeps.append(step.seconds)
                clock.now += step.seconds
                step = flow.send(None)
            else:
                assert isinstance(step, Call) and replace(step, max_elapsed=None) == RETRIEVE
                timeout = settings["timeout"]
                assert step.max_elapsed == (None if timeout in (None, float("inf")) else max(timeout - clock.now, 2))
                clock.now += clock.request_seconds
                step = flow.send(next(left))
    except StopIteration as finished:
        return finished.value, sleeps


def test_a_job_that_has_ended_is_retrieved_once() -> None:
    assert run(["done"], Clock()) == ("done", [])


def test_intervals_grow_from_a_second_to_the_one_of_the_user() -> None:
    assert run(["a", "a", "b", "b", "done"], Clock()) == ("done", [1.0, 1.5, 2.0, 2.0])
    assert run(["a", "b", "done"], Clock(), poll_interval=0.3) == ("done", [0.3, 0.3])
    assert run(["a", "b", "done"], Clock(), poll_interval=None) == ("done", [0.5, 0.75])
    _, sleeps = run([*["a"] * 120, "done"], Clock(), poll_interval=30.0)
    assert sum(sleeps) > 3_400  # an hour takes 120 requests and few more


def test_progress_is_called_with_each_change() -> None:
    updates: list[str] = []
    run(["a", "a", "b", "b", "done"], Clock(), lambda progress: updates.append(progress.stage))
    assert updates == ["a", "b", "done"]


def test_it_times_out_with_the_last_job() -> None:
    clock = Clock()
    with pytest.raises(
        APITimeoutError, match=r"job 1 had not ended after 5 seconds \(its status is 'a'\). It continues"
    ) as error_info:
        run(["a"] * 9, clock, timeout=5)
    assert (clock.now, error_info.value.completed) == (5.0, "a")


def test_it_retrieves_once_more_at_the_timeout() -> None:
    assert run(["a", "a", "a", "a", "done"], Clock(), timeout=5) == ("done", [1.0, 1.5, 2.0, 0.5])


def test_no_time_means_one_request() -> None:
    assert run(["done"], Clock(), timeout=0) == ("done", [])
    with pytest.raises(APITimeoutError):
        run(["a", "done"], Clock(), timeout=0)


def test_slow_requests_count_too() -> None:
    with pytest.raises(APITimeoutError):
        run(["a", "a", "done"], Clock(retrieve=4), timeout=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in ("poll_interval", "timeout") for value in (-1, -0.1, float("nan"), "x", "5", True, [1], 1j)]
    + [("poll_interval", 0), ("poll_interval", float("inf")), ("poll_interval", 1e12)],
)
def test_what_is_no_number_of_seconds_is_refused_before_anything_is_sent(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number of seconds"):
        run([], Clock(), **{name: value})


def test_an_endless_timeout_is_none() -> None:
    assert run(["a", "done"], Clock(), timeout=float("inf")) == ("done", [1.0])


def test_progress_knows_its_share() -> None:
    assert [Progress(3, 4, "x").fraction, Progress(9, 4, "x").fraction, Progress(3, None, "x").fraction] == [0.75, 1.0, None]


def test_runs_of_batches_look_as_often() -> None:
    run = JobRun(None, None, poll_interval=2.0, timeout=None, max_jobs=1, progress=None)  # type: ignore[arg-type]
    assert [next(run._sleep()).seconds for _ in range(4)] == [1.0, 1.5, 2.0, 2.0]  # type: ignore[union-attr]
