"""Data of a wrong kind is an error that says what to pass, in every function that takes data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.finetune.formats.reading import says, user
from together_adapters import Together
from together_adapters.errors import DatasetError
from together_adapters.finetune import TrainingData, check_jsonl, load, start, write_jsonl

ROW = {"messages": [user(), says()]}


@pytest.mark.parametrize(
    ("rows", "says_what"), [("a.jsonl", r"load\('a.jsonl'\)"), (ROW, r"\[row\]"), (3, "an? int has no rows")]
)
def test_rows_are_dictionaries(rows: Any, says_what: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=says_what):
        TrainingData.from_rows(rows)
    with pytest.raises(DatasetError, match=says_what):
        write_jsonl(rows, tmp_path / "a.jsonl")


def test_tables_are_loaded(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([{"prompt": "q", "completion": "a"}, {"prompt": "q", "completion": None}], index=["x", "y"])
    with pytest.raises(DatasetError, match=r"a DataFrame is no list of rows: load\(data\) reads it"):
        write_jsonl(frame, tmp_path / "a.jsonl")
    with pytest.raises(DatasetError, match=r"DataFrame record 2 \(index y\)") as problem:
        write_jsonl(load(frame), tmp_path / "a.jsonl")
    assert str(problem.value).count("record 2") == 1


@pytest.mark.parametrize("data", [[ROW], TrainingData.from_rows([ROW]), {"a": 1}])
def test_files_are_paths(data: Any) -> None:
    with pytest.raises(DatasetError, match="this takes the path of a file, not a"):
        check_jsonl(data)
    with Together(api_key="k", base_url="http://127.0.0.1:9") as client:
        with pytest.raises(DatasetError, match="this takes the path of a file, not a"):
            start(client, data)


def test_fixes_are_fixes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an object of the class Fixes, not 'drop'"):
        write_jsonl([ROW], tmp_path / "a.jsonl", fixes="drop")  # type: ignore[arg-type]
