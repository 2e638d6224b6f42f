"""Answers in prose: whole sentences quoted from the passages of a prompt, with the numbers of their passages; nothing is made up."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from together_adapters.emulator.conversation import Conversation
from together_adapters.emulator.engine.prompt_parser import ParsedPrompt, Passage
from together_adapters.emulator.engine.text_features import STOPWORDS, bm25, cache_short_texts, rarity, stem, stems

NOT_FOUND: Final = "I don't know: the given context does not answer this question."
_MAX_PASSAGES: Final = 2_000
Terms = tuple[str, ...]
_PRONOUN: Final = re.compile(
    r"(?:It|This|These|They|Those|Such|That|He|She|Its|Their|However|Otherwise|Therefore|Thus|Also|But)\b"
)

_LIST_ITEM: Final = re.compile(r"^[ \t]*(?:[*\-•]|\d{1,2}[.)]|\(\w\)|[a-z]\))\s+")
_BREAK: Final = re.compile(rf"\n(?:[ \t]*\n)+|\n(?={_LIST_ITEM.pattern})", re.MULTILINE)
_MARKUP: Final = re.compile(  # lines of rules, with the heading above, and lines with other marks
    r"^(?:.*\n)?[ \t]*([=\-*~^\"'#+_.])\1{2,}[ \t]*$|^[ \t]*(?:\.\. |:[\w ]+:(?:\s|$)|>>>|\.\.\. |\||\+[-=+]+\+|#+ |```|[\w:/.]+ +::=).*$",
    re.MULTILINE,
)
_END: Final = re.compile(r"(?<![.!?])[.!?]++[\"”’')\]*`]*(?=\s|$)")
_ABBREVIATION: Final = re.compile(r"(?:\b(?:e\.g|i\.e|cf|vs|Dr|Mr|Mrs|Ms|Fig|Sec|Eq|No|approx|resp|incl|St)|(?:^|\s)[A-Z])\.$")
_START: Final = re.compile(r"[\"“‘'(\[*_`]*[A-Z0-9]|[\"“‘(\[*_`]+\w")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage: the label and the index of the passage, and its position in it."""

    text: str
    label: str
    passage: int
    position: int


def answer_from_messages(prompt: ParsedPrompt, conversation: Conversation) -> str:
    """Answers a question without context with a sentence of the prompt, the instructions or earlier user messages, if one fits."""
    if prompt.passages or not prompt.question.endswith("?"):
        return ""
    earlier = [message.text for message in conversation.history[-100:] if message.role == "user"]
    texts = [conversation.prompt.replace(prompt.question, ""), conversation.system, *earlier]
    parts = [part for text in texts for part in re.split(r"(?<=[.!?])\s+", text[:20_000]) if not part.endswith("?")]
    return quote(prompt.question, list(map(Passage, parts)), 1)


def quote(question: str, passages: Sequence[Passage], max_sentences: int = 3) -> str:
    """Answers with the best sentences of some passages, each with the number of its passage before its full stop.

    The answer is empty when the passages do not contain the words of the question.
    """
    terms = _terms(question)
    passages = passages[:_MAX_PASSAGES]
    texts = [sentences(passage.text) for passage in passages]
    if not any(texts):  # a passage without a whole sentence is quoted by its beginning
        texts = [tuple(filter(None, [" ".join(passage.text.split())[:400]])) for passage in passages]
    quotations = [quotation for i, passage in enumerate(passages) for quotation in _quotations(texts[i], passage.label, i)]
    documents = [tuple(term for sentence in quotation for term in _terms(sentence.text)) for quotation in quotations]
    passage_terms = [_terms(passage.text[:20_000]) for passage in passages]
    if not terms or not quotations or not _is_answerable(question, terms, documents, passage_terms):
        return ""
    scores = _scores(terms, quotations, documents, passage_terms)
    ranking = sorted(range(len(quotations)), key=lambda i: (-scores[i], i))
    selection: list[Sentence] = []
    for i in ranking[:40]:
        if scores[i] <= 0 or len(selection) >= max_sentences or (selection and scores[i] < 0.55 * scores[ranking[0]]):
            break
        quotation = [sentence for sentence in quotations[i] if sentence not in selection]
        is_new = quotations[i][-1].text not in {sentence.text for sentence in selection}
        if is_new and (not selection or len(selection) + len(quotation) <= max_sentences):
            selection += quotation
    first_passage = quotations[ranking[0]][0].passage
    # Sentences of one passage read best in their own order.
    answer = sorted(selection, key=lambda s: (s.passage != first_passage, s.passage, s.position))
    return " ".join(re.sub(r"([.!?]?)$", rf" [{s.label}]\1", s.text, count=1) if s.label else s.text for s in answer)


