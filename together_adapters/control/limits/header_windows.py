"""The window of a limit as headers describe it: what remains, and when it starts anew."""

from __future__ import annotations

from math import inf
from typing import Final

from together_adapters.control.limits.rate_headers import Allowance
from together_adapters.control.limits.rates import Entry

_FIRST_TEST_PAUSE: Final = 8  # windows
_MAX_TEST_PAUSE: Final = 128
_TRANSIT: Final = 0.05  # seconds; the longest time that a request takes to the service
_TESTS: Final = 3  # that are accepted before headers count no more


class Window:
    """The window of a limit as headers describe it, in the count of everything that was sent.

    Some headers are not true. So a request is sent now and then beyond what they allow: if it is accepted, and two more, they say
    nothing; if it is refused, the next waits for long.
    """

    __slots__ = ("_limit", "_newest", "_pause", "_proofs", "_reset", "_windows", "end", "is_false", "test", "until")

    def __init__(self) -> None:
        self.end = -inf
        self.until = inf
        self.is_false = False
        self.test: Entry | None = None  # that was sent beyond what is allowed
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

    def is_used_up(self, total: float, now: float) -> bool:
        """Returns whether nothing is left after so much was sent."""
        return not self.is_false and now < self.end and total >= self.until

    @property
    def may_test(self) -> bool:
        """Whether a request may be sent that the headers do not allow."""
        return self._windows <= 0 and self.test is None

    def send(self, entry: Entry, now: float) -> None:
        """Learns that a request is sent: beyond what is allowed, it is a test."""
        if self.is_used_up(entry.total - entry.amount, now):
            self.test = entry

    def accept(self, entry: Entry) -> None:
        """Learns that a request was accepted."""
        if self.test is entry:
            self.test = None
            self._proofs += 1
            self.is_false = self._proofs >= _TESTS

    def refuse(self, entry: Entry) -> None:
        """Learns that a request was refused."""
        if self.test is entry:
            self.test = None
            self._proofs = 0
            self._pause = min(2 * self._pause, _MAX_TEST_PAUSE)
            self._windows = self._pause

    def forget(self, entry: Entry) -> None:
        """Ends a test without an answer."""
        if self.test is entry:
            self.test = None

    def update(self, entry: Entry, hint: Allowance, now: float) -> None:
        """Takes over what headers tell, as of when the request was sent."""
        total = entry.total
        # The service counts from when the request came, later than it was sent: what is sent too early is refused.
        end = entry.time + min(now - entry.time, _TRANSIT) + hint.reset
        is_over, is_other = now >= self.end, hint.limit != self._limit
        if is_over:
            self._windows -= 1
            self._newest = 0.0
        elif is_other and total < self._newest:
            return  # an answer that came late, of the limit before
        if is_over or is_other:  # another limit begins a window of its own
            self._reset = 0.0
            self.end = end
        self._reset = max(self._reset, hint.reset)
        self.end = min(self.end, end)
        if total >= self._newest:  # an answer may count requests that were sent later
            self._newest = total
            self._limit = hint.limit
            self.until = total + hint.remaining
