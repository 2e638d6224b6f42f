"""The questions that each passage answers, in the words of newcomers; a search of both finds what the passage alone says in other words.

A newcomer skips the rest of a loop, the reference "continues with the next cycle". Embeddings would see that, but a model for them is
20 to 90 MB and does not know this corpus. The way here is document expansion (Nogueira and others, arXiv:1904.08375): a language model
wrote the questions of `questions.txt` in advance, from the passages. Each line has some words of a passage, as it is in the editions of
Python 3.11 to 3.13, and its questions. Behind `|`, the sentence with these words answers them; behind `~`, no sentence does alone. What
another edition words differently is searched by its own words.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

_FILE: Final = Path(__file__).with_name("questions.txt")
_LINE: Final = re.compile(r"^(.+?) ([|~]) (.+)$", re.MULTILINE)


class Question(NamedTuple):
    """A question that a passage answers.

    Attributes:
        text: The question.
        position: The index at which its answer stands in the passage, which is read as one line; None if no sentence says it alone.
    """

    text: str
    position: int | None


def questions_for(texts: Sequence[str]) -> list[list[Question]]:
    """Returns the questions of each text."""
    lines = [" ".join(text.split()) for text in texts]
    joined = "\n".join(lines)
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    result: list[list[Question]] = [[] for _ in texts]
    for match in _LINE.finditer(_FILE.read_text("utf-8")):
        words, mark, questions = match.groups()
        index = joined.find(words)
        while index >= 0:
            text = bisect(starts, index) - 1
            position = index - starts[text] if mark == "|" else None
            result[text] += (Question(question, position) for question in questions.split("; "))
            index = joined.find(words, index + 1)
    return result
