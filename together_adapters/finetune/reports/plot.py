"""Plots a report: lengths of rows, issues, and why rows were dropped. It needs no display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from together_adapters.finetune.issues import RULES
from together_adapters.finetune.reports.distribution import Bin, histogram, is_skewed, log_histogram
from together_adapters.finetune.reports.report import DataReport
from together_adapters.plots import (
    AMBER,
    BLUE,
    GREY,
    INK,
    PALE,
    RED,
    check_picture,
    require_matplotlib,
    round_values,
    save_figure,
    set_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from together_adapters.finetune.reports.distribution import Distribution

_BINS: Final = 48
_BARS: Final = 10
_WIDTH: Final = 8.0


def save_picture(report: DataReport, path: str | PathLike[str], *, title: str = "", overwrite: bool = True) -> None:
    """Plots a report and saves the picture atomically. The same report gives the same bytes.

    Args:
        report: The report.
        path: The picture, `.png`, `.svg` or `.pdf`.
        title: The title, such as the name of the file.
        overwrite: Whether to replace an existing file.

    Raises:
        ValueError: The path has another extension.
        FileExistsError: The file exists and `overwrite` is not set.
        ImportError: matplotlib is not installed (`pip install "together-adapters[plots]"`).
    """
    check_picture(Path(path))
    save_figure(draw(report, title=title), path, overwrite=overwrite)


def draw(report: DataReport, *, title: str = "") -> Figure:
    """Returns a report as a figure of matplotlib, to show in a notebook or to save; raises ImportError without it."""
    require_matplotlib()
    from matplotlib.figure import Figure

    issues, reasons = _top_counts(report.issue_counts), _top_counts(report.dropped)
    heights = [3.0 if report.tokens.count else 1.0] + [0.45 + 0.3 * len(bars) for bars in (issues, reasons) if bars]
    figure = Figure(figsize=(_WIDTH, 0.8 + sum(heights)), layout="constrained", facecolor="white")
    rows: Any = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)
    axes: list[Axes] = [row[0] for row in rows]
    figure.suptitle(_heading(report, title), x=0.01, ha="left", fontsize=12, color=INK, parse_math=False)
    _draw_lengths(axes[0], report)
    if issues:
        _draw_bars(axes[1], "Issues: errors red, warnings amber", issues, [_colour(report, code) for code, _ in issues])
    if reasons:
        _draw_bars(axes[-1], "Dropped rows", reasons, [GREY] * len(reasons))
    return figure


def _heading(report: DataReport, title: str) -> str:
    counts = (("row", report.rows), ("error", report.errors), ("warning", report.warnings))
    text = ", ".join(f"{number:,} {name}{'' if number == 1 else 's'}" for name, number in counts)
    return f"{title}: {text}" if title else text


def _draw_lengths(axes: Axes, report: DataReport) -> None:
    name, lengths = report.distributions()[0]
    set_style(axes, name[:1].upper() + name[1:])
    if not lengths.count:
        axes.text(0.5, 0.5, "no row has a length", ha="center", va="center", color=GREY, transform=axes.transAxes)
        axes.set_axis_off()
        return
    if is_skewed(lengths):
        _draw_bins(axes, log_histogram(lengths, 3))
        axes.set_xscale("symlog", base=2, linthresh=1)
        axes.xaxis.set_major_formatter(_whole)
    else:
        _draw_bins(axes, [_clipped(one, lengths) for one in histogram(lengths, _BINS)], shift=-0.5)
        _set_whole_ticks(axes.xaxis, *axes.get_xlim())
    _set_whole_ticks(axes.yaxis, *axes.get_ylim())
    axes.set_ylabel("rows", color=INK)
    _mark(axes, lengths, report.max_seq_length)


def _set_whole_ticks(axis: Axis, low: float, high: float) -> None:
    values = round_values(max(low, 0), high, whole=True)
    axis.set_ticks(values, [_whole(value) for value in values])


def _whole(value: float, _: float | None = None) -> str:
    return f"{value:,.0f}"


def _clipped(one: Bin, lengths: Distribution) -> Bin:
    """Returns a bin without the lengths that no row can have."""
    return Bin(max(one.low, lengths.min or 0), min(one.high, lengths.max or 0), one.number)


def _draw_bins(axes: Axes, bins: Sequence[Bin], shift: float = 0) -> None:
    """Draws a bar for each bin; `shift` puts the number of a bin of one length under its middle."""
    lows = [one.low + shift for one in bins]
    widths = [one.high - one.low + 1 for one in bins]
    counts = [one.number for one in bins]
    axes.bar(lows, counts, widths, align="edge", color=PALE, edgecolor="white", linewidth=0.5)
    margin = widths[0] / 2 if len(bins) == 1 else 0
    axes.set_xlim(lows[0] - margin, lows[-1] + widths[-1] + margin)
    axes.set_ylim(0, max(counts) * 1.08)


def _mark(axes: Axes, lengths: Distribution, limit: int | None) -> None:
    """Draws lines at the median, the 95th percentile, and the limit of the model if it is below the maximum."""
    marks = [("median", lengths.p50, BLUE, "-"), ("95 %", lengths.p95, BLUE, "--")]
    if limit is not None and lengths.max is not None and limit < lengths.max:
        marks.append(("trained up to", limit, RED, "-"))
    for name, value, colour, style in marks:
        if value is not None:
            axes.axvline(value, color=colour, linestyle=style, linewidth=1.2, label=f"{name} {value:,}")
    axes.legend(
        frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0, labelcolor=INK, ncols=len(marks)
    )


def _draw_bars(axes: Axes, title: str, bars: Sequence[tuple[str, int]], colours: Sequence[str]) -> None:
    set_style(axes, title)
    indexes = range(len(bars))
    patches = axes.barh(indexes, [number for _, number in bars], height=0.62, color=colours)
    axes.bar_label(patches, [f"{number:,}" for _, number in bars], padding=4, fontsize=9, color=INK)
    axes.set_yticks(indexes, [name for name, _ in bars], parse_math=False)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_xlim(0, max(number for _, number in bars) * 1.12)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)


def _top_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Returns the highest counts; the others as one."""
    items = sorted(((name, number) for name, number in counts.items() if number), key=lambda item: (-item[1], item[0]))
    rest = items[_BARS:]
    return items[:_BARS] + ([(f"{len(rest)} others", sum(number for _, number in rest))] if rest else [])


def _colour(report: DataReport, code: str) -> str:
    """Returns red for an error, amber for a warning."""
    listed_severity = next((issue.severity for issue in report.issues if issue.code == code), None)
    severity = listed_severity or (RULES[code].severity if code in RULES else None)
    return {"error": RED, "warning": AMBER}.get(severity or "", GREY)
