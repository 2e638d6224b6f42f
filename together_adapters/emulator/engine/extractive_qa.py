"""Answers in prose: whole sentences quoted from the passages of a prompt, with the numbers of their passages; nothing is made up."""

# ruff: noqa: RUF001  (typographic quotes and signs are what these patterns look for)
from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from together_adapters.emulator.conversation import Conversation
from together_adapters.emulator.engine.prompt_parser import ParsedPrompt, Passage
from together_adapters.emulator.engine.text_features import STOPWORDS, bm25, cache_short_texts, rarity, stem, stems

NOT_FOUND: Final = "I don't know: the given context does not answer this question."
_MAX_PASSAGES: Final = 2_000
_PRONOUN: Final = re.compile(
    r"(?:It|This|These|They|Those|Such|That|He|She|Its|Their|However|Otherwise|Therefore|Thus|Also|But)\b"
)

_RULE_LINE: Final = re.compile(r"^\s*([=\-*~^\"'#+_.])\1{2,}\s*$")
_LIST_ITEM: Final = re.compile(r"^\s*(?:[*\-•]|\d{1,2}[.)]|\(\w\)|[a-z]\))\s+")
_MARKUP_LINE: Final = re.compile(r"^\s*(?:\.\. |:[\w ]+:(?:\s|$)|>>>|\.\.\. |\||\+[-=+]+\+|#+ |```|[\w:/.]+ +::=)")
_CODE_LINE: Final = re.compile(
    r"^\s*(?:def |class |import |from \w+ import |return\b|raise \w|print\(|@\w|async |await |(?:if|for|while|with|try|elif|else|except)\b.*:\s*(?:#.*)?$"
    r"|[\w.\[\]'\", ()*]+ [-+*/|&]?= |\w+\(.*\)\s*(?:#.*)?$|# |\$ |[{}\])]+[,;]?$)"
)
_PROSE_LINE: Final = re.compile(r"\s*[\"(*`]?[A-Z][\w']* ")
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


def answer_from_passages(prompt: ParsedPrompt) -> str:
    """Answers a question with sentences of the prompt's passages; empty when they do not answer it."""
    return cite(extract(prompt.question, prompt.passages))


def answer_from_messages(prompt: ParsedPrompt, conversation: Conversation) -> str:
    """Answers a question without context with a sentence of the prompt, the instructions or earlier user messages, if one fits."""
    if prompt.passages or not prompt.question.endswith("?"):
        return ""
    earlier = [message.text for message in conversation.history[-100:] if message.role == "user"]
    texts = [conversation.prompt.replace(prompt.question, ""), conversation.system, *earlier]
    parts = [part for text in texts for part in re.split(r"(?<=[.!?])\s+", text[:20_000]) if not part.endswith("?")]
    return cite(extract(prompt.question, list(map(Passage, parts)), 1))


def extract(question: str, passages: Sequence[Passage], max_sentences: int = 3) -> list[Sentence]:
    """Selects the sentences that answer a question best; none when the passages do not contain the words of the question."""
    terms = _terms(question)
    passages = passages[:_MAX_PASSAGES]
    split = [sentences(passage.text) for passage in passages]
    if not any(split):
        split = [_first_line(passage.text) for passage in passages]
    candidates = [
        Sentence(text, passage.label, i, position) for i, passage in enumerate(passages) for position, text in enumerate(split[i])
    ]
    documents = [_terms(sentence.text) for sentence in candidates]
    if not terms or not candidates or not _is_answerable(question, terms, documents, passages):
        return []
    scores = _scores(terms, candidates, documents, passages)
    ranking = sorted(range(len(candidates)), key=lambda i: (-scores[i], i))
    return _select(ranking, scores, candidates, documents, max_sentences) if scores[ranking[0]] > 0 else []


@cache_short_texts(8_192)
def _terms(text: str) -> tuple[str, ...]:
    """Stems of a text; cached, since the same passages come with many requests."""
    return tuple(stems(text))


def _first_line(text: str) -> tuple[str, ...]:
    """What is quoted of a passage without a whole sentence."""
    line = " ".join(text.split())
    return (line[:400],) if line else ()


def _is_answerable(question: str, terms: Sequence[str], documents: Sequence[Sequence[str]], passages: Sequence[Passage]) -> bool:
    """Whether the passages contain enough of the question's words, proper names and rare words above all."""
    vocabulary = {term for document in documents for term in document}
    vocabulary.update(term for passage in passages for term in _terms(passage.text[:20_000]))
    distinct = set(terms)
    names = {stem(name.lower()) for name in re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}\w*", question)} & distinct
    if names - vocabulary and len(distinct & vocabulary) < 0.75 * len(distinct):
        return False
    weight = rarity(documents)
    highest = max(weight.values(), default=1.0)
    weights = {term: weight.get(term, highest) for term in distinct}
    return sum(weights[term] for term in distinct & vocabulary) >= 0.34 * sum(weights.values())


