"""Words: how the emulator counts, compares and hashes them. All of its "understanding" rests on this page.

Nothing here is learnt. Texts are near when they share words, word stems, or pieces of words, rare words counting more.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

_TOKEN: Final = re.compile(r"\s?[^\W_]{1,8}|\s?_{1,8}|\s?[^\w\s]{1,2}|\s+")
_WORD: Final = re.compile(r"\w+")

_COMPOUND: Final = re.compile(r"\w+(?:-\w+)+")
_NAMING: Final = frozenset(("with", "for", "while", "if", "not", "is", "in", "or", "and", "as", "from", "until", "when", "do"))
_NAMED: Final = frozenset(
    form for noun in ("statement", "keyword", "operator", "clause", "loop", "expression", "block") for form in (noun, noun + "s")
)

STOPWORDS: Final = frozenset(
    """a about above after again all also am an and any are as at be because been before being below between both but by
    can could did do does doing don done down during each few for from further had has have having he her here hers him his
    how i if in into is it its itself just let ll me more most my no nor not now of off on once only or other our out over own
    please re s same she should so some such t tell than that the their them then there these they this those through to too
    under until up us use used using very was we were what when where which while who whom why will with would you your
    answer question explain describe give context information given based following purpose mean means meaning happen happens
    work works""".split()
)

_SUFFIXES: Final = (
    ("ational", "at"), ("ization", "iz"), ("isation", "iz"), ("fulness", "ful"), ("iveness", "iv"), ("ousness", "ous"),
    ("ements", ""), ("ations", "at"), ("ation", "at"), ("ators", "at"), ("ator", "at"), ("ments", ""), ("ement", ""),
    ("ment", ""), ("ness", ""), ("ingly", ""), ("edly", ""), ("ables", ""), ("able", ""), ("ibly", ""), ("ions", ""),
    ("ally", "al"), ("ising", "iz"), ("izing", "iz"), ("ised", "iz"), ("ized", "iz"), ("ises", "iz"), ("izes", "iz"),
    ("ise", "iz"), ("ize", "iz"), ("ing", ""), ("ies", "y"), ("ied", "y"), ("ion", ""), ("ers", ""), ("ors", ""), ("ly", ""),
    ("ed", ""), ("es", ""), ("er", ""), ("or", ""), ("s", ""), ("e", ""),
)  # fmt: skip


def tokenize(text: str) -> list[str]:
    """Cut a text into pieces that a model might call tokens; joined again they are the text."""
    return _TOKEN.findall(text)


@lru_cache(maxsize=256)
def count_tokens(text: str) -> int:
    """Count tokens; by length alone where the text is so long that nobody would check."""
    if len(text) > 200_000:
        return len(text) // 4
    return len(_TOKEN.findall(text))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut the usual English endings off a lower-case word: `generators`, `generator` and `generate` become one."""
    if len(word) < 4 or not word.isascii() or "_" in word:
        return word
    for ending, instead in _SUFFIXES:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            root = word[: -len(ending)] + instead
            return root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "aeiouls" else root
    return word


def words(text: str) -> list[str]:
    """The words of a text in lower case; compounds (`f-string`) follow once more as wholes."""
    lowered = text.lower()
    found: list[str] = _WORD.findall(lowered)
    return found + _COMPOUND.findall(lowered) if "-" in lowered else found


def stems(text: str) -> list[str]:
    """The stems of the words that carry meaning.

    A small word that names a thing (`with statement`, `is operator`) counts together with the noun; names with underscores
    count whole and in parts.
    """
    found = []
    before = ""
    for word in words(text):
        if word not in STOPWORDS:
            found.append(stem(word))
            if before in _NAMING and word in _NAMED:
                found.append(f"{before} {stem(word)}")
            if "_" in word.strip("_"):
                found += [stem(part) for part in word.split("_") if part and part not in STOPWORDS]
        before = word
    return found


