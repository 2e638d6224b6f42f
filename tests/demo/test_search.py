"""The search of the demo: words of the passages, and of the questions that they answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("bm25s")

from together_adapters import Together
from together_adapters.demo.answering import CANDIDATES, Reference, full_text, rank_by_questions
from together_adapters.demo.questions import questions_for
from together_adapters.emulator import serve
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL

BENCHMARK = Path(__file__).parents[1] / "benchmarks/search_questions.json"
SKIP = "I want to skip some items of the loop"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def test_passages_are_found_by_words_of_the_reference_and_of_newcomers(reference: Reference) -> None:
    passages = reference.search("What does break do to the else clause of a loop?")
    assert len(passages) == CANDIDATES == len(set(passages))
    assert passages[0].title == "The break statement"
    assert "skip" not in next(text for text in reference.texts if text.startswith("The continue statement\n"))
    assert "The continue statement" in [passage.title for passage in reference.search(SKIP)[:4]]
    assert reference.search("zzqx") == []


def test_an_emulator_ranks_by_the_questions(reference: Reference) -> None:
    texts = list(map(full_text, reference.search(SKIP)))
    assert reference.relevance(SKIP, ["a text that is not of the reference"]) == pytest.approx([0.01])
    with serve() as emulator, Together(api_key="emulator", base_url=emulator.base_url) as client:
        rank_by_questions(emulator, reference)
        response = client.rerank.create(model=DEFAULT_RERANK_MODEL, query=SKIP, documents=texts, method="listwise")
    scores = reference.relevance(SKIP, texts)
    assert [result.index for result in response.results] == sorted(range(CANDIDATES), key=lambda index: -scores[index])
    assert texts[response.results[0].index].startswith("The continue statement\n")


def test_nearly_all_passages_have_questions(reference: Reference) -> None:
    questions = questions_for(reference.texts)
    assert sum(map(bool, questions)) >= 0.9 * len(questions)  # other editions split and word some passages in other ways


def test_no_question_is_one_of_the_benchmark(reference: Reference) -> None:
    benchmark = {_plain(entry["question"]) for part in json.loads(BENCHMARK.read_text("utf-8")).values() for entry in part}
    ours = {_plain(question.text) for questions in questions_for(reference.texts) for question in questions}
    assert len(ours) > 2_000
    assert not benchmark & ours


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.lower()))
