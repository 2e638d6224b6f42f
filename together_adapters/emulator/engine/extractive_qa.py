"""Answers in prose: whole sentences chosen from the passages of a prompt, with the numbers of the passages they come from.

Nothing is made up. Where no passage speaks of what was asked, the answer says so; where there is no context at all, a
short reply shows that the words of the request were read.
"""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final

from together_adapters.emulator.engine.conversation import Conversation
from together_adapters.emulator.engine.prompt_parser import Passage, Reading
from together_adapters.emulator.engine.sentence_splitter import sentences
from together_adapters.emulator.engine.text_features import STOPWORDS, bm25, rarity, stem, stems, words

NOT_FOUND: Final = "I don't know: the given context does not answer this question."
_MOST_PASSAGES: Final = 2_000
_PRONOUN: Final = re.compile(
    r"(?:It|This|These|They|Those|Such|That|He|She|Its|Their|However|Otherwise|Therefore|Thus|Also|But)\b"
)
_ASIDE: Final = re.compile(r"(?:\(|See |Note that|For example|For instance|Changed in|New in|Deprecated)")
_DEFINING: Final = re.compile(
    r"\b(?:what|which|who)\b.{0,20}\b(?:is|are|was|were|does|do|means?)\b|\bdefin|\bmeaning\b|^\W*explain\b", re.IGNORECASE
)
_SAYS_WHAT: Final = re.compile(
    r"^(?:\W*+\w++){0,7}?\W+(?:is|are|means|denotes|refers to|describes|represents|was|were)\b", re.IGNORECASE
)
_HINTS: Final[tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]] = (
    (re.compile(r"\bwhy\b", re.I), re.compile(r"\b(?:because|since|so that|in order|therefore|reason|ensures?|avoids?)\b", re.I)),
    (re.compile(r"\bwhen\b", re.I), re.compile(r"\b(?:when|if|after|before|until|once|during|\d{4}|[A-Z]\w+day)\b")),
    (re.compile(r"\bhow (?:many|much|long|old|big)\b", re.I), re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten)\b", re.I)),
    (re.compile(r"\bwho\b", re.I), re.compile(r"(?<=\w )[A-Z][a-z]+")),
    (re.compile(r"\bwhere\b", re.I), re.compile(r"\b(?:in|at|on|near|from)\b")),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pick:
    """A sentence chosen as part of an answer, with its place and its score."""

    sentence: str
    label: str
    passage: int
    position: int
    score: float


def extract(question: str, passages: Sequence[Passage], most: int = 3, hints: str = "") -> list[Pick]:
    """Pick the sentences that answer a question best, at most `most`; none when the passages speak of something else.

    Args:
        question: What is asked.
        passages: Where to look.
        most: How many sentences at most.
        hints: Further words of the conversation, which count a little.
    """
    wanted = _terms(question)
    passages = passages[:_MOST_PASSAGES]
    split = [sentences(passage.text) for passage in passages]
    if not any(split):
        split = [_loose(passage.text) for passage in passages]
    candidates = [
        Pick(sentence, passage.label, number, position, 0.0)
        for number, passage in enumerate(passages)
        for position, sentence in enumerate(split[number])
    ]
    if not wanted or not candidates:
        return []
    documents = [_terms(pick.sentence) for pick in candidates]
    if not _covered(question, wanted, documents, passages):
        return []
    scored = _scores(question, wanted, _terms(hints), candidates, documents, passages)
    ranked = sorted(range(len(candidates)), key=lambda at: (-scored[at], at))
    if scored[ranked[0]] <= 0:
        return []
    chosen = _choose(ranked, scored, candidates, documents, most)
    return [Pick(p.sentence, p.label, p.passage, p.position, scored[at]) for at, p in ((at, candidates[at]) for at in chosen)]


@lru_cache(maxsize=8_192)
def _terms(text: str) -> tuple[str, ...]:
    """Stems of a text; remembered, since the same passages come again and again."""
    return tuple(stems(text))


def _loose(text: str) -> tuple[str, ...]:
    """What a passage says where it has no whole sentence: its first lines, as they are."""
    line = " ".join(text.split())
    return (line[:400],) if line else ()


def _covered(question: str, wanted: Sequence[str], documents: Sequence[Sequence[str]], passages: Sequence[Passage]) -> bool:
    """Whether the passages hold enough of the question's words, rare ones above all, for an answer to be worth giving."""
    everything = {found for document in documents for found in document}
    everything.update(found for passage in passages for found in _terms(passage.text[:20_000]))
    asked = set(wanted)
    names = {stem(name.lower()) for name in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\w*", question)} & asked
    if names - everything and len(asked & everything) < 0.75 * len(asked):
        return False
    weight = rarity(documents)
    missing = max(weight.values(), default=1.0)
    weighed = {found: weight.get(found, missing) for found in asked}
    return sum(weighed[found] for found in asked & everything) >= 0.34 * sum(weighed.values())


def _scores(
    question: str,
    wanted: Sequence[str],
    hints: Sequence[str],
    candidates: list[Pick],
    documents: Sequence[Sequence[str]],
    passages: Sequence[Passage],
) -> list[float]:
    own = bm25(wanted, documents)
    # A sentence that begins with "It" speaks of what the sentence before it names.
    heads = [_head(at, candidates) for at in range(len(candidates))]
    own = [score + 0.6 * own[heads[at]] if score > 0 and heads[at] != at else score for at, score in enumerate(own)]
    around = bm25(wanted, [_terms(passage.text[:20_000]) for passage in passages])
    highest = max(around) or 1.0
    further = bm25(hints, documents) if hints else [0.0] * len(documents)
    asks_what = bool(_DEFINING.search(question))
    weight = rarity(documents)
    rarest = sorted(set(wanted), key=lambda found: -weight.get(found, 0.0))
    helpful = [pattern for asked, pattern in _HINTS if asked.search(question)]
    scores = []
    for at, pick in enumerate(candidates):
        score = own[at]
        if score > 0:
            score *= 1 + 0.35 * around[pick.passage] / highest
            score += 0.15 * further[at]
            subject = set(_terms(" ".join(pick.sentence.split()[:7])))
            if asks_what and _SAYS_WHAT.match(pick.sentence) and subject & set(rarest[:3]):
                score *= 1.3
            score *= 1 + 0.12 * sum(1 for pattern in helpful if pattern.search(pick.sentence))
            score *= _proximity(wanted, documents[at])
            score *= 0.8 if _ASIDE.match(pick.sentence) else 0.5 if pick.sentence.endswith("?") else 1.0
            score *= 0.8 if len(pick.sentence.split()) < 6 else 1.0
        scores.append(score)
    return scores


def _proximity(wanted: Sequence[str], document: Sequence[str]) -> float:
    """More for sentences that keep neighbours of the question together: `with statement`, not `with` and `statement` apart."""
    return 1 + 0.2 * len(set(pairwise(wanted)) & set(pairwise(document)))


def _head(at: int, candidates: list[Pick]) -> int:
    """The sentence that a pronoun at the beginning of another one points to, at most three sentences back."""
    for back in range(at, max(at - 4, -1), -1):
        if candidates[back].passage != candidates[at].passage:
            return at
        if not _PRONOUN.match(candidates[back].sentence):
            return back
    return at


def _choose(
    ranked: list[int], scores: list[float], candidates: list[Pick], documents: Sequence[Sequence[str]], most: int
) -> list[int]:
    chosen: list[int] = []
    length = 0
    for at in ranked[:40]:
        if len(chosen) >= most or (chosen and (scores[at] < 0.55 * scores[ranked[0]] or length > 90)):
            break
        if at in chosen or any(_alike(documents[at], documents[other]) for other in chosen):
            continue
        needed = [place for place in dict.fromkeys((_head(at, candidates), at)) if place not in chosen]
        if any(candidates[place].sentence == candidates[other].sentence for place in needed for other in chosen):
            continue
        if len(chosen) + len(needed) > most:
            if chosen:
                continue
            needed = [at]
        chosen += needed
        length += sum(len(candidates[place].sentence.split()) for place in needed)
    home = candidates[ranked[0]].passage
    # Sentences of one passage read best in the order in which they were written.
    return sorted(chosen, key=lambda at: (candidates[at].passage != home, candidates[at].passage, candidates[at].position))


def _alike(one: Sequence[str], other: Sequence[str]) -> bool:
    a, b = set(one), set(other)
    return len(a & b) > 0.6 * max(min(len(a), len(b)), 1)


def cited(picks: Sequence[Pick]) -> str:
    """Write chosen sentences as an answer, each with the number of its passage before its full stop."""
    return " ".join(_with_label(pick.sentence, pick.label) for pick in picks)


def _with_label(sentence: str, label: str) -> str:
    if not label:
        return sentence
    end = re.search(r"[.!?]$", sentence)
    return f"{sentence[: end.start()]} [{label}]{sentence[end.start() :]}" if end else f"{sentence} [{label}]"


def from_passages(reading: Reading, talk: Conversation, most: int = 3) -> str:
    """Answer a question from the passages of the prompt; empty when they do not speak of it."""
    earlier = next((message.text for message in reversed(talk.history) if message.role == "user"), "")
    vague = len(stems(reading.question)) < 3
    picks = extract(reading.question, reading.passages, most, earlier if len(earlier) < 2_000 else "")
    if not picks and vague and earlier and len(earlier) < 2_000:
        picks = extract(f"{earlier} {reading.question}", reading.passages, most)
    return cited(picks)


def summary(text: str, most: int = 3) -> str:
    """The sentences of a text that share most words with all of it, in their order."""
    found = list(sentences(text)) or _loose(text)
    documents = [_terms(sentence) for sentence in found]
    scores = bm25([term for document in documents for term in document], documents)
    # Early sentences say what a text is about.
    weighed = [score / (len(documents[at]) + 4) * (1.3 if at == 0 else 1.0) for at, score in enumerate(scores)]
    best = sorted(sorted(range(len(found)), key=lambda at: -weighed[at])[:most])
    return " ".join(found[at] for at in best)


def keywords(text: str, most: int) -> list[str]:
    """The words that a text uses most, function words aside, in the order of their weight."""
    counts: dict[str, int] = {}
    shown: dict[str, str] = {}
    for word in words(text[:100_000]):
        if word not in STOPWORDS and len(word) > 2 and not word.isdigit():
            counts[stem(word)] = counts.get(stem(word), 0) + 1
            shown.setdefault(stem(word), word)
    return [shown[found] for found in sorted(counts, key=lambda found: -counts[found])[:most]]


def topic(text: str, most: int = 8) -> str:
    """What a request is about, in its own words."""
    kept = [word for word in re.findall(r"[\w'’.-]*\w", text[:2_000]) if word.lower() not in STOPWORDS]
    return " ".join(kept[:most]) or " ".join(text.split())[:60] or "nothing in particular"


_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_SUM: Final = re.compile(_NUMBER + r"\s*(\+|-|\*|/|x|×|plus|minus|times|divided by|multiplied by)\s*" + _NUMBER, re.IGNORECASE)
_OPERATORS: Final[dict[str, Callable[[float, float], float]]] = {
    **dict.fromkeys(("+", "plus"), lambda a, b: a + b),
    **dict.fromkeys(("-", "minus"), lambda a, b: a - b),
    **dict.fromkeys(("*", "x", "×", "times", "multiplied by"), lambda a, b: a * b),
    **dict.fromkeys(("/", "divided by"), lambda a, b: a / b if b else float("nan")),
}


def _calculate(match: re.Match[str]) -> str:
    left, operator, right = match[1][:15], match[2].lower(), match[3][:15]
    return f"{left} {operator} {right} is {_OPERATORS[operator](float(left), float(right)):g}."


def _count(match: re.Match[str]) -> str:
    first, last = int(match[1] or 1), int(match[2])
    return ", ".join(map(str, range(first, min(last, first + 2_000) + 1)))


def _listed(match: re.Match[str]) -> str:
    number = {"three": 3, "five": 5, "ten": 10, "two": 2, "four": 4}.get(match[1].lower()) or int(match[1])
    about = match[2].strip(" .!?:")
    return "\n".join(f"{place}. {about[:1].upper()}{about[1:]}, number {place}" for place in range(1, min(number, 50) + 1))


def _written(match: re.Match[str]) -> str:
    about = re.split(r"[.,;!?\n]", match[0].partition(" about ")[2])[0].strip()[:60] or topic(match[0], 6)
    return " ".join(line.format(about) for line in _LINES)


_LINES: Final = (
    "These lines are about {}.",
    "They come from a local emulator, so they say little, but they say it at some length.",
    "Whoever looks for {} will find the words of the request here, and not much else.",
    "A real model would go on from here, with thoughts of its own on {}.",
    "This one only makes sure that there is enough text to stream, to count and to cut.",
    "In the end there is {} again, and then a full stop.",
)
_REPLIES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|day)|greetings)\b[^?]{0,40}(?:how are you\W*)?$", re.I),
     lambda match: "Hello! How can I help you today?"),
    (re.compile(r"\b(?:say|repeat(?: after me)?|reply with|respond with|answer with|output|echo)\b[:,]? (?:exactly |only |just |the words? |the phrase )*[\"“'](.{1,500}?)[\"”']", re.I | re.S),
     lambda match: match[1]),
    (re.compile(r"^\W*(?:please )?(?:say|repeat(?: after me)?|reply with|respond with|answer with|echo)[:,]? (?:exactly |only |just |the words? |the phrase )*(\S[^\n]{0,200}?)[.!]?\s*$", re.I),
     lambda match: match[1][:1].upper() + match[1][1:] + "."),
    (_SUM, _calculate),
    (re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.I), _count),
    (re.compile(r"\bjoke\b", re.I),
     lambda match: "Why did the packet cross the network? To get to the other site."),
    (re.compile(r"^\W*(?:thanks|thank you)\b", re.I), lambda match: "You are welcome."),
    (re.compile(r"\bwho are you\b|\bwhat are you\b|\byour name\b", re.I),
     lambda match: "I am a local emulator of Together's API, not a language model."),
    (re.compile(r"comma[- ]separated", re.I), lambda match: "first item, second item, third item"),
    (re.compile(r"\b(?:list|name|give me|suggest|tell me) (two|three|four|five|ten|\d{1,2}) ([^\n?]{2,60})", re.I), _listed),
    (re.compile(r"\b(?:write|compose|tell)\b[^\n]{0,60}\b(?:story|poem|haiku|essay|paragraphs?|letter|song|article|text|email|words)\b[^\n]{0,200}", re.I), _written),
)  # fmt: skip


def small_talk(text: str) -> str:
    """Reply where there is nothing to draw from: by one of a few fixed patterns, or by naming what was asked."""
    short = text.strip()[:4_000]
    for pattern, reply in _REPLIES:
        if match := pattern.search(short):
            return reply(match)
    quoted = " ".join(short.split())[:200]
    if not re.search(r"\w", quoted):
        return "There is nothing to answer in this message."
    said = "You asked" if quoted.endswith("?") else "You wrote"
    return f'{said}: "{quoted}" This is a local emulator: it knows only what a request tells it.'


def own_words(talk: Conversation, question: str) -> str:
    """Answer questions such as "What is my name?" from what the user said before."""
    if not re.search(r"\b(?:my|I|me|we|our)\b", question, re.IGNORECASE) or not talk.history:
        return ""
    said = [
        Passage(sentence)
        for message in talk.history
        if message.role == "user"
        for sentence in re.split(r"(?<=[.!?])\s+", message.text[:20_000])
        if not sentence.rstrip().endswith("?")
    ]
    picks = extract(question, said, 1)
    return f"You said: {picks[0].sentence}" if picks else ""
