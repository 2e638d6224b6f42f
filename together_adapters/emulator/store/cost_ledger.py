"""What was used: tokens of each model in each hour, and what they cost by the prices of the table."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from together_adapters.emulator.store.catalogue import prices_of
from together_adapters.types.capabilities import capabilities

_LENGTHS: Final = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_MAX_ENTRIES: Final = 10_000  # beyond which the oldest hours are forgotten


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class CostLedger:
    """The use of an account. All tokens cost what those of the prompt cost."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: Counter[tuple[datetime, str]] = Counter()

    def add(self, model: str, tokens: int) -> None:
        """Adds what a response used."""
        hour = self._clock().replace(minute=0, second=0, microsecond=0)
        with self._lock:
            self._tokens[hour, model] += tokens
            if len(self._tokens) > _MAX_ENTRIES:
                del self._tokens[min(self._tokens)]

    def month(self) -> str:
        """Returns the present month."""
        return self._clock().strftime("%Y-%m")

    def windows(self, month: str, granularity: str) -> list[dict[str, Any]]:
        """Returns the windows of a month that have any use, the oldest first. Unlike the service's, the last one may not be over."""
        windows: dict[datetime, Counter[str]] = {}
        with self._lock:
            entries = sorted(self._tokens.items())
        for (hour, model), tokens in entries:
            if hour.strftime("%Y-%m") == month:
                start = hour.replace(hour=0) if granularity == "day" else hour
                windows.setdefault(start, Counter())[model] += tokens
        return [_window(start, _LENGTHS[granularity], models) for start, models in windows.items()]


def _window(start: datetime, length: timedelta, models: Counter[str]) -> dict[str, Any]:
    return {
        "date": start.strftime("%Y-%m-%d"),
        "start_time": _time(start),
        "end_time": _time(start + length),
        "line_items": [_line_item(model, tokens) for model, tokens in models.items()],
    }


def _line_item(model: str, tokens: int) -> dict[str, Any]:
    price = Decimal(str(prices_of(capabilities(model))["input"])) / 1_000_000
    return {
        "product_name": "Serverless Inference - Tokens",
        "quantity": str(tokens),
        "unit_price": f"{price:f}",
        "cost": f"{price * tokens:f}",
        "attributes": {},
        "pricing_dimensions": {"model": model},
    }
