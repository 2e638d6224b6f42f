"""How similar texts are by the words that they share: BM25, by which rare words weigh more, shares of words, and related words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from together_adapters.emulator.text.features import STOPWORDS, WORDS, stem, stems, words

RELATED_WEIGHT: Final = 0.45  # of a related word compared with the word itself
_GROUPS: Final = [tuple(map(stem, group.split())) for group in WORDS["related"].split(",")]
_MAX_LENGTH: Final = 4_000  # characters of a text that count; no reranker reads more
_SENTENCE: Final = re.compile(r"(?<=[.!?;:])\s+(?=[A-Z`(])|\n(?:\s*\n|\s+)")


@lru_cache(maxsize=65_536)
def related_groups(term: str) -> list[tuple[str, ...]]:
    """The groups of stems that mean nearly the same as a stem, and contain it."""
    return [group for group in _GROUPS if term in group]


def rarity(documents: Sequence[Iterable[str]]) -> dict[str, float]:
    """The inverse document frequency of each stem."""
    counts = Counter(term for document in documents for term in set(document))
    return {term: inverse_frequency(count, len(documents)) for term, count in counts.items()}


def inverse_frequency(count: int, size: int) -> float:
    """The inverse document frequency of a stem that so many of some documents have."""
    return math.log(1 + (size - count + 0.5) / (count + 0.5))


def specificity(term: str) -> float:
    """Estimates how much a stem says without a corpus: long words, and what only code has, most."""
    if "_" in term or not term.isascii() or not term.isalnum():
        return 1.6
    if term in STOPWORDS:  # in code
        return 1.0
    return 0.6 if term.isdigit() else min(1.5, 0.45 + 0.12 * len(term))


def weights(documents: Sequence[Iterable[str]]) -> dict[str, float]:
    """How much each stem of some texts says: as it is rare in them, and specific."""
    return {term: term_weight(term, rare) for term, rare in rarity(documents).items()}


def term_weight(term: str, rare: float) -> float:
    """How much a stem says: as it is rare, and specific."""
    return rare / 6 + specificity(term) / 2


def bm25(query: Iterable[str], documents: Sequence[Sequence[str]], weight: Mapping[str, float] | None = None) -> list[float]:
    """The BM25 score of each document (a list of stems) for the stems of a query, or words related to them if these score more.

    Rare words weigh more, unless weights are given.
    """
    weight = weight or rarity(documents)
    mean = sum(map(len, documents)) / max(len(documents), 1) or 1.0
    scores = []
    for document in documents:
        counts, damping = Counter(document), 1.2 * (0.25 + 0.75 * len(document) / mean)
        scores.append(
            best_matches(query, {term: weight[term] * count * 2.2 / (count + damping) for term, count in counts.items()})
        )
    return scores


def share(query: Iterable[str], document: Iterable[str], weight: Mapping[str, float]) -> float:
    """The share of the weight of a query's stems that a document contains, between 0 and 1; related ones count less."""
    terms = set(query)
    total = sum(weight[term] for term in terms)
    return best_matches(terms, {term: weight.get(term, 0.0) for term in document}) / total if total else 0.0


def best_matches(query: Iterable[str], scores: Mapping[str, float]) -> float:
    """Adds up, for each stem of a query, the score of the stem or of the best of its related ones."""
    total = 0.0
    for term in set(query):
        related = [scores.get(other, 0.0) for group in related_groups(term) for other in group]
        total += max(scores.get(term, 0.0), RELATED_WEIGHT * max(related, default=0.0))
    return total


def coverage(query: Sequence[str], document: Iterable[str]) -> float:
    """The share of the query's distinct stems that the document contains, between 0 and 1."""
    terms = set(query)
    return len(terms & set(document)) / len(terms) if terms else 0.0


def relevance(query: str, texts: Sequence[str]) -> list[float]:
    """Returns the relevance of texts for a query, each between 0 and 1.

    The share of the query's words decides, so that scores of different requests are comparable: in a text, in its best sentence, and
    in its first line.
    """
    terms = set(stems(query[:_MAX_LENGTH]) or words(query[:_MAX_LENGTH]))
    texts = [text[:_MAX_LENGTH] for text in texts]
    documents = [stems(text) or words(text) for text in texts]
    weight = weights([terms, *documents])
    total = 2.2 * sum(weight[term] for term in terms)
    scores = []
    for text, score in zip(texts, bm25(terms, documents, weight), strict=True):
        title, *sentences = map(stems, _SENTENCE.split(text))
        best = max(share(terms, sentence, weight) for sentence in sentences or [title])
        scores.append(round(0.005 + (score / total + 0.5 * best + 0.4 * share(terms, title, weight)) / 1.93, 6))
    return scores
