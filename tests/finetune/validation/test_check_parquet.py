"""Parquet files of tokens, validated in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from together_adapters.finetune import check_jsonl

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
INTS = pa.list_(pa.int32())


@pytest.fixture
def check(tmp_path: Path) -> Any:
    def check(columns: dict[str, Any], **options: Any) -> Any:
        parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
        return check_jsonl(tmp_path / "x.parquet", **options)

    return check


def codes(report: Any) -> list[tuple[str, int | None, str]]:
    return [(issue.code, issue.line, issue.path) for issue in report.issues]


@pytest.mark.parametrize("kind", [INTS, pa.large_list(pa.uint16()), pa.list_(pa.int64(), 2)])
def test_good_rows(check: Any, kind: Any) -> None:
    tokens = pa.array([[1, 2], [3, 4]], kind)
    report = check({"input_ids": tokens, "attention_mask": tokens, "labels": tokens, "position_ids": tokens})
    assert (report.ok, report.rows, report.valid, report.issues) == (True, 2, 2, [])
    assert (report.tokens.total, report.tokens.max, report.tokens_from) == (4, 2, "tokenizer")


def test_all_issues_of_all_rows(check: Any) -> None:
    report = check(
        {
            "input_ids": [[1, 2], [3], [], [4, 5], None, [6, 7]],
            "attention_mask": [[1, 1], [1], [], [1], [1], [1, None]],
            "labels": [[-100, 2], [-100], [], [1, 1], [1], [7, -100]],
        }
    )
    assert codes(report) == [
        ("tokens_untrained", 2, "labels"),
        ("tokens_empty", 3, "input_ids"),
        ("tokens_lengths_differ", 4, "attention_mask"),
        ("tokens_missing", 5, "input_ids"),
        ("tokens_missing", 6, "attention_mask"),
    ]
    assert (report.rows, report.valid, report.errors, report.ok) == (6, 1, 5, False)


def test_rows_of_many_batches_keep_their_numbers(check: Any) -> None:
    rows = [[1] * (number % 7 + 1) for number in range(300)]
    labels = [[-100] * len(row) if number in (70, 150, 299) else row for number, row in enumerate(rows)]
    report = check({"input_ids": rows, "labels": labels}, severities={"tokens_untrained": "warning"})
    assert codes(report) == [("tokens_untrained", number, "labels") for number in (71, 151, 300)]
    assert (report.ok, report.valid, report.warnings, report.tokens.total) == (True, 300, 3, sum(map(len, rows)))


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"labels": [[1]]}, "parquet_columns"),
        ({"input_ids": [[1]], "text": ["x"]}, "parquet_columns"),
        ({"input_ids": [["1"]]}, "parquet_types"),
        ({"input_ids": [[1.0]]}, "parquet_types"),
        ({"input_ids": [[[1]]]}, "parquet_types"),
        ({"input_ids": [[{"print": "x"}]]}, "parquet_types"),
        ({"input_ids": [1]}, "parquet_types"),
        ({"input_ids": pa.array([], INTS)}, "too_few_samples"),
    ],
)
def test_columns(check: Any, columns: dict[str, Any], code: str) -> None:
    assert [issue.code for issue in check(columns).issues] == [code]


def test_an_extra_column_does_not_hide_issues_of_rows(check: Any) -> None:
    report = check({"input_ids": [[1], []], "text": ["x", "y"]}, severities={"parquet_columns": "warning"})
    assert codes(report) == [("parquet_columns", None, ""), ("tokens_empty", 2, "input_ids")]


def test_the_longest_row_of_a_model(check: Any) -> None:
    report = check({"input_ids": [[1] * 9, [1] * 8]}, limits={"max_seq_length_sft": 8})
    assert codes(report) == [("row_too_long", 1, "")]
    assert (report.too_long, report.max_seq_length) == (1, 8)


def test_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"input_ids": [[number] * 50 for number in range(500)]}), path)
    path.write_bytes(path.read_bytes()[:500])
    assert [issue.code for issue in check_jsonl(path).issues] == ["parquet_unreadable"]


def test_memory_does_not_follow_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with parquet.ParquetWriter(path, pa.schema({"input_ids": INTS, "labels": INTS}), compression="none") as writer:
        for start in range(0, 4_000, 500):
            rows = pa.array([list(range(start, start + 2_000))] * 500, INTS)
            writer.write_table(pa.table({"input_ids": rows, "labels": rows}))
    ordinary = pa.default_memory_pool()
    lengths = pa.proxy_memory_pool(ordinary)
    pa.set_memory_pool(lengths)
    try:
        report = check_jsonl(path)
    finally:
        pa.set_memory_pool(ordinary)
    assert (report.ok, report.rows, report.tokens.total) == (True, 4_000, 8_000_000)
    assert 0 < lengths.max_memory() < path.stat().st_size // 4
