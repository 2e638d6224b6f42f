"""Evaluation sets of RAG: questions with contexts and answers, and questions with answers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.formats.conversation import ConversationBuilder, parsed
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.readers.fields import require_record, text_of
from together_adapters.finetune.records import Converted, Unconvertible
from together_adapters.suggestions import suggests_keywords

COLUMNS: Final = frozenset(
    {"query", "reference_contexts", "reference_answer", "query_by", "reference_answer_by", "class_name"}
)  # fmt: skip
_POOL_SIZE: Final = 20_000


@suggests_keywords
@dataclass(frozen=True)
class RagPrompt:
    """Makes the prompt of a RAG example: its contexts, then the question.

    With `distractors` the contexts are mixed with those of other examples, as RAFT does, so that the model learns to find the one
    that answers the question. The same seed gives the same prompts, independent of the order of the records.

    Attributes:
        distractors: The number of contexts of other examples that are mixed with its own.
        seed: The seed of the random choice.
        golden: The share of examples that keep their own contexts; the others have distractors only.
        text: The prompt, with `{context}` and `{query}`.
        separator: The text between two contexts.
    """

    distractors: int = 0
    seed: int = 0
    golden: float = 1.0
    text: str = "Answer the question with the help of the context.\n\nContext:\n{context}\n\nQuestion: {query}"
    separator: str = "\n\n"

    def __post_init__(self) -> None:
        if self.distractors < 0 or not 0 <= self.golden <= 1:
            raise ValueError("distractors must be 0 or more, and golden a share between 0 and 1")

    def __call__(self, query: str, contexts: Sequence[str], pool: Sequence[str] = ()) -> str:
        """Returns a prompt.

        Args:
            query: The question.
            contexts: The contexts that answer it.
            pool: The contexts of all examples, to draw distractors from.

        Raises:
            Unconvertible: The pool is too small.
        """
        random = Random(f"{self.seed}\0{query}")
        selected = list(contexts) if random.random() < self.golden else []
        if self.distractors:
            own_contexts = set(contexts)
            others = sorted({context for context in pool if context not in own_contexts})
            if len(others) < self.distractors:
                text = f"there are {len(others)} other contexts for {self.distractors} distractors"
                raise Unconvertible("distractors_missing", text)
            selected += random.sample(others, self.distractors)
            random.shuffle(selected)
        if not selected:
            return query
        return self.text.replace("{context}", self.separator.join(selected)).replace("{query}", query)


def pool_of(records: Iterator[Any]) -> list[str]:
    """Returns the first 20,000 distinct contexts of a source."""
    pool: dict[str, None] = {}
    for record in records:
        contexts = record.get("reference_contexts") if isinstance(record, Mapping) else None
        for context in contexts if isinstance(contexts, list) else ():
            if isinstance(context, str) and len(pool) < _POOL_SIZE:
                pool[context] = None
    return sorted(pool)


def rag_examples(document: Any) -> Iterator[Any]:
    """Yields the examples of a labelled RAG file."""
    examples = document.get("examples") if isinstance(document, dict) else None
    yield from examples if isinstance(examples, list) else [document]


def labelled_rag(record: Any, options: Options, pool: Sequence[str] = ()) -> Iterator[Converted]:
    """Converts an example: the prompt that the template makes, and the reference answer."""
    record = require_record(record)
    contexts = parsed(record.get("reference_contexts") or [], "reference_contexts")
    if not isinstance(contexts, list) or not all(isinstance(context, str) for context in contexts):
        raise Unconvertible("cell_not_text", "the contexts must be a list of texts", "reference_contexts", contexts)
    answer = text_of(record, "reference_answer")
    if not answer.strip():
        raise Unconvertible("answer_missing", "the reference answer is empty", "reference_answer")
    template = options.template or RagPrompt()
    prompt = template(text_of(record, "query"), contexts, pool) if isinstance(template, RagPrompt) else template(record)
    yield _pair(prompt, answer, options)


def queries_with_responses(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields the name, query and response of each pair of a set; a query or response that is missing is None."""
    queries, responses = (document.get(name) if isinstance(document, dict) else None for name in ("queries", "responses"))
    if not isinstance(queries, dict) or not isinstance(responses, dict):
        raise Unconvertible("store_invalid", "queries and responses are objects of texts by id", "queries", kind_of(queries))
    for name in queries | responses:
        yield name, queries.get(name), responses.get(name)


def query_response(record: tuple[str, Any, Any], options: Options) -> Iterator[Converted]:
    """Converts a question with its answer."""
    name, query, response = record
    for column, code, value in (("query", "cell_missing", query), ("response", "answer_missing", response)):
        if not isinstance(value, str):
            raise Unconvertible(code, f"there is no {column} of the id {name[:60]!r}", column)
    yield _pair(query, response, options)


def _pair(prompt: str, answer: str, options: Options) -> Converted:
    if options.form == "instruction":
        return Converted({"prompt": prompt, "completion": answer})
    builder = ConversationBuilder(options)
    builder.add("user", prompt)
    builder.answer(answer)
    return builder.converted()