def rarity(documents: Sequence[Iterable[str]]) -> dict[str, float]:
    """Weigh each stem by how few of the documents hold it."""
    seen = Counter(found for document in documents for found in set(document))
    size = len(documents)
    return {found: math.log(1 + (size - count + 0.5) / (count + 0.5)) for found, count in seen.items()}


def bm25(query: Sequence[str], documents: Sequence[Sequence[str]]) -> list[float]:
    """Score each document (a list of stems) for the stems of a query, after Robertson's BM25."""
    weight = rarity(documents)
    mean = sum(map(len, documents)) / max(len(documents), 1) or 1.0
    wanted = set(query)
    scores = []
    for document in documents:
        counts = Counter(found for found in document if found in wanted)
        damping = 1.2 * (0.25 + 0.75 * len(document) / mean)
        scores.append(sum(weight[found] * count * 2.2 / (count + damping) for found, count in counts.items()))
    return scores


def coverage(query: Sequence[str], document: Iterable[str]) -> float:
    """The part of the query's distinct stems that the document holds, between 0 and 1."""
    wanted = set(query)
    return len(wanted & set(document)) / len(wanted) if wanted else 0.0


_INSTRUCTION: Final = re.compile(
    r"\s*(?:Instruct: .{0,400}?\nQuery: ?|Represent this sentence for searching relevant passages: ?|(?:query|passage): )",
    re.DOTALL,
)


_READ: Final = 40_000
"""Characters of a text that reach its vector."""


def vector(text: str, dimensions: int) -> list[float]:
    """Embed a text: hashed words, stems and character trigrams, damped counts, unit length.

    An instruction before a query (as E5 and BGE want) only turns the vector a little, as it would a trained model's.
    """
    sums = [0.0] * dimensions
    if instruction := _INSTRUCTION.match(text):
        text = text[instruction.end() :]
        sums[crc32(b"instruction") % dimensions] += 0.3
    found = words(text[:_READ])
    for word, count in Counter(found).items():
        damped = 1.0 if count == 1 else 1.0 + math.log(count)
        for position, value in features(word, dimensions):
            sums[position] += value * damped
    for before, word in set(pairwise(found)):
        if word not in STOPWORDS:
            hashed = crc32(f"{before} {word}".encode("utf-8", "replace"), 4)
            sums[hashed % dimensions] += 0.5 if hashed & 0x8000_0000 else -0.5
    length = math.hypot(*sums)
    if not length:
        sums[crc32(text.encode("utf-8", "replace")) % dimensions] = length = 1.0
    scale = 1.0 / length
    return [value * scale for value in sums]


@lru_cache(maxsize=200_000)
def features(word: str, dimensions: int) -> tuple[tuple[int, float], ...]:
    """Where a word falls in a vector: itself and its stem with full weight, its trigrams with a small one."""
    weight = importance(word)
    whole = word.encode("utf-8", "replace")
    # The start values keep the three kinds apart: a word is not its own stem, nor a trigram.
    placed = [
        _placed(crc32(whole, 1), 0.5 * weight, dimensions),
        _placed(crc32(stem(word).encode("utf-8", "replace"), 2), weight, dimensions),
    ]
    if len(word) > 3:
        padded = b"^" + whole[:24] + b"$"
        share = 0.45 * weight / math.sqrt(len(padded) - 2)
        placed += [_placed(crc32(padded[at : at + 3], 3), share, dimensions) for at in range(len(padded) - 2)]
    return tuple(placed)


def _placed(hashed: int, value: float, dimensions: int) -> tuple[int, float]:
    return hashed % dimensions, value if hashed & 0x8000_0000 else -value


def importance(word: str) -> float:
    """A guess at how much a word tells, with no corpus to count in: function words little, long and odd words much."""
    if word in STOPWORDS:
        return 0.06
    if "_" in word or not word.isascii():
        return 1.6
    if word.isdigit():
        return 0.6
    return min(1.5, 0.45 + 0.12 * len(word))
