"""How well the demo finds and answers on the emulator: hits before and after the rerank; right, refused and wrong answers.

As in the demo, keywords find passages of Python's language reference, its chat model puts the best 20 in order, and answers from the first
four. `search_questions.json` has two sets of questions, with phrases by which their right passages and answers are known; those without a
phrase have no answer in the reference. Rules are tuned on `dev` alone; `test` says what they are worth. Both were there before the
questions of the demo's passages (`together_adapters/demo/questions.txt`), of which none may repeat one of them; some of these were added
after wrong answers to `test` had been read, so that it flatters a little.

    python -m tests.benchmarks.search_quality
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.rerank_quality import load_questions, load_texts
from together_adapters import Together
from together_adapters.demo.answering import Reference, answer_by_questions, full_text, prompt, rank_by_questions
from together_adapters.emulator import serve
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL

TOP_N = 4


@dataclass
class Quality:
    """The results of a set of questions: counts of those with an answer, and of those without."""

    answerable: int = 0
    unanswerable: int = 0
    hits_1: int = 0  # questions with a right passage in the first place, before the rerank
    hits_4: int = 0
    reranked_1: int = 0
    reranked_4: int = 0
    right: int = 0
    refused: int = 0
    refused_rightly: int = 0
    wrong: int = 0  # with a citation

    def __str__(self) -> str:
        return (
            f"{self.answerable} questions: hit@1 {self.hits_1}, hit@4 {self.hits_4}; after the rerank {self.reranked_1}, "
            f"{self.reranked_4}; answers: {self.right} right, {self.refused} refused\n"
            f"{self.unanswerable} without an answer: {self.refused_rightly} refused; {self.wrong} wrong answers with a citation in all"
        )


class Demo:
    """The search and the answers of `together-adapters demo`."""

    def __init__(self, client: Together, texts: Sequence[str]) -> None:
        self._client, self._texts = client, texts
        self.reference = Reference()

    def search(self, question: str) -> list[int]:
        return [self._texts.index(full_text(passage)) for passage in self.reference.search(question)]

    def rerank(self, question: str, positions: Sequence[int]) -> list[int]:
        documents = [self._texts[position] for position in positions]
        response = self._client.rerank.create(
            model=DEFAULT_RERANK_MODEL, query=question, documents=documents, method="listwise", top_n=TOP_N
        )
        return [positions[result.index] for result in response.results]

    def answer(self, question: str, positions: Sequence[int]) -> str:
        user = prompt(question, [self.reference.passages[position] for position in positions])
        response = self._client.chat.completions.create(
            model=DEFAULT_RERANK_MODEL,
            messages=[{"role": "user", "content": user}],
        )
        [choice] = response.choices
        return choice.message.content or "" if choice.message else ""


def measure(part: str) -> Quality:
    """Asks the questions of a set."""
    texts = load_texts()
    quality = Quality()
    with serve() as emulator, Together(api_key="emulator", base_url=emulator.base_url) as client:
        demo = Demo(client, texts)
        rank_by_questions(emulator, demo.reference)
        answer_by_questions(emulator, demo.reference)
        for question, right, phrases in _questions(part, texts):
            before = demo.search(question)
            after = demo.rerank(question, before)
            answer = demo.answer(question, after)
            is_cited = bool(re.search(r"\[\d+\]", answer))
            is_right = any(_plain(phrase) in _plain(answer) for phrase in phrases)
            quality.answerable += bool(right)
            quality.unanswerable += not right
            quality.hits_1 += bool(right.intersection(before[:1]))
            quality.hits_4 += bool(right.intersection(before[:TOP_N]))
            quality.reranked_1 += bool(right.intersection(after[:1]))
            quality.reranked_4 += bool(right.intersection(after))
            quality.right += is_cited and is_right
            quality.wrong += is_cited and not is_right
            quality.refused += not is_cited and bool(right)
            quality.refused_rightly += not is_cited and not right
    return quality


def _questions(part: str, texts: Sequence[str]) -> Iterator[tuple[str, set[int], list[str]]]:
    """Yields questions, their right passages, and the phrases of right answers; not those about another edition of the reference."""
    flat = [" ".join(text.split()) for text in texts]
    for entry in load_questions(part):
        right = {i for i, text in enumerate(flat) if any(phrase in text for phrase in entry["passages"])}
        if right or not entry["passages"]:
            yield entry["question"], right, [*entry["passages"], *entry.get("answers", [])]


def _plain(text: str) -> str:
    return re.sub(r"\s*\[\d+\]|[`*“”]", "", " ".join(text.split())).lower()


def main() -> None:
    for part in ("dev", "test"):
        print(f"{part}: {measure(part)}")


if __name__ == "__main__":
    main()
