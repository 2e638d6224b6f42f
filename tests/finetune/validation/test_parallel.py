"""The report does not depend on the number of processes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.validation.engines import lines
from together_adapters.finetune import check_jsonl
from together_adapters.finetune.validation.parallel import line_ranges

pytestmark = pytest.mark.long

OPTIONS: dict[str, Any] = {
    "duplicates": True,
    "secrets": True,
    "max_issues": 20,
    "limits": {"max_seq_length_sft": 10},
    "checksum": True,
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    chance = random.Random(5)
    some = [
        b"",
        b"{",
        *lines(chance, "conversation", 3000),
        *lines(chance, "preference", 20),
        b'{"text": "write to a@b.example"}',
    ]
    path = tmp_path_factory.mktemp("workers") / "x.jsonl"
    path.write_bytes(b"\n".join(some))
    return path


@pytest.mark.parametrize("workers", [2, 5])
def test_the_same_report_for_any_number(file: Path, workers: int) -> None:
    updates: list[Any] = []
    one = check_jsonl(file, **OPTIONS)
    assert check_jsonl(file, workers=workers, progress=updates.append, **OPTIONS) == one
    assert updates[-1].done == updates[-1].total == one.bytes
    assert one.duplicates
    assert one.errors > 20 and one.secrets == {"email": 1}


def test_ranges_are_whole_lines(file: Path) -> None:
    data = file.read_bytes()
    for count in (1, 2, 7):
        ranges = line_ranges(file, len(data), count)
        assert b"".join(data[start:end] for start, end in ranges) == data
        assert all(data[end - 1 : end] == b"\n" for _, end in ranges[:-1])
        assert len(ranges) <= count


def test_a_small_file_is_checked_without_other_processes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.finetune.validation.parallel.ProcessPoolExecutor", None)
    assert check_jsonl(file, workers=4) == check_jsonl(file)
    monkeypatch.setattr("together_adapters.finetune.validation.check_jsonl._MIN_BYTES", 1000)
    with pytest.raises(TypeError):
        check_jsonl(file, workers=4)


def test_no_worker_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="workers"):
        check_jsonl(file, workers=0)
