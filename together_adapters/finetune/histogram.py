"""A distribution as a few bins that people can look at: in a terminal or in a picture. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from together_adapters.finetune.distributions import Distribution

_FAR: Final = 4
"""Where the largest value is this many times what most values stay below, bins of equal width would show one bar."""
_EXACT_BITS: Final = 6
"""A distribution keeps this many bits of a value."""


class Bin(NamedTuple):
    """Values from `low` to `high`, both included, and how many there are."""

    low: int
    high: int
    count: int


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


def growing_histogram(spread: Distribution, parts: int = 1) -> list[Bin]:
    """Return bins each of which is as wide as its smallest value.

    Args:
        spread: What to show.
        parts: Into how many parts every such bin is divided: 1, 2, 4, 8.
    """
    if spread.min is None or spread.max is None:
        return []
    bits = parts.bit_length()
    counts: dict[int, int] = {}
    for lowest, count in spread.hist.items():
        low = lowest // (step := _step(lowest, bits)) * step
        counts[low] = counts.get(low, 0) + count
    bins = []
    low = spread.min // (step := _step(spread.min, bits)) * step
    while low <= spread.max:
        step = _step(low, bits)
        bins.append(Bin(low, low + step - 1, counts.get(low, 0)))
        low += step
    return bins


def _step(value: int, bits: int) -> int:
    return 1 << max(0, value.bit_length() - bits)
