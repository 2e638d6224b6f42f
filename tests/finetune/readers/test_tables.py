"""Files and tables: every way in which the same records may lie."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.formats.reading import examples, only_row, refusals, says, user
from together_adapters.errors import DatasetError
from together_adapters.finetune import load
from together_adapters.finetune.errors import SchemaDetectionError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pandas = pytest.importorskip("pandas")
RECORDS: list[dict[str, Any]] = [{"prompt": f"q{number}", "completion": f"ä{number}"} for number in range(2500)]
CONVERSATIONS = [{"messages": [user(f"q{number}"), says()]} for number in range(3)]


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def write_jsonl(path: Path) -> Path:
    path = path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(RECORDS[:10]) + b"\n  \r\n" + lines(RECORDS[10:]))
    return path


def write_gzip(path: Path) -> Path:
    path = path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(lines(RECORDS)))
    return path


def write_json(path: Path) -> Path:
    path = path / "data.json"
    path.write_text(json.dumps(RECORDS, indent=1))
    return path


def write_lines_as_json(path: Path) -> Path:
    path = path / "data.json"
    path.write_bytes(lines(RECORDS))
    return path


def write_csv(path: Path) -> Path:
    path = path / "data.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, ["prompt", "completion"])
        writer.writeheader()
        writer.writerows(RECORDS)
    return path


def write_tsv(path: Path) -> Path:
    path = path / "data.tsv"
    path.write_text("prompt\tcompletion\n" + "".join(f"{row['prompt']}\t{row['completion']}\n" for row in RECORDS), "utf-8")
    return path


def write_parquet(path: Path) -> Path:
    path = path / "data.parquet"
    parquet.write_table(pa.Table.from_pylist(RECORDS), path)
    return path


def write_arrow(path: Path) -> Path:
    path = path / "data.arrow"
    table = pa.Table.from_pylist(RECORDS)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return path


def write_stream(path: Path) -> Path:
    path = path / "data.arrow"
    table = pa.Table.from_pylist(RECORDS)
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    return path


@pytest.mark.parametrize(
    "write",
    [write_jsonl, write_gzip, write_json, write_lines_as_json, write_csv, write_tsv, write_parquet, write_arrow, write_stream],
)
def test_every_kind_of_file(tmp_path: Path, write: Callable[[Path], Path]):
    path = write(tmp_path)
    data = load(path)
    for _ in range(2):
        assert list(data) == RECORDS
    assert examples(data)[-1].source == path.name
    assert list(load(str(tmp_path))) == list(load(f"{tmp_path}/data*")) == RECORDS


@pytest.mark.parametrize(
    "table",
    [
        lambda: pandas.DataFrame(RECORDS), lambda: pa.Table.from_pylist(RECORDS), lambda: pa.RecordBatch.from_pylist(RECORDS),
        lambda: pa.RecordBatchReader.from_batches(pa.schema([("prompt", "string"), ("completion", "string")]),
                                                  pa.Table.from_pylist(RECORDS).to_batches(100)),
        lambda: iter(RECORDS), lambda: tuple(RECORDS),
    ],
)  # fmt: skip
def test_every_kind_of_table(table: Callable[[], Any]):
    assert list(load(table())) == RECORDS


def test_what_can_be_read_once_says_so():
    data = load(record for record in RECORDS)
    assert len(list(data)) == len(RECORDS)
    with pytest.raises(DatasetError, match="once"):
        list(data)


def test_standard_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines(RECORDS))))
    assert list(load("-")) == RECORDS


def test_hugging_face(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    created = datasets.Dataset.from_list(RECORDS)
    assert list(load(created)) == list(load(created.to_iterable_dataset())) == RECORDS
    created.save_to_disk(str(tmp_path / "saved"))
    assert list(load(tmp_path / "saved")) == RECORDS
    with pytest.raises(DatasetError, match="train"):
        load(datasets.DatasetDict({"train": created}))


CALLS = [
    {"messages": [user(), {"role": "assistant", "content": None, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": {name: 1}}}]}]}
    for name in "ab"
]  # fmt: skip


def test_nulls_that_a_table_invents_are_counted_or_dropped():
    datasets = pytest.importorskip("datasets")
    created = datasets.Dataset.from_list(CALLS)
    kept, dropped = (examples(load(created, null_arguments=choice)) for choice in ("keep", "drop"))
    assert kept[0].row["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1, "b": null}'
    assert "null_arguments_kept" in kept[0].changed
    assert dropped[0].row["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert "null_arguments_dropped" in dropped[0].changed
    real = [{"messages": [user(), {"role": "assistant", "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"a": None}}}]}]}]  # fmt: skip
    (results,) = examples(load(real, null_arguments="drop"))
    assert results.row["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": null}'


def test_padded_messages_are_plain_all_the_same():
    datasets = pytest.importorskip("datasets")
    created = datasets.Dataset.from_list([*CALLS, *CONVERSATIONS])
    rows = [example.row for example in examples(load(created))]
    assert [[(message["role"], message["content"]) for message in row["messages"]] for row in rows[2:]] == [
        [(message["role"], message["content"]) for message in row["messages"]] for row in CONVERSATIONS
    ]
    only_row(load(datasets.Dataset.from_list([*CALLS, *CONVERSATIONS]).select([2])))


def test_json_columns_of_data_sets(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    if not hasattr(datasets, "Json"):
        pytest.skip("this release has no JSON columns")
    datasets.disable_progress_bars()
    path = tmp_path / "data.jsonl"
    path.write_bytes(lines([*CONVERSATIONS, {"messages": [user([{"type": "text", "text": "q"}]), says()]}]))
    created = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    results = examples(load(created))
    assert [example.row for example in results[:3]] == CONVERSATIONS
    assert results[3].row == {"messages": [user(), says()]} and results[3].changed == ("text_parts_joined",)


def test_missing_cells_are_refused_row_by_row():
    frame = pandas.DataFrame(
        {"prompt": ["q", None, "x"], "completion": ["a", "b", float("nan")], "score": [1.5, 2.5, float("nan")]}
    )
    data = load(frame)
    assert examples(data)[0].row == {"prompt": "q", "completion": "a", "score": 1.5}
    assert [(refusal.code, refusal.number, refusal.path) for refusal in refusals(data)] == [
        ("cell_missing", 2, "prompt"), ("cell_missing", 3, "completion"),
    ]  # fmt: skip


def test_lists_in_frames(tmp_path: Path):
    assert list(load(pandas.DataFrame(CONVERSATIONS))) == CONVERSATIONS
    path = tmp_path / "data.parquet"
    pandas.DataFrame(CONVERSATIONS).to_parquet(path)
    assert list(load(path)) == list(load(pandas.read_parquet(path))) == CONVERSATIONS
    as_text = pandas.DataFrame({"messages": [json.dumps(conversation["messages"]) for conversation in CONVERSATIONS]})
    assert list(load(as_text)) == CONVERSATIONS
    as_text.to_csv(tmp_path / "text.csv", index=False)
    assert list(load(tmp_path / "text.csv")) == CONVERSATIONS
    pandas.DataFrame(CONVERSATIONS).to_csv(tmp_path / "repr.csv", index=False)
    assert {refusal.code for refusal in refusals(load(tmp_path / "repr.csv"))} == {"column_not_json"}


def test_numbers_are_no_text():
    data = load(pandas.DataFrame({"prompt": ["q"], "completion": [5]}))
    assert [refusal.code for refusal in refusals(data)] == ["cell_not_text"]


def test_tokenized_data_stays_parquet(tmp_path: Path):
    path = tmp_path / "data.parquet"
    parquet.write_table(pa.table({"input_ids": [[1, 2]], "labels": [[-100, 2]]}), path)
    with pytest.raises(SchemaDetectionError, match="check_jsonl"):
        load(path)


def test_broken_lines_are_refused_one_by_one(tmp_path: Path):
    path = tmp_path / "data.jsonl"
    invalid = [b"{", b'{"prompt": NaN}', b'{"prompt": "\\ud800"}', b'"text"', b"\xff", b"[" * 100_000, b"1" * 5000]
    path.write_bytes(lines(RECORDS[:2]) + b"\n".join(invalid))
    data = load(path)
    assert [example.row for example in examples(data)] == RECORDS[:2]
    results = refusals(data)
    assert [refusal.number for refusal in results] == [3, 4, 5, 6, 7, 8, 9]
    assert [refusal.code for refusal in results[:6]] == [
        "json_syntax", "cell_missing", "not_encodable", "line_not_object", "not_utf8", "too_deep",
    ]  # fmt: skip


def test_rows_of_csv_that_do_not_fit_their_header(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"prompt,completion\nq,a\n\nq\nq,\nq,b\n")
    data = load(path)
    assert [example.number for example in examples(data)] == [2, 6]
    assert [(refusal.code, refusal.number) for refusal in refusals(data)] == [("csv_columns", 4), ("cell_missing", 5)]


@pytest.mark.parametrize(
    ("name", "words"), [("missing.jsonl", "no file"), ("data.xlsx", "ends in none"), ("*.jsonl", "no file"), ("", "no")]
)
def test_what_cannot_be_read(tmp_path: Path, name: str, words: str):
    (tmp_path / "data.xlsx").write_bytes(b"x")
    with pytest.raises(DatasetError, match=words):
        load(tmp_path / name)


def test_files_that_are_not_what_their_name_says(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(b"no")
    (tmp_path / "a.arrow").write_bytes(b"no" * 100)
    for name in ("a.parquet", "a.arrow"):
        with pytest.raises(DatasetError, match="cannot be read"):
            load(tmp_path / name)
    (tmp_path / "a.json").write_bytes(b"{")
    with pytest.raises(SchemaDetectionError, match="not JSON"):
        load(tmp_path / "a.json")
    with pytest.raises(DatasetError, match="int"):
        load(3)
