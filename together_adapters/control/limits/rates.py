"""How many requests or tokens a second may be sent: a limit that was set, an estimate, or the lower of both.

The estimate follows a cubic curve, as congestion control of TCP does: after a refusal it falls below the rate that was accepted,
returns to it, stays near it for long, and then looks for a higher one faster and faster. Plain steps up and halves down would spend
most of their time far below the limit or beyond it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import Final

MINUTE: Final = 60.0
_LATE: Final = 0.1  # seconds by which a timer may be late without a cost of throughput
LATE: Final = 0.04  # the same, of a limit that was set
PACE: Final = 0.96  # of such a limit: a service counts in windows, which late timers and jitter would overrun at all of it
_DROP: Final = 0.06  # share by which the rate falls after a refusal
_GROWTH: Final = 1.35  # in a round that finds no limit
_FIRST_ROUND: Final = 8  # requests until the rate has returned; twice as many where two measurements agree: it is known better
_LAST_ROUND: Final = 64  # a refusal or two in so many are few
_ROUND_SECONDS: Final = 0.08  # per request of a round
_ROUND_PAUSES: Final = 16  # pauses that the last round is long, so that the pauses cost little
_FLOW_SECONDS: Final = 4.0  # of which a rate is measured, at least
_FLOW_PAUSES: Final = 4
_FLOW_REQUESTS: Final = 12
_FEW: Final = 0.25  # share of what was accepted before an outage, until which the outage is not over
_EARLY_REQUESTS: Final = 8  # before which a refusal comes too early for a measurement
_FAST: Final = 0.8  # share of the rate that was refused, from which a refusal may be one of the rate again
_RISE: Final = 1.15  # of what was accepted, from which the limit is another
_PAUSE_MEMORY: Final = 0.7  # share from one outage to the next
_MAX_STEP: Final = 15.0  # seconds from one request to the next by an estimate, which may be wrong
_AVERAGED: Final = 8  # of the last amounts
_MIN_WINDOW: Final = 0.5  # seconds; the shortest time from which a rate is measured
_MAX_SECONDS: Final = 120  # of the history; what was sent before is one sum


class Second:
    """What was sent in about a second, and not refused: an answer that takes long corrects it long afterwards."""

    __slots__ = ("amount", "end", "idle", "requests", "time")

    def __init__(self, time: float, idle: float, requests: int) -> None:
        self.time = time
        self.end = time + 1
        self.idle = idle  # until then
        self.requests = requests  # until then
        self.amount = 0.0


class Entry:
    """What was sent at one time."""

    in_minute = False
    was_refused = False

    def __init__(self, time: float, amount: float, total: float, second: Second) -> None:
        self.time = time
        self.amount = amount
        self.total = total  # of all time, with this
        self.second = second


@dataclass(frozen=True, slots=True)
class _Outage:
    """A time in which the service refused, with what was known when it began."""

    start: float
    end: float
    mark: float | None
    count: float


class Rate:
    """The pace of one thing, requests or tokens. Times are seconds of a monotonic clock."""

    def __init__(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self.pace = inf  # units a second that may be sent now
        self.is_limited = False  # whether there is a pace to keep to, or there was one
        self.total = 0.0  # units sent, of all time
        self.average = 0  # units of late, of those whose amount was an estimate
        self.idle = (
            0.0  # seconds since the last outage in which nobody wanted to send: no time in which the service accepted little
        )
        self.is_binding = False  # whether a request had to wait for the pace since the last that was accepted
        self._per_minute = per_minute  # that was set; `per_minute` may be a part of it
        self._fixed = inf if per_minute is None else per_minute / MINUTE
        self._late = _LATE if per_minute is None else LATE
        self._next = -inf  # when the next unit is due at the current pace
        self._minute: deque[Entry] = deque()  # the last minute, if it is limited
        self._in_minute = 0.0
        self._ceiling = inf  # the rate that was accepted before the last outage
        self._round = 0.0  # progress since then: 1 when the rate has returned to the ceiling
        self._round_requests = _FIRST_ROUND // 2
        self._round_seconds = 1.0
        self._pause = 0.0  # the longest of late
        self._mark: float | None = None  # start of the interval in which accepted units are counted
        self._earlier = 0.0  # units since then, before the history
        self._requests = 0
        self._requests_before = 0  # the last outage
        self._early = 0  # outages in a row that came after few requests
        self._newest: Entry | None = None
        self._second = Second(-inf, 0.0, 0)  # the last of the history
        self._history: deque[Second] = deque()
        self._outage_at: float | None = None
        self._outage_idle = 0.0
        self._last_outage: _Outage | None = None
        self.estimate = inf

    @property
    def estimate(self) -> float:
        """Units a second that the service seems to allow."""
        return self._estimate

    @estimate.setter
    def estimate(self, rate: float) -> None:
        self._estimate = rate
        self.pace = min(self._fixed, rate)
        if self.pace < inf:
            self.is_limited = True

    def ready_at(self, amount: float, now: float) -> float:
        """Returns when `amount` may be sent; not later than `now` if it may be sent now."""
        at = self._next
        if self.per_minute is not None:
            at = max(at, self._minute_at(amount, now))
        if at > now:
            self.is_binding = True
        return at

    def take(self, amount: float, now: float) -> Entry:
        """Counts what is sent now."""
        second = self._second
        if now >= second.end:
            second = self._begin_second(now)
        second.amount += amount
        self._requests += 1
        self.total = total = self.total + amount
        self._newest = entry = Entry(now, amount, total, second)
        if self.pace < inf:
            self._next = catch_up(self._next, now, self._late) + self.step(amount)
        if self.per_minute is not None:
            entry.in_minute = True
            self._minute.append(entry)
            self._in_minute += amount
        return entry

    def settle(self, entry: Entry, amount: float) -> None:
        """Corrects an amount that was not exact."""
        self.average += int(amount - self.average) // _AVERAGED
        difference = amount - entry.amount
        if not difference:
            return
        entry.amount = amount
        self.total += difference
        if self.pace < inf:
            self._next += difference / self.pace
        if entry.in_minute:
            self._in_minute += difference
        if not entry.was_refused:
            entry.second.amount += difference

    def accept(self, now: float, last: float) -> None:
        """Learns that the service accepted a request, and when it did so last before."""
        if self.is_binding and self._estimate < inf:
            self._round += min((now - last) / self._round_seconds, 1 / self._round_requests)
            self.is_binding = False
            self.estimate = self._ceiling * _growth(self._round)

    def divide(self, parts: int) -> None:
        """Keeps to a part of the limit that was set."""
        if self._per_minute is not None:
            self.per_minute = self._per_minute / parts
            self._fixed = self.per_minute / MINUTE
            self.estimate = self._estimate

    def refuse(self, entry: Entry, now: float, *, is_cause: bool) -> None:
        """Learns that the service refused an entry. If that was because of the rate, an outage begins, or goes on."""
        if not entry.was_refused:
            entry.second.amount -= entry.amount
            entry.was_refused = True
        if is_cause:
            self._begin_outage(now)

    def exhaust(self, now: float, hint: float) -> None:
        """Learns from headers that nothing is left for now, and the units a second that they tell: the rate grows no further."""
        if self.estimate == inf:
            self.estimate = min(hint, self._fixed)
        if self.estimate >= hint:
            self._ceiling = self.estimate
            self._round = 1.0
            self.is_binding = False
        self._next = max(self._next, now)

    def search(self) -> None:
        """Learns that the limit has risen: looks for it at once, and as fast as for one of which nothing is measured."""
        self._round = max(self._round, 2.0)
        self._round_requests = _FIRST_ROUND
        self._round_seconds = _ROUND_SECONDS * _FIRST_ROUND

    def recover(self, now: float) -> None:
        """Ends the outage: measures what was accepted before it."""
        if self._outage_at is None:
            return
        outage = self._last_outage = _Outage(self._outage_at, now, self._mark, self._count())
        pause = min(now - outage.start - (self.idle - self._outage_idle), MINUTE)
        seconds, count = self._flow(outage.start, self._outage_idle, max(_FLOW_SECONDS, _FLOW_PAUSES * pause))
        # The outage belongs to a short burst, which used what the service gives in a window; it follows a long flow.
        seconds += pause * min(1.0, pause / seconds) if seconds else pause
        is_early = self.estimate < inf and self._requests - self._requests_before < _EARLY_REQUESTS
        self._early = self._early + 1 if is_early else 0
        self._requests_before = self._requests
        lowest = 0.0 if self.estimate == inf else self.estimate * (1 - min(_DROP * 2**self._early, 0.5) if is_early else 0.5)
        measured = max(count / max(seconds, _MIN_WINDOW), lowest)
        if measured > 0:
            change = measured / self._ceiling  # 0 at first
            self._ceiling = min(measured, self.pace)  # what was refused was sent at that pace
            self.estimate = self._ceiling * (1 - _DROP)
            if change > _RISE:
                self._round_requests = _FIRST_ROUND
            elif change > 0.75:
                self._round_requests = min(2 * self._round_requests, _LAST_ROUND)
            share = self._round_requests / _LAST_ROUND
            self._pause = max(pause, _PAUSE_MEMORY * self._pause)
            self._round_seconds = max(_ROUND_SECONDS * self._round_requests, _ROUND_PAUSES * self._pause * share)
            self._round = 0.0
            if self._newest is not None:  # it was sent at the pace before
                self._next = max(self._next, self._newest.time + self.step(self._newest.amount))
        self._outage_at = None
        self._mark = now
        self._earlier = self.idle = 0.0
        self._history.clear()
        self._begin_second(now)

    @property
    def is_searching(self) -> bool:
        """Whether requests come faster than was accepted before the last outage."""
        return self._ceiling < self._estimate < inf

    def is_fast(self, now: float) -> bool:
        """Returns whether requests came of late about as fast as the service has refused before."""
        if self.estimate == inf:
            return False
        seconds, count = self._flow(now, self.idle, _FLOW_SECONDS)
        return count >= _FAST * self._ceiling * seconds

    def step(self, amount: float) -> float:
        """Returns the seconds from one request to the next."""
        return max(amount / (self._fixed * PACE), min(amount / self._estimate, _MAX_STEP))

    def _flow(self, end: float, end_idle: float, horizon: float) -> tuple[float, float]:
        """Returns the seconds and the units of the last part of what was accepted before an outage: before, the rate was lower."""
        if self._mark is None:
            return 0.0, 0.0
        start, idle, before, count = self._mark, 0.0, 0.0, self._earlier
        for second in self._history:
            is_late = second.time > end - horizon or self._requests - second.requests < _FLOW_REQUESTS
            if is_late and end - start <= MINUTE:
                break
            start, idle, before = second.time, second.idle, count
            count += second.amount
        return min(max(end - start - (end_idle - idle), 0.0), MINUTE), self._count() - before

    def _count(self) -> float:
        """Returns the units since the mark."""
        return self._earlier + sum(second.amount for second in self._history)

    def _begin_second(self, now: float) -> Second:
        if self._mark is None:
            self._mark = now
        if len(self._history) == _MAX_SECONDS:
            self._earlier += self._history.popleft().amount
        self._second = Second(now, self.idle, self._requests)
        self._history.append(self._second)
        return self._second

    def _begin_outage(self, now: float) -> None:
        last = self._last_outage
        if self._outage_at is not None:
            return
        self._outage_at = now
        self._outage_idle = self.idle
        if last is not None and now - last.end < (last.end - last.start) / 2 and (count := self._count()) < last.count * _FEW:
            # That outage was not over: little was accepted since, such as a request that was small. Both are measured together.
            self._mark = last.mark
            self._earlier = count + last.count
            self._history.clear()
            self._second = Second(-inf, 0.0, 0)
        self._next = max(self._next, now)

    def _minute_at(self, amount: float, now: float) -> float:
        """Returns when the last minute has room for `amount`: a single one that is larger waits until it is empty."""
        assert self.per_minute is not None
        minute = self._minute
        while minute and minute[0].time <= now - MINUTE:
            entry = minute.popleft()
            entry.in_minute = False
            self._in_minute -= entry.amount
        excess = self._in_minute + amount - self.per_minute
        if excess <= 0 or not minute:
            return now
        for entry in minute:
            excess -= entry.amount
            if excess <= 0:
                return entry.time + MINUTE
        return minute[-1].time + MINUTE


def catch_up(due: float, now: float, most: float) -> float:
    """Returns from when the next is counted: from when this was due, if a timer was late, else from now: an idle time leaves no burst."""
    return due if now - due <= most else now


def _growth(progress: float) -> float:
    """Returns the share of the ceiling: slowly past it at first, faster and faster later."""
    if progress < 2:
        return 1 + _DROP * (progress - 1) ** 3
    return (1 + _DROP) * float(_GROWTH ** (progress - 2))
