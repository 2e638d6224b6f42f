"""What processes share: what all have sent in the last minute, who holds places in flight, and who waits.

A state machine without a clock. Times are seconds since 1970, of the one clock that the store has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from pydantic_core import from_json, to_json

from together_adapters.control.limits.rates import LATE, PACE, catch_up

MEMBER_SECONDS: Final = 10.0  # after which a process that says nothing counts as dead, and its places are free
_SLOT: Final = 0.5  # seconds; what was sent in one is counted together
_MINUTE: Final = 60.0
_POLL: Final = 0.01  # seconds between two questions of the first in line; of the second, twice as many
_MAX_POLL: Final = 0.5
_WAIT_SECONDS: Final = 2.0  # for which a process that waits keeps its place in line without asking again
_REFRESH: Final = 1.0  # seconds between two signs of life: a question that changes nothing is not written
_CLOCK_SECONDS: Final = 5.0  # by which a clock may differ


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that one process has set; None for no limit."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_concurrency: int | None = None

    @property
    def rates(self) -> tuple[float | None, float | None]:
        """Requests and tokens in a minute."""
        return self.requests_per_minute, self.tokens_per_minute


@dataclass(slots=True)
class _Member:
    """One process."""

    heartbeat: float = 0.0  # when it last said something
    in_flight: int = 0  # requests in flight
    since: float = 0.0  # when it began to wait; 0 if it does not
    until: float = 0.0  # when it loses its place in line, unless it asks again


class SharedState:
    """Grants requests of any number of processes in the order in which they began to ask."""

    def __init__(self, text: bytes | None, now: float) -> None:
        data: dict[str, Any] = from_json(text) if text else {}
        if now < data.get("time", 0.0) - _CLOCK_SECONDS:  # the clock was set back
            data = {}
        self.is_changed = False
        self._now = now
        self._pause_until: float = data.get("pause_until", 0.0)
        self._due: list[float] = data.get("due", [0.0, 0.0])  # when the next request and the next token are due
        self._minute: list[tuple[int, float, float]] = [
            (slot, requests, tokens) for slot, requests, tokens in data.get("minute", ()) if _end(slot) > now
        ]
        self._members = {
            name: member
            for name, values in data.get("members", {}).items()
            if (member := _Member(*values)).heartbeat > now - MEMBER_SECONDS
        }

    def to_json(self) -> bytes:
        """Returns the state for the store."""
        members = {
            name: (member.heartbeat, member.in_flight, member.since, member.until) for name, member in self._members.items()
        }
        return to_json(
            {
                "time": self._now,
                "pause_until": self._pause_until,
                "due": self._due,
                "minute": self._minute,
                "members": members,
            }
        )

    @property
    def size(self) -> int:
        """The number of processes that are alive, and at work."""
        return len(self._members)

    def visit(self, name: str, in_flight: int) -> None:
        """Notes that a process is alive, and how many requests it has in flight."""
        member = self._members.get(name)
        if member is None or member.in_flight != in_flight or member.heartbeat < self._now - _REFRESH:
            member = self._members.setdefault(name, _Member())
            member.heartbeat, member.in_flight = self._now, in_flight
            self.is_changed = True

    def withdraw(self, name: str) -> None:
        """Notes that a process does not wait any more."""
        member = self._members.get(name)
        if member is not None and member.since:
            member.since = 0.0
            self.is_changed = True

    def leave(self, name: str) -> None:
        """Notes that a process has nothing in flight and does not wait."""
        self.is_changed = self._members.pop(name, None) is not None or self.is_changed

    def pause(self, seconds: float) -> None:
        """Lets all wait: the service refused a request."""
        if self._now + seconds > self._pause_until:
            self._pause_until = self._now + seconds
            self.is_changed = True

    def settle(self, slot: int, difference: Sequence[float], limits: Limits) -> None:
        """Corrects what was counted in a slot, requests and tokens."""
        self._count(slot, difference)
        for index, per_minute in enumerate(limits.rates):
            if per_minute is not None:
                self._due[index] += _seconds(difference[index], per_minute)

    def admit(self, name: str, tokens: float, limits: Limits) -> float:
        """Grants a request, and returns 0; or returns the seconds after which to ask again. Visit before."""
        now, member = self._now, self._members[name]
        others = [other for other in self._members.values() if other is not member and other.since and other.until > now]
        ahead = sum(1 for other in others if not member.since or other.since < member.since)
        ready = self._ready_at(tokens, limits)
        if not ahead and ready <= now:
            self._grant(member, tokens, limits)
            return 0.0
        if not member.since or member.until < now + _REFRESH:
            member.since = member.since or now
            member.until = now + _WAIT_SECONDS
            self.is_changed = True
        wait = _POLL * (1 + ahead)
        return min(wait if ready == inf else max(ready - now, wait if ahead else 0.0), _MAX_POLL)

    @property
    def slot(self) -> int:
        """The slot in which a request is counted that is granted now."""
        return int(self._now / _SLOT)

    def _grant(self, member: _Member, tokens: float, limits: Limits) -> None:
        amounts = (1.0, tokens)
        self._count(self.slot, amounts)
        for index, per_minute in enumerate(limits.rates):
            if per_minute is not None:
                self._due[index] = catch_up(self._due[index], self._now, LATE) + _seconds(amounts[index], per_minute)
        member.in_flight += 1
        member.since = 0.0
        member.heartbeat = self._now

    def _count(self, slot: int, amounts: Sequence[float]) -> None:
        self.is_changed = True
        for index, (other, requests, tokens) in enumerate(self._minute):
            if other == slot:
                self._minute[index] = (slot, requests + amounts[0], tokens + amounts[1])
                return
        if _end(slot) > self._now:
            self._minute.append((slot, *amounts))  # type: ignore[arg-type]

    def _ready_at(self, tokens: float, limits: Limits) -> float:
        """Returns when a request may be granted; infinite if another has to end before."""
        if (
            limits.max_concurrency is not None
            and sum(member.in_flight for member in self._members.values()) >= limits.max_concurrency
        ):
            return inf
        ready = self._pause_until
        for index, (amount, per_minute) in enumerate(zip((1.0, tokens), limits.rates, strict=True)):
            if per_minute is not None:
                ready = max(ready, self._due[index], self._minute_at(index, amount, per_minute))
        return ready

    def _minute_at(self, index: int, amount: float, per_minute: float) -> float:
        """Returns when the last minute has room: a request that is larger than the limit waits until it is empty."""
        counts = [(slot[0], slot[1 + index]) for slot in self._minute]
        excess = sum(count for _, count in counts) + amount - per_minute
        end = 0.0
        for slot, count in counts:
            if excess <= 0:
                break
            excess -= count
            end = _end(slot) if count else end
        return end


def _seconds(amount: float, per_minute: float) -> float:
    """Returns the seconds that requests or tokens take at the pace of a limit."""
    return amount * _MINUTE / (per_minute * PACE)


def _end(slot: int) -> float:
    """Returns when what was sent in a slot is older than a minute."""
    return (slot + 1) * _SLOT + _MINUTE
