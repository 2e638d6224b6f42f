"""One run of the demo: questions and their answers on one service."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from together_adapters.cli.demo.page import Page
from together_adapters.cli.terminal import spinner
from together_adapters.control.dollars import format_dollars, fraction_digits
from together_adapters.demo.answering import (
    CONTEXT,
    Reference,
    answer_by_questions,
    estimated_dollars,
    is_unanswered,
    prompt,
    rank,
    rank_by_questions,
    stream_answer,
)
from together_adapters.demo.citations import Source, sources
from together_adapters.demo.corpus import Passage
from together_adapters.demo.features import Feature, Tour, since, usage_figures, usage_text
from together_adapters.demo.service import Mode, Service, connect
from together_adapters.errors import APIError
from together_adapters.types.capabilities import TABLE_DATE

_FRAMEWORKS = 2


@dataclass(frozen=True)
class Run:
    """Answers questions.

    Attributes:
        service: Who answers.
        reference: The corpus.
        page: What prints.
    """

    service: Service
    reference: Reference
    page: Page

    def answer(self, question: str, *, with_features: bool) -> dict[str, Any]:
        """Answers a question and shows what the library does besides; returns both as data."""
        earlier = self.service.control.ledger.total().requests
        self.page.gap()
        self.page.line("Question", question)
        context = self._find(question, answers=1 + _FRAMEWORKS * with_features)
        text = prompt(question, context) if context else ""
        self.page.gap()
        answer = self.page.stream(stream_answer(self.service, text) if text else ["No passage shares a word with the question."])
        is_answered = bool(text) and not is_unanswered(answer)
        citations = sources(answer, context) if is_answered else []
        self._show_sources(citations, context, is_answered=is_answered)
        usage = since(self.service, earlier)
        used = f"{usage.requests} calls: {usage_text(usage)}" if usage.requests else "nothing: no call was made"
        self.page.line("Used", f"{used}.")
        tour = Tour(self.service, self.reference, question, text, answer)
        return {
            "question": question,
            "answer": answer,
            "answered": is_answered,
            "sources": [{"number": each.number, "title": each.title, "quotations": each.quotations} for each in citations],
            "usage": usage_figures(usage),
            "models": {"rank": self.service.rank_model, "answer": self.service.chat_model},
            "features": [asdict(feature) for feature in self._show(tour)] if with_features else [],
        }

    def _find(self, question: str, answers: int) -> list[Passage]:
        """Finds passages and lets a model rank them; says before what all will cost."""
        candidates = self.reference.search(question)
        total = f"{len(self.reference.passages)} passages of Python {platform.python_version()}'s language reference"
        if not candidates:
            self.page.line("Search", f"{total}; none has a word of it.")
            return []
        if self.service.emulator is None:
            dollars = estimated_dollars(self.service, candidates, answers)
            price = "an unknown price" if dollars is None else f"about {format_dollars(dollars, fraction_digits(dollars, 2))}"
            self.page.line("Price", f"{price} for this question, at the prices of {TABLE_DATE}.")
        try:
            with spinner("Ranking passages"):
                context = rank(self.service, question, candidates)
            selection = f"of which {self.service.rank_model} keeps the best {len(context)}"
        except APIError as error:
            context = candidates[:CONTEXT]
            selection = f"not ranked: {error}"
        self.page.line("Search", f"{total}; keywords find {len(candidates)}, {selection}.")
        return context

    def _show_sources(self, citations: list[Source], context: list[Passage], *, is_answered: bool) -> None:
        self.page.gap()
        if not citations:
            reason = (
                "the answer cites no passage, so nothing supports it"
                if is_answered
                else "the passages do not answer this question"
            )
            nearest = " The search compares words, and the passages are in English."
            if context:
                nearest = f" The nearest are: {'; '.join(passage.title for passage in context)}."
                if self.service.emulator and not is_answered:
                    nearest += " An emulator compares words; with a key, a model answers."
            self.page.line("Sources", f"none: {reason}.{nearest}")
            self.page.gap()
        for source in citations:
            self.page.source(source)

    def _show(self, tour: Tour) -> Iterator[Feature]:
        self.page.heading("What else the library does")
        for name, show in tour.features():
            with spinner(name):
                feature = tour.show(name, show)
            self.page.line(feature.name, feature.text)
            yield feature
        if tour.left_out:
            self.page.line("", tour.left_out, "dim")


@contextmanager
def start(
    settings: Mapping[str, Any], mode: Mode | None, page: Page, *, model: str, rank_model: str, delay: float
) -> Iterator[Run]:
    """Connects to the service and indexes the corpus."""
    with connect(settings, mode, chat_model=model, rank_model=rank_model, delay=delay) as service:
        reference = Reference()
        if service.emulator is not None:
            rank_by_questions(service.emulator, reference)
            answer_by_questions(service.emulator, reference)
        yield Run(service, reference, page)
