"""Plots and histograms: every value is counted once, and the same report gives the same bytes."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.finetune import DataReport
from together_adapters.finetune.reports.diff import Difference, report_differences
from together_adapters.finetune.reports.distribution import Bin, distribution, histogram, is_skewed, log_histogram
from together_adapters.finetune.reports.plot import draw, save_picture

VALUES = st.dictionaries(st.integers(0, 10**7), st.integers(1, 50), min_size=1, max_size=40)


# matplotlib 3.8 with pyparsing 3.3
pytestmark = pytest.mark.filterwarnings("ignore:'\\w+' deprecated - use:DeprecationWarning")
needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")


def report(**changes: object) -> DataReport:
    tokens = distribution({20: 5, 60: 30, 90: 12, 4000: 1})
    fields = {"rows": 50, "valid": 48, "errors": 2, "tokens": tokens, "issue_counts": {"json_syntax": 2}, "max_seq_length": 1024}
    return DataReport.model_validate({**fields, **changes})


@given(VALUES)
def test_bins_count_every_value_once(counts: dict[int, int]) -> None:
    values = distribution(counts)
    for bins in (histogram(values), histogram(values, 40), log_histogram(values), log_histogram(values, 3)):
        assert sum(one.number for one in bins) == values.count
        assert all(one.low <= one.high for one in bins)
        assert all(one.high + 1 == after.low for one, after in pairwise(bins))
        assert bins[0].low <= min(counts) and max(counts) <= bins[-1].high


@given(VALUES, st.integers(2, 30))
def test_bins_of_equal_width_are_few(counts: dict[int, int], max_bins: int) -> None:
    bins = histogram(distribution(counts), max_bins)
    assert len({one.high - one.low for one in bins}) == 1
    assert len(bins) <= max_bins + 2


def test_bins_have_round_bounds() -> None:
    assert histogram(distribution({3: 1, 90: 2}), 4) == [Bin(0, 31, 1), Bin(32, 63, 0), Bin(64, 95, 2)]
    assert log_histogram(distribution({0: 1, 3: 1, 9: 2})) == [
        Bin(0, 0, 1),
        Bin(1, 1, 0),
        Bin(2, 3, 1),
        Bin(4, 7, 0),
        Bin(8, 15, 2),
    ]
    assert histogram(distribution({})) == log_histogram(distribution({})) == []
    assert is_skewed(distribution({10: 99, 1000: 1})) and not is_skewed(distribution({10: 5, 30: 5}))


@needs_matplotlib
@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.pdf", "a.PNG"])
def test_a_picture_is_the_same_every_time(tmp_path: Path, name: str) -> None:
    save_picture(report(), tmp_path / name, title="data.jsonl")
    first = (tmp_path / name).read_bytes()
    save_picture(report(), tmp_path / name, title="data.jsonl")
    assert (tmp_path / name).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(FileExistsError):
        save_picture(report(), tmp_path / name, overwrite=False)


@needs_matplotlib
def test_contents_of_a_plot(tmp_path: Path) -> None:
    figure = draw(report(dropped={"duplicate": 2}), title="data.jsonl")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Tokens per row, estimated",
        "Issues: errors red, warnings amber",
        "Dropped rows",
    ]
    assert figure.get_suptitle() == "data.jsonl: 50 rows, 2 errors, 0 warnings"
    legend = figure.axes[0].get_legend()
    assert legend is not None and legend.get_texts()[-1].get_text() == "trained up to 1,024"
    counts = {f"reason_{n}": 30 - n for n in range(25)}
    names = [label.get_text() for label in draw(report(dropped=counts)).axes[2].get_yticklabels()]
    assert names[0] == "reason_0" and names[-1] == "15 others"


@needs_matplotlib
@pytest.mark.parametrize("title", ["", "$x_1$ $", "数据.jsonl", "a\\frac"])
def test_names_are_not_parsed_as_math(tmp_path: Path, title: str) -> None:
    save_picture(report(dropped={"$\\x$": 1}), tmp_path / "a.png", title=title)


@needs_matplotlib
@pytest.mark.parametrize(
    ("lengths", "labels"),
    [
        ({7: 1}, ["6", "7", "8"]),
        ({63: 30}, ["62", "63", "64"]),
        ({0: 3}, ["0", "1"]),
        ({10: 1, 11: 1, 12: 1}, ["10", "11", "12"]),
        ({5001: 20, 5003: 1}, ["4,999", "5,000", "5,001", "5,002", "5,003", "5,004", "5,005"]),
        ({100 * n: n + 1 for n in range(60)}, ["0", "1,000", "2,000", "3,000", "4,000", "5,000"]),
        ({10: 90, 9000: 1}, ["8", "16", "32", "64", "128", "256", "512", "1,024", "2,048", "4,096", "8,192"]),
    ],
)
def test_labels_of_lengths_differ(lengths: dict[int, int], labels: list[str]) -> None:
    figure = draw(report(tokens=distribution(lengths), max_seq_length=None))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == labels
    counts = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert counts == sorted(set(counts)) and len(counts) >= 2
    assert axes.xaxis.get_offset_text().get_text() == axes.yaxis.get_offset_text().get_text() == ""


@needs_matplotlib
def test_an_empty_report(tmp_path: Path) -> None:
    save_picture(DataReport(), tmp_path / "a.png")
    with pytest.raises(ValueError, match="ends in none of"):
        save_picture(DataReport(), tmp_path / "a.gif")


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from together_adapters.finetune import DataReport\n"
        "from together_adapters.finetune.reports.plot import draw\n"
        "try: draw(DataReport())\n"
        "except ImportError as problem: print(problem)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert "together-adapters[plots]" in done.stdout


def test_reports_that_differ() -> None:
    one, other = report(), report(issue_counts={"json_syntax": 2, "blank_line": 1}, duplicates=3, engine="msgspec")
    assert report_differences(one, one) == []
    assert report_differences(one, other) == [Difference("issue_counts.blank_line", 0, 1)]