def _scores(
    terms: Terms, quotations: Sequence[Sequence[Sentence]], documents: Sequence[Terms], passage_terms: Sequence[Terms]
) -> list[float]:
    passage_scores = bm25(terms, passage_terms)
    best_passage = max(passage_scores) or 1.0
    pairs = set(pairwise(terms))
    scores = bm25(terms, documents)
    for i, (*_, last) in enumerate(quotations):
        scores[i] *= 1 + 0.35 * passage_scores[last.passage] / best_passage
        scores[i] *= 1 + 0.2 * len(pairs & set(pairwise(documents[i])))
        scores[i] *= 0.0 if set(terms).isdisjoint(_terms(last.text)) else 0.5 if last.text.endswith("?") else 1.0
    return scores


def _quotations(texts: Sequence[str], label: str, passage: int) -> Iterator[list[Sentence]]:
    """Yields each sentence of a passage; one that begins with a pronoun after the sentence, at most three before, that it refers to."""
    start = 0
    for position, text in enumerate(texts):
        if position > start + 3 or not _PRONOUN.match(text):
            start = position
        yield [Sentence(texts[i], label, passage, i) for i in dict.fromkeys((start, position))]


@cache_short_texts(8_192)
def _terms(text: str) -> Terms:
    """Stems of a text; cached, since the same passages come with many requests."""
    return tuple(stems(text))


def _is_answerable(question: str, terms: Terms, documents: Sequence[Terms], passage_terms: Sequence[Terms]) -> bool:
    """Whether the passages contain enough of the question's words, proper names and rare words above all."""
    distinct = set(terms)
    shared = distinct.intersection(*[[term for document in (*documents, *passage_terms) for term in document]])
    names = {stem(name.lower()) for name in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\w*", question)} & distinct
    if names - shared and len(shared) < 0.75 * len(distinct):
        return False
    weight = rarity(documents)
    highest = max(weight.values(), default=1.0)
    return sum(weight.get(term, highest) for term in shared) >= 0.34 * sum(weight.get(term, highest) for term in distinct)


def topic(text: str, max_words: int = 8) -> str:
    """What a text is about: its first words without stop words."""
    content = [word for word in re.findall(r"[\w'’.-]*\w", text[:2_000]) if word.lower() not in STOPWORDS]
    return " ".join(content[:max_words]) or " ".join(text.split())[:60] or "nothing in particular"


@cache_short_texts(4_096)
def sentences(text: str) -> tuple[str, ...]:
    """The distinct whole sentences of the paragraphs and list items of a text, without headings, code and fragments."""
    blocks = (" ".join(_LIST_ITEM.sub("", paragraph, count=1).split()) for paragraph in _BREAK.split(_MARKUP.sub("\n", text)))
    return tuple(dict.fromkeys(sentence for block in blocks for sentence in _split_block(block) if _is_whole(sentence)))


def _is_whole(sentence: str) -> bool:
    """Whether a string reads as a sentence: a beginning, an end, some words, more letters than signs."""
    length = sentence.count(" ") + 1
    if not 3 <= length <= 90 or not _START.match(sentence) or not re.search(r"[.!?][\"”’')\]*`]*$", sentence):
        return False
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return letters >= 0.6 * len(sentence) and not sentence.endswith("...")


def _split_block(block: str) -> Iterator[str]:
    start = 0
    for end in _END.finditer(block):
        rest = block[end.end() : end.end() + 20].lstrip()
        if not rest or (_START.match(rest) and not _ABBREVIATION.search(block[max(0, end.end() - 12) : end.end()])):
            yield block[start : end.end()].strip()
            start = end.end()