def _scores(
    terms: Sequence[str], candidates: list[Sentence], documents: Sequence[Sequence[str]], passages: Sequence[Passage]
) -> list[float]:
    base = bm25(terms, documents)
    passage_scores = bm25(terms, [_terms(passage.text[:20_000]) for passage in passages])
    best_passage = max(passage_scores) or 1.0
    pairs = set(pairwise(terms))
    scores = []
    for i, sentence in enumerate(candidates):
        score = base[i]
        if score > 0:
            antecedent = _antecedent(i, candidates)
            if antecedent != i:
                score += 0.6 * base[antecedent]
            score *= 1 + 0.35 * passage_scores[sentence.passage] / best_passage
            score *= 1 + 0.2 * len(pairs & set(pairwise(documents[i])))
            score *= 0.5 if sentence.text.endswith("?") else 0.8 if sentence.text.count(" ") < 5 else 1.0
        scores.append(score)
    return scores


def _antecedent(index: int, candidates: list[Sentence]) -> int:
    """The index of the sentence, at most three before, to which a pronoun at the beginning of a sentence refers."""
    for i in range(index, max(index - 4, -1), -1):
        if candidates[i].passage != candidates[index].passage:
            return index
        if not _PRONOUN.match(candidates[i].text):
            return i
    return index


def _select(
    ranking: list[int], scores: list[float], candidates: list[Sentence], documents: Sequence[Sequence[str]], max_sentences: int
) -> list[Sentence]:
    """Takes the best sentences that differ from each other, each together with the sentence that its pronoun refers to."""
    selection: list[int] = []
    for i in ranking[:40]:
        if len(selection) >= max_sentences or (selection and scores[i] < 0.55 * scores[ranking[0]]):
            break
        overlaps = ((set(documents[i]), set(documents[other])) for other in selection)
        if i in selection or any(len(a & b) > 0.6 * max(min(len(a), len(b)), 1) for a, b in overlaps):
            continue
        group = [j for j in dict.fromkeys((_antecedent(i, candidates), i)) if j not in selection]
        if len(selection) + len(group) > max_sentences:
            if selection:
                continue
            group = [i]
        selection += group
    first_passage = candidates[ranking[0]].passage
    # Sentences of one passage read best in their own order.
    return sorted((candidates[i] for i in selection), key=lambda s: (s.passage != first_passage, s.passage, s.position))


def cite(answer: Iterable[Sentence]) -> str:
    """Joins sentences to an answer, each with the number of its passage before its full stop."""
    return " ".join(re.sub(r"([.!?]?)$", rf" [{s.label}]\1", s.text, count=1) if s.label else s.text for s in answer)


def topic(text: str, max_words: int = 8) -> str:
    """What a text is about: its first words without stop words."""
    content = [word for word in re.findall(r"[\w'’.-]*\w", text[:2_000]) if word.lower() not in STOPWORDS]
    return " ".join(content[:max_words]) or " ".join(text.split())[:60] or "nothing in particular"


@cache_short_texts(4_096)
def sentences(text: str) -> tuple[str, ...]:
    """The distinct whole sentences of technical prose, without its headings, code and fragments."""
    return tuple(dict.fromkeys(sentence for block in _blocks(text) for sentence in _split_block(block) if _is_whole(sentence)))


def _is_whole(sentence: str) -> bool:
    """Whether a string reads as a sentence: a beginning, an end, some words, more letters than signs."""
    length = sentence.count(" ") + 1
    if not 3 <= length <= 90 or not _START.match(sentence) or not re.search(r"[.!?][\"”’')\]*`]*$", sentence):
        return False
    letters = sum(character.isalpha() or character == " " for character in sentence)
    return letters >= 0.6 * len(sentence) and not sentence.endswith("...")


def _blocks(text: str) -> list[str]:
    """The paragraphs and list items of a text, each as one line; other lines are dropped."""
    blocks: list[str] = []
    current: list[str] = []
    lines = [*text.expandtabs(4).splitlines(), ""]
    block_indent, code_indent = 0, -1  # code is indented more than the block before it, which ends in a colon

    def close() -> None:
        nonlocal code_indent
        if current:
            block = " ".join(" ".join(current).split())
            code_indent = block_indent if block.endswith(":") else -1
            blocks.append(block)
            current.clear()

    for line, next_line in zip(lines, [*lines[1:], ""], strict=True):
        indent = len(line) - len(line.lstrip())
        if not line.strip() or _RULE_LINE.match(line) or _RULE_LINE.match(next_line) or _MARKUP_LINE.match(line):
            close()
        elif current or not (_CODE_LINE.match(line) or (indent > code_indent >= 0 and not _PROSE_LINE.match(line))):
            if item := _LIST_ITEM.match(line):
                close()
            if not current:
                block_indent = indent
            current.append(line[item.end() if item else 0 :])
    close()
    return blocks


def _split_block(block: str) -> list[str]:
    parts, start = [], 0
    for end in _END.finditer(block):
        rest = block[end.end() : end.end() + 20].lstrip()
        if rest and (not _START.match(rest) or _ABBREVIATION.search(block[max(0, end.end() - 12) : end.end()])):
            continue
        parts.append(block[start : end.end()].strip())
        start = end.end()
    return [*parts, block[start:].strip()]
