"""A limit of requests or tokens: how fast they may be sent, and how many until a window ends that headers tell of."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from together_adapters.control.limits.header_windows import Window
from together_adapters.control.limits.rate_headers import Cause, allowance
from together_adapters.control.limits.rates import Entry, Rate


class RateLimit(Rate):
    """The pace of requests or tokens, and their window, if headers describe one."""

    def __init__(self, cause: Cause, per_minute: float | None) -> None:
        super().__init__(per_minute)
        self.cause: Cause = cause
        self.window: Window | None = None  # if headers describe one
        self._highest = 0.0  # limit that headers told since the last outage
        self.plenty = 0.0  # units sent until which headers need not be read: they said that much is left, or nothing at all

    @property
    def value(self) -> float:
        """Units a second that may be sent for long: at the pace of now, or as headers tell, whichever is lower."""
        window = self.window
        return self.pace if window is None or window.is_false else min(self.pace, window.rate)

    def ready_at(self, amount: float, now: float) -> float:
        """Returns when `amount` may be sent; not later than `now` if it may be sent now."""
        at = -inf if self.pace == inf else super().ready_at(amount, now)
        window = self.window
        if window is None or self.total < window.until or not window.is_used_up(self.total, now) or window.may_test:
            return at
        self.exhaust(now, window.rate)
        return max(at, window.end)

    def refuse(self, entry: Entry, now: float, *, is_cause: bool) -> None:
        """Learns that the service refused an entry, and whether because of this limit."""
        super().refuse(entry, now, is_cause=is_cause)
        if self.window is not None:
            self.window.refuse(entry)

    def recover(self, now: float) -> None:
        """Ends the outage: what headers told before it may have been another limit."""
        super().recover(now)
        self._highest = 0.0

    def read(self, headers: Mapping[str, str], entry: Entry, now: float) -> float:
        """Reads what the headers of an accepted request say of the limit; returns until when that holds."""
        self.plenty = inf
        hint = allowance(headers, self.cause)
        if hint is None:
            return inf
        window = self.window = self.window or Window()
        self.is_limited = True
        window.accept(entry)
        window.update(entry, hint, now)
        if hint.limit > self._highest:
            if self._highest:
                self.search()
            self._highest = hint.limit
        left = window.until - self.total
        self.plenty = self.total + left / 4 if left > hint.limit / 2 and window.test is None else -inf
        return window.end
