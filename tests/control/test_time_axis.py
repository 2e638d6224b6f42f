"""Ticks of a time axis: few, in order, within the axis, and none reads like another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.control.grouping import interval_width
from together_adapters.control.rows import EPOCH
from together_adapters.control.time_axis import MAX_TICKS, ticks

MICROSECOND = timedelta(microseconds=1)


@given(st.integers(0, 4 * 10**15), st.one_of(st.integers(0, 10**9), st.integers(0, 10**13), st.integers(0, 10**16)))
def test_ticks_are_few_and_differ(start: int, length: int) -> None:
    """Of a second to some centuries."""
    width = interval_width(start, start + length)
    first, last = (EPOCH + (time * MICROSECOND) // width * width for time in (start, start + length))
    result = ticks(first, last, width)
    assert 1 <= len(result.times) <= MAX_TICKS + 1
    assert first <= result.times[0] and result.times[-1] <= last
    assert result.times == sorted(result.times)
    dates = accumulate(result.labels, lambda date, label: label if "\n" in label else f"{label}\n{date.partition(chr(10))[2]}")
    assert len(set(dates if ":" in result.labels[0] else result.labels)) == len(result.labels)
    assert len(result.times) == len(result.labels)
    assert result.is_each == ((last - first) // width < MAX_TICKS)


HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


@pytest.mark.parametrize(
    ("first", "last", "width", "labels"),
    [
        ("2026-11-01T09:30", "2026-11-01T09:30", HOUR / 60, ["09:30\n2026-11-01"]),
        ("2026-11-01T23:59:59", "2026-11-02T00:00:01", HOUR / 3600, ["23:59:59\n2026-11-01", "00:00:00\n2026-11-02", "00:00:01"]),
        ("2026-11-01T09:30", "2026-11-01T09:32", HOUR / 60, ["09:30\n2026-11-01", "09:31", "09:32"]),
        ("2026-12-31T22:00", "2027-01-01T00:00", HOUR, ["22:00\n2026-12-31", "23:00", "00:00\n2027-01-01"]),
        ("2026-11-01T09:31", "2026-11-01T10:20", HOUR / 60, ["09:40\n2026-11-01", "09:50", "10:00", "10:10", "10:20"]),
        ("2026-11-01T01:00", "2026-11-02T23:00", HOUR, ["06:00\n2026-11-01", "12:00", "18:00", "00:00\n2026-11-02", "06:00", "12:00", "18:00"]),
        ("2026-11-01", "2026-11-01", DAY, ["2026-11-01"]),
        ("2026-12-31", "2027-01-02", DAY, ["2026-12-31", "2027-01-01", "2027-01-02"]),
        ("2026-11-28", "2026-12-10", DAY, ["2026-11-29", "2026-12-01", "2026-12-03", "2026-12-05", "2026-12-07", "2026-12-09"]),
        ("2026-11-05", "2027-02-04", WEEK, ["2026-12", "2027-01", "2027-02"]),
        ("2026-11-05", "2032-11-04", 6 * WEEK, ["2027", "2028", "2029", "2030", "2031", "2032"]),
    ],
)  # fmt: skip
def test_labels(first: str, last: str, width: timedelta, labels: list[str]) -> None:
    start, end = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (first, last))
    assert ticks(start, end, width).labels == labels
