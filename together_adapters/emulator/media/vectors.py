"""Embeddings without a model: hashed words, so that texts are close when they share words, stems or character trigrams."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

from together_adapters.emulator.engine.text_features import STOPWORDS, stem, words

_INSTRUCTION: Final = re.compile(
    r"\s*(?:Instruct: .{0,400}?\nQuery: ?|Represent this sentence for searching relevant passages: ?|(?:query|passage): )",
    re.DOTALL,
)
_MAX_EMBEDDING_CHARS: Final = 40_000


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
