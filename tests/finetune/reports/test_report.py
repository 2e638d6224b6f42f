"""Reports: lengths and values derived from them, sums in any order, and batches in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce
from itertools import chain, permutations
from operator import add
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_adapters.finetune import DataReport, Fixes, TrainingData, check_jsonl, load, write_jsonl
from together_adapters.finetune.records import Converted, Unconvertible
from together_adapters.finetune.reports.distribution import Distribution, Tally, distribution
from together_adapters.finetune.reports.report import sum_reports
from together_adapters.finetune.writing import parallel
from together_adapters.finetune.writing.in_memory import check_bytes, convert_batch

VALUES = st.dictionaries(st.integers(0, 1_000_000), st.integers(1, 5), max_size=30)


def chat(length: int, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "q" * length}, {"role": "assistant", "content": "a" * length, **more}]}


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@given(VALUES, VALUES, VALUES)
def test_distributions_add_up(one: dict[int, int], two: dict[int, int], three: dict[int, int]) -> None:
    parts = [distribution(counts) for counts in (one, two, three)]
    sums = [reduce(add, order) for order in permutations(parts)]
    assert all(result == sums[0] and result.model_dump_json() == sums[0].model_dump_json() for result in sums)
    assert parts[0] + (parts[1] + parts[2]) == sums[0]
    assert Distribution.model_validate_json(sums[0].model_dump_json()) == sums[0]


@given(VALUES)
def test_quantiles_are_near(counts: dict[int, int]) -> None:
    result = distribution(counts)
    values = sorted(value for value, count in counts.items() for _ in range(count))
    assert (result.count, result.total, result.min, result.max) == (
        len(values),
        sum(values),
        min(values, default=None),
        max(values, default=None),
    )
    for share in (0.05, 0.5, 0.95, 0.99):
        if values:
            exact = values[max(1, -(-round(share * 100) * len(values) // 100)) - 1]
            assert exact * 0.968 <= (result.quantile(share) or 0) <= exact
    assert sum(count for _, _, count in result.bins(7)) == len(values)


def test_a_tally_has_bounds() -> None:
    tally = Tally(4)
    for value in range(50_000):
        tally.add(value)
    assert tally.distribution().total == sum(range(50_000))
    assert tally.quotients().max == 12_500
    assert len(tally.distribution().hist) < 1000


def test_lengths_and_derived_values() -> None:
    report = check_bytes(lines(chat(2), chat(2), chat(200), chat(2000, weight=1)), limits={"max_seq_length_sft": 500})
    assert (report.turns.total, report.turns.p50, report.chars.max, report.tokens.min, report.tokens.max) == (8, 2, 4000, 1, 1000)
    assert (report.trained_chars, report.trained_fraction, report.tokens_from) == (2204, 0.5, "estimate")
    assert (report.max_seq_length, report.too_long, report.truncated_at(500)) == (500, 1, 1)
    assert [(issue.code, issue.line, issue.severity) for issue in report.issues] == [("row_too_long_estimated", 4, "warning")]
    assert report.packed_sequences_estimate() == 2
    assert report.cost(price=2.0, epochs=3) == pytest.approx(report.tokens.total * 6e-6)
    assert [str(result) for _, result in report.distributions()][2].startswith("min 2, p5 2, median 2")
    report_without_targets = check_bytes(lines(chat(3, weight=0)))
    assert (report_without_targets.trained_chars, report_without_targets.ok) == (0, False)


class Words:
    """A tokenizer of another library."""

    def encode(self, text: str) -> list[str]:
        return list(text)


@pytest.mark.parametrize("tokenizer", [len, list, Words()])
def test_tokens_are_counted(tokenizer: Any) -> None:
    report = check_bytes(lines(chat(10), chat(30)), tokenizer=tokenizer, limits={"max_seq_length_sft": 50})
    assert (report.tokens.total, report.tokens_from) == (80, "tokenizer")
    assert [(issue.code, issue.line, issue.severity) for issue in report.issues] == [("row_too_long", 2, "error")]


def test_duplicates() -> None:
    data = lines(chat(1), chat(2), chat(1)) + lines(chat(1)).strip()
    assert check_bytes(data).duplicates is None
    assert check_bytes(data, duplicates=True).duplicates == 2
    assert check_bytes(lines(chat(1)), duplicates=True).duplicates == 0


def test_reports_of_parts_add_up_to_that_of_the_whole(tmp_path: Path) -> None:
    parts = [lines(chat(1), {"messages": 3}), lines(chat(900)), lines({"text": "a"}, chat(5, weight=1))]
    reports = [check_bytes(data, name=str(number)) for number, data in enumerate(parts)]
    sums = [reduce(add, order) for order in permutations(reports)]
    assert all(result.model_dump_json() == sums[0].model_dump_json() for result in sums)
    total = check_bytes(b"".join(parts))
    for name in ("rows", "valid", "turns", "chars", "tokens", "trained_chars", "formats", "roles", "bytes"):
        assert getattr(sums[0], name) == getattr(total, name), name
    (path := tmp_path / "x.jsonl").write_bytes(b"".join(parts))
    assert check_jsonl(path).model_dump(exclude={"issues"}) == total.model_dump(exclude={"issues"})
    assert sum(reports, DataReport()).rows == 5


def test_issues_are_in_the_order_of_their_files() -> None:
    names = ["part-9.jsonl", "part-10.jsonl", "a.jsonl"]
    reports = [check_bytes(lines({"text": 1}, {"text": 2}), name=name) for name in names]
    assert [issue.source for issue in sum_reports(reports).issues] == [name for name in names for _ in range(2)]
    sums = [reduce(add, order) for order in permutations(reports)]
    assert all([issue.source for issue in result.issues[::2]] == ["a.jsonl", "part-9.jsonl", "part-10.jsonl"] for result in sums)
    assert "part-9.jsonl: line 1 text: " in sum_reports(reports).summary()
    assert "part-9.jsonl" not in reports[0].summary()
    assert sum_reports([]) == DataReport()
    limited_reports = [check_bytes(lines({"text": 1}, chat(1, weight=2)), name=name, max_issues=1) for name in names]
    assert [(issue.source, issue.line) for issue in sum_reports(limited_reports).issues] == [("part-9.jsonl", 1)]


@pytest.mark.parametrize("workers", [1, 2])
def test_issues_are_in_the_order_of_records(tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MIN_BYTES", 0)
    (tmp_path / "b.jsonl").write_bytes(lines(*({"text": 1 if number % 3 else "x"} for number in range(12))))
    (tmp_path / "a.jsonl").write_bytes(lines({"text": 1}))
    files = [load(tmp_path / name, "text") for name in ("b.jsonl", "a.jsonl")]
    data = TrainingData(lambda: chain(*(file.records() for file in files)), "both")
    report = write_jsonl(data, tmp_path / "out.jsonl", fixes=Fixes(on_error="collect"), workers=workers).report
    expected = [f"b.jsonl:{number + 1}" for number in range(12) if number % 3]
    assert [issue.source for issue in report.issues] == [*expected, "a.jsonl:1"]
    assert ": b.jsonl:2 text: " in report.summary()


def question(record: Any) -> Iterator[Converted]:
    if not record.get("q"):
        raise Unconvertible("answer_missing", "there is no question", "q")
    yield Converted({"prompt": record["q"], "completion": record["a"], "source": "x"})


def test_batches_are_converted() -> None:
    records = [{"q": "1+1", "a": "2"}, {"q": "", "a": "2"}, {"q": "1", "a": 3}]
    data, report = convert_batch(records, question, name="sums")
    assert data == b'{"prompt":"1+1","completion":"2"}\n'
    assert (report.rows, report.valid, report.invalid, report.ok) == (3, 1, 0, True)
    assert report.dropped == {"answer_missing": 1, "content_wrong_type": 1}
    assert report.changed == {"columns_stripped": 1}
    assert report.rows == report.valid + sum(report.dropped.values())
    no_data, empty = convert_batch(records[1:2], question)
    assert (no_data, empty.rows, empty.valid, empty.dropped) == (b"", 1, 0, {"answer_missing": 1})
    both = report + empty
    assert both.rows == both.valid + sum(both.dropped.values())


def test_tables_are_converted() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.Table.from_pylist([{"q": "a", "a": "b"}, {"q": "c", "a": "d"}])
    expected = convert_batch(table.to_pylist(), question)
    assert convert_batch(table, question) == expected
    assert convert_batch(table.to_batches()[0], question) == expected


def test_values_that_are_not_rows() -> None:
    data, report = convert_batch([chat(1), 3, b"{"])
    assert (data.count(b"\n"), report.dropped) == (1, {"line_not_object": 2})


def test_a_report_prints_as_its_summary() -> None:
    report = check_bytes(lines({"text": 1}))
    assert str(report) == report.summary()
    assert str(report).startswith("1 row (general), 1 error, 0 warnings.")
    assert "purpose=" in repr(report)


def test_a_summary_says_how_many_rows_are_left(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": "a"}, {}, {}]
    report = write_jsonl(rows, tmp_path / "a.jsonl", fixes=Fixes(on_error="drop")).report
    assert report.summary().startswith("1 of 3 rows (instruction), 0 errors, 2 warnings.")
