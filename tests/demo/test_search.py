"""The search of the demo: words of the question, and other words that mean the same."""

from __future__ import annotations

import pytest

pytest.importorskip("bm25s")
pytest.importorskip("wordllama")

from together_adapters.demo.answering import CANDIDATES, Reference
from together_adapters.demo.static_embeddings import StaticEmbeddings


def test_texts_are_found_by_other_words() -> None:
    texts = [
        "Cats\n\nA kitten drinks milk.",
        "Ships\n\nThe vessel left the harbour at dawn.",
        "Money\n\nThe bank raised its rates.",
    ]
    embeddings = StaticEmbeddings(texts)
    assert embeddings.search("When did the boat sail?", 3)[0] == 1
    assert embeddings.search("lending institution", 1) == [2]
    assert len(embeddings.search("", 3)) == 3


def test_the_reference_is_searched_by_both() -> None:
    reference = Reference()
    found = reference.search("What does break do to the else clause of a loop?")
    assert len(found) == CANDIDATES == len(set(found))
    assert found[0].title == "The break statement"
    assert reference.search("zzqx") == []
