"""The plot of a ledger: every dollar is in one bar, intervals are few, and the same rows give the same bytes."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.control.dollars import format_dollars, fraction_digits
from together_adapters.control.grouping import MAX_INTERVALS, interval_width
from together_adapters.control.ledger import Ledger, LedgerRow
from together_adapters.control.usage import Usage

# matplotlib 3.8 with pyparsing 3.3
pytestmark = pytest.mark.filterwarnings("ignore:'\\w+' deprecated - use:DeprecationWarning")
needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")

START = datetime(2026, 11, 1, tzinfo=UTC)


def ledger_of(count: int, step: timedelta, jobs: int = 3, price: float | None = 0.25) -> Ledger:
    ledger = Ledger()
    for number in range(count):
        tags = {"job": f"job {number % jobs}"} if number % (jobs + 1) else {}
        ledger.add(LedgerRow(START + number * step, "chat", "m", tags, input_tokens=10, output_tokens=2, cost=price))
    return ledger


def figure_of(ledger: Ledger, by: str, title: str = "") -> Any:
    from together_adapters.control.plot import draw

    width = timedelta(days=1)
    return draw(ledger.timeline(by, width=width), width, by, title)


@given(st.integers(0, 10**16), st.integers(0, 10**16))
def test_intervals_are_few(first: int, length: int) -> None:
    """From a second to some centuries."""
    width = interval_width(first, first + length) // timedelta(microseconds=1)
    assert (first + length) // width - first // width < MAX_INTERVALS + 1
    assert width % 1_000_000 == 0


def test_a_timeline_has_every_call_once() -> None:
    ledger = ledger_of(100, timedelta(hours=5))
    timeline = ledger.timeline("tag.job")
    assert sum((usage for _, usage in timeline), Usage()) == ledger.total()
    assert {start.minute for (start, _), _ in timeline} == {0}
    assert [start for (start, _), _ in timeline] == sorted(start for (start, _), _ in timeline)
    assert {value for (_, value), _ in timeline} == {None, "job 0", "job 1", "job 2"}
    day = ledger.timeline("model", width=timedelta(days=1), since=START + timedelta(days=1), until=START + timedelta(days=2))
    assert [(key, usage.requests) for key, usage in day] == [((START + timedelta(days=1), "m"), 5)]
    assert Ledger().timeline() == []


@needs_matplotlib
def test_every_dollar_is_in_one_bar() -> None:
    ledger = ledger_of(90, timedelta(hours=4), jobs=20)
    figure = figure_of(ledger, "tag.job", "usage.sqlite")
    (axes,) = figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(ledger.total().cost)
    assert max(bar.get_y() + bar.get_height() for bar in axes.patches) == 6 * 0.25
    assert figure.get_suptitle() == "usage.sqlite: $22.50, 2026-11-01 to 2026-11-15 (UTC)"
    assert axes.get_title(loc="left") == "Dollars per day, by tag.job"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(labels) == 8
    assert labels[0].endswith("   no job")
    assert labels[-1].endswith("   14 others")


@needs_matplotlib
def test_tokens_where_no_price_is_known() -> None:
    figure = figure_of(ledger_of(12, timedelta(hours=4), price=None), "model")
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Tokens (no price is known) per day, by model"
    assert figure.get_suptitle() == "144 tokens, 2026-11-01 to 2026-11-02 (UTC)"
    assert sum(bar.get_height() for bar in axes.patches) == 144


@needs_matplotlib
@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.PDF"])
def test_a_picture_is_the_same_every_time(tmp_path: Path, name: str) -> None:
    ledger = ledger_of(30, timedelta(minutes=7))
    ledger.add(LedgerRow(START, "chat", "m", {"job": "$x_1$ 日本語 " + "long " * 30}, cost=0.1))
    ledger.plot(tmp_path / name, by="tag.job", title="a$b$.sqlite")
    first = (tmp_path / name).read_bytes()
    ledger.plot(tmp_path / name, by="tag.job", title="a$b$.sqlite")
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(FileExistsError):
        ledger.plot(tmp_path / name, overwrite=False)
    with pytest.raises(ValueError, match=r"a\.gif ends in none of"):
        ledger.plot(tmp_path / "a.gif")
    with pytest.raises(ValueError, match="no key 'job'"):
        ledger.plot(tmp_path / "b.png", by="job")


@needs_matplotlib
@pytest.mark.parametrize("count", [0, 1])
def test_a_picture_of_little(tmp_path: Path, count: int) -> None:
    ledger_of(count, timedelta(hours=1)).plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1_000


def labels_of(axis: Any) -> list[str]:
    """The labels of an axis as they are drawn; each differs from the others, and there is no number above the axis to add to them."""
    axis.figure.draw_without_rendering()
    low, high = axis.get_view_interval()
    labels = [tick.label1.get_text() for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert 1 <= len(labels) <= 10
    assert len(set(labels)) == len(labels)
    assert axis.get_offset_text().get_text() == ""
    return labels


@needs_matplotlib
@pytest.mark.parametrize("count", [1, 10, 59])
@pytest.mark.parametrize("step", [timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1), timedelta(days=200)])
@pytest.mark.parametrize("price", [1e-11, 0.0189, 0.19, 1.7e8, None])
def test_labels_of_an_axis_differ_and_are_true(count: int, step: timedelta, price: float | None) -> None:
    from together_adapters.control.plot import draw

    ledger = ledger_of(count, step, price=price)
    width = ledger._width(None, None)
    (axes,) = draw(ledger.timeline("model", width=width), width, "model").axes
    labels_of(axes.xaxis)
    labels = labels_of(axes.yaxis)
    assert len(labels) >= 2
    values = [float(label.replace("$", "").replace(",", "")) for label in labels]
    assert values == pytest.approx(list(axes.get_yticks()), rel=1e-9, abs=0)


@needs_matplotlib
def test_calls_of_seconds() -> None:
    from together_adapters.control.plot import draw

    ledger = ledger_of(10, timedelta(seconds=2), price=0.018)
    width = ledger._width(None, None)
    (axes,) = draw(ledger.timeline("model", width=width), width, "model").axes
    assert labels_of(axes.xaxis)[:3] == ["00:00:00\n2026-11-01", "00:00:05", "00:00:10"]
    assert labels_of(axes.yaxis) == ["$0.000", "$0.005", "$0.010", "$0.015"]
    assert axes.get_title(loc="left") == "Dollars per second, by model"
    assert axes.figure.get_suptitle() == "$0.1800, 2026-11-01 00:00:00 to 2026-11-01 00:00:18 (UTC)"


@needs_matplotlib
def test_single_tokens_are_whole() -> None:
    ledger = Ledger()
    ledger.add(LedgerRow(START, "chat", "m", {}, input_tokens=1))
    (axes,) = figure_of(ledger, "model").axes
    assert labels_of(axes.yaxis) == ["0", "1"]


def test_a_plot_without_matplotlib_names_the_extra(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from together_adapters.control.ledger import Ledger\n"
        f"try: Ledger().plot({str(tmp_path / 'a.png')!r})\n"
        "except ImportError as error: print(error)"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "together-adapters[plots]"' in completed.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.0, "$0.00"),
        (1234567.891, "$1,234,567.89"),
        (12.3456, "$12.35"),
        (1.6164, "$1.616"),
        (0.000123456, "$0.0001235"),
        (0.0000000001, "$0.0000000001"),
        (-0.5, "-$0.5000"),
    ],
)
def test_amounts_show_four_digits(amount: float, text: str) -> None:
    assert format_dollars(amount, fraction_digits(amount)) == text


def test_an_amount_is_never_shown_as_nothing() -> None:
    assert format_dollars(0.0004, 2) == "<$0.01"
    assert format_dollars(0.005, 2) != "$0.00"
    assert format_dollars(1e-15, fraction_digits(1e-15)) == "<$0.0000000001"
    assert format_dollars(0.0, 4) == "$0.0000"
