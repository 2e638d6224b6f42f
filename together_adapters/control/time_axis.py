"""The time axis of a plot: few ticks at round times, and labels that differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from together_adapters.control.rows import EPOCH

MAX_TICKS: Final = 9
_DAY, _WEEK = timedelta(days=1), timedelta(weeks=1)
_STEPS: Final = [timedelta(seconds=seconds) for seconds in (1, 2, 5, 10, 15, 30)] + [
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)),
    *(_DAY, 2 * _DAY, _WEEK),
]
_MONTHS: Final = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12_000)
_YEAR: Final = 12


def clock(step: timedelta) -> str:
    """Returns how times of a day are written that are so far apart."""
    return "%H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"


class Ticks(NamedTuple):
    """Times with their labels. `is_each` says that every interval has one."""

    times: list[datetime]
    labels: list[str]
    is_each: bool


def ticks(first: datetime, last: datetime, width: timedelta) -> Ticks:
    """Returns the ticks for intervals of equal length, of which the first and the last start at these times."""
    count = (last - first) // width + 1
    if count <= MAX_TICKS:
        times = [first + number * width for number in range(count)]
        return Ticks(times, _labels(times, width), is_each=True)
    if width < _WEEK:
        step = next((step for step in _STEPS if (last - first) // step < MAX_TICKS), width * (count // MAX_TICKS + 1))
        start = first + (EPOCH - first) % step
        times = [start + number * step for number in range((last - start) // step + 1)]
        return Ticks(times, _labels(times, step), is_each=False)
    return _months(first, last)


def _labels(times: Sequence[datetime], step: timedelta) -> list[str]:
    """Returns dates, or where a day has several ticks, times with the date below the first of each day."""
    if step >= _DAY:
        return [f"{time:%Y-%m-%d}" for time in times]
    dates = [None, *(time.date() for time in times)]
    return [
        f"{time:{clock(step)}}" if date == time.date() else f"{time:{clock(step)}\n%Y-%m-%d}"
        for time, date in zip(times, dates, strict=False)
    ]


def _months(first: datetime, last: datetime) -> Ticks:
    """Returns the starts of months, or of years."""
    low, high = (time.year * 12 + time.month - 1 for time in (first, last))
    step = next(step for step in _MONTHS if (high - low) // step < MAX_TICKS)
    numbers = range(-(-low // step) * step, high + 1, step)
    times = [datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC) for number in numbers]
    times = [time for time in times if first <= time <= last]
    return Ticks(times, [f"{time:%Y}" if step >= _YEAR else f"{time:%Y-%m}" for time in times], is_each=False)
