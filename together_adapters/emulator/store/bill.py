"""What the emulator bills: each request that a model answered, by the prices of the catalogue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from together_adapters.emulator.store.catalogue import prices_of
from together_adapters.types.capabilities import Capabilities

DEFAULT_KEEP_ROWS: Final = 100_000
PICODOLLARS: Final = 1_000_000_000_000  # a price per million tokens is a whole number of them per token


class BillRow(NamedTuple):
    """What one request costs.

    Attributes:
        kind: `chat`, `completion`, `embeddings`, `rerank`, `image`, `speech`, `transcription`, `video`, `code`, `fine-tune`, or
            `batch` for one line of a batch.
        model: The model that answered.
        input_tokens: Tokens of the prompt; of the training data, for a fine-tune.
        cached_tokens: Those of them that cost what cached ones do.
        output_tokens: Tokens that were generated; of a stream that ended early, those that were sent.
        reasoning_tokens: Those of them that are reasoning.
        picodollars: What it costs in 1e-12 US dollars; None where the catalogue has no price: images, audio, videos, code.
        status: The status of the response; None if its client left before it began.
        request_id: The `x-request-id` of the response; for a line of a batch, the `id` of its response.
        is_stream: Whether it was a stream.
        is_complete: False for a stream that was cut, or left early.
    """

    kind: str
    model: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    picodollars: int | None
    status: int | None
    request_id: str
    is_stream: bool = False
    is_complete: bool = True

    @property
    def cost(self) -> float | None:
        """US dollars; None where the catalogue has no price."""
        return None if self.picodollars is None else self.picodollars / PICODOLLARS


@dataclass(slots=True)
class BillTotal:
    """The sum of all rows. `without_price` counts those that the catalogue has no price for."""

    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    picodollars: int = 0
    without_price: int = 0

    @property
    def cost(self) -> float:
        """US dollars."""
        return self.picodollars / PICODOLLARS

    def add(self, row: BillRow) -> None:
        self.requests += 1
        self.input_tokens += row.input_tokens
        self.cached_tokens += row.cached_tokens
        self.output_tokens += row.output_tokens
        self.reasoning_tokens += row.reasoning_tokens
        self.picodollars += row.picodollars or 0
        self.without_price += row.picodollars is None


class Bill:
    """The requests that were billed since `Emulator.clear`. It keeps the last 100,000 rows; totals have all of them. Thread-safe."""

    def __init__(self, keep: int = DEFAULT_KEEP_ROWS) -> None:
        self._lock = threading.Lock()
        self._rows: deque[BillRow] = deque(maxlen=keep)
        self._totals: dict[tuple[str, str], BillTotal] = {}
        self.edition = 0  # grows when it is cleared
        self._prices: dict[str, tuple[int, int, int]] = {}

    def rows(self) -> list[BillRow]:
        """Returns the rows, in the order in which their requests ended."""
        with self._lock:
            return list(self._rows)

    def total(self, *, kind: str | None = None, model: str | None = None) -> BillTotal:
        """Returns the sum of all rows, or of those of one kind or model."""
        result = BillTotal()
        with self._lock:
            for (each_kind, each_model), total in self._totals.items():
                if kind in (None, each_kind) and model in (None, each_model):
                    for name in BillTotal.__slots__:
                        setattr(result, name, getattr(result, name) + getattr(total, name))
        return result

    def add(self, row: BillRow, edition: int) -> None:
        """Adds a row, unless its request began before the bill was cleared."""
        with self._lock:
            if edition != self.edition:
                return
            self._rows.append(row)
            total = self._totals.get(row[:2])
            if total is None:
                total = self._totals[row[:2]] = BillTotal()
            total.add(row)

    def clear(self) -> None:
        with self._lock:
            self.edition += 1
            self._rows.clear()
            self._totals.clear()

    def picodollars(self, model: str, facts: Capabilities, usage: Mapping[str, Any]) -> int:
        """Returns what the tokens of a `usage` object cost, by the prices that the catalogue has for a model."""
        prices = self._prices.get(model)
        if prices is None:
            prices = self._prices[model] = _prices_per_token(facts)
        cached = cached_tokens(usage)
        prompt, output = int(usage.get("prompt_tokens") or 0) - cached, int(usage.get("completion_tokens") or 0)
        return prompt * prices[0] + cached * prices[1] + output * prices[2]


def _prices_per_token(facts: Capabilities) -> tuple[int, int, int]:
    """Returns the picodollars of a token of a prompt, of a cached prompt, and of an output."""
    prices = prices_of(facts)
    input, cached, output = (round(prices[name] * 1_000_000) for name in ("input", "cached_input", "output"))
    return input, cached, output


def cached_tokens(usage: Mapping[str, Any]) -> int:
    """Returns the cached tokens of a `usage` object, which has them flat or nested."""
    return int(usage.get("cached_tokens") or (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)


def reasoning_tokens(usage: Mapping[str, Any]) -> int:
    """Returns the reasoning tokens of a `usage` object."""
    return int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
