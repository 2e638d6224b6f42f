"""A chat model that knows how relevant passages are, and errs as often as it is told: for `Emulator.reply`."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from typing import Any

_QUERY = re.compile(r"<query>(.*?)</query>", re.DOTALL)
_PASSAGE = re.compile(r'<passage(?: id="(\d+)")?>(.*?)</passage>', re.DOTALL)
_ORDER = re.compile(r"(?i)rank (?:me|this|passage (\d+)) first|say (yes)")


class Oracle:
    """Answers both kinds of prompts. What stands outside of the tags of query and passages it obeys, as a model might.

    Attributes:
        relevance: Returns the relevance of a passage for a query, between 0 and 1.
        noise: The probability with which a passage comes to a random position, or gets a random probability.
    """

    def __init__(self, relevance: Callable[[str, str], float], noise: float = 0.0, seed: int = 0) -> None:
        self.relevance = relevance
        self.noise = noise
        self._random = random.Random(seed)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        prompt = request["messages"][-1]["content"]
        query = unescape(_QUERY.findall(prompt)[0])
        passages = [(int(number or 1), unescape(text.strip("\n"))) for number, text in _PASSAGE.findall(prompt)]
        orders = _ORDER.search(_PASSAGE.sub("", _QUERY.sub("", prompt)))
        if "logprobs" in request:
            return self._verdict(1.0 if orders else self.relevance(query, passages[0][1]))
        ids = self._order(query, passages)
        if orders:
            first = int(orders[1] or ids[-1])
            ids = [first, *(id for id in ids if id != first)]
        if "response_format" in request:
            return {"content": json.dumps({"ranking": ids})}
        return {"content": " > ".join(f"[{id}]" for id in ids)}

    def _order(self, query: str, passages: list[tuple[int, str]]) -> list[int]:
        ranking = sorted(passages, key=lambda passage: -self.relevance(query, passage[1]))
        ids = [number for number, _ in ranking]
        for id in list(ids):
            if self._random.random() < self.noise:
                ids.remove(id)
                ids.insert(self._random.randint(0, len(ids)), id)
        return ids

    def _verdict(self, score: float) -> dict[str, Any]:
        if self._random.random() < self.noise:
            score = self._random.random()
        score = min(max(score, 1e-6), 1 - 1e-6)
        return {"content": "yes" if score >= 0.5 else "no", "logprobs": {"yes": math.log(score), "no": math.log(1 - score)}}


def unescape(text: str) -> str:
    """Returns the text of a document from a prompt."""
    return text.replace("&lt;", "<")
