"""Amounts of dollars as text, with enough digits for small sums."""

from __future__ import annotations

from math import floor, log10

_MAX_DIGITS = 10


def fraction_digits(amount: float, significant: int = 4) -> int:
    """Returns how many digits after the point show the first digits of an amount: at least two."""
    return max(2, min(significant - 1 - floor(log10(abs(amount))), _MAX_DIGITS)) if amount else 2


def format_dollars(amount: float, digits: int) -> str:
    """Returns an amount as text; one that would be shown as zero, but is not, as less than the smallest."""
    smallest = 10**-digits
    if 0 < amount < smallest / 2:
        return f"<${smallest:.{digits}f}"
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{digits}f}"
