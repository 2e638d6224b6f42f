"""Citations: what counts as one, and which sentence of the passage it rests on."""

from __future__ import annotations

import pytest

from together_adapters.demo.answering import is_unanswered
from together_adapters.demo.citations import sources
from together_adapters.demo.corpus import Passage

CONTEXT = [
    Passage(
        "Loops", "A loop repeats its suite. The break statement ends a loop at once.\n\nFor example:\n\n    break\n\nThe end."
    ),
    Passage("Names", "A name refers to an object. The scope of a name is a block."),
]
BREAK, EXAMPLE = "The break statement ends a loop at once.", "    break"


def test_the_cited_sentence_is_the_most_similar_one() -> None:
    (source,) = sources("A loop is ended at once by `break`, a statement [1].", CONTEXT)
    assert (source.number, source.title) == (1, "Loops")
    assert source.quotations == [BREAK]
    texts = [sentence.text for sentence in source.excerpt]
    assert texts == ["A loop repeats its suite.", BREAK, "For example:", "..."]


@pytest.mark.parametrize(
    ("answer", "numbers"),
    [
        ("One [1]. Two [2].", [1, 2]),
        ("Both [1, 2].", [1, 2]),
        ("Both [2][1].", [1, 2]),
        ("As some models write it \u30101\u2020L1-L3\u3011.", [1]),
        ("Out of range [3] [0].", []),
        ("Code cites nothing: `values[1]` and\n```\nvalues[2]\n```\n", []),
        ("Nothing.", []),
    ],
)
def test_what_is_a_citation(answer: str, numbers: list[int]) -> None:
    assert [source.number for source in sources(answer, CONTEXT)] == numbers


def test_each_claim_has_its_own_sentence() -> None:
    answer = "Uncited words of an earlier sentence. A name refers to an object. [2] The scope of a name is a block.[2]"
    (source,) = sources(answer, CONTEXT)
    assert source.quotations == ["A name refers to an object.", "The scope of a name is a block."]


def test_a_claim_that_no_sentence_says_highlights_none() -> None:
    (source,) = sources("Bananas are yellow [2].", CONTEXT)
    assert source.quotations == []
    assert source.excerpt[0].text == "A name refers to an object."


def test_an_example_stays_as_it_is() -> None:
    (source,) = sources("For example: break. The end [1].", CONTEXT)
    assert EXAMPLE in [sentence.text for sentence in source.excerpt if sentence.is_example]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("I don't know: the given context does not answer this question.", True),
        ("I don\u2019t know.", True),
        ("I do not know", True),
        ("", True),
        ("It is a loop [1].", False),
    ],
)
def test_what_is_no_answer(answer: str, expected: bool) -> None:
    assert is_unanswered(answer) is expected
