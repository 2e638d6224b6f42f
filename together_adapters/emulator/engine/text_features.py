"""Features of texts by which they are compared: tokens, words, stems and BM25 scores, by which rare words weigh more."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

WORDS: Final = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
_TOKEN: Final = re.compile(r"\s?[^\W_]{1,8}|\s?_{1,8}|\s?[^\w\s]{1,2}|\s+")
_WORD: Final = re.compile(r"\w+")
_COMPOUND: Final = re.compile(r"\w+(?:-\w+)+")
STOPWORDS: Final = frozenset(WORDS["stopwords"].split())
_SUFFIXES: Final[tuple[tuple[str, str], ...]] = tuple(WORDS["suffixes"].items())
_MAX_CACHED_CHARS: Final = 8_000
R = TypeVar("R")


def cache_short_texts(maxsize: int) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """`lru_cache` of a function of a text: long texts are not kept, so that memory stays bounded."""

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        cached = lru_cache(maxsize)(function)
        return lambda text, *args: cached(text, *args) if len(text) <= _MAX_CACHED_CHARS else function(text, *args)

    return decorate


def tokenize(text: str) -> list[str]:
    """Splits a text into pieces of the length of a model's tokens; joined again they are the text."""
    return _TOKEN.findall(text)


def token_id(token: str) -> int:
    """A stable number for a token."""
    return crc32(token.encode("utf-8", "replace")) % 128_000


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
    for word in words(text):
        if word not in STOPWORDS:
            parts = word.split("_") if "_" in word.strip("_") else ()
            result += [stem(word), *(stem(part) for part in parts if part and part not in STOPWORDS)]
    return result


def one_line(text: str) -> str:
    """A text as one line of limited length."""
    return " ".join(text[:4_000].split())[:1_000]


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
