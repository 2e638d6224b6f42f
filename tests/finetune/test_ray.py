"""On Ray, if it is installed: the same bytes as without, and one report. The tests start a small cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from together_adapters.finetune.records import Converted, Unconvertible

pytest.importorskip("ray")
pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]


def question(record: Any) -> Iterator[Converted]:
    if not isinstance(record, dict) or not record.get("q"):
        raise Unconvertible("answer_missing", "there is no question", "q")
    yield Converted({"prompt": record["q"], "completion": record["a"]})


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for name in ("b", "a"):
        path = tmp_path / f"{name}.jsonl"
        path.write_text(
            "".join(json.dumps({"q": f"{name}{n}" if n % 100 else "", "a": "x" * 50}) + "\n" for n in range(2000)) + "{"
        )
        paths.append(path)
    return paths


@pytest.mark.slow  # bulk.ray starts a cluster in the usual tests; this one takes as long again
@pytest.mark.usefixtures("ray_cluster")
def test_prepare_and_check(files: list[Path], tmp_path: Path) -> None:
    from together_adapters.finetune import check_jsonl
    from together_adapters.finetune.ray import check, prepare

    prepared = prepare(files, question, tmp_path / "out.jsonl", range_bytes=70_000)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prompt"] for row in rows] == [f"{name}{n}" for name in ("b", "a") for n in range(2000) if n % 100]
    report = prepared.report
    assert (report.rows, report.valid, report.dropped) == (4002, 3960, {"answer_missing": 42})
    assert report.rows == report.valid + sum(report.dropped.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "out.jsonl", "out.report.json"]
    with pytest.raises(FileExistsError):
        prepare(files, question, tmp_path / "out.jsonl")
    report_of_ranges, report_of_file = check([tmp_path / "out.jsonl"], range_bytes=70_000), check_jsonl(tmp_path / "out.jsonl")
    assert (report_of_ranges.rows, report_of_ranges.ok, report_of_ranges.tokens, report_of_ranges.chars) == (
        report_of_file.rows,
        True,
        report_of_file.tokens,
        report_of_file.chars,
    )
