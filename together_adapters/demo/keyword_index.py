"""A keyword index (BM25) of texts, for recipes that search without an embedding model.

It needs no request and no key: `bm25s` counts words with numpy. Nothing here is specific to LangChain or LlamaIndex.
"""

from __future__ import annotations

from collections.abc import Sequence

import bm25s  # type: ignore[import-untyped]
import numpy as np

from together_adapters.emulator.text.features import stems
from together_adapters.emulator.text.similarity import RELATED_WEIGHT, inverse_frequency, related_groups, term_weight, weights

_TITLE_WEIGHT = 3


class KeywordIndex:
    """Finds the texts that share rare words with a query. The first paragraph of a text, its title, counts more than the others.

    A word that means nearly the same counts, too, but less, so that "remove a key" finds "delete an item". Names and operators of
    programs are words: `is`, `__slots__`, `:=`.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._index = bm25s.BM25(k1=1.2)
        documents = [stems(text) + (_TITLE_WEIGHT - 1) * stems(text.partition("\n\n")[0]) for text in texts]
        self._index.index(documents, show_progress=False)
        self._weights = weights(documents)

    def search(self, query: str, k: int) -> list[tuple[int, float]]:
        """Returns the positions and the scores of at most `k` texts with a word of the query, the best first."""
        scores = np.zeros(self._size, np.float32)
        for term in dict.fromkeys(stems(query)):
            others = {other for group in related_groups(term) for other in group}
            scores += np.maximum.reduce([self._scores(term), *(RELATED_WEIGHT * self._scores(other) for other in others)])
        order = np.argsort(-scores, kind="stable")[:k]
        return [(int(position), float(scores[position])) for position in order if scores[position] > 0]

    def weight(self, term: str) -> float:
        """Returns how much a stem says: a rare one more, and one that no text has most."""
        weight = self._weights.get(term)
        return term_weight(term, inverse_frequency(0, self._size)) if weight is None else weight

    def _scores(self, term: str) -> np.ndarray:
        return np.asarray(self._index.get_scores([term]))
