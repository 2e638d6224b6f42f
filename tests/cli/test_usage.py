"""`usage LEDGER`: sums as a table that fits, as JSON and as a plot; its errors."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Terminal, one_error, without_styles
from tests.cli.test_completion import completions
from together_adapters.control.ledger import Ledger, LedgerRow
from together_adapters.emulator import Emulator

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
LONG = "acme-models/A-Model-With-A-Long-Name-7B"
SHORT = "Qwen/Qwen3.5-9B"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    rows = [
        LedgerRow(NOON, "chat", LONG, {"job": "evaluation"}, 200, None, 1_200_000, 400_000, 30_000, 20_000, 1.0824, 3, 90.0),
        LedgerRow(NOON + timedelta(days=1), "chat", SHORT, {"job": "nightly"}, 200, None, 7_000, 0, 250, 0, 0.000375, 1, 1.5),
        LedgerRow(NOON - timedelta(days=3), "chat", SHORT, {}, 200, None, 300, 0, 40, 0, 0.000019, 1, 0.5, estimated=True),
        LedgerRow(NOON, "chat", "mine/model", {"job": "nightly"}, 503, "ServiceUnavailableError", 0, attempts=3, estimated=True),
    ]
    with Ledger(tmp_path / "usage.sqlite") as opened:
        for row in rows:
            opened.add(row)
    return tmp_path / "usage.sqlite"


def test_a_table_in_a_pipe(run: Run, ledger: Path, emulator: Emulator) -> None:
    result = run("usage", "usage.sqlite", TOGETHER_API_KEY="")
    lines = [line.split() for line in result.out.splitlines()]
    assert lines == [
        "Model Calls Attempts Input Cached Output Reasoning s/call Cost Estimated Unpriced".split(),
        [LONG, "1", "3", "1,200,000", "400,000", "30,000", "20,000", "90.00", "$1.082"],
        [SHORT, "2", "2", "7,300", "290", "1.00", "<$0.001", "1"],
        ["mine/model", "1", "3", "0", "0", "0.00", "unknown", "1", "1"],
        ["Total", "4", "8", "1,207,300", "400,000", "30,290", "20,000", "23.00", "$1.083", "2", "1"],
    ]
    assert result.err.splitlines() == [
        "1 call without a known price: the costs leave it out (Control has prices=)",
        "2 calls with estimated tokens: the service did not say how many",
    ]
    assert emulator.requests == []


def test_a_tag_that_no_call_has(run: Run, ledger: Path) -> None:
    assert run("usage", "usage.sqlite", "--by", "model,tag.nope").err.startswith(
        "no call has tag.nope; tags of this ledger: tag.job\n"
    )
    assert "no call has" not in run("usage", "usage.sqlite", "--by", "tag.job").err


def test_columns_of_numbers_end_at_the_same_place(run: Run, ledger: Path) -> None:
    header, *rows = run("usage", "usage.sqlite", "--by", "tag.job,model").out.splitlines()
    for title, texts in {"Input": ["1,200,000", "7,000", "300"], "Output": ["30,000", "250", "40"]}.items():
        end = header.index(title) + len(title)
        assert {row[:end].split()[-1] for row in rows} >= set(texts)
        assert all(row[end : end + 2] == "  " for row in rows)


def test_small_sums_have_digits_enough(run: Run, ledger: Path) -> None:
    lines = run("usage", "usage.sqlite", "--until", "2026-11-27").out.splitlines()
    assert [line.split()[-2] for line in lines[1:]] == ["$0.00001900", "$0.00001900"]


def test_days_are_in_their_order(run: Run, ledger: Path) -> None:
    lines = run("usage", "usage.sqlite", "--by", "day").out.splitlines()
    assert [line.split()[0] for line in lines] == ["Day", "2026-11-26", "2026-11-29", "2026-11-30", "Total"]


def test_json_has_every_field(run: Run, ledger: Path) -> None:
    report = run("usage", "usage.sqlite", "--by", "model,tag.job,status", "--json").json
    assert [group["key"] for group in report["groups"]] == [
        {"model": LONG, "tag.job": "evaluation", "status": 200},
        {"model": SHORT, "tag.job": "nightly", "status": 200},
        {"model": SHORT, "tag.job": None, "status": 200},
        {"model": "mine/model", "tag.job": "nightly", "status": 503},
    ]
    assert report["groups"][1]["cost"] == 0.000375
    assert report["total"] == {
        "requests": 4,
        "attempts": 8,
        "input_tokens": 1_207_300,
        "cached_tokens": 400_000,
        "output_tokens": 30_290,
        "reasoning_tokens": 20_000,
        "cost": 1.082794,
        "seconds": 92.0,
        "waited": 0.0,
        "estimated": 2,
        "unpriced": 1,
    }


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--since", "2026-11-29"], 3),
        (["--since", "2026-11-29T12:00"], 3),
        (["--since", "2026-11-29T14:00+01:00", "--until", "2026-11-30"], 0),
        (["--until", "2026-11-29T12:00Z"], 1),
        (["--since", "99999w"], 4),
    ],
)
def test_a_period(run: Run, ledger: Path, options: list[str], count: int) -> None:
    assert run("usage", "usage.sqlite", *options, "--json").json["total"]["requests"] == count


def test_an_age(run: Run, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with Ledger(tmp_path / "usage.sqlite") as opened:
        for age in (timedelta(minutes=20), timedelta(hours=20), timedelta(days=6)):
            opened.add(LedgerRow(now - age, "chat", SHORT))
    counts = [
        run("usage", "usage.sqlite", "--since", age, "--json").json["total"]["requests"] for age in ("10m", "30m", "24h", "1w")
    ]
    assert counts == [0, 1, 2, 3]


def test_no_calls(run: Run, tmp_path: Path) -> None:
    Ledger(tmp_path / "usage.sqlite").close()
    assert (run("usage", "usage.sqlite").out, run("usage", "usage.sqlite").err) == ("", "No calls.\n")
    report = run("usage", "usage.sqlite", "--json").json
    assert (report["groups"], report["total"]["requests"], report["total"]["cost"]) == ([], 0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.sqlite"], ["missing.sqlite", "does not exist"]),
        (["."], ["is a directory"]),
        (["note.txt"], ["note.txt is not a ledger"]),
        (["empty.sqlite"], ["empty.sqlite is empty"]),
        (["usage.sqlite", "--by", "job"], ["--by", "no key 'job'", "tag.job"]),
        (["usage.sqlite", "--by", "tags.job"], ["--by", "no key 'tags.job'", "or tag.job for"]),
        (["usage.sqlite", "--by", "model,"], ["--by", "no key ''", "tag.NAME"]),
        (["usage.sqlite", "--since", "yesterday"], ["--since", "'yesterday'", "7d"]),
        (["usage.sqlite", "--plot", "a.gif"], ["a.gif", ".png"]),
        (["usage.sqlite", "--plot", "note.png"], ["note.png already exists", "--overwrite"]),
        (["usage.sqlite", "--max", "1"], ["--max"]),
        (["--by", "model"], ["LEDGER"]),
    ],
)
def test_errors(run: Run, ledger: Path, tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    (tmp_path / "note.txt").write_text("A text, and no ledger at all.\n" * 20)
    (tmp_path / "note.png").touch()
    (tmp_path / "empty.sqlite").touch()
    message = one_error(run("usage", *arguments, code=2))
    assert all(word in message for word in words), message


def test_a_file_of_the_name_of_a_command(run: Run, ledger: Path) -> None:
    ledger.rename(ledger.with_name("costs"))
    assert run("usage", "ledger", "costs", "--json").json == run("usage", "./costs", "--json").json | {"ledger": "costs"}


def test_help_and_completion(run: Run) -> None:
    text = run("usage", "--help").out
    assert "costs" in text and "usage usage.sqlite --by model,tag.job" in text
    assert "--since" in run("usage", "usage.sqlite", "--help").out
    assert set(completions(run, "together-adapters usage ")) >= {"ledger", "costs"}
    assert "--since" in completions(run, "together-adapters usage usage.sqlite --si")


@pytest.mark.filterwarnings("ignore:'\\w+' deprecated - use:DeprecationWarning")  # matplotlib 3.8 with pyparsing 3.3
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_a_plot(run: Run, ledger: Path, tmp_path: Path) -> None:
    result = run("usage", "usage.sqlite", "--by", "day,tag.job", "--plot", "costs.svg", "--json")
    assert len(json.loads(result.out)["groups"]) == 4
    assert "saved the plot to costs.svg" in result.err
    assert "by tag.job" in text_of(tmp_path / "costs.svg")
    assert "costs.svg already exists" in one_error(run("usage", "usage.sqlite", "--plot", "costs.svg", code=2))
    run("usage", "usage.sqlite", "--plot", "costs.svg", "--overwrite")
    assert "by model" in text_of(tmp_path / "costs.svg")


def text_of(picture: Path) -> str:
    """The texts of an SVG file, which matplotlib repeats as comments beside their outlines."""
    return picture.read_text("utf-8")


@pytest.mark.parametrize(("columns", "is_whole"), [(80, False), (120, True)])
def test_a_table_in_a_terminal(terminal: Terminal, ledger: Path, columns: int, is_whole: bool) -> None:
    """Names stay whole as long as other columns can be left out, and are then wrapped after a hyphen."""
    screen = without_styles(terminal("usage", "usage.sqlite", "--by", "model,tag.job", columns=columns))
    lines = screen.splitlines()
    assert all(len(line) <= columns for line in lines if not line.startswith("("))
    (row,) = [line for line in lines if line.startswith("acme-models/")]
    assert ("Cached" in lines[0].split()) == (row.split()[0] == LONG) == is_whole
    assert (row.split()[-1] == "$1.082") and ("-" in row.split()[0])
    assert "Total" in screen
    assert "not shown in this narrow terminal" in screen
    assert "2 calls with estimated tokens" in screen


def test_a_very_narrow_terminal(terminal: Terminal, ledger: Path) -> None:
    screen = without_styles(terminal("usage", "usage.sqlite", "--by", "model,tag.job", columns=40))
    assert f"Model      {LONG}\n" in screen
    assert "Model      Total\n" in screen


def test_the_total_is_bold_where_the_terminal_has_styles(terminal: Terminal, ledger: Path) -> None:
    assert "\x1b[1mTotal" in terminal("usage", "usage.sqlite")
    assert "\x1b[1m" not in terminal("usage", "usage.sqlite", NO_COLOR="1")
