"""An answer with citations, by what the service of today offers: keywords find passages, a chat model ranks them, another one answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from together_adapters.demo.corpus import Passage, passages
from together_adapters.demo.keyword_index import KeywordIndex
from together_adapters.demo.service import Service
from together_adapters.resources.rerank_prompts import estimated_tokens
from together_adapters.types.capabilities import capabilities

CANDIDATES: Final = 20
"""Passages that keywords find."""
CONTEXT: Final = 4
"""Passages that the answer may cite."""
INSTRUCTIONS: Final = (
    "You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence put the number of the "
    "passage it rests on, like [2]. If the passages do not answer the question, say that you don't know, and nothing else."
)
_UNKNOWN: Final = re.compile(r"\W*I (?:don['\u2019]t|do not) know\b", re.IGNORECASE)
_RANK_TOKENS: Final = 100
_ANSWER_TOKENS: Final = 500
_MILLION: Final = 1_000_000


class Reference:
    """Python's language reference, with its keyword index."""

    def __init__(self) -> None:
        self.passages = passages()
        self.texts = [full_text(passage) for passage in self.passages]
        self._index = KeywordIndex(self.texts)

    def search(self, question: str) -> list[Passage]:
        """Returns the passages that share the rarest words with a question."""
        return [self.passages[position] for position, _ in self._index.search(question, CANDIDATES)]


def full_text(passage: Passage) -> str:
    """Returns the title and the text of a passage."""
    return f"{passage.title}\n\n{passage.text}"


def rank(service: Service, question: str, candidates: Sequence[Passage]) -> list[Passage]:
    """Returns the most relevant passages, in the order of a chat model."""
    texts = list(map(full_text, candidates))
    ranking = service.client.rerank.create(
        model=service.rank_model, query=question, documents=texts, top_n=CONTEXT, method="listwise"
    )
    return [candidates[result.index] for result in ranking.results]


def prompt(question: str, context: Sequence[Passage]) -> str:
    """Returns the prompt that makes a model cite passages by their numbers."""
    sections = "\n\n".join(f"[{number}] {full_text(passage)}" for number, passage in enumerate(context, start=1))
    return f"{INSTRUCTIONS}\n\n<passages>\n{sections}\n</passages>\n\nQuestion: {question}"


def stream_answer(service: Service, text: str) -> Iterator[str]:
    """Yields the answer to a prompt as it arrives, without the model's reasoning."""
    messages: list[Any] = [{"role": "user", "content": text}]
    with service.client.chat.completions.create(model=service.chat_model, messages=messages, stream=True) as chunks:
        for chunk in chunks:
            for choice in chunk.choices:
                yield choice.delta.content or ""


def is_unanswered(answer: str) -> bool:
    """Whether a model says that the passages do not answer the question."""
    return not answer.strip() or _UNKNOWN.match(answer) is not None


def estimated_dollars(service: Service, candidates: Sequence[Passage], answers: int) -> float | None:
    """Estimates what ranking and so many answers cost by the table of models; None if it has no price of a model."""
    lengths = [estimated_tokens(full_text(passage)) for passage in candidates]
    context = sum(sorted(lengths)[-CONTEXT:]) + estimated_tokens(INSTRUCTIONS)
    rank_prices, prices = (capabilities(model).prices for model in (service.rank_model, service.chat_model))
    if None in (rank_prices.input, rank_prices.output, prices.input, prices.output):
        return None
    ranking = sum(lengths) * (rank_prices.input or 0) + _RANK_TOKENS * (rank_prices.output or 0)
    answering = context * (prices.input or 0) + _ANSWER_TOKENS * (prices.output or 0)
    return (ranking + answers * answering) / _MILLION
