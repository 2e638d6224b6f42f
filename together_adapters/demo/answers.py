"""Which sentences of the passages answer a question, by the questions that these answer: a model sees it by meaning, the emulator by words.

A sentence is as good as the best of its questions. Two things count: how much of the user's question is in that one, in the sentence or in
the title, and how much of that one is in the user's, which counts more where the user says little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from together_adapters.demo.questions import Question
from together_adapters.demo.sentences import Sentence, split_sentences
from together_adapters.emulator.text.features import stems
from together_adapters.emulator.text.questions import content
from together_adapters.emulator.text.similarity import best_matches

# Tuned on the dev questions of tests/benchmarks/search_quality.py and on titles of well-known questions.
_MIN_SCORE: Final = 0.85
_MAX_DISTANCE: Final = 0.1  # of a second quotation's score
_BEHIND: Final = 0.05  # what a passage that is not the first one costs
_NEAR, _TITLE, _PASSAGE = 0.9, 0.7, 0.3  # how much a word counts that is in the sentence, in the title, in the passage
_OVERLAP: Final = (
    0.25  # what part of the score is for the words of the sentence's question; once more divided by the user's words
)
_REFERENCE: Final = re.compile(
    r"\(?(?:It|This|These|They|Those|Such|That|Its|Their|However|Otherwise|Therefore|Thus|Also|But|In (?:this|the latter|the former) case)\b"
)
_COMPARISON: Final = re.compile(
    r"\bbetween (?P<one>.+?) and (?P<other>.+)|(?P<first>.+?) (?:vs\.?|versus) (?P<second>.+)|(?P<left>.+?) differs? from (?P<right>.+)",
    re.IGNORECASE,
)
_ASIDE: Final = re.compile(r"\(?(?:See|New in|Changed in|Deprecated|Previously|For (?:more|full) )\b")
_SECTION: Final = re.compile(r"(?!.*\((?!1 )\d+ of \d+\)$)(?:.*: )?(.+?)(?: \(1 of \d+\))?$")  # that begins in a passage
_KIND: Final = re.compile(
    r"\b(?:The|[Ss]tatements?|[Cc]lauses?|[Ee]xpressions?|[Dd]efinitions?)\b ?"
)  # what a title adds to a name
_MAX_LENGTH: Final = 320  # characters of a sentence and the next
_ANNOUNCEMENT: Final = re.compile(
    r"^The following\b|\bas follows\b|\bthe following (?:table|list|methods?|functions?|operat\w+|types|code|examples?|rules|steps|attributes)\b"
)
_DEFINITION: Final = re.compile(r"what (?:is|are|does|do)\b", re.IGNORECASE)
_COMPOUNDS: Final = ("yield from", "is not", "not in", "async for", "async with", "except*")
_WORD: Final = re.compile(r"[^\s`.,;:?!()]+")
_Terms = frozenset[str]


class Quotation(NamedTuple):
    """Sentences of a passage that answer a question.

    Attributes:
        score: How well they do, between 0 and 1.
        passage: The index of the passage.
        sentences: The sentences.
    """

    score: float
    passage: int
    sentences: tuple[Sentence, ...]


class _Answer(NamedTuple):
    """Sentences of a passage, the stems of the first one, and those of each question that it answers."""

    sentences: tuple[Sentence, ...]
    terms: _Terms
    questions: tuple[_Terms, ...]


class AnswerFinder:
    """Finds sentences that answer a question.

    Args:
        questions: The questions of each text.
        weight: How much a stem says.
    """

    def __init__(self, questions: Mapping[str, Sequence[Question]], weight: Callable[[str], float]) -> None:
        self._questions = questions
        self._weight = weight

    def find(self, question: str, texts: Sequence[str]) -> list[Quotation]:
        """Returns the quotation that answers a question best, and one that is nearly as good; none if no text answers it."""
        terms = _terms(question)
        quotations = sorted(
            (quotation for passage, text in enumerate(texts) for quotation in self._quotations(terms, text, passage)),
            key=lambda quotation: -quotation.score,
        )
        best = [quotation for quotation in quotations[:1] if quotation.score >= _MIN_SCORE]
        for other in quotations[1:] if best else ():
            if not set(other.sentences) & set(best[0].sentences):
                best += [other] if other.score >= best[0].score - _MAX_DISTANCE else []
                break
        return best if _meets(question, best) else []

    def _quotations(self, terms: _Terms, text: str, passage: int) -> Iterator[Quotation]:
        title = text.partition("\n\n")[0]
        questions, sentences = self._questions.get(text, ()), split_sentences(text)
        if not questions or not sentences:
            return
        words = _terms(text).union(*(_terms(question.text) for question in questions))
        if len(terms) == 1:  # which many questions have that ask for something else
            questions = [question for question in questions if _is_definition(question.text)]
        if name := _SECTION.match(title):
            questions = [*questions, Question(_KIND.sub("", name[1]) or name[1], sentences[0].start)]
        for answer in _answers(sentences, questions):
            near = answer.terms.union(*answer.questions)
            levels = {**dict.fromkeys(words, _PASSAGE), **dict.fromkeys(_terms(title), _TITLE), **dict.fromkeys(near, _NEAR)}
            score = max(self._score(terms, question, levels) for question in answer.questions)
            yield Quotation(score - _BEHIND * (passage > 0), passage, answer.sentences)

    def _score(self, terms: _Terms, question: _Terms, levels: Mapping[str, float]) -> float:
        coverage = self._share(terms, {**levels, **dict.fromkeys(question, 1.0)})
        overlap = self._share(question, dict.fromkeys(terms, 1.0))
        weight = _OVERLAP * (1 + 1 / max(len(terms), 1))
        return (1 - weight) * coverage + weight * overlap

    def _share(self, terms: _Terms, levels: Mapping[str, float]) -> float:
        """Returns the share of the weight of some stems that others have, each at its level."""
        total = sum(map(self._weight, terms))
        return best_matches(terms, {term: level * self._weight(term) for term, level in levels.items()}) / total if total else 0.0


def cite(sentence: Sentence, label: str) -> str:
    """Returns a sentence with the label of its passage, and the example behind it."""
    text = sentence.text.rstrip(":;")
    if sentence.example:
        return f"{text} [{label}]:\n\n{sentence.example}\n\n"
    end = text[-1] if text[-1] in ".!?" else "." if text != sentence.text else ""
    return f"{text.removesuffix(end)} [{label}]{end} "


def _terms(text: str) -> _Terms:
    return frozenset(stems(content(text)) or stems(text))


def _answers(sentences: Sequence[Sentence], questions: Iterable[Question]) -> Iterator[_Answer]:
    for position, group in groupby(questions, attrgetter("position")):
        terms = tuple(filter(None, (_terms(question.text) for question in group)))
        index = -1 if position is None else sum(sentence.start <= position for sentence in sentences) - 1
        if terms and index >= 0 and not _only_announces(sentences[index]):
            yield _Answer(tuple(_with_neighbours(sentences, index)), frozenset(stems(sentences[index].text)), terms)


def _is_definition(question: str) -> bool:
    """Whether a question asks what something is or does, or just names it."""
    return _DEFINITION.match(question) is not None or len(question.split()) <= 3


def _only_announces(sentence: Sentence) -> bool:
    """Whether a sentence says what follows, and that is not quoted with it."""
    return _ANNOUNCEMENT.search(sentence.text) is not None and not sentence.example and ":" not in sentence.text


def _meets(question: str, quotations: Iterable[Quotation]) -> bool:
    """Whether sentences speak of both things that a question compares, and of keywords of two words: else they only seem to answer it."""
    text = " ".join(sentence.text for quotation in quotations for sentence in quotation.sentences).lower().replace("`", "")
    if any(compound in question.lower().replace("`", "") and compound not in text for compound in _COMPOUNDS):
        return False
    comparison = _COMPARISON.search(question)
    words = {*stems(text), *_WORD.findall(text)}
    sides = comparison.groups() if comparison else ()
    return all(set(stems(side) or _WORD.findall(side.lower())) <= words for side in sides if side)


def _with_neighbours(sentences: Sequence[Sentence], index: int) -> Iterator[Sentence]:
    """Yields a sentence, after the one that it refers to, and before the next if both are short."""
    sentence = sentences[index]
    before, after = (
        next((other for other in others if other.paragraph == sentence.paragraph and not sentence.is_row), None)
        for others in (sentences[max(index - 1, 0) : index], sentences[index + 1 : index + 2])
    )
    if before and _REFERENCE.match(sentence.text):
        yield before
    yield sentence
    if (
        after
        and not (sentence.example or after.text.endswith(":") or _ASIDE.match(after.text))
        and (len(sentence.text) + len(after.text) <= _MAX_LENGTH)
    ):
        yield after
