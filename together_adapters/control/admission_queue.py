"""Who may send next: a queue, what is in flight, and what refusals and headers taught. A state machine without a clock or a lock.

Each method gets the time, in seconds of a monotonic clock that the caller owns.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from math import inf
from typing import Any, Final, Protocol

from together_adapters.control.concurrency import Concurrency
from together_adapters.control.rate_headers import Allowance, Cause, allowance, cause_of, pause, useful_headers
from together_adapters.control.rates import Entry, Rate

_PLENTY_SECONDS: Final = 1.0
_MIN_PAUSE: Final = 0.3  # seconds, where a refusal names none; twice as many after each in a row
_MAX_PAUSE: Final = 8.0
_REFUSAL_SECONDS: Final = 0.05
_FIRST_TEST_PAUSE: Final = 8  # windows
_MAX_TEST_PAUSE: Final = 128
_MAX_LEFT: Final = 64  # places in the queue whose requests are over
_TESTS: Final = 3  # that are accepted before headers count no more
_TOO_MANY_REQUESTS: Final = 429
_OVERLOADED: Final = 503


class Ticket:
    """The place of one request in the queue; then, once it is granted, in flight."""

    __slots__ = (
        "alarm",
        "amounts",
        "entries",
        "granted",
        "granted_at",
        "has_joined",
        "is_answered",
        "is_over",
        "level",
        "number",
        "permit",
        "tokens",
    )

    def __init__(self, tokens: int, number: int) -> None:
        self.tokens = tokens  # an estimate
        self.number = number  # order of arrival; a repeated request keeps that of the first
        self.has_joined = False
        self.granted = False
        self.is_answered = False
        self.is_over = False
        self.granted_at = inf
        self.level = 0  # requests in flight, with this one, when it was granted
        self.entries: dict[Cause, Entry] = {}
        self.amounts: dict[Cause, float] = {}  # that were sent by then, with its own
        self.permit: Any = None  # of all processes that share the limits
        self.alarm: float | None = None  # when the first of the queue must ask again, unless something happens before

    def wake(self) -> None:
        """Tells whoever waits that it is granted, or that its alarm has changed."""


class Permits(Protocol):
    """Who knows what other processes send: answers by `AdmissionQueue.permit`."""

    def request(self, ticket: Ticket | None) -> None:
        """Asks for a permit for the first of the queue, if there is one, and no longer for the one before it."""

    def end(self, permit: Any, tokens: float | None) -> None:
        """Ends a request that had a permit, and says which tokens it has used, if that is known."""

    def give_back(self, permit: Any) -> None:
        """Gives a permit back of a request that was not sent."""

    def pause(self, seconds: float) -> None:
        """Lets all processes wait: the service asked for it."""


class AdmissionQueue:
    """Grants tickets in the order of arrival, as fast as set limits, estimates and headers allow."""

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None, max_concurrency: int | None = None
    ) -> None:
        self.rates: dict[Cause, Rate] = {"requests": Rate(requests_per_minute), "tokens": Rate(tokens_per_minute)}
        self.concurrency = Concurrency(max_concurrency)
        self.in_flight = 0
        self.pause_until = -inf
        self.permits: Permits | None = None  # None: the limits are not shared
        self._applicant: Ticket | None = None  # for which a permit is asked
        self._waiting: list[tuple[int, int, Ticket]] = []  # a heap; those that are over are still in it
        self._first: Ticket | None = None  # that has to ask again: the others are not woken
        self._left = 0  # of the queue, those that are over
        self._numbers = count()
        self._ties = count()
        self._amounts: dict[Cause, float] = {"requests": 0.0, "tokens": 0.0}
        self._windows: dict[Cause, _Window] = {}
        self._plenty: dict[Cause, float] = {}  # the amounts until which, and the time until when headers need not be read
        self._plenty_until = -inf
        self._cause: Cause | None = None
        self._causes: list[Cause] = []  # of the last refusal, among the rates
        self._refused_at = -inf
        self._refusals = 0  # of the outage
        self._outage_at = self._recovered_at = 0.0
        self._first_pause = _MIN_PAUSE
        self._refusal_seconds = _REFUSAL_SECONDS
        self._probe: Ticket | None = None  # the one request after a pause that tries whether more are accepted
        self._is_probing = False
        self._idle_since: float | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting) - self._left

    def rate(self, cause: Cause) -> float:
        """Returns the units a second that may be sent for long: at the pace of now, or as headers tell, whichever is lower."""
        window, pace = self._windows.get(cause), self.rates[cause].value
        return pace if window is None or window.is_false else min(pace, window.rate)

    def number(self) -> int:
        """Returns the next number in the order of arrival."""
        return next(self._numbers)

    def join(self, ticket: Ticket, now: float) -> None:
        """Adds a ticket at the end of the queue, or where its number belongs, unless it was taken back before."""
        if ticket.is_over:
            return
        ticket.has_joined = True
        if self._idle_since is not None:
            for rate in self.rates.values():
                rate.rest(now - self._idle_since)
            self._idle_since = None
        heapq.heappush(self._waiting, (ticket.number, next(self._ties), ticket))
        self.advance(now)

    def leave(self, ticket: Ticket, now: float) -> None:
        """Takes a ticket back, whether it waits or is in flight."""
        if ticket.granted:
            self.end(ticket, None, now)
        elif not ticket.is_over:
            ticket.is_over = True
            self._left += ticket.has_joined
            if self._left > _MAX_LEFT and self._left > len(self._waiting) / 2:
                self._waiting = [place for place in self._waiting if not place[2].is_over]
                heapq.heapify(self._waiting)
                self._left = 0
            ticket.wake()
            if self.permits is not None:
                self._give_up(ticket, self.permits)
            self.advance(now)

    def answer(
        self, ticket: Ticket, status: int | None, headers: Mapping[str, str], error: Mapping[str, Any] | None, now: float
    ) -> None:
        """Learns from the status and headers of a response; None is a request without a response."""
        if ticket.is_answered or not ticket.granted:
            return
        ticket.is_answered = True
        if self._probe is ticket:
            self._probe = None
        if status == _TOO_MANY_REQUESTS:
            self._refuse(ticket, useful_headers(headers), error, now)
        elif status is not None and status != _OVERLOADED:
            self._accept(ticket, headers, now)
        self.advance(now)

    def end(self, ticket: Ticket, tokens: int | None, now: float) -> None:
        """Ends what is in flight; `tokens` are those that it used, None if only the estimate is known."""
        if ticket.is_over:
            return
        ticket.is_over = True
        self.in_flight -= 1
        if self._probe is ticket:
            self._probe = None
        for window in self._windows.values():
            window.forget(ticket)
        if tokens is not None:
            self._amounts["tokens"] += tokens - ticket.tokens
            self.rates["tokens"].settle(ticket.entries["tokens"], tokens)
        if self.permits is not None and ticket.permit is not None:
            self.permits.end(ticket.permit, tokens)
        self.advance(now)
        if not self.in_flight and not self._waiting:
            self._idle_since = now

    def advance(self, now: float) -> None:
        """Grants what may be sent now, and sets the alarm of the first ticket that has to wait."""
        waiting = self._waiting
        while waiting:
            ticket = waiting[0][2]
            if ticket.is_over:
                self._left -= 1
            else:
                ready = self._ready_at(ticket, now)
                if ready <= now and self._probe is not None:
                    self._recover(now)
                    continue
                if ready > now:
                    self._set_alarm(ticket, None if ready == inf else ready)
                    return
                if self.permits is not None and ticket.permit is None:
                    self._request(ticket, self.permits)
                    return
                self._grant(ticket, now)
            heapq.heappop(waiting)

    def permit(self, ticket: Ticket, permit: Any, now: float) -> None:
        """Grants a ticket as far as other processes are concerned."""
        assert self.permits is not None
        if self._applicant is ticket:
            self._applicant = None
        if ticket.is_over or ticket.permit is not None:
            self.permits.give_back(permit)
        else:
            ticket.permit = permit
        self.advance(now)

    def divide(self, parts: int, now: float) -> None:
        """Keeps to a part of the limits that were set, as other processes do."""
        for rate in self.rates.values():
            rate.divide(parts)
        self.concurrency.divide(parts)
        self.advance(now)

    def _request(self, ticket: Ticket, permits: Permits) -> None:
        self._set_alarm(ticket, None)
        if self._applicant is not ticket:
            self._applicant = ticket
            permits.request(ticket)

    def _give_up(self, ticket: Ticket, permits: Permits) -> None:
        if ticket.permit is not None:
            permits.give_back(ticket.permit)
            ticket.permit = None
        if self._applicant is ticket:
            self._applicant = None
            permits.request(None)

    def _set_alarm(self, ticket: Ticket, alarm: float | None) -> None:
        if self._first is not ticket:
            if self._first is not None:
                self._first.alarm = None
            self._first = ticket
        if ticket.alarm != alarm:
            ticket.alarm = alarm
            ticket.wake()

    def _ready_at(self, ticket: Ticket, now: float) -> float:
        """Returns when a ticket may be granted; infinite if something in flight has to end before."""
        if self.in_flight >= self.concurrency.value:
            return inf
        ready = self.pause_until
        if self._probe is not None:
            # A refusal comes at once, an answer when the model is done.
            ready = max(ready, self._probe.granted_at + self._refusal_seconds)
        for cause, rate in self.rates.items():
            ready = max(ready, rate.ready_at(ticket.tokens if cause == "tokens" else 1, now), self._window_at(cause, now))
        return ready

    def _window_at(self, cause: Cause, now: float) -> float:
        """Returns when the window of a limit, as headers describe it, has room."""
        window = self._windows.get(cause)
        if window is None or not window.is_used_up(self._amounts[cause], now) or window.may_test:
            return -inf
        self.rates[cause].exhaust(now, window.rate)
        return window.end

    def _grant(self, ticket: Ticket, now: float) -> None:
        self.in_flight += 1
        ticket.level = self.in_flight
        ticket.granted_at = now
        for cause, rate in self.rates.items():
            amount = ticket.tokens if cause == "tokens" else 1
            ticket.entries[cause] = rate.take(amount, now)
            if (window := self._windows.get(cause)) is not None and window.is_used_up(self._amounts[cause], now):
                window.test = ticket
            self._amounts[cause] += amount
            ticket.amounts[cause] = self._amounts[cause]
        if self._is_probing:
            self._probe = ticket
        ticket.granted = True
        ticket.wake()

    def _accept(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        self.concurrency.accept(ticket.level, now)
        if ticket.granted_at >= self._refused_at and self._is_probing:
            self._recover(now)
        for rate in self.rates.values():
            rate.accept(now)
        if not self._has_plenty(now):
            self._read(ticket, useful_headers(headers), now)

    def _has_plenty(self, now: float) -> bool:
        """Returns whether headers said of late that much is left, or nothing at all: they need not be read again."""
        amounts, plenty = self._amounts, self._plenty
        return now < self._plenty_until and amounts["requests"] < plenty["requests"] and amounts["tokens"] < plenty["tokens"]

    def _read(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Reads what the headers of a response say of both limits."""
        self._plenty_until = now + _PLENTY_SECONDS
        for cause, amount in self._amounts.items():
            self._plenty[cause] = inf
            if (hint := allowance(headers, cause)) is not None:
                window = self._windows.setdefault(cause, _Window())
                window.accept(ticket)
                window.update(ticket.amounts[cause], ticket.entries[cause], hint, now)
                left = window.until - amount
                self._plenty[cause] = amount + left / 4 if left > hint.limit / 2 and window.test is None else -inf
                self._plenty_until = min(self._plenty_until, window.end)

    def _recover(self, now: float) -> None:
        """Ends an outage: the service accepts again."""
        self._is_probing = False
        self._probe = None
        self._recovered_at = now
        for rate in self.rates.values():
            rate.recover(now)

    def _refuse(self, ticket: Ticket, headers: Mapping[str, str], error: Mapping[str, Any] | None, now: float) -> None:
        seconds_asked = pause(_TOO_MANY_REQUESTS, headers)
        cause = cause_of(headers, error)
        if self.permits is not None and seconds_asked is not None:
            self.permits.pause(seconds_asked)
        if ticket.granted_at < self._refused_at:  # sent before the last refusal was known
            if seconds_asked is not None and self._is_probing:
                self.pause_until = max(self.pause_until, now + seconds_asked)
            self._count_refusal(ticket, now)
            return
        level = max(ticket.level, self.in_flight)  # what was sent after it may have come before it
        goes_on = self._is_probing and self._cause != "concurrency"
        if cause is None and not goes_on and self.concurrency.suspects(level, now, is_hinted=bool(seconds_asked)):
            cause = "concurrency"
        self._cause = cause
        self._refused_at = now
        if cause != "concurrency":
            outage = self._recovered_at - self._outage_at
            if now - self._recovered_at > outage / 2 and not self._is_probing:
                self._first_pause = min(max(outage / 4, _MIN_PAUSE), _MAX_PAUSE)
                self._outage_at = now
                self._refusals = 0
            self._refusals += 1
        self._refusal_seconds = max(_REFUSAL_SECONDS, 3 * (now - ticket.granted_at), 0.9 * self._refusal_seconds)
        seconds = seconds_asked
        if seconds is None:
            seconds = 0.0 if cause == "concurrency" else min(self._first_pause * 2 ** (self._refusals - 1), _MAX_PAUSE)
        self.pause_until = max(self.pause_until, now + seconds)
        self._is_probing = True
        self._probe = None
        self.concurrency.refuse(level, now, seconds, is_cause=cause == "concurrency")
        self._causes = [name for name in self.rates if cause in (None, name)]
        self._count_refusal(ticket, now)

    def _count_refusal(self, ticket: Ticket, now: float) -> None:
        for name, rate in self.rates.items():
            rate.refuse(ticket.entries[name], now, is_cause=name in self._causes)
            if (window := self._windows.get(name)) is not None:
                window.refuse(ticket)


