"""Answers in prose: whole sentences quoted from the passages of a prompt, with the numbers of their passages; nothing is made up."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from together_adapters.emulator.conversation import Conversation
from together_adapters.emulator.engine.prompt_parser import ParsedPrompt, Passage
from together_adapters.emulator.text.features import STOPWORDS, cache_short_texts, code_stems, stem, stems
from together_adapters.emulator.text.questions import asks_for_quantity, content, has_quantity
from together_adapters.emulator.text.similarity import share, weights

NOT_FOUND: Final = "I don't know: the given context does not answer this question."
_MIN_SHARE, _STRICT_SHARE = 0.35, 0.5  # of the question, in the best sentence, its title and its passage
_STRICT_MATCH: Final = 0.8  # of the question, in all passages together
_MAX_PASSAGES: Final = 2_000
Terms = tuple[str, ...]
_PRONOUN: Final = re.compile(
    r"(?:It|This|These|They|Those|Such|That|He|She|Its|Their|However|Otherwise|Therefore|Thus|Also|But)\b"
)

_REFERENCE: Final = re.compile(r"\b(?:it|they|them|these|those)\b", re.IGNORECASE)  # to something that a question does not name
_LIST_ITEM: Final = re.compile(r"^[ \t]*(?:[*\-•]|\d{1,2}[.)]|\(\w\)|[a-z]\))\s+")
_BREAK: Final = re.compile(rf"\n(?:[ \t]*\n)+|\n(?={_LIST_ITEM.pattern})", re.MULTILINE)
_MARKUP: Final = re.compile(  # lines of rules, with the heading above, and lines with other marks
    r"^(?:.*\n)?[ \t]*([=\-*~^\"'#+_.])\1{2,}[ \t]*$|^[ \t]*(?:\.\. |:[\w ]+:(?:\s|$)|>>>|\.\.\. |\||\+[-=+]+\+|#+ |```|[\w:/.]+ +::=).*$",
    re.MULTILINE,
)
_SIGNATURE: Final = re.compile(r"(?:\w+ )?[\w.]+(?:\(.{0,80}|\.__\w+__)|\w+\(\w+\).{0,80}")
_ROW: Final = re.compile(r"^[ \t]+(`[^|\n]+`) \| ([^|\n]+?)(?: \|.*)?$", re.MULTILINE)  # of a table: code, and what it does
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


class Match(NamedTuple):
    """How well a quotation fits a question: a score to rank by, the share of the question that it meets, and its stems."""

    score: float
    share: float
    terms: frozenset[str]
    weight: dict[str, float]


def answer_from_messages(prompt: ParsedPrompt, conversation: Conversation) -> str:
    """Answers a question without context with a sentence of the prompt, the instructions or earlier user messages, if one fits."""
    if prompt.passages or not prompt.question.endswith("?"):
        return ""
    earlier = [message.text for message in conversation.history[-100:] if message.role == "user"]
    texts = [conversation.prompt.replace(prompt.question, ""), conversation.system, *earlier]
    parts = [part for text in texts for part in re.split(r"(?<=[.!?])\s+", text[:20_000]) if not part.endswith("?")]
    return quote(prompt.question, list(map(Passage, parts)), 1)


def is_vague(question: str) -> bool:
    """Whether a question says too little to be answered: "Does it?", "Do they nest?"."""
    return len(set(_terms(content(question)))) <= bool(_REFERENCE.search(question))


def quote(question: str, passages: Sequence[Passage], max_sentences: int = 3, *, strict: bool = False) -> str:
    """Answers with the `best_sentences` of some passages, each with the label of its passage before its full stop."""
    return with_citations(best_sentences(question, passages, max_sentences, strict=strict))


def with_citations(selection: Sequence[Sentence]) -> str:
    """Sentences as one text, each with the label of its passage, if it has one, before its full stop."""
    return " ".join(map(_with_citation, selection))


def _with_citation(sentence: Sentence) -> str:
    if not sentence.label:
        return sentence.text
    end = len(sentence.text) - sentence.text.endswith((".", "!", "?"))
    return f"{sentence.text[:end]} [{sentence.label}]{sentence.text[end:]}"


def best_sentences(question: str, passages: Sequence[Passage], max_sentences: int = 3, *, strict: bool = False) -> list[Sentence]:
    """The sentences of some passages that answer a question best.

    There are none when the passages do not contain the words of the question; if `strict`, when they lack any that says much, or the
    quantity that it asks for.
    """
    terms, is_counted = _terms(content(question)), asks_for_quantity(question)
    passages = passages[:_MAX_PASSAGES]
    texts = [sentences(passage.text) for passage in passages]
    if not any(texts):  # a passage without a whole sentence is quoted by its beginning
        texts = [tuple(filter(None, [" ".join(passage.text.split())[:400]])) for passage in passages]
    quotations = [quotation for i, passage in enumerate(passages) for quotation in _quotations(texts[i], passage.label, i)]
    if is_vague(question) or not quotations:
        return []
    matches = list(_matches(terms, quotations, passages, is_counted))
    ranking = sorted(range(len(quotations)), key=lambda i: (-matches[i].score, i))
    best = matches[ranking[0]].score
    selection: list[Sentence] = []
    is_answered = _is_answered(question, terms, matches[ranking[0]], passages, strict)
    if strict and is_counted and not any(has_quantity(sentence.text) for sentence in quotations[ranking[0]]):
        is_answered = False
    for i in ranking[:40] if is_answered else ():
        if matches[i].score <= 0 or len(selection) >= max_sentences or (selection and matches[i].score < 0.55 * best):
            break
        quotation = [sentence for sentence in quotations[i] if sentence not in selection]
        is_new = quotations[i][-1].text not in {sentence.text for sentence in selection}
        if is_new and (not selection or len(selection) + len(quotation) <= max_sentences):
            selection += quotation
    first_passage = quotations[ranking[0]][0].passage
    # Sentences of one passage read best in their own order.
    return sorted(selection, key=lambda s: (s.passage != first_passage, s.passage, s.position))


def _matches(
    terms: Terms, quotations: Sequence[Sequence[Sentence]], passages: Sequence[Passage], is_counted: bool
) -> Iterator[Match]:
    """Yields how well each quotation fits a question: with the title and the rest of its passage, which matter half as much.

    Where the question asks for a quantity, a sentence that has one fits better.
    """
    documents = [_terms(" ".join(sentence.text for sentence in quotation)) for quotation in quotations]
    titles = [_terms(passage.text.partition("\n")[0][:200]) for passage in passages]
    passage_terms = [_terms(passage.text[:20_000]) for passage in passages]
    weight = weights([terms, *documents, *passage_terms])
    pairs = set(pairwise(terms))
    of_passages = [share(terms, document, weight) for document in passage_terms]
    for (*_, last), document in zip(quotations, documents, strict=True):
        with_title = (*document, *titles[last.passage])
        matched = (share(terms, document, weight) + 0.5 * share(terms, with_title, weight) + 0.5 * of_passages[last.passage]) / 2
        score = matched + 0.15 * share(terms, _terms(" ".join(last.text.split()[:12])), weight)
        score += 0.1 * len(pairs & set(pairwise(document))) / max(len(pairs), 1) - 0.025 * min(last.passage, 8)
        score *= 0.8 if is_counted and not has_quantity(last.text) else 1.0
        score *= 0.0 if not share(terms, _terms(last.text), weight) else 0.5 if last.text.endswith("?") else 1.0
        yield Match(score, matched, frozenset(with_title), weight)


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


def _is_answered(question: str, terms: Terms, match: Match, passages: Sequence[Passage], strict: bool) -> bool:
    """Whether the best quotation answers: proper names must be in the passages, and if `strict` all words that say much."""
    shared = {term for passage in passages for term in _terms(passage.text[:20_000])}.intersection(terms)
    names = {stem(name.lower()) for name in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\w*", question)}.intersection(terms)
    if not strict:
        return match.share >= _MIN_SHARE and (names <= shared or len(shared) >= 0.75 * len(set(terms)))
    weight = {term: match.weight[term] for term in terms}
    is_met = sum(weight[term] for term in shared) >= _STRICT_MATCH * sum(weight.values())
    return match.share >= _STRICT_SHARE and is_met and code_stems(question) <= match.terms


def topic(text: str, max_words: int = 8) -> str:
    """What a text is about: its first words without stop words."""
    content = [word for word in re.findall(r"[\w'’.-]*\w", text[:2_000]) if word.lower() not in STOPWORDS]
    return " ".join(content[:max_words]) or " ".join(text.split())[:60] or "nothing in particular"


@cache_short_texts(4_096)
def sentences(text: str) -> tuple[str, ...]:
    """The distinct whole sentences of the paragraphs and list items of a text, without headings, code and fragments.

    The first one behind a signature follows it after a colon, and so does the description of a name in a table of definitions.
    """
    result, signature = [], ""
    for paragraph in _BREAK.split(_ROW.sub(r"\n\n\1: \2.\n\n", _MARKUP.sub("\n", text))):
        block = " ".join(_LIST_ITEM.sub("", paragraph, count=1).split())
        whole = [sentence for sentence in _split_block(block) if _is_whole(sentence)]
        if signature and whole and block.startswith(whole[0]):
            whole[0] = f"{signature}: {whole[0]}"
        signature = block if _SIGNATURE.fullmatch(block) else ""
        result += whole
    return tuple(dict.fromkeys(result))


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
