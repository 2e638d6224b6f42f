"""Embeddings without a model: hashed words, so that texts are close when they share words, related words or character trigrams."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

from together_adapters.emulator.text.features import stems, words
from together_adapters.emulator.text.similarity import related_groups, specificity

_INSTRUCTION: Final = re.compile(
    r"\s*(?:Instruct: .{0,400}?\nQuery: ?|Represent this sentence for searching relevant passages: ?|(?:query|passage): )",
    re.DOTALL,
)
_MAX_EMBEDDING_CHARS: Final = 40_000
_MAX_TITLE_CHARS: Final = 120


def vector(text: str, dimensions: int) -> list[float]:
    """Embeds a text: hashed stems, their groups of related words, pairs and character trigrams with dampened counts, at unit length.

    A title, a short first paragraph, counts twice. An instruction before a query (as E5 and BGE require) changes the vector a little,
    as it would a trained model's.
    """
    vector = [0.0] * dimensions
    if instruction := _INSTRUCTION.match(text):
        text = text[instruction.end() :]
        vector[crc32(b"instruction") % dimensions] += 0.1
    text = text[:_MAX_EMBEDDING_CHARS]
    terms = stems(text) or words(text)
    title, _, body = text.partition("\n\n")
    counts = Counter(terms)
    counts.update(stems(title) if body and len(title) <= _MAX_TITLE_CHARS else ())
    for term, count in counts.items():
        factor = 1.0 if count == 1 else 1.0 + math.log(count)
        for position, value in _features(term, dimensions):
            vector[position] += value * factor
    for pair in set(pairwise(terms)):
        position, value = _hash_feature(" ".join(pair), 4, 0.2, dimensions)
        vector[position] += value
    length = math.hypot(*vector)
    if not length:
        vector[crc32(text.encode("utf-8", "replace")) % dimensions] = length = 1.0
    scale = 1.0 / length
    return [value * scale for value in vector]


@lru_cache(maxsize=200_000)
def _features(term: str, dimensions: int) -> tuple[tuple[int, float], ...]:
    """The positions and values of a stem in a vector: itself and its groups with full weight, its trigrams with a small one."""
    weight = specificity(term)
    # Different hash seeds keep the three kinds apart: a stem is not its own group, nor a trigram.
    features = [_hash_feature(term, 1, weight, dimensions)]
    features += [_hash_feature(" ".join(group), 2, 0.8 * weight, dimensions) for group in related_groups(term)]
    if len(term) > 3:
        characters = f"^{term[:24]}"
        share = 0.3 * weight / math.sqrt(len(characters) - 2)
        features += [_hash_feature(characters[i : i + 3], 3, share, dimensions) for i in range(len(characters) - 2)]
    return tuple(features)


def _hash_feature(feature: str, seed: int, value: float, dimensions: int) -> tuple[int, float]:
    hash_value = crc32(feature.encode("utf-8", "replace"), seed)
    return hash_value % dimensions, value if hash_value & 0x8000_0000 else -value
