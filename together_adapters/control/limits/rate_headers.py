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

_PREFIXES: Final[dict[Cause, str]] = {"requests": "x-ratelimit", "tokens": "x-tokenlimit"}
_PAIRS: Final = {
    cause: [(f"{prefix}-limit{form}", f"{prefix}-remaining{form}") for form in ("", "-dynamic")]
    for cause, prefix in _PREFIXES.items()
}
_REQUEST_ID: Final = b"x-request-id"
_RAY: Final = b"cf-ray"  # of the gateway in front of the service, where it gives no other
_OTHERS: Final = ("x-ratelimit-reset", "x-ratelimit-reset-dynamic", "retry-after", "retry-after-ms")
_NAMES: Final = {
    name.encode(): name for name in (*_OTHERS, *(name for pairs in _PAIRS.values() for pair in pairs for name in pair))
}


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a client may still send before the window of a limit ends."""

    limit: float
    remaining: float
    reset: float  # seconds


def request_id(headers: Mapping[str, str]) -> str | None:
    """Returns the id that the service gave a request."""
    result: bytes | None = None
    for name, value in getattr(headers, "raw", ()):  # those of HTTP libraries are slow to search
        if name == _REQUEST_ID and value:
            result = value
            break
        if name == _RAY:
            result = value
    return result.decode("latin-1") if result else headers.get("x-request-id") or headers.get("cf-ray")


def useful_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the headers of rate limits, with names in lower case."""
    raw = getattr(headers, "raw", None)
    if raw is None:
        return {name.lower(): value for name, value in headers.items() if name.lower() in _NAMES.values()}
    useful = {}
    for raw_name, value in raw:
        name = _NAMES.get(raw_name) or _NAMES.get(raw_name.lower())
        if name is not None:
            useful[name] = value.decode("latin-1")
    return useful


def allowance(headers: Mapping[str, str], cause: Cause) -> Allowance | None:
    """Returns what headers say of requests or tokens; None if they do not, or contradict themselves."""
    pairs = []
    for limit_name, remaining_name in _PAIRS[cause]:
        if remaining_name in headers:
            limit, remaining = _number(headers.get(limit_name)), _number(headers[remaining_name])
            if limit is not None and remaining is not None:
                if not (limit > 0 and remaining <= limit):
                    return None
                pairs.append((remaining, limit))
    if not pairs:
        return None
    reset = _number(headers.get("x-ratelimit-reset-dynamic") or headers.get("x-ratelimit-reset"))
    if reset is not None and reset > 1e9:  # some gateways give the time of the reset, not the seconds until then
        reset -= time.time()
    if reset is None or not 0 <= reset <= MAX_HINT:
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


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if isfinite(value) else None
