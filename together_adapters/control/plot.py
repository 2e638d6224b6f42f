"""Plots a ledger: what was spent over time, stacked by the values of a key. It needs no display."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from together_adapters.control.dollars import format_dollars, fraction_digits
from together_adapters.control.time_axis import clock, ticks
from together_adapters.control.usage import Usage
from together_adapters.plots import GREY, INK, require_matplotlib, round_values, set_style, step_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Timeline = Sequence[tuple[tuple[datetime, str | int | None], Usage]]
Series = Mapping[str, Mapping[datetime, float]]

_COLOURS: Final = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#c44e52", "#937860", "#64b5cd")
_MAX_NAME: Final = 48
_BAR: Final = 0.9  # of an interval
_UNITS: Final = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}


def draw(timeline: Timeline, width: timedelta, key: str, title: str = "") -> Figure:
    """Returns a timeline as a figure of matplotlib; raises ImportError without it."""
    require_matplotlib()
    from matplotlib.figure import Figure

    is_priced = any(usage.cost for _, usage in timeline)
    series = _series(timeline, key, is_priced)
    figure = Figure(figsize=(9.0, 4.4 + 0.22 * len(series)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    total = sum(sum(one.values()) for one in series.values())
    digits = fraction_digits(total) if is_priced else None
    heading = f"{title}: {_amount(total, digits)}" if title else _amount(total, digits)
    heading += "" if is_priced else " tokens"
    figure.suptitle(heading + _period(timeline, width), x=0.01, ha="left", fontsize=13, color=INK, parse_math=False)
    what = "Dollars" if is_priced else "Tokens (no price is known)"
    set_style(axes, f"{what} per {interval_name(width)}, by {key}")
    if not timeline:
        axes.text(0.5, 0.5, "no calls", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    _draw_bars(axes, series, width, digits)
    _label_time(axes, [start for (start, _), _ in timeline], width)
    values = round_values(*axes.get_ylim(), whole=not is_priced)
    tick_digits = step_digits(values) if is_priced else None
    axes.set_yticks(values, [_amount(value, tick_digits) for value in values], parse_math=False)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower left", frameon=False, fontsize=9, labelcolor=INK, ncols=1, alignment="left")
    return figure


def interval_name(width: timedelta) -> str:
    """Returns a length of time in words: `day`, `3 hours`."""
    for name, unit in _UNITS.items():
        if not width % unit:
            count = width // unit
            return name if count == 1 else f"{count} {name}s"
    return f"{width.total_seconds():g} seconds"


def _series(timeline: Timeline, key: str, is_priced: bool) -> Series:
    """Returns the amounts by name and time, the highest sum first; those after the seventh as one."""
    amounts: dict[str | int | None, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
    for (start, value), usage in timeline:
        amounts[value][start] += usage.cost if is_priced else usage.input_tokens + usage.output_tokens
    order = sorted(amounts, key=lambda value: (-sum(amounts[value].values()), str(value)))
    count = len(_COLOURS) if len(order) > len(_COLOURS) + 1 else len(order)
    series = {_name(value, key): amounts[value] for value in order[:count]}
    if rest := order[count:]:
        others = series[f"{len(rest):,} others"] = defaultdict(float)
        for value in rest:
            for start, amount in amounts[value].items():
                others[start] += amount
    return series


def _name(value: Any, key: str) -> str:
    text = f"no {key.removeprefix('tag.')}" if value is None else " ".join(str(value).split())
    return text if len(text) <= _MAX_NAME else f"{text[: _MAX_NAME - 1]}…"


def _draw_bars(axes: Axes, series: Series, width: timedelta, digits: int | None) -> None:
    bottoms: dict[datetime, float] = defaultdict(float)
    for index, (name, amounts) in enumerate(series.items()):
        starts = sorted(amounts)
        label = f"{_amount(sum(amounts.values()), digits)}   {name}"
        axes.bar(
            starts,  # type: ignore[arg-type]  # matplotlib converts times
            [amounts[start] for start in starts],
            width * _BAR,  # type: ignore[arg-type]
            [bottoms[start] for start in starts],
            align="edge",
            color=_COLOURS[index] if index < len(_COLOURS) else GREY,
            label=label.replace("$", r"\$"),
        )
        for start in starts:
            bottoms[start] += amounts[start]
    axes.set_ylim(0, max(bottoms.values()) * 1.06 or 1)


def _label_time(axes: Axes, starts: Sequence[datetime], width: timedelta) -> None:
    first, last = min(starts), max(starts)
    times, labels, is_each = ticks(first, last, width)
    middle = width * (_BAR / 2) if is_each else timedelta()
    axes.set_xticks([time + middle for time in times], labels)  # type: ignore[arg-type]  # matplotlib converts times
    margin = width * 0.5
    axes.set_xlim(first - margin, last + width + margin)  # type: ignore[arg-type]


def _amount(value: float, digits: int | None) -> str:
    """Returns dollars with so many digits, or a number of tokens."""
    return f"{value:,.0f}" if digits is None else format_dollars(value, digits)


def _period(timeline: Timeline, width: timedelta) -> str:
    if not timeline:
        return ""
    first, last = timeline[0][0][0], timeline[-1][0][0]
    pattern = "%Y-%m-%d" if width >= _UNITS["day"] else f"%Y-%m-%d {clock(width)}"
    period = f"{first:{pattern}}" if first == last else f"{first:{pattern}} to {last:{pattern}}"
    return f", {period} (UTC)"
