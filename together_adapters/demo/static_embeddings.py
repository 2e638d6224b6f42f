"""Static embeddings: a vector for each token, averaged, so that a text is found by other words, too, and no model has to run.

The package wordllama holds them, with the tokens they belong to: they are read from its files, because its own loader asks a network.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

PACKAGE: Final = "wordllama"
_VECTORS: Final = "weights/l2_supercat_256.safetensors"
_TOKENS: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_SENTENCE: Final = re.compile(r"(?<=[.:])\s+|\n+")
_MIN_SENTENCE: Final = 15  # characters
_COMMON: Final = 0.01  # share of all tokens from which a token counts half (smooth inverse frequency: Arora and others, 2017)
_WHOLE_WEIGHT: Final = 0.5


class _Rows(NamedTuple):
    """The vectors of sentences, with the positions of their texts, and those of texts."""

    owners: np.ndarray
    sentences: np.ndarray
    texts: np.ndarray


class StaticEmbeddings:
    """Finds the texts that mean nearly the same as a query: by their best sentence, and as a whole.

    The first paragraph of a text is its title, which belongs to each of its sentences.

    Raises:
        ImportError: wordllama is not installed (`pip install "together-adapters[demo]"`).
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = _folder()
        self._tokenizer = Tokenizer.from_file(str(folder / _TOKENS))
        (self._vectors,) = load_file(folder / _VECTORS).values()
        counts = Counter(token for tokens in self._ids(texts) for token in tokens)
        shares = np.array([counts[token] for token in range(len(self._vectors))], np.float32) / max(counts.total(), 1)
        self._weights = _COMMON / (_COMMON + shares)
        self._rows = self._embed(texts)

    def search(self, query: str, k: int) -> list[int]:
        """Returns the positions of the `k` texts nearest to a query, the nearest first."""
        return [int(position) for position in np.argsort(-self._scores(query, self._rows), kind="stable")[:k]]

    def similarity(self, query: str, texts: Sequence[str]) -> list[float]:
        """Returns how near other texts are to a query, each between -1.5 and 1.5."""
        return [float(score) for score in self._scores(query, self._embed(texts))]

    def _scores(self, query: str, rows: _Rows) -> np.ndarray:
        (vector,) = _unit(self._sums(self._ids([query])))
        scores = np.full(len(rows.texts), -1.0, np.float32)
        np.maximum.at(scores, rows.owners, rows.sentences @ vector)
        total: np.ndarray = scores + _WHOLE_WEIGHT * (rows.texts @ vector)
        return total

    def _embed(self, texts: Sequence[str]) -> _Rows:
        sentences = [(position, sentence) for position, text in enumerate(texts) for sentence in _sentences(text)]
        owners = np.array([position for position, _ in sentences])
        rows = self._sums(self._ids([sentence for _, sentence in sentences]))
        sums = np.zeros((len(texts), rows.shape[1]), np.float32)
        np.add.at(sums, owners, rows)
        return _Rows(owners, _unit(rows), _unit(sums))

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def _sums(self, ids: Sequence[list[int]]) -> np.ndarray:
        """Returns the weighted sums of the vectors of tokens."""
        rows = np.zeros((len(ids), self._vectors.shape[1]), np.float32)
        for row, tokens in zip(rows, ids, strict=True):
            if tokens:
                row[:] = self._weights[tokens] @ self._vectors[tokens].astype(np.float32)
        return rows


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f'{PACKAGE} is not installed: pip install "together-adapters[demo]"')
    return Path(spec.origin).parent


def _sentences(text: str) -> list[str]:
    title, _, body = text.partition("\n\n")
    heading = title.rpartition(":")[2].strip()
    sentences = [sentence for sentence in _SENTENCE.split(body) if len(sentence) >= _MIN_SENTENCE]
    return [title, *(f"{heading}: {sentence}" for sentence in sentences)]
