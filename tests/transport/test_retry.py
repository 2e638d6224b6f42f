"""The retry policy, without a clock: what is retried, after which delay, and what is not."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.transport.retry import Failure, RetryPolicy, hint

NOW = 1_800_000_000.0


def delay(
    outcome: Failure | tuple[int, dict[str, str]],
    *,
    attempts: int = 1,
    jitter: float = 0.0,
    billable: bool = False,
    policy: RetryPolicy | None = None,
    elapsed: float = 0.0,
) -> float | None:
    policy = policy or RetryPolicy()
    return policy.next_delay(outcome, attempts=attempts, elapsed=elapsed, now=NOW, jitter=jitter, billable=billable)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
def test_retryable_statuses(status: int) -> None:
    assert delay((status, {})) == 1.0


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 415, 422, 302, 501])
def test_final_statuses(status: int) -> None:
    assert delay((status, {})) is None


def test_backoff_doubles_up_to_ten_seconds_and_jitter_takes_up_to_a_quarter() -> None:
    policy = RetryPolicy(max_retries=9)
    waits = [delay((500, {}), attempts=n, policy=policy) for n in range(1, 7)]
    assert waits == [1, 2, 4, 8, 10, 10]
    assert delay((500, {}), jitter=1.0) == 0.75
    assert delay((500, {}), attempts=2, jitter=1.0) == 1.5


def test_attempts_are_one_more_than_retries() -> None:
    assert delay((500, {}), attempts=2) is not None
    assert delay((500, {}), attempts=3) is None
    assert delay((500, {}), policy=RetryPolicy(max_retries=0)) is None


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "150"}, 0.15),
        ({"retry-after-ms": "150", "retry-after": "9"}, 0.15),
        ({"retry-after": formatdate(NOW + 7, usegmt=True)}, 7.0),
        ({"x-ratelimit-reset": "3"}, 3.0),
        ({"x-ratelimit-reset": str(NOW + 4)}, 4.0),
        ({"retry-after": "1", "x-ratelimit-reset": "30"}, 1.0),
        ({"retry-after": "60"}, 60.0),
        ({"retry-after": "61"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"x-ratelimit-reset": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_hints(status: int, headers: dict[str, str], expected: float | None) -> None:
    assert hint(status, headers, now=NOW) == expected
    assert delay((status, headers)) == (1.0 if expected is None else expected)


@pytest.mark.parametrize("status", [200, 408, 500, 502, 504])
def test_hints_count_on_429_and_503_only(status: int) -> None:
    assert hint(status, {"retry-after": "2", "x-ratelimit-reset": "2"}, now=NOW) is None


def test_x_should_retry_overrules_the_status() -> None:
    assert delay((400, {"x-should-retry": "true"})) == 1.0
    assert delay((500, {"x-should-retry": "false"})) is None
    assert delay((429, {"x-should-retry": "false"})) is None


@pytest.mark.parametrize("status", [402, 409])
def test_402_and_409_are_never_retried(status: int) -> None:
    assert delay((status, {"x-should-retry": "true", "retry-after": "1"})) is None


def test_failures_without_a_response() -> None:
    assert delay(Failure("reset")) == 1.0
    assert delay(Failure("slow", timeout=True)) == 1.0
    assert delay(Failure("bad url", fatal=True)) is None


def test_billable_work_is_retried_only_if_it_cannot_have_started() -> None:
    assert delay(Failure("refused", maybe_received=False), billable=True) == 1.0
    assert delay((429, {}), billable=True) == 1.0
    assert delay(Failure("reset"), billable=True) is None
    assert delay((500, {}), billable=True) is None
    assert delay((503, {"x-should-retry": "true"}), billable=True) is None
    assert delay((429, {"x-should-retry": "false"}), billable=True) is None


def test_max_elapsed_limits_the_delay() -> None:
    policy = RetryPolicy(max_retries=9, max_elapsed=5.0)
    assert delay((500, {}), policy=policy, elapsed=3.9) == 1.0
    assert delay((500, {}), policy=policy, elapsed=4.0) is None
    assert delay((429, {"retry-after": "30"}), policy=policy) is None


HEADER = st.text(st.characters(codec="ascii"), max_size=30)


@given(
    st.integers(200, 599),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-should-retry"]), HEADER),
    st.integers(1, 2000),
    st.integers(0, 2000),
    st.floats(0, 1),
    st.booleans(),
)
def test_a_delay_is_none_or_at_most_a_minute(
    status: int, headers: dict[str, str], attempts: int, retries: int, jitter: float, billable: bool
) -> None:
    policy = RetryPolicy(retries)
    wait = policy.next_delay((status, headers), attempts=attempts, elapsed=0, now=NOW, jitter=jitter, billable=billable)
    assert wait is None or 0 <= wait <= 60
    if attempts > retries or status in (402, 409):
        assert wait is None
