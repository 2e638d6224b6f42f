"""An answer with citations, by what the service of today offers: a search without requests, a chat model that ranks, another that answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from operator import add
from typing import TYPE_CHECKING, Any, Final

from together_adapters.demo.answers import AnswerFinder, Quotation, cite
from together_adapters.demo.corpus import Passage, passages
from together_adapters.demo.keyword_index import KeywordIndex
from together_adapters.demo.questions import questions_for
from together_adapters.demo.service import Service
from together_adapters.emulator.text.similarity import relevance
from together_adapters.resources.rerank_prompts import estimated_tokens
from together_adapters.types.capabilities import capabilities

if TYPE_CHECKING:
    from together_adapters.emulator import Emulator

CANDIDATES: Final = 20
"""Passages that the search finds."""
CONTEXT: Final = 4
"""Passages that the answer may cite."""
INSTRUCTIONS: Final = (
    "You explain Python. Answer from the numbered passages alone, in two to four sentences. After each sentence put the number of the "
    "passage it rests on, like [2]. If the passages do not answer the question, say that you don't know, and nothing else."
)
_UNKNOWN: Final = re.compile(r"\W*I (?:don['\u2019]t|do not) know\b", re.IGNORECASE)
_PROMPT: Final = re.compile(re.escape(INSTRUCTIONS) + r"\n\n<passages>\n(.+)\n</passages>\n\nQuestion: (.*)", re.DOTALL)
_SECTION: Final = re.compile(r"\n\n\[(\d+)\] (.*?)(?=\n\n\[\d+\] |\Z)", re.DOTALL)
_RANK_TOKENS: Final = 100
_ANSWER_TOKENS: Final = 500
_MILLION: Final = 1_000_000


class Reference:
    """Python's language reference, searched without a request: by its words and by those of the questions that it answers."""

    def __init__(self) -> None:
        self.passages = passages()
        self.texts = [full_text(passage) for passage in self.passages]
        questions = dict(zip(self.texts, questions_for(self.texts), strict=True))
        self._questions = {text: "\n\n".join(question.text for question in group) for text, group in questions.items()}
        self._index = KeywordIndex(self._with_questions(self.texts))
        self._finder = AnswerFinder(questions, self._index.weight)

    def search(self, question: str) -> list[Passage]:
        """Returns the passages for a question, the best first; none if no passage shares a word with it."""
        return [self.passages[position] for position, _ in self._index.search(question, CANDIDATES)]

    def relevance(self, question: str, texts: Sequence[str]) -> list[float]:
        """Returns the relevance of texts, each with its questions; these count twice, since one that is alike says most."""
        questions = [self._questions.get(text, "") for text in texts]
        return list(map(add, relevance(question, self._with_questions(texts)), relevance(question, questions)))

    def quotations(self, question: str, texts: Sequence[str]) -> list[Quotation]:
        """Returns the sentences of texts that answer a question; none if it is not like any of their questions."""
        return self._finder.find(question, texts)

    def _with_questions(self, texts: Sequence[str]) -> list[str]:
        return [f"{text}\n\n{self._questions.get(text, '')}" for text in texts]


def rank_by_questions(emulator: Emulator, reference: Reference) -> None:
    """Lets an emulator's models rank passages by the questions that these answer, as a model does by meaning; by itself it compares words."""
    from together_adapters.emulator.engine.passage_ranking import answer_ranking_prompt

    def ranking(request: Mapping[str, Any]) -> str:
        is_json = (request.get("response_format") or {}).get("type") == "json_schema"
        answer = answer_ranking_prompt(request["messages"][-1]["content"], as_json=is_json, scorer=reference.relevance)
        return answer[0] if answer else ""

    emulator.reply(ranking, when=lambda request: "<query>" in str(request.get("messages")))


def answer_by_questions(emulator: Emulator, reference: Reference) -> None:
    """Lets an emulator's models answer with the sentences to which a question like the user's belongs; by itself it compares words."""
    from together_adapters.emulator.engine.extractive_qa import NOT_FOUND

    def answer(request: Mapping[str, Any]) -> str:
        match = _PROMPT.search(_text(request))
        assert match is not None
        labels, texts = zip(*_SECTION.findall(f"\n\n{match[1]}"), strict=True)
        quotations = reference.quotations(match[2], texts)
        return "".join(cite(each, labels[q.passage]) for q in quotations for each in q.sentences).strip() or NOT_FOUND

    emulator.reply(answer, when=lambda request: _PROMPT.search(_text(request)))


def _text(request: Mapping[str, Any]) -> str:
    """Returns the text of the last message of a request."""
    message = (request.get("messages") or [{}])[-1]
    parts = message.get("content") or ""
    return parts if isinstance(parts, str) else "".join(part.get("text") or "" for part in parts)


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
