"""Histograms with few bins, to show a distribution in a terminal or a plot."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from math import ceil, floor, log2
from typing import Final, NamedTuple

from together_adapters.finetune.reports.distribution import EXACT_BITS, Distribution

_SKEW: Final = 4
"""If the maximum is this many times the 90th percentile, bins of equal width would show one bar."""
_ROUNDING: Final = 1e-9


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
    min_width = 1 << max(0, values.max.bit_length() - EXACT_BITS)
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
