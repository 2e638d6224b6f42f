"""Answers to prompts without a context: greetings, words to repeat, texts of some length; others are quoted. And follow-up questions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from together_adapters.emulator.engine.extractive_qa import topic

_SAMPLE_TEXT: Final = (
    "This text is about {}. It comes from an emulator. It has enough tokens to stream, to count and to cut. A model would go on."
)
_REPEAT: Final = r"(?:say|repeat(?: after me)?|reply with|respond with|answer with|output|echo)[:,]? (?:exactly |only |just |the words? |the phrase )*"
_STANDALONE: Final = re.compile(r"standalone question|rephrase the (?:follow|question)", re.I)
_FOLLOW_UP: Final = re.compile(r"^<?follow[- ]?up \w+[:>]\s*(\S.{0,2000})$", re.I | re.M)
_TURN: Final = re.compile(r"^\s*(?:human|user)\s*:\s*(\S.*)$", re.I | re.M)
_FIXED_REPLIES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|day)|greetings)\b[^?]{0,40}(?:how are you\W*)?$", re.I),
     lambda match: "Hello! How can I help you today?"),
    (re.compile(rf"\b{_REPEAT}[\"“'](.{{1,500}}?)[\"”']", re.I | re.S), lambda match: match[1]),
    (re.compile(rf"^\W*(?:please )?{_REPEAT}(\S[^\n]{{0,200}}?)[.!]?\s*$", re.I), lambda match: match[1][:1].upper() + match[1][1:] + "."),
    (re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.I),
     lambda match: ", ".join(map(str, range(first := int(match[1] or 1), min(int(match[2]), first + 2_000) + 1)))),
    (re.compile(r"\b(?:write|compose|tell)\b[^\n]{0,60}\b(?:story|poem|haiku|essay|paragraphs?|letter|song|article|text|email|words)\b[^\n]{0,200}", re.I),
     lambda match: _SAMPLE_TEXT.format(topic(match[0].partition(" about ")[2] or match[0], 6))),
)  # fmt: skip


def standalone_question(text: str) -> str:
    """The follow-up question that a prompt wants to stand alone, with the topic of the question before; empty for other prompts."""
    questions, turns = _FOLLOW_UP.findall(text), _TURN.findall(text)
    if not questions or not _STANDALONE.search(text):
        return ""
    question = questions[-1].rstrip("?.! ")
    return f"{question}, regarding {topic(turns[-1], 6)}?" if turns else f"{question}?"


def fixed_reply(text: str) -> str:
    """The reply of the first pattern that matches a text, or a sentence that quotes the text."""
    text = text.strip()[:4_000]
    for pattern, reply in _FIXED_REPLIES:
        if match := pattern.search(text):
            return reply(match)
    quotation = " ".join(text.split())[:200]
    if not re.search(r"\w", quotation):
        return "There is nothing to answer in this message."
    verb = "You asked" if quotation.endswith("?") else "You wrote"
    return f'{verb}: "{quotation}" This is a local emulator: it answers only from the content of a request.'
