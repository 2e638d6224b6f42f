"""Which passages an answer cites, and which of their sentences it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from together_adapters.demo.corpus import Passage
from together_adapters.demo.sentences import SENTENCE_END

MARK: Final = re.compile(r"[\[\u3010](\d+(?:, ?\d+)*)(?:\u2020[^\]\u3011]*)?[\]\u3011]")
"""A citation: `[1]`, `[1, 2]`, and as some models write it, in fat brackets with the lines behind a dagger."""
_CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_WORD: Final = re.compile(r"\w{2,}")
_MIN_SHARE: Final = 0.4  # of words that a sentence and a claim have in common


class Sentence(NamedTuple):
    """A sentence of a passage, or an example."""

    text: str
    is_cited: bool
    is_example: bool = False


_GAP: Final = Sentence("...", is_cited=False)


@dataclass(frozen=True)
class Source:
    """A passage that an answer cites.

    Attributes:
        number: Its number in the prompt.
        title: Its title.
        excerpt: The sentences that the answer rests on, each with its neighbours, and dots for others.
    """

    number: int
    title: str
    excerpt: tuple[Sentence, ...]

    @property
    def quotations(self) -> list[str]:
        """The sentences that the answer rests on."""
        return [sentence.text for sentence in self.excerpt if sentence.is_cited]


def sources(answer: str, context: Sequence[Passage]) -> list[Source]:
    """Returns the passages that an answer cites, in the order of their numbers."""
    claims: dict[int, list[str]] = {}
    for claim, number in _claims(answer):
        if 1 <= number <= len(context):
            claims.setdefault(number, []).append(claim)
    return [
        Source(number, context[number - 1].title, _excerpt(context[number - 1].text, texts))
        for number, texts in sorted(claims.items())
    ]


def _claims(answer: str) -> Iterator[tuple[str, int]]:
    """Yields what an answer says before each citation, with the number of the passage."""
    prose = _CODE.sub(lambda match: "x" * len(match[0]), answer)  # `a[1]` cites nothing
    claim, start = "", 0
    for mark in MARK.finditer(prose):
        text = SENTENCE_END.split(answer[start : mark.start()].strip(" \n.,;:"))[-1]
        claim, start = text if _WORD.search(text) else claim, mark.end()
        yield from ((claim, int(number)) for number in mark[1].split(","))


def _excerpt(text: str, claims: Sequence[str]) -> tuple[Sentence, ...]:
    """Marks the sentence that is most similar to each claim; what is not next to one is left out."""
    sentences = list(_sentences(text))
    positions = {position for claim in claims if (position := _most_similar(claim, sentences)) is not None}
    near = {position + offset for position in positions or {0} for offset in (-1, 0, 1)}
    excerpt: list[Sentence] = []
    for position, sentence in enumerate(sentences):
        if position in near:
            excerpt.append(sentence._replace(is_cited=position in positions))
        elif not excerpt or excerpt[-1] != _GAP:
            excerpt.append(_GAP)
    return tuple(excerpt)


def _sentences(text: str) -> Iterator[Sentence]:
    """Splits a passage into sentences; an example stays as it is."""
    for block in text.split("\n\n"):
        if block.startswith("    "):
            yield Sentence(block, is_cited=False, is_example=True)
        else:
            yield from (Sentence(part, is_cited=False) for part in SENTENCE_END.split(" ".join(block.split())))


def _most_similar(claim: str, sentences: Sequence[Sentence]) -> int | None:
    """Returns the position of the sentence with the most words of a claim; None if none has enough of them."""
    terms = _terms(claim)
    shares = [_share(terms, _terms(sentence.text)) for sentence in sentences]
    best = max(shares, default=0.0)
    return shares.index(best) if best >= _MIN_SHARE else None


def _terms(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _share(claim: set[str], sentence: set[str]) -> float:
    """Returns the ratio of common words (Dice's coefficient)."""
    return 2 * len(claim & sentence) / (len(claim) + len(sentence) or 1)
