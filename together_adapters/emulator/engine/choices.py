"""Numbered choices in a prompt, as LlamaIndex's selectors write them, ranked by the words that they share with the question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from together_adapters.emulator.engine.prompt_parser import Passage, find_question, list_items
from together_adapters.emulator.engine.text_features import bm25, stems


def rank(question: str, passages: Sequence[Passage]) -> list[tuple[float, Passage]]:
    """Scores passages for a question; the best one comes first."""
    scores = bm25(stems(question), [stems(passage.text) for passage in passages])
    return sorted(zip(scores, passages, strict=True), key=lambda pair: (-pair[0], int(pair[1].label or 0)))


def rank_choices(prompt: str) -> list[tuple[float, Passage]]:
    """Ranks the choices that a prompt lists; empty when it lists none."""
    if "choices are given below" not in prompt:
        return []
    question = re.search(r"question(?: is)?:? ['\"“](.{1,300}?)['\"”]\s*$", prompt, re.MULTILINE)
    listing = re.search(r"^-{5,}\s*$(.*?)^-{5,}\s*$", prompt, re.DOTALL | re.MULTILINE)
    return rank(question[1] if question else find_question(prompt), list_items(listing[1] if listing else prompt))


def best_choice(prompt: str) -> int | None:
    """The number of the best of the choices that a prompt lists; None when it lists none."""
    ranking = rank_choices(prompt)
    return int(ranking[0][1].label) if ranking else None
