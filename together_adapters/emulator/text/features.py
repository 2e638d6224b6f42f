"""Features of texts by which they are compared: tokens, words and stems."""

# ruff: noqa: RUF001  (typographic quotes are what these patterns look for)
from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import lru_cache
from keyword import kwlist
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

WORDS: Final = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
_TOKEN: Final = re.compile(r"\s?[^\W_]{1,8}|\s?_{1,8}|\s?[^\w\s]{1,2}|\s+")
_WORD: Final = re.compile(r"\w+")
_COMPOUND: Final = re.compile(r"\w+(?:-\w+)+")
_CODE: Final = re.compile(  # in backquotes, one word in other quotes, or a keyword before a word that says so
    r"`([^`\n]+)`|[\"'‘“]([a-z]{1,8})[\"'’”]|\b(" + "|".join(kwlist) + r") (?=(?:statement|keyword|operator|clause|loop)s?\b)"
)
_OPERATOR: Final = re.compile(
    r"(?<![^\s`'\"(‘“])[-+*/%&|^~<>=!@:]{1,3}(?![^\s`'\")?,.’”])|(?<=\w)(?:\*\*|//|[=!<>:+]=|<<|>>)(?=[\w-])|(?<= )\*\*?(?=\w)"
)
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


def separate_words(name: str) -> str:
    """The name of a tool with spaces where a word ends: `getStock` and `get-stock` are `get Stock` and `get stock`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[.-]", " ", name)


def stems(text: str) -> list[str]:
    """The stems of a text without stop words; names with underscores count as a whole and in parts; then what only code has."""
    result = []
    for word in words(text):
        if word not in STOPWORDS:
            parts = word.split("_") if "_" in word.strip("_") else ()
            result += [stem(word), *(stem(part) for part in parts if part and part not in STOPWORDS)]
    result += [word for word in _code_words(text) if word in STOPWORDS]
    return result + [sign for sign in _OPERATOR.findall(text) if sign not in ("-", ":")]


def code_stems(text: str) -> set[str]:
    """The stems of the names, keywords and operators in the code of a text."""
    return {stem(word) for word in _code_words(text)} | {term for term in stems(text) if not term[0].isalnum()}


def _code_words(text: str) -> list[str]:
    return [word for code in _CODE.findall(text) for word in words(" ".join(code))]


def one_line(text: str) -> str:
    """A text as one line of limited length."""
    return " ".join(text[:4_000].split())[:1_000]
