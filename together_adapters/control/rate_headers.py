"""What the headers and errors of responses say of rate limits.

The service sends `x-ratelimit-*` for requests and `x-tokenlimit-*` for tokens, each with a `-dynamic` form, which is what it enforces
(docs.together.ai, rate limits). Recorded responses carry values that contradict themselves, more remaining than the limit: those say
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal

from together_adapters.transport.retry import MAX_HINT, hint

Cause = Literal["requests", "tokens", "concurrency"]

_OF_LIMITS: Final = ("x-ratelimit", "x-tokenlimit", "retry-after")
_RAW_OF_LIMITS: Final = tuple(name.encode() for name in _OF_LIMITS)
_PREFIXES: Final = {"requests": "x-ratelimit", "tokens": "x-tokenlimit"}


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a client may still send before the window of a limit ends."""

    limit: float
    remaining: float
    reset: float  # seconds


def rate_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers of rate limits, with names in lower case. Those of HTTP libraries are slow to search one by one."""
    raw = getattr(headers, "raw", None)
    if raw is None:
        return {name.lower(): value for name, value in headers.items() if name.lower().startswith(_OF_LIMITS)}
    return {name.lower().decode(): value.decode("latin-1") for name, value in raw if name.lower().startswith(_RAW_OF_LIMITS)}


def allowance(headers: Mapping[str, str], cause: Cause) -> Allowance | None:
    """Returns what headers say of requests or tokens; None if they do not, or contradict themselves."""
    prefix = _PREFIXES[cause]
    if f"{prefix}-remaining" not in headers:
        return None
    reset = _number(headers, "x-ratelimit-reset-dynamic", "x-ratelimit-reset")
    if reset is None or not 0 <= reset <= MAX_HINT:
        return None
    pairs = []
    for form in ("", "-dynamic"):
        limit, remaining = _number(headers, f"{prefix}-limit{form}"), _number(headers, f"{prefix}-remaining{form}")
        if limit is not None and remaining is not None:
            if not (limit > 0 and remaining <= limit):
                return None
            pairs.append((remaining, limit))
    if not pairs:
        return None
    remaining, limit = max(pairs)
    return Allowance(limit, remaining, reset)


def pause(status: int, headers: Mapping[str, str]) -> float | None:
    """Returns the seconds that a refusal asks to wait, or None."""
    return hint(status, headers, now=time.time())


def cause_of(headers: Mapping[str, str], error: Mapping[str, Any] | None) -> Cause | None:
    """Returns which limit a refusal names, in its error or by headers that say that nothing remains; None if neither does."""
    text = " ".join(str(value) for value in (error or {}).values() if isinstance(value, str)).lower()
    for word, cause in _WORDS:
        if word in text:
            return cause
    spent: list[Cause] = [cause for cause in _CAUSES if (left := allowance(headers, cause)) is not None and left.remaining <= 0]
    return spent[0] if len(spent) == 1 else None


_CAUSES: Final[tuple[Cause, ...]] = ("requests", "tokens")
_WORDS: Final[tuple[tuple[str, Cause], ...]] = (
    ("concurren", "concurrency"),
    ("parallel", "concurrency"),
    ("in flight", "concurrency"),
    ("token_limited", "tokens"),
    ("tokens per", "tokens"),
    ("request_limited", "requests"),
    ("requests per", "requests"),
)


def _number(headers: Mapping[str, str], *names: str) -> float | None:
    for name in names:
        try:
            value = float(headers.get(name) or "")
        except ValueError:
            continue
        if isfinite(value):
            # Some gateways give the time of the reset, not the seconds until then.
            return value - time.time() if "reset" in name and value > 1e9 else value
    return None
