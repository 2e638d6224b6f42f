"""Who may send next: a queue, what is in flight, and what refusals and headers taught. A state machine without a clock or a lock.

Each method gets the time, in seconds of a monotonic clock that the caller owns.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import count
from math import inf
from typing import Any, Final, Protocol

from together_adapters.control.limits.concurrency import Concurrency
from together_adapters.control.limits.rate_headers import Cause, cause_of, pause, useful_headers
from together_adapters.control.limits.rate_limits import RateLimit
from together_adapters.control.limits.rates import Entry

_PLENTY_SECONDS: Final = 1.0
_MIN_PAUSE: Final = 0.3  # seconds, where a refusal names none; twice as many after each in a row
_MAX_PAUSE: Final = 8.0
_MOST_DOUBLINGS: Final = 10  # of a pause: a service may refuse for hours
_REFUSAL_SECONDS: Final = 0.05
_SPACING: Final = 0.7  # share of the time between two requests, from one to the next that tries more at the same time
_SMALL: Final = 2  # requests in flight, of which one alone is half
_MAX_LEFT: Final = 64  # places in the queue whose requests are over
_TOO_MANY_REQUESTS: Final = 429
_OVERLOADED: Final = 503


class Ticket:
    """The place of one request in the queue; then, once it is granted, in flight."""

    has_joined = False
    granted = False
    is_answered = False
    is_over = False
    granted_at = inf
    level = 0  # requests in flight, with this one, when it was granted
    entries: tuple[Entry, Entry]  # of requests and of tokens, once it is granted
    permit: Any = None  # of all processes that share the limits
    alarm: float | None = None  # when the first of the queue must ask again, unless something happens before

    def __init__(self, tokens: float, number: int) -> None:
        self.tokens = tokens  # an estimate
        self.number = number  # order of arrival; a repeated request keeps that of the first

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

    def close(self) -> None:
        """Closes the connection to them; the next request opens it again."""


class AdmissionQueue:
    """Grants tickets in the order of arrival, as fast as set limits, estimates and headers allow."""

    def __init__(
        self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None, max_concurrency: int | None = None
    ) -> None:
        self.requests = RateLimit("requests", requests_per_minute)
        self.tokens = RateLimit("tokens", tokens_per_minute)
        self.concurrency = Concurrency(max_concurrency)
        self.in_flight = 0
        self.pause_until = -inf
        self.permits: Permits | None = None  # None: the limits are not shared
        self._applicant: Ticket | None = None  # for which a permit is asked
        self._waiting: list[tuple[int, int, Ticket]] = []  # a heap; those that are over are still in it
        self._first: Ticket | None = None  # that has to ask again: the others are not woken
        self._left = 0  # of the queue, those that are over
        self.numbers = count()  # in the order of arrival
        self._ties = count()
        self._rate_limits = (self.requests, self.tokens)
        self._plenty_until = -inf  # the time until when headers need not be read, while there is plenty of both
        self._cause: Cause | None = None
        self._causes: list[Cause] = []  # of the last refusal, among the rates
        self._accepted_at = -inf
        self._refused_at = -inf
        self._refused_sent = inf  # when that was sent which was refused then
        self._refusals = 0  # of the outage
        self._outage_at = self._recovered_at = 0.0
        self._first_pause = _MIN_PAUSE
        self._refusal_seconds = _REFUSAL_SECONDS
        self._probe: Ticket | None = None  # the one request after a pause that tries whether more are accepted
        self._is_probing = False
        self._idle_since: float | None = None
        self._granted_at = -inf  # while a limit of concurrency is known, as is the next
        self._interval = 0.0  # seconds from one request to the next

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting) - self._left

    def number(self) -> int:
        """Returns the next number in the order of arrival."""
        return next(self.numbers)

    def join(self, ticket: Ticket, now: float) -> None:
        """Adds a ticket at the end of the queue, or where its number belongs, unless it was taken back before."""
        if ticket.is_over:
            return
        ticket.has_joined = True
        if self._idle_since is not None:
            for limit in self._rate_limits:
                limit.idle += now - self._idle_since
            self._idle_since = None
        if not self._waiting and self.permits is None and self._probe is None and self._ready_at(ticket, now) <= now:
            self._grant(ticket, now)
            return
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
        if self._waiting:
            self.advance(now)

    def finish(
        self,
        ticket: Ticket,
        status: int | None,
        headers: Mapping[str, str],
        error: Mapping[str, Any] | None,
        tokens: int | None,
        now: float,
    ) -> None:
        """Learns from a response, and ends its request: see `answer` and `end`."""
        self.answer(ticket, status, headers, error, now)
        self.end(ticket, tokens, now)

    def end(self, ticket: Ticket, tokens: int | None, now: float) -> None:
        """Ends what is in flight; `tokens` are those that it used, None if only the estimate is known."""
        if ticket.is_over:
            return
        ticket.is_over = True
        self.in_flight -= 1
        if self._probe is ticket:
            self._probe = None
        for limit, entry in zip(self._rate_limits, ticket.entries, strict=True):
            if limit.window is not None and limit.window.test is entry:
                limit.window.forget(entry)
        if tokens is not None:
            self.tokens.settle(ticket.entries[1], tokens)
        if self.permits is not None and ticket.permit is not None:
            self.permits.end(ticket.permit, tokens)
        if self._waiting:
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
        for limit in self._rate_limits:
            limit.divide(parts)
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
        if self.concurrency.is_learned and self.concurrency.is_untried(self.in_flight + 1, now):
            ready = max(ready, self._granted_at + _SPACING * self._interval)  # two at once may be refused for their rate
        if self.requests.is_limited:
            ready = max(ready, self.requests.ready_at(1, now))
        if self.tokens.is_limited:
            ready = max(ready, self.tokens.ready_at(ticket.tokens, now))
        return ready

    def _grant(self, ticket: Ticket, now: float) -> None:
        self.in_flight += 1
        ticket.level = self.in_flight
        ticket.granted_at = now
        if self.concurrency.is_learned:
            if self._granted_at > -inf:
                self._interval += (min(now - self._granted_at, _MAX_PAUSE) - self._interval) / 8
            self._granted_at = now
        requests, tokens = self.requests, self.tokens
        ticket.entries = request_entry, token_entry = requests.take(1, now), tokens.take(ticket.tokens, now)
        if (window := requests.window) is not None and request_entry.total >= window.until:
            window.send(request_entry, now)
        if (window := tokens.window) is not None and token_entry.total >= window.until:
            window.send(token_entry, now)
        if self._is_probing:
            self._probe = ticket
        ticket.granted = True
        ticket.wake()

    def _accept(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        is_alone = ticket.level == 1 and self.concurrency.value > _SMALL  # which says nothing of more
        if not (is_alone or self._refused_sent <= ticket.granted_at < self._refused_at):  # its level counts one that was refused
            self.concurrency.accept(ticket.level, now)
        if ticket.granted_at >= self._refused_at and self._is_probing:
            self._recover(now)
        requests, tokens = self._rate_limits
        if requests.is_binding:
            requests.accept(now, self._accepted_at)
        if tokens.is_binding:
            tokens.accept(now, self._accepted_at)
        self._accepted_at = now
        if now >= self._plenty_until or requests.total >= requests.plenty or tokens.total >= tokens.plenty:
            self._read(ticket, useful_headers(headers), now)

    def _read(self, ticket: Ticket, headers: Mapping[str, str], now: float) -> None:
        """Reads what the headers of a response say of both limits."""
        ends = [limit.read(headers, entry, now) for limit, entry in zip(self._rate_limits, ticket.entries, strict=True)]
        self._plenty_until = min(now + _PLENTY_SECONDS, *ends)

    def _recover(self, now: float) -> None:
        """Ends an outage: the service accepts again."""
        self._is_probing = False
        self._probe = None
        if self._cause != "concurrency":
            self._recovered_at = now
        for limit in self._rate_limits:
            limit.recover(now)

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
        is_concurrency = cause == "concurrency"
        if cause is None and not goes_on:  # may be of both, and is taken for both then
            is_highest = not seconds_asked and self.concurrency.is_highest(level)
            is_concurrency = is_highest or self.concurrency.is_untried(level, now)
            if self._is_concurrency_alone(level, seconds_asked, now):
                cause = "concurrency"
        self._cause = cause
        self._refused_at = now
        self._refused_sent = ticket.granted_at
        if cause != "concurrency":
            outage = self._recovered_at - self._outage_at
            if now - self._recovered_at > outage / 2 and not self._is_probing:
                self._first_pause = min(max(outage / 4, _MIN_PAUSE), _MAX_PAUSE)
                self._outage_at = now
                self._refusals = 0
            self._refusals += 1
        self._refusal_seconds = max(_REFUSAL_SECONDS, 3 * (now - ticket.granted_at), 0.9 * self._refusal_seconds)
        seconds = seconds_asked or 0.0
        if not is_concurrency and (seconds_asked is None or self._is_probing):  # the time that was asked for was too short
            seconds = max(seconds, self._pause(ticket))
        self.pause_until = max(self.pause_until, now + seconds)
        self._is_probing = True
        self._probe = None
        self.concurrency.refuse(level, now, seconds, is_cause=is_concurrency)
        self._causes = [limit.cause for limit in self._rate_limits if cause in (None, limit.cause)]
        self._count_refusal(ticket, now)

    def _is_concurrency_alone(self, level: int, seconds_asked: float | None, now: float) -> bool:
        """Returns whether a refusal that names no cause is not one of a rate: something else was tried than a faster one."""
        if (seconds_asked or 0.0) > _MAX_PAUSE:  # nobody can say so long before when a place will be free
            return False
        if self.concurrency.is_new(level, now) and not any(limit.is_fast(now) for limit in self._rate_limits):
            return True
        return self.concurrency.is_probe(level) and not any(limit.is_searching for limit in self._rate_limits)

    def _pause(self, ticket: Ticket) -> float:
        """Returns the seconds until the next try: at least those until the next request would have come, and ever more."""
        steps = (limit.step(entry.amount) for limit, entry in zip(self._rate_limits, ticket.entries, strict=True))
        return min(max(self._first_pause, *steps) * 2.0 ** min(self._refusals - 1, _MOST_DOUBLINGS), _MAX_PAUSE)

    def _count_refusal(self, ticket: Ticket, now: float) -> None:
        for limit, entry in zip(self._rate_limits, ticket.entries, strict=True):
            limit.refuse(entry, now, is_cause=limit.cause in self._causes)
