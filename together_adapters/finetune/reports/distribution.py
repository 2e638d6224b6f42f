"""Distributions of values, with fixed bins so that those of parts add up to that of the whole; histograms of them for display."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import ceil, floor, log2
from operator import mul
from typing import Final, NamedTuple

from pydantic import BaseModel, Field, computed_field, field_validator

_EXACT_BITS: Final = 6
"""A distribution keeps this many leading bits of a value."""
_MAX_VALUES: Final = 20_000
_SKEW: Final = 4
"""If the maximum is this many times the 90th percentile, bins of equal width would show one bar."""
_ROUNDING: Final = 1e-9


class Distribution(BaseModel):
    """How often which values occur, with exact `count`, `total`, `min` and `max`. Adds up in any order.

    `hist` is the number of values in each bin, by its lowest value: exact below 64; above, quantiles are at most 3.2 % too low.
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
        """The 5th percentile."""
        return self.quantile(0.05)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p50(self) -> int | None:
        """The median."""
        return self.quantile(0.5)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p95(self) -> int | None:
        """The 95th percentile."""
        return self.quantile(0.95)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def p99(self) -> int | None:
        """The 99th percentile."""
        return self.quantile(0.99)

    def quantile(self, share: float) -> int | None:
        """Returns the lowest value that this share of the values does not exceed; None without values."""
        rank = max(1, ceil(share * self.count))
        if self.max is None or self.min is None or rank >= self.count:
            return self.max
        for low, count in self.hist.items():
            rank -= count
            if rank <= 0:
                return max(self.min, low)
        return self.max

    def above(self, value: int) -> int:
        """Returns the number of higher values, as far as the histogram tells."""
        if self.max is None or self.max <= value:
            return 0
        return sum(count for low, count in self.hist.items() if low > value) or 1

    def cut(self, value: int) -> int:
        """Returns the sum if higher values were replaced by this one, as far as the histogram tells."""
        if self.max is None or self.max <= value:
            return self.total
        below = sum(low * count for low, count in self.hist.items() if low <= value)
        return min(self.total, below + value * self.above(value))

    def bins(self, most: int = 20) -> list[tuple[int, int, int]]:
        """Returns the histogram with fewer bins, for tables and plots: the lowest and highest value of each, and its count."""
        if self.min is None or self.max is None:
            return []
        width = max(1, ceil((self.max - self.min + 1) / most))
        counts: Counter[int] = Counter()
        for low, count in self.hist.items():
            counts[(max(self.min, low) - self.min) // width] += count
        return [
            (self.min + index * width, min(self.max, self.min + (index + 1) * width - 1), counts[index])
            for index in range((self.max - self.min) // width + 1)
        ]

    def __add__(self, other: Distribution) -> Distribution:
        """Returns the distribution of the values of both."""
        if not isinstance(other, Distribution):
            return NotImplemented
        return Distribution(
            count=self.count + other.count,
            total=self.total + other.total,
            min=min((low for low in (self.min, other.min) if low is not None), default=None),
            max=max((high for high in (self.max, other.max) if high is not None), default=None),
            hist={low: self.hist.get(low, 0) + other.hist.get(low, 0) for low in self.hist.keys() | other.hist.keys()},
        )

    def __str__(self) -> str:
        if not self.count:
            return "none"
        return f"min {self.min:,}, p5 {self.p5:,}, median {self.p50:,}, p95 {self.p95:,}, p99 {self.p99:,}, max {self.max:,}"


def distribution(counts: Mapping[int, int], divisor: int = 1) -> Distribution:
    """Returns the distribution of values that are not negative, by how often each occurs, divided and rounded up."""
    if not counts:
        return Distribution()
    values = sorted(counts)
    numbers = [counts[value] for value in values]
    ranks = [0, *accumulate(numbers)]
    hist: dict[int, int] = {}
    start = 0
    while start < len(values):
        first = -(-values[start] // divisor)
        shift = max(0, first.bit_length() - _EXACT_BITS)
        low = first >> shift << shift
        end = bisect_right(values, (low + (1 << shift) - 1) * divisor, start)
        hist[low] = ranks[end] - ranks[start]
        start = end
    quotients = [-(-value // divisor) for value in values] if divisor > 1 else values
    total = sum(map(mul, quotients, numbers))
    return Distribution(count=ranks[-1], total=total, min=quotients[0], max=quotients[-1], hist=hist)


class Tally:
    """Counts values, in bins if too many differ, and the values divided by `divisor` and rounded up."""

    def __init__(self, divisor: int = 1) -> None:
        self._divisor = divisor
        self._counts: Counter[int] = Counter()
        self._values = self._quotients = Distribution()

    def add(self, value: int) -> None:
        """Counts a value."""
        self._counts[value] = self._counts.get(value, 0) + 1
        if len(self._counts) > _MAX_VALUES:
            self._bin()

    def extend(self, values: Iterable[int]) -> None:
        """Counts values."""
        self._counts.update(values)
        if len(self._counts) > _MAX_VALUES:
            self._bin()

    def distribution(self) -> Distribution:
        """Returns the distribution of the values."""
        self._bin()
        return self._values

    def quotients(self) -> Distribution:
        """Returns the distribution of the divided values."""
        self._bin()
        return self._quotients

    def _bin(self) -> None:
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        self._values += distribution(counts)
        if self._divisor > 1:
            self._quotients += distribution(counts, self._divisor)


class Bin(NamedTuple):
    """The number of values from `low` to `high`, both included."""

    low: int
    high: int
    number: int


def is_skewed(values: Distribution) -> bool:
    """Whether a few values are so high that a logarithmic scale shows more."""
    return values.max is not None and values.max > _SKEW * max(1, values.quantile(0.9) or 0)


def histogram(values: Distribution, max_bins: int = 12) -> list[Bin]:
    """Returns bins of equal width that start at multiples of a power of two, one more than `max_bins` at most."""
    if values.min is None or values.max is None:
        return []
    min_width = 1 << max(0, values.max.bit_length() - _EXACT_BITS)
    width = max(min_width, 1 << ((values.max - values.min) // max_bins).bit_length())
    counts: Counter[int] = Counter()
    for low, count in values.hist.items():
        counts[low // width] += count
    indexes = range(values.min // width, values.max // width + 1)
    return [Bin(index * width, (index + 1) * width - 1, counts[index]) for index in indexes]


def log_histogram(values: Distribution, bins_per_octave: int = 1) -> list[Bin]:
    """Returns bins of equal width on a logarithmic scale; an octave is from a value to its double."""
    if values.min is None or values.max is None:
        return []
    first = floor(log2(max(1, values.min)) * bins_per_octave)
    last = floor(log2(max(1, values.max)) * bins_per_octave) + 1
    lows = sorted({ceil(2 ** (index / bins_per_octave) - _ROUNDING) for index in range(first, last + 1)})
    lows = [0] * (values.min == 0) + lows
    counts = [0] * len(lows)
    for low, count in values.hist.items():
        counts[max(0, bisect_right(lows, low) - 1)] += count
    return [Bin(low, high - 1, count) for low, high, count in zip(lows, lows[1:], counts, strict=False)]
