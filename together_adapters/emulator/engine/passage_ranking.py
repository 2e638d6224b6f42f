"""Relevance by common words: of documents, and of the passages in prompts that let a chat model rank them."""

from __future__ import annotations

import json
import math
import re
from typing import Final, NamedTuple

from together_adapters.emulator.engine.text_features import bm25, coverage, stems, words

_MAX_LENGTH: Final = 4_000  # characters of a text that count; no reranker reads more
_QUERY: Final = re.compile(r"<query>(.*?)</query>", re.DOTALL)
_PASSAGE: Final = re.compile(r'<passage(?: id="(\d+)")?>\n(.*?)\n</passage>', re.DOTALL)


class RankingAnswer(NamedTuple):
    """The answer to a prompt that ranks passages; of a verdict, the log-probabilities of its only token."""

    text: str
    logprobs: dict[str, float] | None = None


def relevance(query: str, texts: list[str]) -> list[float]:
    """Returns the relevance of texts for a query, each between 0 and 1."""
    terms = stems(query[:_MAX_LENGTH]) or words(query[:_MAX_LENGTH])
    documents = [stems(text[:_MAX_LENGTH]) or words(text[:_MAX_LENGTH]) for text in texts]
    scores = []
    for score, document in zip(bm25(terms, documents), documents, strict=True):
        share = coverage(terms, document)
        # The share of the query's words decides, so that scores of different requests are comparable; BM25 breaks ties.
        scores.append(round(0.8 * share + 0.19 * (1 - math.exp(-score / 4)) + 0.005, 6))
    return scores


def answer_ranking_prompt(prompt: str, *, as_json: bool) -> RankingAnswer | None:
    """Orders the numbered passages of a prompt, or says of one passage whether it is relevant; None for any other prompt."""
    query = _QUERY.search(prompt)
    passages = [(match[1], match[2].replace("&lt;", "<")) for match in _PASSAGE.finditer(prompt)] if query else []
    if not query or not passages:
        return None
    scores = relevance(query[1].replace("&lt;", "<"), [text for _, text in passages])
    if passages[0][0] is None:
        yes = {"yes": round(math.log(scores[0]), 6), "no": round(math.log(1 - scores[0]), 6)}
        return RankingAnswer(max(yes, key=yes.__getitem__), yes)
    ids = [int(passages[index][0]) for index in sorted(range(len(scores)), key=lambda index: -scores[index])]
    return RankingAnswer(json.dumps({"ranking": ids}) if as_json else " > ".join(f"[{id}]" for id in ids))
