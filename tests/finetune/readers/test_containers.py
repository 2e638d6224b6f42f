"""The same rows in every container give the same data; what is broken or no data is one clear error, with bounded memory."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from tests.cases import each
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl
from together_adapters.finetune.readers import json_values
from together_adapters.finetune.records import Example, Refusal

ROWS = [{"prompt": f"Frage {n}\u2028\x85 «ß» 𝄞", "completion": 'a "b" [c] {d}\\\n, e'} for n in range(5)]


def zip_of(data: bytes, *more: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train.jsonl", *more):
            archive.writestr(name, data)
        archive.writestr("__MACOSX/._train.jsonl", b"x")
    return file.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data[:7]) + gzip.compress(data[7:]),
    ".zst": lambda data: zstandard.compress(data[:7]) + zstandard.compress(data[7:]),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": zip_of,
}


def lines(rows: list[Any], **options: Any) -> str:
    return "".join(json.dumps(row, **options) + "\n" for row in rows)


def table(rows: list[Any], **options: Any) -> str:
    file = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, names, **options)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


LAYOUTS: dict[str, tuple[str, Callable[[list[Any]], str]]] = {
    "lines": (".jsonl", lines),
    "raw lines": (".ndjson", lambda rows: lines(rows, ensure_ascii=False)),
    "blank lines": (".jsonl", lambda rows: "\n \r\n\t\n" + lines(rows).replace("\n", "\r\n\n")),
    "carriage returns": (".jsonl", lambda rows: lines(rows).replace("\n", "\r")),
    "without breaks": (".jsonl", lambda rows: lines(rows).replace("\n", "")),
    "with commas": (".jsonl", lambda rows: ",\n".join(map(json.dumps, rows)) + ","),
    "spread": (".jsonl", lambda rows: lines(rows, indent=2)),
    "spread without indent": (".jsonl", lambda rows: lines(rows, indent=0)),
    "array": (".json", json.dumps),
    "array in lines": (".jsonl", lambda rows: "[" + ",\n".join(map(json.dumps, rows)) + "]\n"),
    "array on one line": (".jsonl", json.dumps),
    "spread array": (".jsonl", lambda rows: json.dumps(rows, indent=1, ensure_ascii=False)),
    "lines in json": (".json", lines),
    "spread in json": (".json", lambda rows: lines(rows, indent=4)),
    "text": (".txt", lines),
    "no suffix": ("", lines),
    "upper case": (".JSONL", lines),
    "commas": (".csv", table),
    "semicolons": (".csv", lambda rows: table(rows, delimiter=";")),
    "tabs": (".TSV", lambda rows: table(rows, delimiter="\t")),
    "tabs in csv": (".csv", lambda rows: table(rows, delimiter="\t")),
    "separator": (".csv", lambda rows: "sep=|\r\n" + table(rows, delimiter="|", quoting=csv.QUOTE_ALL)),
    "json in csv": (".csv", lines),
}


@each("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_container(tmp_path: Path, layout: str, encoding: str) -> None:
    suffix, write = LAYOUTS[layout]
    if (encoding == "utf-16-le" and suffix.lower() in (".csv", ".tsv") and layout != "json in csv") or layout == "blank lines":
        encoding = "utf-8"
    for container, pack in PACK.items():
        path = tmp_path / f"data{suffix}{container.upper() if layout == 'upper case' else container}"
        path.write_bytes(pack(write(ROWS).encode(encoding)))
        assert list(load(path)) == ROWS, container
    no_suffix = tmp_path / "data"
    if suffix in (".jsonl", ""):
        no_suffix.write_bytes(gzip.compress(write(ROWS).encode(encoding)))
        assert list(load(no_suffix)) == ROWS


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(lambda text: text.strip())
rows_of = st.lists(st.fixed_dictionaries({"prompt": texts, "completion": texts}), min_size=1, max_size=8)


@given(rows_of, st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(PACK)))
def test_any_rows_are_the_same_from_every_container(tmp_path_factory: Any, rows: list[Any], layout: str, container: str) -> None:
    suffix, write = LAYOUTS[layout]
    path = tmp_path_factory.getbasetemp() / f"any{suffix}{container}"
    path.write_bytes(PACK[container](write(rows).encode()))
    assert list(load(path, schema="prompt_completion")) == rows


def test_large_files_are_the_same_too(tmp_path: Path) -> None:
    rows = [{"prompt": f"{n} " + '\\"{[' * 300, "completion": "x" * (n % 7 * 1000)} for n in range(1, 700)]
    rows[9]["completion"] = "long" * 100_000
    rows = [row for row in rows if row["completion"]]
    for layout in ("lines", "without breaks", "spread", "array", "array on one line", "spread array", "lines in json", "commas"):
        suffix, write = LAYOUTS[layout]
        path = tmp_path / f"data{suffix}"
        path.write_text(write(rows), "utf-8", newline="")
        assert list(load(path)) == rows, layout


def test_lists_of_messages_are_rows(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "[Hello]"}]
    for name, text in {
        "lines.jsonl": lines([chat, chat]), "one.jsonl": lines([chat]), "one.json": lines([chat]),
        "spread.jsonl": lines([chat, chat], indent=1), "array.json": json.dumps([chat, chat]),
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
        assert list(load(tmp_path / name)) == [{"messages": chat}] * (1 if "one" in name else 2), name


@pytest.mark.parametrize("container", [".gz", ".zst", ".bz2", ".xz", ".zip"])
def test_compressed_files_that_are_cut_off_or_damaged(tmp_path: Path, container: str) -> None:
    rows = [{"prompt": os.urandom(40).hex(), "completion": "a"} for _ in range(3000)]
    data = PACK[container](lines(rows).encode())
    path = tmp_path / f"data.jsonl{container}"
    for broken in (data[: len(data) // 2], data[:-3]):
        path.write_bytes(broken)
        with pytest.raises(DatasetError, match=r"data\.jsonl\.\w+ (is cut off|cannot be unpacked)"):
            write_jsonl(load(path), tmp_path / "out.jsonl")
    if container != ".zst":  # it has no checksum here
        path.write_bytes(data[: len(data) // 2] + b"damage" + data[len(data) // 2 + 6 :])
        with pytest.raises(DatasetError):
            write_jsonl(load(path), tmp_path / "out.jsonl")
    assert list(tmp_path.iterdir()) == [path]


def excel() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
        archive.writestr("xl/workbook.xml", "")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer.*git lfs pull"),
        ("a.csv", b"\n<!DOCTYPE html>\n<html>", "HTML page"),
        ("a.json", b'<?xml version="1.0"?><Error>', "XML"),
        ("a.xlsx", excel(), "Excel file: save the sheet as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel"),
        ("a.zip", zip_of(b"{}", "other.jsonl"), r"2 files.*train\.jsonl, other\.jsonl"),
        ("a.jsonl", b"7z\xbc\xaf\x27\x1c", "7z"),
        ("a.jsonl.gz", gzip.compress(b"x" * 257 + b"ustar"), "tar archive"),
        ("a.jsonl", b"", "no record"),
        ("a.jsonl", b"\n" * 9, "no record"),
        ("a.txt", b"hello", "ends in none of"),
        ("a.json", b'[{"prompt": "a", "completion": "b"}, {"prompt": "a", ', "not JSON|cut off"),
        ("a.jsonl", b'[\n{"prompt": "a", "completion": "b"},\n', "cut off: its array"),
        ("a.jsonl", b"[" * 10_000_000, "nested too deeply"),
        ("a.csv", b"prompt,completion,prompt\na,b,c\n", "header has the column 'prompt' twice"),
        ("a.csv", b"a,,\n", "columns without a name"),
        ("a.jsonl", b"\xff\xfe{\0\0\xd8\0\0", "UTF-16 with an error"),
    ],
    ids=lambda value: f"{len(value)}-bytes" if isinstance(value, bytes) else None,  # archives have the time in them
)
def test_what_is_no_data(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError, match=words):
        write_jsonl(load(tmp_path / name), tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("text", "code", "number", "column"),
    [
        ("prompt;completion\nq;a\nq;caf\udce9\nq;b\n", "not_utf8", 3, "completion"),
        ("prompt,completion\nq,a\nq\0,b\n", "nul_character", 3, "prompt"),
        ("prompt,completion\nq,a\nq,b,c\n", "csv_columns", 3, ""),
        ('sep=,\nprompt,completion\n"q\nr",a\n\nq,b,c\n', "csv_columns", 6, ""),
        ('prompt,completion\nq,a\nq,"b\n', "csv_syntax", 3, ""),
    ],
)
def test_broken_rows_of_tables_name_their_column(tmp_path: Path, text: str, code: str, number: int, column: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refusal = next(record for record in load(path).records() if isinstance(record, Refusal))
    assert (refusal.code, refusal.number, refusal.path) == (code, number, column)


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    row = {"prompt": "q", "completion": "a"}
    path.write_text(lines([{**row, "score": float("nan")}, {**row, "scores": [1, {"x": float("inf")}]}]))
    first, second = load(path).records()
    assert isinstance(first, Example)
    assert first.row["prompt"] == "q"
    assert isinstance(second, Refusal)
    assert (second.number, second.path) == (2, "scores[1].x")


def test_tables_with_another_suffix(tmp_path: Path) -> None:
    for name in ("a.jsonl", "A.PARQUET", "a"):
        parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
        assert list(load(tmp_path / name)) == ROWS
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a").read_bytes()))
    with pytest.raises(DatasetError, match="unpack it first"):
        load(tmp_path / "a.parquet.gz")


def test_pipes_and_devices_are_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(gzip.compress(lines(ROWS).encode())))
    writer.start()
    assert list(load(pipe)) == ROWS
    writer.join()
    with pytest.raises(DatasetError, match="no format fits"):
        load("/dev/null")


@pytest.mark.parametrize("blank", [b"\n", b" \n", b"\r", b"\r\n", " \u2028".encode() + b"\n"])
def test_blank_lines_take_linear_time(tmp_path: Path, blank: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(blank * (1_000_000 // (1 if len(blank) == 1 else 200)) + b'{"text": "a"}')
    begin = time.process_time()
    assert [record.row for record in load(path, "text").records() if isinstance(record, Example)] == [{"text": "a"}]
    assert time.process_time() - begin < 10


BOMB = """
import sys, zlib
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl
start, middle, end = (part.encode() for part in sys.argv[2:5])
packer = zlib.compressobj(1, wbits=31)
with open(sys.argv[1], "wb") as file:
    file.write(packer.compress(start))
    block = middle * (2**20 // len(middle))
    for _ in range(int(sys.argv[5])):
        file.write(packer.compress(block))
    file.write(packer.compress(end) + packer.flush())
try:
    report = write_jsonl(load(sys.argv[1]), sys.argv[1] + ".out.jsonl", max_issues=10).report
    print(report.rows)
except DatasetError as error:
    print(str(error)[:200])
print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])
"""


@pytest.mark.parametrize(
    ("name", "start", "middle", "end", "mebibytes", "words"),
    [
        ("a.jsonl.gz", '{"text": "', "x", '"}', 200, "more than 160 MiB"),
        ("a.json.gz", '{"text": "', "x", '"}', 200, "more than 80 MiB"),
        ("a.json.gz", '[{"text": "', "x", '"}]', 200, "more than 80 MiB"),
        ("a.csv.gz", "prompt,completion\nq,", "x", "\n", 200, "more than 160 MiB"),
        pytest.param("a.csv.gz", 'prompt,completion\nq,"', "x\n", '"\n', 50, "field larger than", marks=pytest.mark.slow),
        pytest.param("a.jsonl.gz", "", '{"text": "' + "x" * 100_000 + '"}\n', "", 400, "4000", marks=pytest.mark.slow),
        pytest.param("a.json.gz", '[{"text": "a"}', ",{}", "]", 1, "rows", marks=pytest.mark.slow),
    ],
)
def test_memory_is_bounded(
    tmp_path: Path, name: str, start: str, middle: str, end: str, mebibytes: int, words: str
) -> None:  # fmt: skip
    command = [sys.executable, "-c", BOMB, str(tmp_path / name), start, middle, end, str(mebibytes)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    *said, memory = ended.stdout.splitlines()
    assert words in " ".join(said)
    assert int(memory) < 300 * 1024


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in ("zstandard", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / "chats.jsonl.zst"
    path.write_bytes(zstandard.compress(b"{}"))
    with pytest.raises(ImportError, match=r'chats\.jsonl\.zst .*pip install "together-adapters\[finetune\]"'):
        load(path)


ITEMS = [
    b'{"id": 1, "a": [{"id": 2}, {"id": 3}]}', b'{"id": "x"}', b'{"id": "{\\"id\\"}, ["}', b'{"a": 1}', b"[1, 2]", b"3", b"null", b'"]"',
    b'{"id": NaN}', b'{"id":\n1}', b'{"id": 1}}', b"oops", b"", b'{"id": "' + b"x" * 300 + b'"}', b'{"id": 1, "b": {"id": [[]]}}',
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_arrays_are_split_like_single_values(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("msgspec")
    chance = random.Random(seed)
    usual, odd = ITEMS[:3], ITEMS if seed % 3 else ITEMS[:8]
    items = [ITEMS[0]] + [chance.choice(odd if chance.random() < 0.05 else usual) for _ in range(chance.choice((0, 3, 60)))]
    data = b" [" + chance.choice((b", ", b",", b" ,")).join(items) + chance.choice((b"]", b"] ", b"", b"] [1]", b",]"))
    monkeypatch.setattr(json_values, "_HEAD", chance.choice((40, 200)))
    monkeypatch.setattr(json_values, "BLOCK", chance.choice((10, 64, 200)))

    def read() -> Any:
        try:
            return [*json_values.items_of(json_values.json_items(io.BufferedReader(io.BytesIO(data)), "a"))]
        except DatasetError as error:
            return str(error)

    fast = read()
    monkeypatch.setattr(json_values, "_array_splitter", lambda: None)
    assert repr(fast) == repr(read())


def test_an_array_is_read_with_little_memory(tmp_path: Path) -> None:
    item = b'{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "a"}]}' % (b"q" * 900)
    (path := tmp_path / "a.json").write_bytes(b"[" + b", ".join([item] * 20_000) + b"]")
    tracemalloc.start()
    try:
        assert write_jsonl(load(path), tmp_path / "b.jsonl").report.valid == 20_000
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
