"""When to send a request again: a pure policy, without a clock.

The backoff is that of both SDKs of the vendor (0.75 to 1 s, then 1.5 to 2 s, up to 10 s). Hints in headers count on 429 and 503
only, because the live service sends `retry-after: 2` on success and on other errors as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from math import isfinite

INITIAL_DELAY = 1.0
MAX_DELAY = 10.0
MAX_HINT = 60.0
_NEVER_RETRIED = frozenset({402, 409})
_HINT_STATUSES = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt without a response."""

    reason: str
    maybe_received: bool = True  # by the service
    timeout: bool = False
    fatal: bool = False  # another attempt would fail in the same way
    stale: bool = False  # the connection had served another request and was closed since
    refused: bool = False  # nothing listens at the address
    url: str = ""  # where the request went
    status: int | None = None  # of a response whose body did not arrive


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and for how long, to retry."""

    max_retries: int = 2
    max_elapsed: float | None = None  # seconds that a call may take with its retries

    def within(self, seconds: float | None) -> RetryPolicy:
        """Returns the policy of a call that may take so many seconds."""
        if seconds is None or (self.max_elapsed is not None and self.max_elapsed <= seconds):
            return self
        return replace(self, max_elapsed=seconds)

    def next_delay(
        self,
        outcome: Failure | tuple[int, Mapping[str, str]],
        *,
        attempts: int,
        elapsed: float,
        now: float,
        jitter: float,
        billable: bool = False,
    ) -> float | None:
        """Returns the seconds to wait after an outcome, which is a failure or a status with its headers, or None to give up.

        `now` is the time since the epoch, for dates in headers; `jitter` a random number from 0 to 1.
        """
        if attempts > self.max_retries or not _is_retryable(outcome, billable):
            return None
        delay = None if isinstance(outcome, Failure) else hint(*outcome, now=now)
        if delay is None:
            delay = min(INITIAL_DELAY * 2 ** min(attempts - 1, 10), MAX_DELAY) * (1 - 0.25 * jitter)
        if self.max_elapsed is not None and elapsed + delay >= self.max_elapsed:
            return None
        return delay


def _is_retryable(outcome: Failure | tuple[int, Mapping[str, str]], billable: bool) -> bool:
    if isinstance(outcome, Failure):
        return not outcome.fatal and not (billable and outcome.maybe_received)
    status, headers = outcome
    should_retry = headers.get("x-should-retry")
    if status in _NEVER_RETRIED or should_retry == "false":
        return False
    if billable:
        return status == 429
    return should_retry == "true" or status in (408, 429) or (status >= 500 and status != 501)


def hint(status: int, headers: Mapping[str, str], *, now: float) -> float | None:
    """Returns the seconds that the service asks to wait, or None if it does not or if they are too many."""
    if status not in _HINT_STATUSES:
        return None
    for seconds in (_number(headers.get("retry-after-ms"), scale=1000), _number(headers.get("retry-after"))):
        # An explicit 0 means at once; the number of retries still bounds it.
        if seconds is not None and 0 <= seconds <= MAX_HINT:
            return seconds
    for seconds in (_date(headers.get("retry-after"), now), _reset(headers.get("x-ratelimit-reset"), now)):
        if seconds is not None and 0 < seconds <= MAX_HINT:
            return seconds
    return None


def _number(text: str | None, scale: float = 1) -> float | None:
    try:
        value = float(text or "") / scale
    except ValueError:
        return None
    return value if isfinite(value) else None


def _date(text: str | None, now: float) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None


def _reset(text: str | None, now: float) -> float | None:
    """Seconds until the rate limit resets; some gateways give the time since the epoch instead."""
    value = _number(text)
    return value - now if value is not None and value > 1e9 else value
