"""Replies to prompts without a context: greetings, sums and other simple requests; to all others, their own words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from together_adapters.emulator.engine.extractive_qa import topic

_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    **dict.fromkeys(("+", "plus"), lambda a, b: a + b),
    **dict.fromkeys(("-", "minus"), lambda a, b: a - b),
    **dict.fromkeys(("*", "x", "times", "multiplied by"), lambda a, b: a * b),
    **dict.fromkeys(("/", "divided by"), lambda a, b: a / b if b else float("nan")),
}
_TEXT: Final = (
    "This text is about {}. It comes from a local emulator, which is not a language model. A real model would continue with thoughts"
    " of its own on {}. This text only makes sure that there are enough tokens to stream, to count and to cut. It ends here."
)


def _calculate(match: re.Match[str]) -> str:
    left, operator, right = match[1][:15], match[2].lower(), match[3][:15]
    return f"{left} {operator} {right} is {_OPERATORS[operator](float(left), float(right)):g}."


def _count(match: re.Match[str]) -> str:
    first, last = int(match[1] or 1), int(match[2])
    return ", ".join(map(str, range(first, min(last, first + 2_000) + 1)))


def _list(match: re.Match[str]) -> str:
    count = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}.get(match[1].lower()) or int(match[1])
    subject = match[2].strip(" .!?:")
    return "\n".join(f"{i}. {subject[:1].upper()}{subject[1:]}, number {i}" for i in range(1, min(count, 50) + 1))


def _write(match: re.Match[str]) -> str:
    subject = re.split(r"[.,;!?\n]", match[0].partition(" about ")[2])[0].strip()[:60] or topic(match[0], 6)
    return _TEXT.format(subject, subject)


_VERBS: Final = r"(?:say|repeat(?: after me)?|reply with|respond with|answer with|output|echo)"
_EXACTLY: Final = r"[:,]? (?:exactly |only |just |the words? |the phrase )*"
_REPLIES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|day)|greetings)\b[^?]{0,40}(?:how are you\W*)?$", re.I),
     lambda match: "Hello! How can I help you today?"),
    (re.compile(rf"\b{_VERBS}\b{_EXACTLY}[\"“'](.{{1,500}}?)[\"”']", re.I | re.S), lambda match: match[1]),
    (re.compile(rf"^\W*(?:please )?{_VERBS}{_EXACTLY}(\S[^\n]{{0,200}}?)[.!]?\s*$", re.I),
     lambda match: match[1][:1].upper() + match[1][1:] + "."),
    (re.compile(rf"{_NUMBER}\s*(\+|-|\*|/|x|plus|minus|times|divided by|multiplied by)\s*{_NUMBER}", re.I), _calculate),
    (re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.I), _count),
    (re.compile(r"\b(?:list|name|give me|suggest|tell me) (two|three|four|five|ten|\d{1,2}) ([^\n?]{2,60})", re.I), _list),
    (re.compile(r"\b(?:write|compose|tell)\b[^\n]{0,60}\b(?:story|poem|haiku|essay|paragraphs?|letter|song|article|text|email|words)\b"
                r"[^\n]{0,200}", re.I), _write),
)  # fmt: skip


def fixed_reply(text: str) -> str:
    """The reply of the first pattern that matches a text, or a sentence that quotes the text."""
    text = text.strip()[:4_000]
    for pattern, reply in _REPLIES:
        if match := pattern.search(text):
            return reply(match)
    quotation = " ".join(text.split())[:200]
    if not re.search(r"\w", quotation):
        return "There is nothing to answer in this message."
    verb = "You asked" if quotation.endswith("?") else "You wrote"
    return f'{verb}: "{quotation}" This is a local emulator: it answers only from the content of a request.'
