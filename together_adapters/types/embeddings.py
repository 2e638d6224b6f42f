"""Embeddings: lists of floats, or base64 of little-endian float32 when that was asked for; either reads the same."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from together_adapters.types.answer import Answer, Usage

if TYPE_CHECKING:
    import numpy


def _floats(encoded: str) -> list[float]:
    values = array("f", b64decode(encoded, validate=True))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


if TYPE_CHECKING:
    Vector = list[float]
else:
    # Left to right: a list is taken as it is parsed, with no second try.
    Vector = Annotated[list[float] | Annotated[str, AfterValidator(_floats)], Field(union_mode="left_to_right")]


class Embedding(Answer):
    """One text's embedding; `index` is the text's position in the request."""

    object: str | None = None
    index: int | None = None
    embedding: Vector


class EmbeddingResponse(Answer):
    """Embeddings of all inputs, in the order of the inputs.

    `usage` is the sum over the requests that were needed, or None where the model reports none.
    """

    object: str | None = None
    id: str | None = None
    model: str | None = None
    data: list[Embedding] = []
    usage: Usage | None = None

    def to_numpy(self) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
        """Return the embeddings as a float32 array of shape `(n, dimensions)`, ordered by `index`.

        Raises:
            ImportError: numpy is not installed (`pip install "together-adapters[numpy]"`).
        """
        try:
            import numpy
        except ImportError:
            raise ImportError('to_numpy() needs numpy: pip install "together-adapters[numpy]"') from None
        ordered = sorted(self.data, key=lambda item: item.index or 0)
        if not ordered:
            return numpy.empty((0, 0), dtype=numpy.float32)
        return numpy.array([item.embedding for item in ordered], dtype=numpy.float32)
