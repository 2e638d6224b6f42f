"""What the headers of a response tell of rate limits: requests and tokens in windows of two seconds, as the service counts them.

Nothing is refused here. The dynamic limits are above what was used, as those of the service are for steady traffic, so the headers
do not contradict an emulator that answers every request.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

WINDOW: Final = 2.0  # seconds; in recorded headers, a limit of 6,000 requests a minute is 200 with a reset of 2
_LIMITED: Final = ("/v1/chat/", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/images/", "/v1/audio/", "/v2/videos")
_REQUESTS_PER_MINUTE: Final = 6_000  # the highest of the service's tiers
_TOKENS_PER_MINUTE: Final = 6_000_000


def is_limited(method: str, path: str) -> bool:
    """Returns whether a request counts: those for models do, those for lists and files do not."""
    return method == "POST" and path.startswith(_LIMITED)


class _Allowance:
    """How many of one thing a window allows, and how many were used."""

    def __init__(self, per_minute: int) -> None:
        self.limit = max(1, int(per_minute * WINDOW / 60))
        self.used = 0
        self._most_used = 0

    def use(self, count: int) -> None:
        self.used += count
        self._most_used = max(self._most_used, self.used)

    def headers(self, name: str) -> dict[str, int]:
        dynamic = max(self.limit, 2 * self._most_used)
        return {
            f"{name}-limit": self.limit,
            f"{name}-remaining": max(0, self.limit - self.used),
            f"{name}-limit-dynamic": dynamic,
            f"{name}-remaining-dynamic": dynamic - self.used,
        }


class RateWindow:
    """The current window of an account; the first request after its end begins the next."""

    def __init__(
        self,
        requests_per_minute: int = _REQUESTS_PER_MINUTE,
        tokens_per_minute: int = _TOKENS_PER_MINUTE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._requests = _Allowance(requests_per_minute)
        self._tokens = _Allowance(tokens_per_minute)
        self._end = -math.inf

    def use(self, requests: int = 0, tokens: int = 0) -> None:
        """Counts what a request uses."""
        with self._lock:
            self._renew()
            self._requests.use(requests)
            self._tokens.use(tokens)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Returns the headers of a response, as of now.

        As on the service, `retry-after` comes with successful responses too: a client must not wait because of it.
        """
        with self._lock:
            self._renew()
            reset = math.ceil(self._end - self._clock())
            values: dict[str, object] = {
                **self._requests.headers("x-ratelimit"),
                **self._tokens.headers("x-tokenlimit"),
                "x-ratelimit-reset": reset,
                "x-ratelimit-reset-dynamic": reset,
                "retry-after": reset,
                "x-ratelimit": "false",
            }
        return [(name.encode(), str(value).encode()) for name, value in values.items()]

    def _renew(self) -> None:
        now = self._clock()
        if now >= self._end:
            self._end = now + WINDOW
            self._requests.used = self._tokens.used = 0
