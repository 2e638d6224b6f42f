"""The options that a refusal suggests are tried: they give the rows that the arguments give in Python."""

from __future__ import annotations

import json
import re
import shlex
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import environment
from tests.finetune.formats.reading import user
from tests.finetune.formats.test_exports import FILES, write
from tests.fork_server import ForkServer
from together_adapters.errors import DatasetError
from together_adapters.finetune import load, write_jsonl

Q, A = "How high is it?", "Nine metres."
ONE_QUESTION = {"prompt": Q, "completion": A}

AMBIGUOUS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"question": Q, "answer": A, "response": "Ten."}, ONE_QUESTION),
    ({"problem": Q, "solution": A, "answer": "9"}, ONE_QUESTION),
    ({"question": Q, "prompt": "Answer this.", "answer": A}, ONE_QUESTION),
    ({"text": Q, "response": A}, ONE_QUESTION),
    ({"prompt": Q, "text": A}, ONE_QUESTION),
    ({"My Ask": Q, "what's said": A}, ONE_QUESTION),
    ({"question": Q, "chosen": A, "rejected": "Go.", "answer": "9"}, {"input": {"messages": [user(Q)]}}),
]


@pytest.mark.parametrize(("record", "row"), AMBIGUOUS)
def test_the_names_that_a_refusal_suggests_give_the_row(
    record: dict[str, Any], row: dict[str, Any], warm: ForkServer, tmp_path: Path
):
    with pytest.raises(DatasetError) as error:
        write_jsonl(load([record]), tmp_path / "out.jsonl")
    (columns,) = re.findall(r"columns=(\{.*?\}) says", str(error.value))
    rows = list(load([record], columns=literal_eval(columns)))
    assert row.items() <= rows[0].items() or rows[0]["prompt"] in record.values()

    (tmp_path / "in.jsonl").write_text(json.dumps(record), "utf-8")
    arguments = ["ft", "prepare", "in.jsonl", "-o", "out.jsonl"]
    refused = warm.run(arguments, tmp_path, environment("http://127.0.0.1:1"), "")
    (flags,) = re.findall(r"(--column [^;]*?) says", refused.stderr)
    ended = warm.run([*arguments, *shlex.split(flags)], tmp_path, environment("http://127.0.0.1:1"), "")
    assert ended.returncode == 0, ended.stderr
    written = json.loads((tmp_path / "out.jsonl").read_text("utf-8"))
    assert written.items() <= rows[0].items()


def test_files_of_other_programs_are_read_as_in_python(warm: ForkServer, tmp_path: Path):
    for number, (suffix, document, conversations) in enumerate(FILES.values()):
        source = write(tmp_path, suffix, document)
        ended = warm.run(["ft", "prepare", str(source), "-o", f"{number}.jsonl"], tmp_path, environment("http://127.0.0.1:1"), "")
        assert ended.returncode == 0, ended.stderr
        lines = (tmp_path / f"{number}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["messages"] for line in lines] == conversations
