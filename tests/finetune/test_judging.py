"""Two models answer the questions of a file before a judge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import DatasetError, NotFoundError
from together_adapters.finetune import judge

GOOD, BAD = "openai/gpt-oss-120b", "Qwen/Qwen3.5-9B"


def conversation(number: int, answer: Any) -> dict[str, Any]:
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Which gate for flight {number}?"}]
    return {"messages": [*question, {"role": "assistant", "content": answer, "weight": 1}]}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture(autouse=True)
def replies(emulator: Emulator) -> None:
    emulator.reply(lambda body: "Gate 7, of course." if body["model"] == GOOD else "Sorry, no idea.")


def compare(flavour: Flavour, path: Path, **options: Any) -> Any:
    client = flavour.client(max_retries=0)
    return flavour.run(judge(client, path, **{"model_a": GOOD, "model_b": BAD, "poll_interval": 0.02, **options}))


def test_who_wins(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    rows = [conversation(number, "Gate 7.") for number in range(4)]
    path = write(tmp_path / "v.jsonl", *rows, conversation(9, None), {"prompt": "Which gate?", "completion": "Gate 7."})
    states: list[Any] = []
    result = compare(flavour, path, progress=states.append)
    assert (result.a_wins, result.b_wins, result.ties, result.without_text) == (5, 0, 0, 1)
    assert result.winner == GOOD
    assert str(result) == f"{GOOD} wins: 5 for {GOOD}, 0 for {BAD}, 0 ties, 1 without an answer of text"
    assert ", 1 tie, " in str(replace(result, ties=1))
    assert states[-1].done == states[-1].total == 10
    bodies = [request.json for request in emulator.requests if request.path == "/v1/chat/completions"]
    assert rows[0]["messages"][:-1] in [body["messages"] for body in bodies]
    assert compare(flavour, path, model_a=BAD, model_b=GOOD).winner == GOOD


def test_rows_that_fail_are_named(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    path = write(tmp_path / "v.jsonl", *(conversation(number, "Gate 7.") for number in range(3)))
    emulator.inject(Fault("400", message="no such tool"))
    result = compare(flavour, path)
    assert result.a_wins == 2 and "no such tool" in result.errors[0] and "1 failed" in str(result)


def test_what_cannot_be_compared(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2 of .*v.jsonl has neither"):
        compare(flavour, write(tmp_path / "v.jsonl", conversation(1, "Gate 7."), {"text": "x"}))
    with pytest.raises(DatasetError, match="no row whose last message"):
        compare(flavour, write(tmp_path / "v.jsonl", conversation(1, None)))
    with pytest.raises(ValueError, match="the same model"):
        compare(flavour, tmp_path / "v.jsonl", model_b=GOOD)
    assert emulator.requests == []
    with emulator.behave(any_model=False), pytest.raises(NotFoundError, match="no/model"):
        path = write(tmp_path / "v.jsonl", conversation(1, "Gate 7."))
        compare(flavour, path, model_a="no/model", model_b="none/model")
