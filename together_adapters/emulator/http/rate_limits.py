"""Limits of an account: what they refuse, and what the headers of a response tell of them.

The windows are two seconds long, as the service counts them. Without `Limits` nothing is refused: the dynamic limits are above what was
used, as those of the service are for steady traffic, so the headers do not contradict an emulator that answers every request.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from together_adapters.emulator.http.behaviour import parse_bool, parse_settings
from together_adapters.suggestions import suggests_keywords

WINDOW: Final = 2.0  # seconds; in recorded headers, a limit of 6,000 requests a minute is 200 with a reset of 2
_WINDOWS: Final = (WINDOW, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0)
_MINUTE: Final = 60.0
_INSTANT: Final = 1e-6  # seconds, so that sums of floating-point times do not decide


_FORMS: Final = ("limit", "remaining", "limit-dynamic", "remaining-dynamic")


def _in_window(per_minute: float, window: float) -> int:
    return int(per_minute * window / _MINUTE + _INSTANT)


@suggests_keywords
@dataclass(frozen=True, slots=True)
class Limits:
    """What an account may send: `serve(limits=Limits(requests_per_minute=60))`. Beyond that, a request gets a 429.

    Requests to models count: chat, completions, embeddings, rerank, images, audio, videos. Lists, polls, files, jobs and the lines of
    batches do not. A request counts once it is accepted, which is after its parameters were checked: one that is refused, or answered
    by a fault in place of the model, does not.

    The tokens of the prompt count when the request is accepted, those of the output when it was generated: when a whole response
    begins, and when a stream ends, as far as it was sent. A request is accepted if its prompt fits into the tokens that are left;
    one that is larger than the limit is accepted if nothing is used, because it never would be otherwise. What was used beyond a
    limit is owed: it counts in the windows after it.

    The headers are true: `remaining` is what is accepted next, and a request that is sent `retry-after` seconds after its refusal is
    accepted, unless others came first. The limits are those of one account, for all models together.

    Attributes:
        requests_per_minute: Requests, per minute; None for any number.
        tokens_per_minute: Tokens of prompts and outputs, per minute; None for any number.
        concurrent: Requests in progress at one time, streams until their end; None for any number. Nobody knows when one of them
            ends, so this refusal has no `retry-after`; its wording is ours, no source has that of the service.
        schedule: Limits that replace these later: `[(30.0, Limits(...))]` with seconds since the first request that counts. Each
            begins a new window; requests in progress stay counted.
        window: Seconds in which requests and tokens are counted; the first request after a window begins the next. None takes the
            shortest of two seconds or more, a divisor of a minute, in which `requests_per_minute` is a whole number.
        bucket: Count in a bucket instead, which refills steadily and holds what `window` seconds allow.
        headers: Whether responses tell the limits: all (as recorded); only `"refused"` ones, which the newest page of the service
            says; or none.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int | None = None
    schedule: Sequence[tuple[float, Limits]] = ()
    window: float | None = None
    bucket: bool = False
    headers: bool | Literal["refused"] = True

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "window"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"limits: {name}={value!r} must be more than 0")
        if self.concurrent is not None and self.concurrent < 1:
            raise ValueError(f"limits: concurrent={self.concurrent!r} must be at least 1")
        if self.headers not in (True, False, "refused"):
            raise ValueError(f"limits: headers={self.headers!r} is none of True, False, 'refused'")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and _in_window(value, self.seconds) < 1:
                raise ValueError(f"limits: {name}={value!r} is less than one in a window of {self.seconds:g} seconds")
        for seconds, limits in self.schedule:
            if not 0 <= seconds < math.inf or limits.schedule:
                raise ValueError("limits: schedule takes pairs of seconds and limits without a schedule of their own")

    @property
    def seconds(self) -> float:
        """The length of a window."""
        if self.window is not None:
            return self.window
        rate = self.requests_per_minute
        if rate is None:
            return WINDOW
        windows = (window for window in _WINDOWS if (rate * window / _MINUTE).is_integer())
        return next(windows, max(_MINUTE, _MINUTE / rate))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Limits | None:
        """Parses texts such as `requests-per-minute=60; concurrent=4`; one with `at=30` holds from that second on.

        Raises:
            ValueError: A name or a value is not valid.
        """
        first: dict[str, Any] = {}
        schedule: list[tuple[float, Limits]] = []
        for text in texts:
            settings = parse_settings(text)
            if unknown := sorted(settings.keys() - _PARSERS.keys() - {"at"}):
                raise ValueError(f"unknown limit {unknown[0]!r}; known are at, {', '.join(_PARSERS)}")
            values = {name: _PARSERS[name](value) for name, value in settings.items() if name != "at"}
            if "at" in settings:
                schedule.append((float(settings["at"]), cls(**values)))
            else:
                first |= values
        return cls(**first, schedule=schedule) if first or schedule else None


