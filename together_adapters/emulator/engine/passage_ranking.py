"""Prompts that let a chat model rank passages or choose an answer, which it does by common words."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from together_adapters.emulator.text.similarity import relevance

_QUERY: Final = re.compile(r"<query>(.*?)</query>", re.DOTALL)
_DECISION: Final = re.compile(
    r"<state>\n(.*)\n</state>\n<question>\n(.*)\n</question>\nAnswers:\n(.*)\nReply with one of: [^\n]*\Z", re.DOTALL
)
_OPTION: Final = re.compile(r"^(yes|no|[0-9A-Z]):(.*)$", re.MULTILINE)
_PASSAGE: Final = re.compile(r'<passage(?: id="(\d+)")?>\n(.*?)\n</passage>', re.DOTALL)


RankingAnswer = tuple[str, dict[str, float] | None]
"""The answer to a prompt that ranks; of a verdict or a choice, the log-probabilities of its only token."""


Scorer = Callable[[str, Sequence[str]], list[float]]
"""Gives the passages for a query scores, by which they are put in order."""


def score_by_words(query: str, texts: Sequence[str]) -> list[float]:
    """The relevance of passages. They come in the order of a search, which counts for a chat model, too."""
    return [score + 1.5 / (5 + index) for index, score in enumerate(relevance(query, texts))]


def answer_ranking_prompt(prompt: str, *, as_json: bool, scorer: Scorer = score_by_words) -> RankingAnswer | None:
    """Orders the numbered passages of a prompt, or says of one passage whether it is relevant; None for any other prompt."""
    query = _QUERY.search(prompt)
    passages = [(match[1], match[2].replace("&lt;", "<")) for match in _PASSAGE.finditer(prompt)] if query else []
    if not query or not passages:
        return None
    question, texts = query[1].replace("&lt;", "<"), [text for _, text in passages]
    if passages[0][0] is None:
        scores = relevance(question, texts)
        yes = {"yes": round(math.log(scores[0]), 6), "no": round(math.log(1 - scores[0]), 6)}
        return max(yes, key=yes.__getitem__), yes
    scores = scorer(question, texts)
    ids = [int(passages[index][0]) for index in sorted(range(len(scores)), key=lambda index: -scores[index])]
    return json.dumps({"ranking": ids}) if as_json else " > ".join(f"[{id}]" for id in ids), None


def answer_decision_prompt(prompt: str) -> RankingAnswer | None:
    """Chooses the answer that has most words of the state in common, or yes if the question has; None for any other prompt."""
    match = _DECISION.search(prompt)
    options = dict(_OPTION.findall(match[3])) if match else {}
    if not match or not options:
        return None
    yes = f"{match[2]} {options['yes']}" if "yes" in options else None
    scores = {word: relevance(yes or text, [match[1]])[0] for word, text in options.items()}
    if yes:
        scores["no"] = 1 - scores["yes"]
    total = sum(scores.values())
    logs = {word: round(math.log(score / total), 6) for word, score in scores.items()}
    return max(logs, key=logs.__getitem__), logs
