"""How many requests may be in flight: a limit that was set, one that was learned, or the lower of both."""

from __future__ import annotations

from math import inf
from typing import Final

_START: Final = 8
_FIRST_PROBE: Final = (
    10  # requests accepted at the highest level before one more is tried; twice as many after each that was refused
)
_LAST_PROBE: Final = 160
_PROBE_PAUSES: Final = 10  # pauses between two probes, so that the pauses cost little
_PROOFS: Final = 3  # requests that are accepted at a level
_MEMORY: Final = 30.0  # seconds for which an accepted level is evidence


class Concurrency:
    """The number of requests in flight that the service accepts."""

    def __init__(self, maximum: int | None) -> None:
        self.maximum = maximum
        self._maximum = maximum  # that was set; `maximum` may be a part of it
        self._cap = 0.0
        self._ceiling = inf  # the level below the one that was refused
        self._probe = 0  # requests accepted at the ceiling
        self._probe_requests = _FIRST_PROBE
        self._step = 1
        self._since = -inf  # of the last refusal or probe
        self._pause = 0.0
        self._levels = _HighestLevels()
        self.is_learned = False  # whether the service has refused a request because of others in flight
        self.value = 0  # requests that may be in flight now
        self._set_cap(_START)

    @property
    def limit(self) -> int | None:
        """The limit that was set or learned, whichever is lower; None if there is neither."""
        limits = [limit for limit in (self.maximum, None if self._ceiling == inf else int(self._ceiling)) if limit is not None]
        return min(limits, default=None)

    def divide(self, parts: int) -> None:
        """Keeps to a part of the limit that was set."""
        self.maximum = None if self._maximum is None else max(self._maximum // parts, 1)
        self._set_cap(self._cap)

    def is_new(self, level: int, now: float) -> bool:
        """Returns whether no level that high was accepted of late: a refusal there may be one of concurrency."""
        return level > max(self._levels.value(now), 1)

    def is_highest(self, level: int) -> bool:
        """Returns whether the level is that of the limit, where the service may count a request that has just ended."""
        return 1 < self._ceiling <= level

    def is_untried(self, level: int, now: float) -> bool:
        """Returns whether a refusal at the level would teach something of it."""
        return self.is_new(level, now) or self.is_probe(level)

    def is_probe(self, level: int) -> bool:
        """Returns whether the level is one more than was the limit, and tried of late."""
        return self._step > 1 and level >= self._ceiling and self._probe < _FIRST_PROBE

    def accept(self, level: int, now: float) -> None:
        """Learns that a request was accepted which was the `level`th in flight."""
        self._levels.add(level, now)
        if level * 2 < self._cap:  # the limit was not tried
            return
        if self._ceiling == inf:
            self._set_cap(self._cap + 1)
        elif self._cap < self._ceiling:
            self._set_cap(min(self._cap + 1, self._ceiling))
        else:
            self._probe += 1
            if self._probe >= max(self._probe_requests, self._cap) and now - self._since >= _PROBE_PAUSES * self._pause:
                if self._step > 1:  # the last probe was accepted
                    self._probe_requests = _FIRST_PROBE
                self._ceiling += self._step
                self._set_cap(self._cap + 1)
                self._step *= 2
                self._probe = 0
                self._since = now

    def refuse(self, level: int, now: float, pause: float, *, is_cause: bool) -> None:
        """Learns of a refusal: halves the number, which returns quickly up to the level that was accepted."""
        if is_cause:
            self._ceiling = max(1, min(level - 1, int(self._cap)))
        else:
            self._levels = _HighestLevels()
            if level <= 1:  # one is never too many at a time: what seemed to be a limit of concurrency was one of the rate
                self._ceiling = inf
        self.is_learned = self._ceiling < inf
        self._set_cap(max(1.0, min(self._cap, float(level)) / 2))
        self._probe = 0
        self._probe_requests = min(2 * self._probe_requests, _LAST_PROBE) if self._step == 2 else _FIRST_PROBE
        self._step = 1
        self._since = now
        self._pause = pause

    def _set_cap(self, cap: float) -> None:
        self._cap = cap
        self.value = min(int(cap), self.maximum or int(cap))


class _HighestLevels:
    """The level that was accepted a few times in the last half to whole minute. Once may be chance: another had just ended."""

    def __init__(self) -> None:
        self._now = self._before = [0] * _PROOFS  # the highest levels, the lowest of them first
        self._start = -inf

    def add(self, level: int, now: float) -> None:
        if now - self._start >= _MEMORY:
            self._turn(now)
        if level > self._now[0]:
            self._now = sorted((*self._now[1:], level))

    def value(self, now: float) -> int:
        if now - self._start >= _MEMORY:
            self._turn(now)
        return max(self._now[0], self._before[0])

    def _turn(self, now: float) -> None:
        self._before = self._now if now - self._start < 2 * _MEMORY else [0] * _PROOFS
        self._now = [0] * _PROOFS
        self._start = now
