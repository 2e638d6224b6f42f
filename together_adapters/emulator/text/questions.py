"""What a question asks: the words that an answer has to contain, and whether it has to contain a quantity."""

from __future__ import annotations

import re
from typing import Final

from together_adapters.emulator.text.features import WORDS


def _any_word(words: str) -> str:
    return rf"\b(?:{'|'.join(words.split())})\b"


_PHRASE: Final = re.compile("|".join(rf"(?<!\w)(?:{phrase})(?!\w)" for phrase in WORDS["question_phrases"]), re.IGNORECASE)
_HOW: Final = re.compile(
    rf"\bhow {_any_word(WORDS['measures'])}|\b(?:what|which) (?:is|are|was|were) the (?:number|amount|length) of\b", re.IGNORECASE
)
_VERB: Final = re.compile(_any_word(WORDS["measured"]), re.IGNORECASE)
_QUANTITY: Final = re.compile(rf"\d|{_any_word(WORDS['quantities'])}", re.IGNORECASE)


def content(question: str) -> str:
    """A question without the phrases by which it is asked: `can you tell me`, `how many`, `which kind of`, `must`, `at least`."""
    rest = _PHRASE.sub(" ", question)
    return _VERB.sub(" ", _HOW.sub(" ", rest)) if asks_for_quantity(rest) else rest


def asks_for_quantity(question: str) -> bool:
    """Whether a number or the like answers a question."""
    return _HOW.search(question) is not None


def has_quantity(text: str) -> bool:
    """Whether a text has a number, or a word such as `twice`."""
    return _QUANTITY.search(text) is not None
