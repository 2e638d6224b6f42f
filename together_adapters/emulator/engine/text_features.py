"""Features of texts by which they are compared: tokens, words, stems, BM25 scores and hashed embeddings.

Nothing is trained: texts are similar when they share words, stems or character trigrams, and rare words weigh more.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from zlib import crc32

WORDS: Final = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
_TOKEN: Final = re.compile(r"\s?[^\W_]{1,8}|\s?_{1,8}|\s?[^\w\s]{1,2}|\s+")
_WORD: Final = re.compile(r"\w+")
_COMPOUND: Final = re.compile(r"\w+(?:-\w+)+")
_KEYWORDS: Final = frozenset(WORDS["keywords"].split())
"""Stop words that name a thing together with a noun: `with statement`, `is operator`."""
_KEYWORD_NOUNS: Final = frozenset(form for noun in WORDS["keyword_nouns"].split() for form in (noun, noun + "s"))
STOPWORDS: Final = frozenset(WORDS["stopwords"].split())
_SUFFIXES: Final[tuple[tuple[str, str], ...]] = tuple(WORDS["suffixes"].items())
_INSTRUCTION: Final = re.compile(
    r"\s*(?:Instruct: .{0,400}?\nQuery: ?|Represent this sentence for searching relevant passages: ?|(?:query|passage): )",
    re.DOTALL,
)
_MAX_EMBEDDING_CHARS: Final = 40_000
_MAX_CACHED_CHARS: Final = 8_000
P = ParamSpec("P")
R = TypeVar("R")


def cache_short_texts(maxsize: int) -> Callable[[Callable[Concatenate[str, P], R]], Callable[Concatenate[str, P], R]]:
    """`lru_cache` of a function of a text: long texts are not kept, so that memory stays bounded."""

    def decorate(function: Callable[Concatenate[str, P], R]) -> Callable[Concatenate[str, P], R]:
        cached: Any = lru_cache(maxsize)(function)

        def call(text: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
            chosen: Callable[Concatenate[str, P], R] = cached if len(text) <= _MAX_CACHED_CHARS else function
            return chosen(text, *args, **kwargs)

        return call

    return decorate


def tokenize(text: str) -> list[str]:
    """Splits a text into pieces of the length of a model's tokens; joined again they are the text."""
    return _TOKEN.findall(text)


@cache_short_texts(256)
def count_tokens(text: str) -> int:
    """Counts tokens; estimates them by length for very long texts."""
    return len(_TOKEN.findall(text)) if len(text) <= 200_000 else len(text) // 4


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Removes the usual English endings of a lower-case word: `generators`, `generator` and `generate` become one."""
    if len(word) < 4 or not word.isascii() or "_" in word:
        return word
    for ending, replacement in _SUFFIXES:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            root = word[: -len(ending)] + replacement
            return root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "aeiouls" else root
    return word


def words(text: str) -> list[str]:
    """The words of a text in lower case; compounds (`f-string`) follow once more as wholes."""
    lowercase = text.lower()
    simple: list[str] = _WORD.findall(lowercase)
    return simple + _COMPOUND.findall(lowercase) if "-" in lowercase else simple


def stems(text: str) -> list[str]:
    """The stems of a text without stop words; names with underscores count as a whole and in parts."""
    result = []
    previous = ""
    for word in words(text):
        if word not in STOPWORDS:
            result.append(stem(word))
            if previous in _KEYWORDS and word in _KEYWORD_NOUNS:
                result.append(f"{previous} {stem(word)}")
            if "_" in word.strip("_"):
                result += [stem(part) for part in word.split("_") if part and part not in STOPWORDS]
        previous = word
    return result


def rarity(documents: Sequence[Iterable[str]]) -> dict[str, float]:
    """The inverse document frequency of each stem."""
    counts = Counter(term for document in documents for term in set(document))
    size = len(documents)
    return {term: math.log(1 + (size - count + 0.5) / (count + 0.5)) for term, count in counts.items()}


def bm25(query: Sequence[str], documents: Sequence[Sequence[str]]) -> list[float]:
    """The BM25 score of each document (a list of stems) for the stems of a query."""
    weight = rarity(documents)
    mean = sum(map(len, documents)) / max(len(documents), 1) or 1.0
    terms = set(query)
    scores = []
    for document in documents:
        counts = Counter(term for term in document if term in terms)
        damping = 1.2 * (0.25 + 0.75 * len(document) / mean)
        scores.append(sum(weight[term] * count * 2.2 / (count + damping) for term, count in counts.items()))
    return scores


def coverage(query: Sequence[str], document: Iterable[str]) -> float:
    """The share of the query's distinct stems that the document contains, between 0 and 1."""
    terms = set(query)
    return len(terms & set(document)) / len(terms) if terms else 0.0


def vector(text: str, dimensions: int) -> list[float]:
    """Embeds a text: hashed words, stems, word pairs and character trigrams with dampened counts, at unit length.

    An instruction before a query (as E5 and BGE require) changes the vector a little, as it would a trained model's.
    """
    vector = [0.0] * dimensions
    if instruction := _INSTRUCTION.match(text):
        text = text[instruction.end() :]
        vector[crc32(b"instruction") % dimensions] += 0.3
    text_words = words(text[:_MAX_EMBEDDING_CHARS])
    for word, count in Counter(text_words).items():
        factor = 1.0 if count == 1 else 1.0 + math.log(count)
        for position, value in _word_features(word, dimensions):
            vector[position] += value * factor
    for previous, word in set(pairwise(text_words)):
        if word not in STOPWORDS:
            hash_value = crc32(f"{previous} {word}".encode("utf-8", "replace"), 4)
            vector[hash_value % dimensions] += 0.5 if hash_value & 0x8000_0000 else -0.5
    length = math.hypot(*vector)
    if not length:
        vector[crc32(text.encode("utf-8", "replace")) % dimensions] = length = 1.0
    scale = 1.0 / length
    return [value * scale for value in vector]


@lru_cache(maxsize=200_000)
def _word_features(word: str, dimensions: int) -> tuple[tuple[int, float], ...]:
    """The positions and values of a word in a vector: itself and its stem with full weight, its trigrams with a small one."""
    weight = _word_weight(word)
    encoded = word.encode("utf-8", "replace")
    # Different hash seeds keep the three kinds apart: a word is not its own stem, nor a trigram.
    features = [
        _hash_feature(encoded, 1, 0.5 * weight, dimensions),
        _hash_feature(stem(word).encode("utf-8", "replace"), 2, weight, dimensions),
    ]
    if len(word) > 3:
        characters = b"^" + encoded[:24] + b"$"
        share = 0.45 * weight / math.sqrt(len(characters) - 2)
        features += [_hash_feature(characters[i : i + 3], 3, share, dimensions) for i in range(len(characters) - 2)]
    return tuple(features)


def _hash_feature(feature: bytes, seed: int, value: float, dimensions: int) -> tuple[int, float]:
    hash_value = crc32(feature, seed)
    return hash_value % dimensions, value if hash_value & 0x8000_0000 else -value


def _word_weight(word: str) -> float:
    """Estimates how specific a word is without a corpus: stop words little, long words and identifiers most."""
    if word in STOPWORDS:
        return 0.06
    if "_" in word or not word.isascii():
        return 1.6
    if word.isdigit():
        return 0.6
    return min(1.5, 0.45 + 0.12 * len(word))