class _Window:
    """The window of a limit as headers describe it, in the count of everything that was sent.

    Some headers are not true. So a request is sent now and then beyond what they allow: if it is accepted, and two more, they say
    nothing; if it is refused, the next waits for long.
    """

    __slots__ = ("_limit", "_newest", "_pause", "_proofs", "_reset", "_windows", "end", "is_false", "test", "until")

    def __init__(self) -> None:
        self.end = -inf
        self.until = inf
        self.is_false = False
        self.test: Ticket | None = None  # that was sent beyond what is allowed
        self._proofs = 0  # tests that were accepted
        self._windows = 0  # until the next test
        self._pause = _FIRST_TEST_PAUSE  # windows from a test that was refused to the next
        self._newest = 0.0
        self._limit = 1.0
        self._reset = 0.0  # the longest of late

    @property
    def rate(self) -> float:
        """Units a second."""
        return self._limit / max(self._reset, 0.001)

    def is_used_up(self, amount: float, now: float) -> bool:
        """Returns whether nothing is left after so much was sent."""
        return not self.is_false and now < self.end and amount >= self.until

    @property
    def may_test(self) -> bool:
        """Whether a request may be sent that the headers do not allow."""
        return self._windows <= 0 and self.test is None

    def accept(self, ticket: Ticket) -> None:
        """Learns that a request was accepted."""
        if self.test is ticket:
            self.test = None
            self._proofs += 1
            self.is_false = self._proofs >= _TESTS

    def refuse(self, ticket: Ticket) -> None:
        """Learns that a request was refused."""
        if self.test is ticket:
            self.test = None
            self._proofs = 0
            self._pause = min(2 * self._pause, _MAX_TEST_PAUSE)
            self._windows = self._pause

    def forget(self, ticket: Ticket) -> None:
        """Ends a test without an answer."""
        if self.test is ticket:
            self.test = None

    def update(self, amount: float, entry: Entry, hint: Allowance, now: float) -> None:
        """Takes over what headers tell, as of when the request was sent, and with it `amount` units."""
        end = entry.time + hint.reset
        if now >= self.end:
            self._windows -= 1
            self._reset = self._newest = 0.0
            self.end = end
        self._reset = max(self._reset, hint.reset)
        self.end = min(self.end, end)
        if amount >= self._newest:  # an answer may count requests that were sent later
            self._newest = amount
            self._limit = hint.limit
            self.until = amount + hint.remaining
