"""Answers to prompts without a context: words to repeat, numbers; others are quoted. And follow-up questions."""

from __future__ import annotations

import re
from typing import Final

from together_adapters.emulator.engine.extractive_qa import topic

SAYS_NOTHING_ELSE: Final = "This is a local emulator: it answers only from the content of a request."
_REPEAT: Final = (
    r"(?:say|repeat(?: after me)?|(?:reply|respond|answer) with|output|echo)[:,]? (?:exactly |only |just |the words? )*"
)
_QUOTATION: Final = re.compile(rf"\b{_REPEAT}[\"“'](.{{1,500}}?)[\"”']", re.IGNORECASE | re.DOTALL)
_PHRASE: Final = re.compile(rf"^\W*(?:please )?{_REPEAT}(\S[^\n]{{0,200}}?)[.!]?\s*$", re.IGNORECASE)
_COUNT: Final = re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.IGNORECASE)
_STANDALONE: Final = re.compile(r"standalone question|rephrase the (?:follow|question)", re.IGNORECASE)
_FOLLOW_UP: Final = re.compile(r"^<?follow[- ]?up \w+[:>]\s*(\S.{0,2000})$", re.IGNORECASE | re.MULTILINE)
_TURN: Final = re.compile(r"^\s*(?:human|user)\s*:\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)


def standalone_question(text: str) -> str:
    """The follow-up question that a prompt wants to stand alone, with the topic of the question before; empty for other prompts."""
    questions, turns = _FOLLOW_UP.findall(text), _TURN.findall(text)
    if not questions or not _STANDALONE.search(text):
        return ""
    question = questions[-1].rstrip("?.! ")
    return f"{question}, regarding {topic(turns[-1], 6)}?" if turns else f"{question}?"


def fixed_reply(text: str) -> str:
    """The words or numbers that a text asks for, or else a sentence that quotes the text."""
    text = text.strip()[:4_000]
    if match := _QUOTATION.search(text):
        return match[1]
    if match := _PHRASE.search(text):
        return f"{match[1][:1].upper()}{match[1][1:]}."
    if match := _COUNT.search(text):
        first = int(match[1] or 1)
        return ", ".join(map(str, range(first, min(int(match[2]), first + 2_000) + 1)))
    quotation = " ".join(text.split())[:200]
    if not re.search(r"\w", quotation):
        return "There is nothing to answer in this message."
    verb = "You asked" if quotation.endswith("?") else "You wrote"
    return f'{verb}: "{quotation}" {SAYS_NOTHING_ELSE}'
