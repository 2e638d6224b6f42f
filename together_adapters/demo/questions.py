"""The questions that each passage answers, in the words of newcomers; a search of both finds what the passage alone says in other words.

A newcomer skips the rest of a loop, the reference "continues with the next cycle". Embeddings would see that, but a model for them is
20 to 90 MB and does not know this corpus. The way here is document expansion (Nogueira and others, arXiv:1904.08375): a language model
wrote the questions of `questions.txt` in advance, from the passages. Each line has some words by which a passage is found in the
editions of Python 3.11 to 3.13, and its questions. What another edition words differently is searched by its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("questions.txt")


def questions_for(texts: Sequence[str]) -> list[str]:
    """Returns the questions of each text, one in a paragraph; empty for a text that has none."""
    lines = [line.split(" | ", 1) for line in _FILE.read_text("utf-8").splitlines()]
    flat = (" ".join(text.split()) for text in texts)
    return ["\n\n".join(part for words, questions in lines if words in text for part in questions.split("; ")) for text in flat]
