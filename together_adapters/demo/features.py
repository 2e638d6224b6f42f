"""What the library does besides answering, each shown by a few requests: the figures are those of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from operator import mul
from typing import Any, Final

from together_adapters import _integrations
from together_adapters.control import Control
from together_adapters.control.dollars import format_dollars, fraction_digits
from together_adapters.control.rows import LedgerRow
from together_adapters.control.usage import Usage
from together_adapters.demo.answering import Reference, stream_answer
from together_adapters.demo.service import Service
from together_adapters.demo.tools import answer_with_tools
from together_adapters.errors import IncompleteStreamError, TogetherError
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, TABLE_DATE

RETRY_AFTER: Final = 0.5
CUT_AFTER: Final = 20
"""Events of a stream before it is cut, those of reasoning among them."""


@dataclass(frozen=True)
class Feature:
    """What one part of the library did.

    Attributes:
        name: The part, in a word or two.
        text: What happened, in a sentence or two.
        figures: The numbers of it.
    """

    name: str
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


Show = Callable[[], Feature]


@dataclass(frozen=True)
class Tour:
    """The features after one answer.

    Attributes:
        service: Who answers.
        reference: The corpus.
        question: The question.
        prompt: The prompt of the answer; empty if nothing was sent.
        answer: The answer.
    """

    service: Service
    reference: Reference
    question: str
    prompt: str
    answer: str

    def features(self) -> Iterator[tuple[str, Show]]:
        """Yields the name of each feature with what shows it. Faults and embeddings are for an emulator."""
        if self.prompt:
            yield from (("LangChain", self.langchain), ("LlamaIndex", self.llama_index))
        if self.service.emulator is not None:
            yield "Refused", self.rate_limited
            if self.prompt:
                yield "Cut off", self.cut_off
        if self.service.has_embeddings:
            yield "Embedded", self.embedded
        yield "Tools", self.tools
        yield "Ledger", self.ledger

    @property
    def left_out(self) -> str:
        """What this service does not show, and what does; empty if it shows everything."""
        if self.service.emulator is None:
            return "A refused request, a broken stream and embeddings are left to --emulator default."
        return "" if self.service.has_embeddings else "The service of today serves no embedding model; --emulator default does."

    def show(self, name: str, feature: Show) -> Feature:
        """Shows a feature; an error of the service is what happened, too."""
        try:
            return feature()
        except TogetherError as error:
            return Feature(name, f"failed: {error}", {"error": type(error).__name__})

    def langchain(self) -> Feature:
        """The same prompt through LangChain."""
        try:
            model = _integrations.chat_model(model=self.service.chat_model, client=self.service.client)
        except ImportError as error:
            return Feature("LangChain", _missing(error), {"installed": False})
        return self._through("LangChain", "ChatTogether", (chunk.text for chunk in model.stream(self.prompt)))

    def llama_index(self) -> Feature:
        """The same prompt through LlamaIndex."""
        try:
            model = _integrations.llama_llm(model=self.service.chat_model, client=self.service.client)
        except ImportError as error:
            return Feature("LlamaIndex", _missing(error), {"installed": False})
        return self._through("LlamaIndex", "TogetherLLM", (chunk.delta or "" for chunk in model.stream_complete(self.prompt)))

    def _through(self, framework: str, model: str, chunks: Iterator[str]) -> Feature:
        answer = "".join(chunks)
        row = self._last_row()
        is_equal = answer.strip() == self.answer.strip()
        result = "the same answer, word for word" if is_equal else f"another wording: {' '.join(answer.split())}"
        usage = f"{row.input_tokens:,} tokens in, {row.output_tokens:,} out"
        figures = {"installed": True, "answer": answer, "is_equal": is_equal, **_figures(row)}
        del figures["seconds"]  # the first framework also warms up, so that the two do not compare
        return Feature(framework, f"{model}, on the same client, streams {result} ({usage}).", figures)

    def rate_limited(self) -> Feature:
        """A 429, which the client repeats; a control of its own slows down, so that the other requests need not."""
        from together_adapters.emulator import Fault

        assert self.service.emulator is not None
        control = Control(ledger=self.service.control.ledger, prices=self.service.prices)
        client = self.service.client.with_options(control=control)
        self.service.emulator.inject(Fault("429", retry_after=RETRY_AFTER, path="/chat/completions"))
        client.chat.completions.create(model=self.service.chat_model, messages=[{"role": "user", "content": self.question}])
        row, state = self._last_row(), control.state()
        limit = state.requests_per_minute
        pace = f"; then slowed down to {limit:,.0f} requests a minute" if limit else ""
        text = f"429 injected, retry-after {RETRY_AFTER} s: the client repeated it, attempt {row.attempts} answered after {row.seconds:.2f} s{pace}."
        return Feature("Refused", text, {**_figures(row), "requests_per_minute": limit})

    def cut_off(self) -> Feature:
        """A stream that breaks. The client does not repeat it by itself, because the program has a part already."""
        from together_adapters.emulator import Fault

        assert self.service.emulator is not None
        self.service.emulator.inject(Fault("cut", after=CUT_AFTER, path="/chat/completions"))
        parts: list[str] = []
        name = ""
        try:
            parts.extend(stream_answer(self.service, self.prompt))
        except IncompleteStreamError as error:
            name = type(error).__name__
        answer = "".join(stream_answer(self.service, self.prompt))
        before, total = len("".join(parts).split()), len(answer.split())
        position = (
            f"after {before} of {total} words" if before < total else f"after all {total} words, before the event that ends it"
        )
        is_equal = answer.strip() == self.answer.strip()
        result = "complete" if is_equal else "another answer"
        text = f"stream broken {position}: {name}, words kept; streamed again: {result} at attempt 2."
        return Feature("Cut off", text, {"words": before, "error": name, "attempts": 2, "is_equal": is_equal})

    def embedded(self) -> Feature:
        """All passages as vectors."""
        create = partial(self.service.client.embeddings.create, model=DEFAULT_EMBEDDING_MODEL)
        texts = self.reference.texts
        vectors = [item.embedding for item in create(input=texts).data]
        row = self._last_row()
        (query,) = (item.embedding for item in create(input=[self.question]).data)
        scores = [sum(map(mul, query, vector)) for vector in vectors]
        title = self.reference.passages[scores.index(max(scores))].title
        usage = f"{len(texts)} texts in {row.attempts} requests, {row.input_tokens:,} tokens, {row.seconds:.2f} s"
        text = f"{usage}; nearest to the question: {title}."
        return Feature("Embedded", text, {"texts": len(texts), "nearest": title, **_figures(row)})

    def tools(self) -> Feature:
        """Python functions as tools."""
        answer = answer_with_tools(self.service, self.reference.texts)
        calls = ", ".join(f"{call} = {result}" for call, result in zip(answer.calls, answer.results, strict=True))
        text = f"{len(answer.calls)} calls in one answer, run in parallel in {1000 * answer.seconds:.1f} ms: {calls}."
        return Feature("Tools", text, asdict(answer))

    def ledger(self) -> Feature:
        """The sum of everything."""
        total = self.service.control.ledger.total()
        estimate = f" ({total.estimated} estimated)" if total.estimated else ""
        text = f"{total.requests} calls{estimate}, {total.attempts} requests: {usage_text(total)}."
        return Feature("Ledger", text, usage_figures(total))

    def _last_row(self) -> LedgerRow:
        (row,) = self.service.control.ledger.rows(last=1)
        return row


def usage_text(usage: Usage) -> str:
    """Returns tokens and dollars in words."""
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    if usage.unpriced and not usage.cost:
        return f"{tokens}, at an unknown price"
    return f"{tokens}; worth {format_dollars(usage.cost, fraction_digits(usage.cost, 2))} at the prices of {TABLE_DATE}"


def usage_figures(usage: Usage) -> dict[str, Any]:
    """Returns a usage for programs."""
    names = ("requests", "attempts", "input_tokens", "output_tokens", "cost")
    return {name: getattr(usage, name) for name in names}


def since(service: Service, rows: int) -> Usage:
    """Returns the usage of the calls after the first so many of the ledger."""
    later: Sequence[LedgerRow] = service.control.ledger.rows()[rows:]
    tokens = [(row.attempts, row.input_tokens, row.output_tokens, row.cost or 0.0, row.cost is None) for row in later]
    attempts, inputs, outputs, cost, unpriced = map(sum, zip(*tokens, strict=True)) if tokens else (0, 0, 0, 0.0, 0)
    return Usage(len(later), attempts, inputs, output_tokens=outputs, cost=cost, unpriced=unpriced)


def _missing(error: ImportError) -> str:
    return f"not installed ({error}); the answer above is the plain client's."


def _figures(row: LedgerRow) -> dict[str, Any]:
    names = ("attempts", "seconds", "input_tokens", "output_tokens", "cost")
    return {name: getattr(row, name) for name in names}
