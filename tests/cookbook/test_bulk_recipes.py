"""Recipes of many requests: what was finished is not asked again."""

from __future__ import annotations

import importlib
import math
import re
from pathlib import Path

import pytest

from tests.cookbook.conftest import KEY, RunAgain
from tests.cookbook.warm import COOKBOOK
from together_adapters.emulator import Emulator

ROW = re.compile(r"^([aA].*?)  +(\d+) +(\d+)$", re.MULTILINE)
SCORE = re.compile(r"^(found|faithful|relevant) +(\d+) of (\d+)$", re.MULTILINE)


def jobs(emulator: Emulator) -> int:
    return sum((request.method, request.path) == ("POST", "/v1/batches") for request in emulator.requests)


def test_an_evaluation_is_two_jobs(
    emulator: Emulator, run_again: RunAgain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(COOKBOOK))
    judge = importlib.import_module("evaluation_llama_index").judge_by_words
    arguments = ("--questions", "9", "--poll-interval", "0.05", "--checkpoint", str(tmp_path / "run.sqlite"))
    outputs = []
    for expected in (2, 0):
        emulator.clear()
        emulator.reply(judge, when="YES", times=math.inf)
        process = run_again("evaluation_llama_index", *arguments, TOGETHER_BASE_URL=emulator.base_url, TOGETHER_API_KEY=KEY)
        assert (process.returncode, process.stderr) == (0, "")
        assert jobs(emulator) == expected
        assert emulator.bill.total(kind="batch").requests == (27 if expected else 0)
        outputs.append(process.stdout)
    scores = [{name: (int(passed), int(total)) for name, passed, total in SCORE.findall(output)} for output in outputs]
    assert scores[0] == scores[1]
    assert scores[0].keys() == {"found", "faithful", "relevant"}
    assert all(0 < passed <= total == 9 for passed, total in scores[0].values())
    assert re.findall(r"^Job \d: +(\d+) requests, 0 failed$", outputs[0], re.MULTILINE) == ["9", "18"]


def test_the_evaluation_has_five_hundred_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(COOKBOOK))
    recipe = importlib.import_module("evaluation_llama_index")
    nodes = recipe.build_nodes()
    for count in (3, len(nodes), recipe.QUESTIONS):
        assert len(recipe.questions_about(nodes, count)) == count
    assert recipe.QUESTIONS == 500 and set(recipe.questions_about(nodes, 500).values()) == {node.node_id for node in nodes}


def test_an_evaluation_without_a_key(run_again: RunAgain) -> None:
    process = run_again("evaluation_llama_index", "--questions", "3", TOGETHER_EMULATOR="strict")
    assert (process.returncode, process.stderr) == (0, "")
    assert len(SCORE.findall(process.stdout)) == 3


def test_vectors_are_asked_for_once(emulator: Emulator, run_again: RunAgain, tmp_path: Path) -> None:
    settings = {"TOGETHER_BASE_URL": emulator.base_url, "TOGETHER_API_KEY": KEY}
    process = run_again("bulk_ingestion", "--checkpoint", str(tmp_path / "vectors.sqlite"), **settings)
    assert (process.returncode, process.stderr) == (0, "")
    (part, asked), (of_langchain, rest), (of_llama_index, none) = [
        (int(count), int(requests)) for _, count, requests in ROW.findall(process.stdout)
    ]
    assert 200 < part < of_langchain == of_llama_index
    assert asked > 0 and rest > 0 and none == 0
    assert re.search(r"^LangChain:   The break statement\nLlamaIndex:  The break statement$", process.stdout, re.MULTILINE)
    probe, *inputs = [request.json["input"] for request in emulator.requests if request.path == "/v1/embeddings"]
    texts = [text for each in inputs for text in (each if isinstance(each, list) else [each])]
    assert probe == "Python"
    assert len(texts) == of_langchain + 2 == len(set(texts)) + 1  # each passage once, and the question of each store
    emulator.clear()
    process = run_again("bulk_ingestion", "--checkpoint", str(tmp_path / "vectors.sqlite"), **settings)
    assert [int(requests) for _, _, requests in ROW.findall(process.stdout)] == [0, 0, 0]


def test_vectors_without_an_embedding_model(run_again: RunAgain) -> None:
    process = run_again("bulk_ingestion", TOGETHER_EMULATOR="strict")
    assert process.returncode == 0
    assert [line.partition(":")[0] for line in process.stderr.splitlines()] == ["note", "note"]
