"""Files that are no JSON Lines are one issue of `ft check`, `ft stats` and `check_jsonl`, with the command that works."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import shlex
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from tests.cli.conftest import Run
from tests.cli.ft.conftest import report_of
from together_adapters.finetune import check_jsonl, load, write_jsonl

ROWS = [{"text": f"Frage {number}"} for number in range(3)]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS)


def table() -> bytes:
    parquet.write_table(pa.Table.from_pylist(ROWS), sink := pa.BufferOutputStream())
    return bytes(sink.getvalue())


READABLE: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: gzip.compress(LINES.encode()),
    "bzip2": lambda: bz2.compress(LINES.encode()),
    "xz": lambda: lzma.compress(LINES.encode()),
    "Zstandard": lambda: zstandard.compress(LINES.encode()),
    "UTF-16": lambda: LINES.encode("utf-16"),
    "UTF-16-LE": lambda: LINES.encode("utf-16-le"),
    "UTF-32": lambda: LINES.encode("utf-32"),
    "array": lambda: json.dumps(ROWS).encode(),
    "JSON array": lambda: b"\xef\xbb\xbf" + json.dumps(ROWS, indent=1).encode(),
    "spread over lines": lambda: "\n".join(json.dumps(row, indent=1) for row in ROWS).encode(),
    "table": table,
}
FOREIGN = {
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "HTML": b"\n<!DOCTYPE html><html>",
    "PDF": b"%PDF-1.7",
    "SQLite": b"SQLite format 3\0",
    "tar archive": b"a".ljust(257, b"\0") + b"ustar",
}


@pytest.mark.parametrize("words", READABLE)
@pytest.mark.parametrize("command", ["check", "stats"])
def test_the_command_that_is_named_makes_a_training_file(run: Run, tmp_path: Path, words: str, command: str) -> None:
    path = tmp_path / "my chats.jsonl"
    path.write_bytes(READABLE[words]())
    (issue,) = report_of(run("ft", command, path, "--json", code=1))["issues"]
    assert words in issue["message"]
    program, *arguments = shlex.split(re.findall("`(.*)`", issue["message"])[0])
    assert program == "together-adapters"
    assert issue["message"][:60].strip()[:30] in " ".join(run("ft", command, path, code=1).out.split())
    run(*arguments)
    assert [json.loads(line) for line in Path(arguments[-1]).read_text("utf-8").splitlines()] == ROWS


@pytest.mark.parametrize("words", READABLE)
def test_the_call_that_is_named_makes_a_training_file(tmp_path: Path, words: str) -> None:
    path = tmp_path / "it's.jsonl"
    path.write_bytes(READABLE[words]())
    (issue,) = check_jsonl(path).issues
    assert (words in issue.message, issue.line) == (True, None if issue.code == "not_json_lines" else 1)
    eval(re.findall(r"write_jsonl\(.*\)", issue.message)[0], {"load": load, "write_jsonl": write_jsonl})
    assert (tmp_path / "it's.train.jsonl").read_text("utf-8").count("\n") == len(ROWS)
    assert "load(" not in check_jsonl(path, purpose="batch-api").issues[0].message


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_what_is_no_data_is_named(tmp_path: Path, words: str, suffix: str) -> None:
    path = tmp_path / f"chats.{suffix}"
    path.write_bytes(FOREIGN[words])
    (issue,) = check_jsonl(path).issues
    assert (issue.code, words in issue.message, "load(" in issue.message) == ("not_json_lines", True, False)


@pytest.mark.parametrize("content", [b'[{"a": 1}]\n[{"a": 1}]\n', b'{"text": "a"}\n[\n', b"[]\n", b"[1, 2]\n", b'{"text": 1'])
def test_lines_are_checked_one_by_one(tmp_path: Path, content: bytes) -> None:
    (path := tmp_path / "a.jsonl").write_bytes(content)
    assert all(issue.line for issue in check_jsonl(path).issues)


def test_stdin_and_pipes(run: Run, tmp_path: Path) -> None:
    assert "line_not_object" in run("ft", "check", "-", input=json.dumps(ROWS), code=1).out
    (issue,) = report_of(run("ft", "check", "-", "--json", input=json.dumps(ROWS), code=1))["issues"]
    assert "ft prepare - -o stdin.train.jsonl`" in issue["message"]
    os.mkfifo(pipe := tmp_path / "pipe.jsonl")
    (issue,) = check_jsonl(pipe).issues
    assert (issue.code, "copy it to a file" in issue.message) == ("file_missing", True)
    writer = threading.Thread(target=pipe.write_text, args=(LINES,))
    writer.start()
    assert "pipe.jsonl can be used: 0 errors, 0 warnings in 3 rows" in run("ft", "check", pipe).out
    writer.join()
