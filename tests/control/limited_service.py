"""The limits of a service, as simulations and the small server of these tests enforce them. Times are arguments."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Shape = Literal["fixed", "sliding", "bucket"]
Headers = Literal["true", "absent", "contradictory", "spent", "idle"]
"""What headers tell: the truth, nothing, more remaining than the limit, never anything remaining, or a limit that nobody enforces."""

_INSTANT = 1e-9


class Allowance:
    """How much of one thing, requests or tokens, is accepted."""

    def __init__(self, per_minute: float, window: float, shape: Shape) -> None:
        self.rate = per_minute / 60
        self.window = window
        self.limit = max(self.rate * window, 1.0)
        self.shape = shape
        self._start = 0.0
        self._used = 0.0
        self._entries: deque[tuple[float, float]] = deque()  # of a sliding window

    def ready_at(self, amount: float, now: float) -> float:
        """Returns when `amount` is accepted; a single one that is larger than the limit once nothing is used."""
        self._renew(now)
        excess = self._used + min(amount, self.limit) - self.limit
        if excess <= _INSTANT:
            return now
        if self.shape == "bucket":
            return now + excess / self.rate
        if self.shape == "fixed":
            return self._start + self.window
        for at, each in self._entries:
            excess -= each
            if excess <= _INSTANT:
                return at + self.window
        return now + self.window

    def take(self, amount: float, now: float) -> None:
        self._renew(now)
        self._used += amount
        self._entries.append((now, amount))

    def remaining(self, now: float) -> int:
        self._renew(now)
        return max(int(self.limit - self._used + _INSTANT), 0)

    def reset(self, now: float) -> float:
        """Returns the seconds until the window ends, its oldest entry leaves it, or the bucket is full."""
        self._renew(now)
        if self.shape == "bucket":
            return self._used / self.rate
        oldest = self._entries[0][0] if self._entries and self.shape == "sliding" else self._start
        return max(oldest + self.window - now, 0.0)

    def _renew(self, now: float) -> None:
        if self.shape == "bucket":
            self._used = max(self._used - (now - self._start) * self.rate, 0.0)
            self._start = now
            self._entries.clear()
        elif self.shape == "fixed":
            windows = math.floor((now - self._start) / self.window + _INSTANT)
            if windows:
                self._start += windows * self.window
                self._used = 0.0
                self._entries.clear()
        else:
            while self._entries and self._entries[0][0] + self.window <= now + _INSTANT:
                self._used -= self._entries.popleft()[1]


@dataclass
class Refusal:
    """A response with status 429."""

    headers: Mapping[str, str]
    error: Mapping[str, str] | None


@dataclass
class Service:
    """What a service accepts, and what it tells of that.

    Attributes:
        requests: Requests a minute.
        tokens: Tokens a minute.
        concurrent: Requests in progress.
        window: Seconds of the window, or for which the bucket has room.
        shape: How requests and tokens are counted.
        headers: What the headers of all responses tell.
        retry_after: Whether a refusal says when it is worth to try again.
        always_retry_after: Whether a success says `retry-after: 2`.
        labels: Whether a refusal says what was exceeded.
        schedule: Limits that change, with the second in which they do.
    """

    requests: float | None = None
    tokens: float | None = None
    concurrent: int | None = None
    window: float = 2.0
    shape: Shape = "fixed"
    headers: Headers = "absent"
    retry_after: bool = False
    always_retry_after: bool = False
    labels: bool = False
    schedule: Sequence[tuple[float, Mapping[str, float]]] = ()
    in_progress: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._allowances: dict[str, Allowance] = {}
        for name in ("requests", "tokens"):
            self._limit(name, getattr(self, name))
        self._changes = sorted(self.schedule, key=lambda change: change[0])

    def refusal(self, tokens: int, now: float) -> Refusal | None:
        """Accepts a request, which is in progress then; or returns why it does not."""
        self._change(now)
        if self.concurrent is not None and self.in_progress >= self.concurrent:
            return self._refusal("concurrency", None, now)
        for name, allowance in self._allowances.items():
            at = allowance.ready_at(1 if name == "requests" else tokens, now)
            if at > now:
                return self._refusal(name, at - now, now)
        for name, allowance in self._allowances.items():
            allowance.take(1 if name == "requests" else tokens, now)
        self.in_progress += 1
        return None

    def ready_at(self, tokens: int, now: float) -> float:
        """Returns when a request is accepted, whatever is in progress."""
        self._change(now)
        times = (each.ready_at(1 if name == "requests" else tokens, now) for name, each in self._allowances.items())
        return max(times, default=now)

    def rate(self, tokens: float) -> float:
        """Returns how many requests with so many tokens each are accepted in a second, as the limits are now."""
        return min(each.rate / (1 if name == "requests" else tokens) for name, each in self._allowances.items())

    def success_headers(self, now: float) -> dict[str, str]:
        headers = self._limit_headers(now)
        return headers | {"retry-after": "2"} if self.always_retry_after else headers

    def _refusal(self, name: str, seconds: float | None, now: float) -> Refusal:
        headers = self._limit_headers(now)
        if self.retry_after and seconds is not None:
            headers["retry-after"] = str(math.ceil(seconds))
        labels = {"requests": "dynamic_request_limited", "tokens": "dynamic_token_limited", "concurrency": "too many concurrent"}
        return Refusal(headers, {"message": "slow down", "type": labels[name]} if self.labels else None)

    def _limit_headers(self, now: float) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.headers == "absent":
            return headers
        for name, allowance in self._allowances.items():
            limit, remaining = int(allowance.limit), allowance.remaining(now)
            if self.headers == "contradictory":
                remaining = 10 * limit + 7
            elif self.headers == "spent":
                remaining = 0
            elif self.headers == "idle":  # far less than what is accepted
                limit, remaining = max(limit // 10, 1), max(limit // 10 - 1, 0)
            prefix = "x-ratelimit" if name == "requests" else "x-tokenlimit"
            headers |= {f"{prefix}-limit": str(limit), f"{prefix}-remaining": str(remaining)}
        if headers:
            headers["x-ratelimit-reset"] = str(math.ceil(max(each.reset(now) for each in self._allowances.values())))
        return headers

    def _change(self, now: float) -> None:
        while self._changes and self._changes[0][0] <= now:
            for name, value in self._changes.pop(0)[1].items():
                if name == "concurrent":
                    self.concurrent = int(value)
                else:
                    self._limit(name, value)

    def _limit(self, name: str, per_minute: float | None) -> None:
        if per_minute is not None:
            self._allowances[name] = Allowance(per_minute, self.window, self.shape)
