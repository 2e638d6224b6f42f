"""Rows and sums of a ledger: in memory and in a file they are the same, and the same as sums made by hand."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from together_adapters.control.ledger import Ledger, LedgerRow
from together_adapters.control.usage import Usage

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MODEL = "openai/gpt-oss-120b"


def row(**changes: Any) -> LedgerRow:
    return replace(LedgerRow(NOON, "chat", MODEL, status=200, input_tokens=100, output_tokens=20, cost=0.001), **changes)


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "usage.sqlite" if request.param == "file" else None) as ledger:
        yield ledger


def add(ledger: Ledger, *rows: LedgerRow) -> Ledger:
    for one in rows:
        ledger.add(one)
    return ledger


def test_an_empty_ledger(ledger: Ledger) -> None:
    assert repr(ledger.total()) == repr(Usage())
    assert (ledger.by("model"), ledger.rows(), list(ledger), ledger.spent()) == ([], [], [], 0.0)


def test_a_row_comes_back_as_it_was(ledger: Ledger) -> None:
    full = LedgerRow(
        when=datetime(2026, 11, 29, 23, 59, 59, 999_999, timezone(timedelta(hours=-5))),
        kind="embeddings",
        model="ä/b'c\"d",
        tags={"job": "nightly", 'it\'s "quoted"\\': "日本語 \x1f\n 😀", "": ""},
        status=429,
        error="RateLimitError",
        input_tokens=2**40,
        cached_tokens=1,
        output_tokens=2,
        reasoning_tokens=3,
        cost=0.000_000_012_5,
        attempts=3,
        seconds=1.25,
        waited=0.5,
        first_chunk_seconds=0.125,
        request_id="oQ4-1",
        estimated=True,
        streamed=True,
    )
    bare = LedgerRow(NOON, "chat", MODEL)
    assert add(ledger, full, bare).rows() == [full, bare]
    assert ledger.rows()[0].when.tzinfo is UTC
    assert ledger.by('tag.it\'s "quoted"\\')[0][0] == ("日本語 \x1f\n 😀",)
    assert ledger.by("tag.")[0][0] == ("",)


def test_sums_of_every_field(ledger: Ledger) -> None:
    one = row(cached_tokens=7, reasoning_tokens=5, attempts=2, seconds=1.5, waited=0.5, estimated=True)
    add(ledger, one, one, row(cost=None))
    sums = Usage(3, 5, 300, 14, 60, 10, 0.002, 3.0, 1.0, 2, 1)
    assert ledger.total() == sums
    assert ledger.by() == [((), sums)]
    assert repr(ledger.total(until=NOON)) == repr(Usage())  # a sum of no durations is a float, too
    assert ledger.by("model") == [((MODEL,), sums)]
    assert sum([sums, sums]) == sums + sums == Usage(6, 10, 600, 28, 120, 20, 0.004, 6.0, 2.0, 4, 2)


def test_sums_are_rounded_as_text(ledger: Ledger) -> None:
    add(ledger, *[row(cost=0.1, seconds=0.1, waited=0.01)] * 3)
    assert ledger.total().seconds != 0.3
    assert all(number in str(ledger.total()) for number in ("cost=0.3,", "seconds=0.3,", "waited=0.03,"))


def test_groups_are_sorted_by_cost_then_key(ledger: Ledger) -> None:
    add(ledger, row(tags={"job": "b"}), row(tags={"job": "a"}), row(), row(model="x", cost=0.5), row(tags={"user": "a"}))
    assert [key for key, _ in ledger.by("tag.job", "model")] == [(None, "x"), (None, MODEL), ("a", MODEL), ("b", MODEL)]
    add(ledger, row(status=None, cost=None), row(status=503, cost=None), row(status=404, cost=None))
    assert [key for key, _ in ledger.by("status")] == [(200,), (404,), (503,), (None,)]


def test_days_and_hours_are_of_utc(ledger: Ledger) -> None:
    east = datetime(2026, 11, 30, 1, 30, tzinfo=timezone(timedelta(hours=3)))
    add(ledger, row(when=east, cost=2.0), row())
    assert [key for key, _ in ledger.by("day")] == [("2026-11-29",)]
    assert [key for key, _ in ledger.by("hour", "day")] == [
        ("2026-11-29 22:00", "2026-11-29"),
        ("2026-11-29 12:00", "2026-11-29"),
    ]


def test_a_period_has_its_start_and_not_its_end(ledger: Ledger) -> None:
    times = [NOON + timedelta(hours=hour) for hour in (0, 2, 1, -1)]  # the clock went back
    add(ledger, *(row(when=time) for time in times))
    assert [one.when for one in ledger.rows()] == times
    assert [one.when for one in ledger.rows(since=NOON, until=times[1])] == [times[0], times[2]]
    assert ledger.total(since=NOON, until=times[1]).requests == 2
    assert [(key, usage.requests) for key, usage in ledger.by("model", until=NOON)] == [((MODEL,), 1)]
    assert ledger.by("model", since=NOON + timedelta(days=1)) == []
    assert [one.when for one in ledger.rows(last=2)] == times[2:]
    assert [one.when for one in ledger.rows(last=1, since=NOON)] == [times[2]]
    assert ledger.rows(last=0) == []


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(ValueError, match="time zone"):
        ledger.add(row(when=naive))
    with pytest.raises(ValueError, match="since=.*time zone"):
        ledger.total(since=naive)
    with pytest.raises(ValueError, match="until=.*time zone"):
        ledger.rows(until=naive)


@pytest.mark.parametrize("cost", [float("nan"), float("inf")])
def test_a_cost_is_a_number(ledger: Ledger, cost: float) -> None:
    with pytest.raises(ValueError, match="cost="):
        ledger.add(row(cost=cost))


@pytest.mark.parametrize("key", ["job", "tags.job", "id", "", "model; DROP TABLE calls"])
def test_an_unknown_key_is_named(ledger: Ledger, key: str) -> None:
    with pytest.raises(ValueError, match=r"use model, .* or tag\..+ for a tag") as caught:
        ledger.by("model", key)
    assert repr(key) in str(caught.value)


def test_half_characters_and_zeros_are_marked_and_no_row_is_lost(ledger: Ledger) -> None:
    add(ledger, row(model="a\ud800", tags={"x": "b\udfff"}), row(model="z\0", tags={"x": "a\0b", "\\u0000": "\\u0000"}))
    assert [(one.model, one.tags) for one in ledger.rows()] == [
        ("a?", {"x": "b?"}),
        ("z\0", {"x": "a\ufffdb", "\\u0000": "\\u0000"}),
    ]
    assert {key[0] for key, _ in ledger.by("tag.x")} == {"b?", "a\ufffdb"}
    assert ("\\u0000",) in [key for key, _ in ledger.by("tag.\\u0000")]


@pytest.mark.parametrize("cost", [1e9, 1e300])
def test_a_cost_that_no_column_holds_is_the_highest_that_one_holds(cost: float, ledger: Ledger) -> None:
    add(ledger, row(cost=1.5), row(cost=cost), row(cost=2.5))
    assert [one.cost for one in ledger.rows()] == [1.5, 9e6, 2.5]


def test_a_row_that_no_column_can_hold_costs_no_other() -> None:
    with Ledger() as ledger:
        ledger.add(row(model="a"))
        ledger.add(row(model="b", input_tokens=10**30))
        ledger.add(row(model="c"))
        with pytest.raises(OverflowError):
            ledger.total()
        assert [one.model for one in ledger.rows()] == ["a", "c"]


def test_a_thousand_tags(ledger: Ledger) -> None:
    many = {f"tag number {number}": f"value {number}" for number in range(1_000)}
    add(ledger, row(tags=many), *(row(tags={"user": f"u{number}"}) for number in range(1_000)))
    assert ledger.rows()[0].tags == many
    assert ledger.by("tag.tag number 999")[1][0] == ("value 999",)
    assert len(ledger.by("tag.user")) == 1_001


def test_costs_are_summed_exactly(ledger: Ledger) -> None:
    """Ten thousand times a cost that binary fractions cannot hold, beside one that is large."""
    costs = [Decimal("0.000000012345")] * 10_000 + [Decimal("123456.789")]
    add(ledger, *(row(cost=float(cost)) for cost in costs))
    assert ledger.total().cost == ledger.spent() == float(sum(costs))
    assert ledger.by("model")[0][1].cost == float(sum(costs))


def test_sums_that_exceed_64_bits(ledger: Ledger) -> None:
    add(ledger, *[row(cost=9_000_000.0)] * 3)
    assert ledger.total().cost == ledger.spent() == 27_000_000.0


def test_what_was_spent_grows(ledger: Ledger) -> None:
    for number in range(1, 5):
        add(ledger, row(cost=0.25), row(cost=None))
        assert ledger.spent() == number * 0.25


def test_iteration_has_every_row_once(ledger: Ledger) -> None:
    add(ledger, *(row(input_tokens=number) for number in range(2_500)))
    rows = iter(ledger)
    assert next(rows).input_tokens == 0
    ledger.add(row(input_tokens=2_500))
    assert [one.input_tokens for one in rows] == list(range(1, 2_501))


def test_threads_share_a_ledger(ledger: Ledger) -> None:
    threads = [Thread(target=add, args=(ledger, *[row(tags={"thread": str(number)})] * 200)) for number in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert ledger.total().requests <= 1_600
    assert [(key, usage.requests) for key, usage in ledger.by("tag.thread")] == [((str(number),), 200) for number in range(8)]


def test_a_ledger_of_a_file_travels_and_one_of_memory_begins_anew(ledger: Ledger) -> None:
    add(ledger, row())
    copy = pickle.loads(pickle.dumps(ledger))
    assert copy.path == ledger.path
    assert copy.total().requests == (0 if ledger.path is None else 1)
    copy.close()


def test_a_closed_ledger_opens_again(ledger: Ledger) -> None:
    add(ledger, row()).close()
    assert add(ledger, row()).total().requests == 2


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4) | st.sampled_from(
    ["job", "user", "x"]
)
COUNTS = st.integers(0, 10**9)
ROWS = st.lists(
    st.builds(
        LedgerRow,
        when=st.integers(0, 4 * 10**15).map(lambda number: EPOCH + timedelta(microseconds=number)),
        kind=st.sampled_from(["chat", "rerank", "embeddings"]),
        model=TEXT,
        tags=st.dictionaries(TEXT, TEXT, max_size=3),
        status=st.none() | st.sampled_from([200, 429, 503]),
        error=st.none() | TEXT,
        input_tokens=COUNTS,
        cached_tokens=COUNTS,
        output_tokens=COUNTS,
        reasoning_tokens=COUNTS,
        cost=st.none() | st.integers(0, 10**17).map(lambda units: units / 10**12),
        attempts=st.integers(0, 9),
        seconds=st.floats(0, 1e4),
        waited=st.floats(0, 1e4),
        first_chunk_seconds=st.none() | st.floats(0, 1e4),
        request_id=st.none() | TEXT,
        estimated=st.booleans(),
        streamed=st.booleans(),
    ),
    max_size=12,
)
KEYS = st.lists(st.sampled_from(["model", "kind", "status", "error", "day", "hour", "tag.job", "tag.user", "tag."]), max_size=3)


def key_of(one: LedgerRow, name: str) -> Any:
    times = {"day": f"{one.when:%Y-%m-%d}", "hour": f"{one.when:%Y-%m-%d %H:00}"}
    return one.tags.get(name[4:]) if name.startswith("tag.") else times[name] if name in times else getattr(one, name)


def sums_by_hand(rows: Sequence[LedgerRow], keys: Sequence[str]) -> dict[Any, Usage]:
    groups: dict[Any, list[LedgerRow]] = defaultdict(list)
    for one in rows:
        groups[tuple(key_of(one, key) for key in keys)].append(one)
    return {key: usage_by_hand(group) for key, group in groups.items()}


def usage_by_hand(rows: Sequence[LedgerRow]) -> Usage:
    counts = ("attempts", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    return Usage(
        len(rows),
        *(sum(getattr(one, name) for one in rows) for name in counts),
        cost=float(sum(Fraction(round(one.cost * 10**12), 10**12) for one in rows if one.cost is not None)),
        seconds=sum(one.seconds for one in rows),
        waited=sum(one.waited for one in rows),
        estimated=sum(one.estimated for one in rows),
        unpriced=sum(one.cost is None for one in rows),
    )


def comparable(usage: Usage) -> Usage:
    """Durations are binary fractions: their sum depends on the order in its last digits."""
    return replace(usage, seconds=pytest.approx(usage.seconds), waited=pytest.approx(usage.waited))


@settings(deadline=None)
@given(ROWS, KEYS)
def test_memory_and_file_agree_with_sums_by_hand(rows: list[LedgerRow], keys: list[str]) -> None:
    with TemporaryDirectory() as folder, Ledger() as memory, Ledger(Path(folder) / "usage.sqlite") as file:
        for ledger in (memory, file):
            assert add(ledger, *rows).rows() == rows
            sums = ledger.by(*keys)
            by_hand = sums_by_hand(rows, keys) if rows or keys else {(): Usage()}
            assert len(sums) == len(by_hand)
            assert dict(sums) == {key: comparable(usage) for key, usage in by_hand.items()}
            assert [usage.cost for _, usage in sums] == sorted((usage.cost for _, usage in sums), reverse=True)
            assert ledger.total() == comparable(usage_by_hand(rows))
            assert ledger.spent() == ledger.total().cost
        assert memory.by(*keys) == file.by(*keys)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python does not warn of it before 3.13")
def test_a_ledger_that_nobody_closes_leaves_no_warning(tmp_path: Path) -> None:
    code = "import sys; from together_adapters import Control; Control(ledger=sys.argv[1], share=sys.argv[2]).ledger.total(); "
    code += "Control().ledger.total()"
    files = [str(tmp_path / name) for name in ("usage.sqlite", "share.sqlite")]
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, *files], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