_PARSERS: Final[dict[str, Callable[[str], Any]]] = {
    "requests_per_minute": float,
    "tokens_per_minute": float,
    "concurrent": int,
    "window": float,
    "bucket": parse_bool,
    "headers": lambda text: text if text == "refused" else parse_bool(text),
}
_DEFAULT: Final = Limits(requests_per_minute=6_000, tokens_per_minute=6_000_000)  # the highest of the service's tiers


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: by which limit, how much it allows, and the seconds after which the request is accepted, if known."""

    by: Literal["requests", "tokens", "concurrent"]
    limit: int
    window: float = 0.0
    wait: float | None = None


class _Allowance:
    """How many of one thing a window or a bucket allows, and how many are used or owed."""

    def __init__(self, name: str, per_minute: float, window: float) -> None:
        self._headers = [f"{name}-{form}".encode() for form in _FORMS]
        self.limit = _in_window(per_minute, window)
        self.used = 0.0
        self._per_second = per_minute / _MINUTE
        self._most_used = 0.0

    def use(self, count: int) -> None:
        self.used += count
        self._most_used = max(self._most_used, self.used)

    def renew(self, windows: int) -> None:
        """Begins a new window: what was used beyond the limits of those that are over stays owed."""
        self.used = max(0.0, self.used - windows * self.limit)

    def refill(self, seconds: float) -> None:
        """Refills a bucket."""
        self.used = max(0.0, self.used - seconds * self._per_second)

    def excess(self, count: int) -> float:
        """Returns by how much a request exceeds the limit: not at all if nothing is used."""
        return self.used + min(count, self.limit) - self.limit

    def seconds_to_refill(self, excess: float) -> float:
        return excess / self._per_second

    def headers(self, are_refused: bool) -> Iterable[tuple[bytes, bytes]]:
        """Returns the headers. The dynamic limit is above what was ever used, unless requests beyond the limit are refused."""
        left = max(0, int(self.limit - self.used + _INSTANT))
        if are_refused:
            limit, dynamic_left = self.limit, left
        else:
            limit = int(max(self.limit, 2 * self._most_used))
            dynamic_left = limit - int(self.used)
        first, second, third, fourth = self._headers
        return (
            (first, b"%d" % self.limit), (second, b"%d" % left), (third, b"%d" % limit), (fourth, b"%d" % dynamic_left),
        )  # fmt: skip


class RateWindow:
    """The current window of an account, or its bucket, and its requests in progress. Thread-safe."""

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.in_flight = 0
        self.limits = limits

    @property
    def limits(self) -> Limits | None:
        """The limits, whose schedule begins with the next request; None refuses nothing."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits | None) -> None:
        with self._lock:
            self._limits = limits
            self._began: float | None = None
            self._due = sorted(limits.schedule if limits else (), key=lambda entry: entry[0])
            self._apply(_DEFAULT if limits is None else limits)

    def _apply(self, limits: Limits) -> None:
        self._current = limits
        self._window = limits.seconds
        self._start = -math.inf
        rates = {"x-ratelimit": limits.requests_per_minute, "x-tokenlimit": limits.tokens_per_minute}
        self._allowances = {name: _Allowance(name, rate, self._window) for name, rate in rates.items() if rate is not None}

    def admit(self, tokens: int = 0) -> Refusal | None:
        """Accepts a request with so many tokens and counts it, in progress until `release`; or returns why it is refused."""
        with self._lock:
            now = self._clock()
            self._began = now if self._began is None else self._began
            self._renew(now)
            if self._limits is not None and (refusal := self._refusal(tokens, now)):
                return refusal
            self.in_flight += 1
            self._use(requests=1, tokens=tokens)
            return None

    def use(self, tokens: int) -> None:
        """Counts the tokens of an output."""
        with self._lock:
            self._renew(self._clock())
            self._use(tokens=tokens)

    def release(self) -> None:
        """Notes that a request has ended."""
        with self._lock:
            self.in_flight -= 1

    def headers(self, refusal: Refusal | None = None) -> list[tuple[bytes, bytes]]:
        """Returns the headers of a response, as of now.

        As on the service, `retry-after` comes with successful responses too: a client must not wait because of it.
        """
        with self._lock:
            now = self._clock()
            self._renew(now)
            if self._current.headers is False or (self._current.headers == "refused" and refusal is None):
                return []
            headers = [(b"x-ratelimit", b"false")]
            for allowance in self._allowances.values():
                headers += allowance.headers(self._limits is not None)
            if self._allowances:
                seconds = refusal.wait if refusal and refusal.wait is not None else self._seconds_left(now)
                reset = b"%d" % math.ceil(seconds - _INSTANT)
                headers += ((b"x-ratelimit-reset", reset), (b"x-ratelimit-reset-dynamic", reset))
                if refusal is None or refusal.wait is not None:
                    headers.append((b"retry-after", reset))
        return headers

    def _use(self, requests: int = 0, tokens: int = 0) -> None:
        for name, count in (("x-ratelimit", requests), ("x-tokenlimit", tokens)):
            if count and (allowance := self._allowances.get(name)):
                allowance.use(count)

    def _refusal(self, tokens: int, now: float) -> Refusal | None:
        concurrent = self._current.concurrent
        if concurrent is not None and self.in_flight >= concurrent:
            return Refusal("concurrent", concurrent)
        counts: tuple[tuple[str, Literal["requests", "tokens"], int], ...] = (
            ("x-ratelimit", "requests", 1),
            ("x-tokenlimit", "tokens", tokens),
        )
        refusals = [
            Refusal(by, allowance.limit, self._window, self._wait(allowance, excess, now))
            for name, by, count in counts
            if count and (allowance := self._allowances.get(name)) and (excess := allowance.excess(count)) > _INSTANT
        ]
        return replace(refusals[0], wait=max(each.wait or 0.0 for each in refusals)) if refusals else None

    def _wait(self, allowance: _Allowance, excess: float, now: float) -> float:
        """Returns after how many seconds a request that exceeds a limit is accepted."""
        if self._current.bucket:
            return allowance.seconds_to_refill(excess)
        return self._start + math.ceil(excess / allowance.limit - _INSTANT) * self._window - now

    def _seconds_left(self, now: float) -> float:
        """Returns after how many seconds the window ends, or the bucket is full."""
        if self._current.bucket:
            return max(allowance.seconds_to_refill(allowance.used) for allowance in self._allowances.values())
        return self._start + self._window - now

    def _renew(self, now: float) -> None:
        """Applies what the schedule has for now, and begins the next window where one is over."""
        while self._due and self._began is not None and now >= self._began + self._due[0][0] - _INSTANT:
            self._apply(self._due.pop(0)[1])
        elapsed = now - self._start
        if self._current.bucket:
            self._start = now
            for allowance in self._allowances.values():
                allowance.refill(elapsed)
        elif elapsed >= self._window - _INSTANT:
            self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        """Begins a window: now, or where it follows those before it, if something is owed of them."""
        if self._start == -math.inf:
            self._start = now
            return
        windows = int((now - self._start + _INSTANT) / self._window)
        for allowance in self._allowances.values():
            allowance.renew(windows)
        is_owed = any(allowance.used for allowance in self._allowances.values())
        self._start = self._start + windows * self._window if is_owed else now
