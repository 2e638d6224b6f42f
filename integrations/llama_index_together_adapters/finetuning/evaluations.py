"""Converts results of evaluators to preferences between the best and the worst answer to a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from together_adapters.finetune.records import Example, Record, Refusal, Row


def is_result(value: Any) -> bool:
    """Whether a value is an evaluator's result, or one of two answers that were compared."""
    if isinstance(value, tuple) and len(value) == 3:
        value = value[0]
    return all(hasattr(value, name) for name in ("query", "response", "passing", "score"))


def preferences(results: Iterable[Any], name: str) -> Iterator[Record]:
    """Converts results with scores, or triples of a pairwise result (which lacks the answers) with its first and second answer."""
    answers_by_query: dict[str, list[tuple[float, str, int]]] = {}
    for number, result in enumerate(results, 1):
        if isinstance(result, tuple):
            yield _of_comparison(*result, number=number, name=name)
        elif refusal := _refusal(result, number, name):
            yield refusal
        else:
            score = result.score if result.score is not None else float(bool(result.passing))
            answers_by_query.setdefault(result.query, []).append((score, result.response, number))
    for query, answers in answers_by_query.items():
        worst, best = min(answers, key=lambda one: one[0]), max(answers, key=lambda one: one[0])
        number = best[2]
        if best[0] == worst[0]:
            several = len(answers) > 1
            text = "its answers are equally good" if several else "there is one answer alone to this question"
            yield Refusal("pref_tie" if several else "pref_unpaired", text, number, name, skipped=True)
            continue
        yield Example(_preference(query, best[1], worst[1]), number, name)
        for _ in range(len(answers) - 2):
            yield Refusal("pref_unpaired", "neither the best nor the worst answer", number, name, skipped=True)


def passing(results: Iterable[Any], name: str) -> Iterator[Record]:
    """Converts the answers that passed to conversations."""
    for number, result in enumerate(results, 1):
        if refusal := _refusal(result, number, name):
            yield refusal
        elif not result.passing:
            yield Refusal("pref_unpaired", "the answer did not pass", number, name, skipped=True)
        else:
            messages = [{"role": "user", "content": result.query}, {"role": "assistant", "content": result.response}]
            yield Example({"messages": messages}, number, name)


def _refusal(result: Any, number: int, name: str) -> Refusal | None:
    if getattr(result, "pairwise_source", None) is not None:
        text = "the result of a comparison lacks the answers: give triples of the result, the first and the second answer"
        return Refusal("record_unknown", text, number, name)
    if getattr(result, "invalid_result", False) or (result.score is None and result.passing is None):
        return Refusal("run_failed", "the evaluation failed", number, name, skipped=True)
    if not result.query or not result.response:
        return Refusal("content_missing", "an evaluation without its question or answer teaches nothing", number, name)
    return None


def _of_comparison(result: Any, first: str, second: str, *, number: int, name: str) -> Record:
    if getattr(result, "invalid_result", False) or result.score is None:
        return Refusal("run_failed", "the evaluation failed", number, name, skipped=True)
    source = getattr(result.pairwise_source, "value", result.pairwise_source)
    score = 1 - result.score if source == "flipped" else result.score
    if score == 0.5 or source == "neither":
        return Refusal("pref_tie", "neither answer is better", number, name, skipped=True)
    better, worse = (first, second) if score > 0.5 else (second, first)
    return Example(_preference(result.query or "", better, worse), number, name)


def _preference(query: str, better: str, worse: str) -> Row:
    return {
        "input": {"messages": [{"role": "user", "content": query}]},
        "preferred_output": [{"role": "assistant", "content": better}],
        "non_preferred_output": [{"role": "assistant", "content": worse}],
    }
