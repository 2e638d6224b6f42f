"""A distribution as a few bins that people can look at: in a terminal or in a picture. Pure."""

from __future__ import annotations

from bisect import bisect_right
from math import ceil, floor, log2
from typing import Final, NamedTuple

from together_adapters.finetune.reports.distribution import Distribution

_FAR: Final = 4
"""Where the largest value is this many times what most values stay below, bins of equal width would show one bar."""
_ROUNDING: Final = 1e-9
_EXACT_BITS: Final = 6
"""A distribution keeps this many bits of a value."""


class Bin(NamedTuple):
    """Values from `low` to `high`, both included, and the number of them."""

    low: int
    high: int
    number: int


def is_skewed(spread: Distribution) -> bool:
    """Whether a few values are so large that a logarithmic scale shows more."""
    return spread.max is not None and spread.max > _FAR * max(1, spread.quantile(0.9) or 0)


def histogram(spread: Distribution, most: int = 12) -> list[Bin]:
    """Return bins of equal width, which begin at multiples of a power of two.

    Args:
        spread: What to show.
        most: How many bins there are, or one more where the first begins below the smallest value.
    """
    if spread.min is None or spread.max is None:
        return []
    finest = 1 << max(0, spread.max.bit_length() - _EXACT_BITS)
    width = max(finest, 1 << ((spread.max - spread.min) // most).bit_length())
    counts: dict[int, int] = {}
    for lowest, count in spread.hist.items():
        counts[lowest // width] = counts.get(lowest // width, 0) + count
    return [
        Bin(place * width, (place + 1) * width - 1, counts.get(place, 0))
        for place in range(spread.min // width, spread.max // width + 1)
    ]


def log_histogram(spread: Distribution, parts: int = 1) -> list[Bin]:
    """Return bins that are equally wide on a logarithmic scale.

    Args:
        spread: What to show.
        parts: How many bins there are from a value to its double.
    """
    if spread.min is None or spread.max is None:
        return []
    first = floor(log2(max(1, spread.min)) * parts)
    last = floor(log2(max(1, spread.max)) * parts) + 1
    edges = [0] * (spread.min == 0) + sorted({ceil(2 ** (place / parts) - _ROUNDING) for place in range(first, last + 1)})
    counts = [0] * len(edges)
    for lowest, count in spread.hist.items():
        counts[max(0, bisect_right(edges, lowest) - 1)] += count
    return [Bin(low, high - 1, count) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
