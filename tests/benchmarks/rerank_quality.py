"""How well and at which price documents are reranked: lexical order, rerank model, chat model listwise and pointwise.

The corpus is that of the recipes, Python's language reference; `search_questions.json` has questions, and phrases by which their right
passages are found. A lexical search (BM25) finds candidates. The chat model is an oracle: it knows the right passages, orders the
others by common words, and errs with a probability. So the table shows what the library makes of the answers of a model, and what it
costs, and not how good any model is. The rerank model is the emulator's, which ranks by common words: only its requests and tokens count.

    python -m tests.benchmarks.rerank_quality
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from tests.resources.rerank_oracle import Oracle
from together_adapters import Together
from together_adapters.demo.corpus import passages
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.text.features import stems
from together_adapters.emulator.text.similarity import bm25, relevance
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL, capabilities

FOLDER: Final = Path(__file__).parent
CANDIDATES: Final = 50
NOISE: Final = (0.0, 0.1, 0.3)
RERANK_MODEL: Final = "acme/ranker"
RERANK_PRICE: Final = 0.10  # dollars per million tokens, as the vendor took for its last rerank model


@dataclass(frozen=True)
class Question:
    """A question, its candidates in lexical order, and the grades of its right passages: 1.0 for the best, 0.7 for others."""

    text: str
    candidates: list[str]
    grades: dict[str, float]


@dataclass(frozen=True)
class Row:
    """Means over all questions."""

    method: str
    noise: float | None
    ndcg: float
    recall: float
    requests: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    dollars: float = 0.0  # for a thousand questions

    def __str__(self) -> str:
        noise = "" if self.noise is None else f"{self.noise:.1f}"
        cost = f"{self.requests:.1f} | {self.input_tokens:,.0f} | {self.output_tokens:,.0f} | {self.dollars:.2f}"
        return f"| {self.method} | {noise} | {self.ndcg:.3f} | {self.recall:.3f} | {cost} |"


HEADING: Final = """\
| method | noise | nDCG@10 | recall@4 | requests | tokens in | tokens out | $ per 1,000 questions |
|---|---|---|---|---|---|---|---|"""


def load_questions(part: str) -> list[dict[str, Any]]:
    """Returns the questions of a set, `dev` or `test`, with phrases of their right passages."""
    entries: list[dict[str, Any]] = json.loads((FOLDER / "search_questions.json").read_text("utf-8"))[part]
    return entries


def load_texts() -> list[str]:
    """Returns the passages of the reference with their titles."""
    return [f"{passage.title}\n\n{passage.text}" for passage in passages()]


def questions(limit: int | None = None) -> list[Question]:
    """Returns the questions of the test set whose right passages are in the reference of this Python."""
    texts = load_texts()
    flat = {text: " ".join(text.split()) for text in texts}
    documents = [stems(text) for text in texts]
    result = []
    for entry in [entry for entry in load_questions("test") if entry["passages"]][:limit]:
        grades: dict[str, float] = {}
        for grade, phrase in zip([1.0] + [0.7] * 9, entry["passages"], strict=False):
            for text in texts:
                if phrase in flat[text]:
                    grades.setdefault(text, grade)
        scores = bm25(stems(entry["question"]), documents)
        order = sorted(range(len(texts)), key=lambda index: -scores[index])
        if grades:
            result.append(Question(entry["question"], [texts[index] for index in order[:CANDIDATES]], grades))
    return result


def oracle(cases: Sequence[Question], noise: float) -> Oracle:
    """Returns a chat model that knows the right passages; others are below them, in the order of common words."""
    grades = {case.text: case.grades for case in cases}
    return Oracle(lambda query, passage: grades[query].get(passage) or 0.4 * relevance(query, [passage])[0], noise)


def ndcg(ranking: Sequence[str], grades: dict[str, float], depth: int = 10) -> float:
    """Returns the normalized discounted cumulative gain."""

    def gain(values: Sequence[float]) -> float:
        return sum(value / math.log2(rank + 2) for rank, value in enumerate(values[:depth]))

    return gain([grades.get(text, 0.0) for text in ranking]) / gain(sorted(grades.values(), reverse=True))


def recall(ranking: Sequence[str], grades: dict[str, float], depth: int = 4) -> float:
    """Returns the share of the right passages among the first ones."""
    return len({*ranking[:depth]} & grades.keys()) / len(grades)


def row(method: str, noise: float | None, cases: Sequence[Question], rankings: Sequence[Sequence[str]], **cost: float) -> Row:
    pairs = list(zip(rankings, cases, strict=True))
    quality = [fmean(measure(ranking, case.grades) for ranking, case in pairs) for measure in (ndcg, recall)]
    return Row(method, noise, *quality, **cost)


def rerank(client: Together, emulator: Emulator, cases: Sequence[Question], method: Any, noise: float | None) -> Row:
    """Reranks the candidates of every question."""
    emulator.clear()
    if noise is not None:
        emulator.reply(oracle(cases, noise))
    model = RERANK_MODEL if method == "rerank" else DEFAULT_RERANK_MODEL
    responses = [
        client.rerank.create(
            model=model, query=case.text, documents=case.candidates, method=method, top_n=10, max_concurrency=1 if noise else 8
        )
        for case in cases
    ]
    rankings = [
        [case.candidates[result.index] for result in response.results] for case, response in zip(cases, responses, strict=True)
    ]
    count = len(cases)
    tokens_in, tokens_out = (
        sum(getattr(response.usage, name) or 0 for response in responses) / count
        for name in ("prompt_tokens", "completion_tokens")
    )
    prices = capabilities(model).prices
    price_in, price_out = (RERANK_PRICE, 0.0) if method == "rerank" else (prices.input or 0.0, prices.output or 0.0)
    return row(
        method, noise, cases, rankings,
        requests=len(emulator.requests) / count, input_tokens=tokens_in, output_tokens=tokens_out,
        dollars=1000 * (tokens_in * price_in + tokens_out * price_out) / 1e6,
    )  # fmt: skip


def ceiling(cases: Sequence[Question]) -> Row:
    """Returns what the best order of the candidates reaches: a right passage that the search did not find is lost."""
    return row("best order of the candidates", None, cases,
               [sorted(case.candidates, key=lambda text, case=case: -case.grades.get(text, 0.0)) for case in cases])  # fmt: skip


def rows(cases: Sequence[Question], noises: Sequence[float] = NOISE) -> Iterator[Row]:
    """Yields the rows of the table."""
    yield row("lexical order (BM25)", None, cases, [case.candidates for case in cases])
    yield ceiling(cases)
    with serve(keep=1_000_000, any_model=True) as emulator, Together(api_key="emulator", base_url=emulator.base_url) as client:
        yield rerank(client, emulator, cases, "rerank", None)
        for method in ("listwise", "pointwise"):
            for noise in noises:
                yield rerank(client, emulator, cases, method, noise)


def main(arguments: Sequence[str] | None = None, show: Callable[[str], object] = print) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.rerank_quality", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--questions", type=int, metavar="N", help="only the first N questions")
    cases = questions(parser.parse_args(arguments).questions)
    show(f"{len(cases)} questions, {CANDIDATES} candidates each; chat model {DEFAULT_RERANK_MODEL}\n")
    show(HEADING)
    for line in rows(cases):
        show(str(line))


if __name__ == "__main__":
    main()
