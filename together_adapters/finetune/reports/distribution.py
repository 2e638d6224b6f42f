"""How values are spread over rows: a histogram of fixed bins, so that those of any pieces add up to that of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

from pydantic import BaseModel, Field, computed_field, field_validator

_BITS: Final = 6
_MOST_VALUES: Final = 20_000


class Distribution(BaseModel):
    """How often which values occur. Exact below 64; above, quantiles are at most 3.2 % too low. Adds up in any order.

    Attributes:
        count: How many values there are.
        total: Their sum.
        min: The smallest; None when there are none. It is exact, as is `max`.
        max: The largest.
        hist: How many values lie in each bin, by the smallest value of the bin.
    """

    count: int = 0
    total: int = 0
    min: int | None = None
    max: int | None = None
    hist: dict[int, int] = Field(default_factory=dict)

    @field_validator("hist")
    @classmethod
    def _in_order(cls, hist: dict[int, int]) -> dict[int, int]:
        return dict(sorted(hist.items()))

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mean(self) -> float | None:
        """The arithmetic mean."""
        return self.total / self.count if self.count else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p5(self) -> int | None:
        """A twentieth of the values are not larger."""
        return self.quantile(0.05)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p50(self) -> int | None:
        """The median."""
        return self.quantile(0.5)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p95(self) -> int | None:
        """A twentieth of the values are larger."""
        return self.quantile(0.95)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p99(self) -> int | None:
        """A hundredth of the values are larger."""
        return self.quantile(0.99)

    def quantile(self, share: float) -> int | None:
        """Return the smallest value that is not exceeded by this share of the values; None when there are none."""
        wanted = max(1, ceil(share * self.count))
        if self.max is None or self.min is None or wanted >= self.count:
            return self.max
        for lowest, count in self.hist.items():
            wanted -= count
            if wanted <= 0:
                return max(self.min, lowest)
        return self.max

    def above(self, value: int) -> int:
        """Return how many values are larger, as far as the bins tell."""
        if self.max is None or self.max <= value:
            return 0
        return sum(count for lowest, count in self.hist.items() if lowest > value) or 1

    def cut(self, value: int) -> int:
        """Return the sum that there would be if no value were larger than this one, as far as the bins tell."""
        if self.max is None or self.max <= value:
            return self.total
        below = sum(lowest * count for lowest, count in self.hist.items() if lowest <= value)
        return min(self.total, below + value * self.above(value))

    def bins(self, most: int = 20) -> list[tuple[int, int, int]]:
        """Return the histogram in fewer bins, for tables and pictures: the smallest and largest value of each, and its count."""
        if self.min is None or self.max is None:
            return []
        width = max(1, ceil((self.max - self.min + 1) / most))
        counts: dict[int, int] = {}
        for lowest, count in self.hist.items():
            place = (max(self.min, lowest) - self.min) // width
            counts[place] = counts.get(place, 0) + count
        last = (self.max - self.min) // width
        return [
            (self.min + place * width, min(self.max, self.min + (place + 1) * width - 1), counts.get(place, 0))
            for place in range(last + 1)
        ]

    def __add__(self, other: Distribution) -> Distribution:
        """Return the distribution of both together."""
        if not isinstance(other, Distribution):
            return NotImplemented
        hist = dict(self.hist)
        for lowest, count in other.hist.items():
            hist[lowest] = hist.get(lowest, 0) + count
        lows = [low for low in (self.min, other.min) if low is not None]
        highs = [high for high in (self.max, other.max) if high is not None]
        return Distribution(
            count=self.count + other.count,
            total=self.total + other.total,
            min=min(lows, default=None),
            max=max(highs, default=None),
            hist=hist,
        )

    def __str__(self) -> str:
        if not self.count:
            return "none"
        return f"min {self.min:,}, p5 {self.p5:,}, median {self.p50:,}, p95 {self.p95:,}, p99 {self.p99:,}, max {self.max:,}"


def distribution(counts: Mapping[int, int]) -> Distribution:
    """Return the distribution of values that were counted one by one.

    Args:
        counts: How often each value occurs; none is negative.
    """
    if not counts:
        return Distribution()
    hist: dict[int, int] = {}
    total = 0
    for value, count in counts.items():
        spare = max(0, value.bit_length() - _BITS)
        lowest = value >> spare << spare
        hist[lowest] = hist.get(lowest, 0) + count
        total += value * count
    return Distribution(count=sum(counts.values()), total=total, min=min(counts), max=max(counts), hist=hist)


class Tally:
    """Counts values as they come, and puts them into bins when there are too many different ones.

    Args:
        per: Where this is given, the values divided by it and rounded up are counted as well.
    """

    def __init__(self, per: int = 1) -> None:
        self._per = per
        self._counts: Counter[int] = Counter()
        self._binned = self._parts = Distribution()

    def add(self, value: int) -> None:
        """Count a value."""
        self._counts[value] = self._counts.get(value, 0) + 1
        if len(self._counts) > _MOST_VALUES:
            self._bin()

    def extend(self, values: Iterable[int]) -> None:
        """Count values."""
        self._counts.update(values)
        if len(self._counts) > _MOST_VALUES:
            self._bin()

    def distribution(self) -> Distribution:
        """Return what was counted."""
        self._bin()
        return self._binned

    def divided(self) -> Distribution:
        """Return what was counted, divided."""
        self._bin()
        return self._parts

    def _bin(self) -> None:
        counts, self._counts = self._counts, Counter()
        self._binned += distribution(counts)
        if self._per > 1:
            parts: dict[int, int] = {}
            for value, count in counts.items():
                part = -(-value // self._per)
                parts[part] = parts.get(part, 0) + count
            self._parts += distribution(parts)
