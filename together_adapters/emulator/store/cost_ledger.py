"""What was used: tokens of each model in each hour, and what they cost, as the bill has it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from together_adapters.emulator.store.bill import PICODOLLARS

_LENGTHS: Final = {"day": timedelta(days=1), "hour": timedelta(hours=1)}
_MAX_ENTRIES: Final = 10_000  # beyond which the oldest hours are forgotten


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True)
class _Use:
    """Tokens, and what they cost in picodollars."""

    tokens: int = 0
    picodollars: int = 0

    def add(self, tokens: int, picodollars: int) -> None:
        self.tokens += tokens
        self.picodollars += picodollars


class CostLedger:
    """The use of an account."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[datetime, str], _Use] = {}
        self._hour = datetime.min.replace(tzinfo=UTC)

    def add(self, model: str, tokens: int, picodollars: int) -> None:
        """Adds what a response used, and what it costs in picodollars."""
        now = self._clock()
        with self._lock:
            if not timedelta(0) <= now - self._hour < _LENGTHS["hour"]:
                self._hour = now.replace(minute=0, second=0, microsecond=0)
            use = self._entries.get((self._hour, model))
            if use is None:
                use = self._entries[self._hour, model] = _Use()
                if len(self._entries) > _MAX_ENTRIES:
                    del self._entries[min(self._entries)]
            use.add(tokens, picodollars)

    def month(self) -> str:
        """Returns the present month."""
        return self._clock().strftime("%Y-%m")

    def windows(self, month: str, granularity: str) -> list[dict[str, Any]]:
        """Returns the windows of a month that have any use, the oldest first. Unlike the service's, the last one may not be over."""
        windows: dict[datetime, dict[str, _Use]] = {}
        with self._lock:
            entries = sorted((*key, use.tokens, use.picodollars) for key, use in self._entries.items())
        for hour, model, tokens, picodollars in entries:
            if hour.strftime("%Y-%m") == month:
                start = hour.replace(hour=0) if granularity == "day" else hour
                windows.setdefault(start, {}).setdefault(model, _Use()).add(tokens, picodollars)
        return [_window(start, _LENGTHS[granularity], models) for start, models in windows.items()]


def _window(start: datetime, length: timedelta, models: Mapping[str, _Use]) -> dict[str, Any]:
    return {
        "date": start.strftime("%Y-%m-%d"),
        "start_time": _time(start),
        "end_time": _time(start + length),
        "line_items": [_line_item(model, use) for model, use in models.items()],
    }


def _line_item(model: str, use: _Use) -> dict[str, Any]:
    """Returns the use of a model. Its unit price is the mean of those of prompts, cached prompts and outputs."""
    cost = Decimal(use.picodollars) / PICODOLLARS
    return {
        "product_name": "Serverless Inference - Tokens",
        "quantity": str(use.tokens),
        "unit_price": f"{cost / use.tokens if use.tokens else cost:f}",
        "cost": f"{cost:f}",
        "attributes": {},
        "pricing_dimensions": {"model": model},
    }
