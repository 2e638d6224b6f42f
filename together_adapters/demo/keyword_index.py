"""A keyword index (BM25) of texts, for the demo and for recipes: a search without an embedding model.

It needs no request and no key: `bm25s` counts words with numpy. Nothing here is specific to LangChain or LlamaIndex.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import bm25s  # type: ignore[import-untyped]


class KeywordIndex:
    """Finds the texts that share rare words with a query."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._index: Any = bm25s.BM25()
        self._index.index(_split(texts), show_progress=False)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """Returns the positions and the scores of at most `k` texts with a word of the query, the best first."""
        results: Any = self._index.retrieve(_split([query]), k=min(k, self._size), show_progress=False)
        scores = zip(results.documents[0], results.scores[0], strict=True)
        return [(int(position), float(score)) for position, score in scores if score > 0]


def _split(texts: Sequence[str]) -> Any:
    """Splits texts into words without stop words."""
    return bm25s.tokenize(list(texts), stopwords="en", stemmer=_without_plurals, show_progress=False)


def _without_plurals(words: list[str]) -> list[str]:
    """Takes the s off the end of words, so that "loops" finds "loop". A stemmer, such as PyStemmer's, does more."""
    return [word[:-1] if len(word) > 3 and word[-1] == "s" != word[-2] else word for word in words]
