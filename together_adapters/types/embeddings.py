"""Embeddings: lists of floats, or base64 of little-endian float32 when that was asked for; either reads the same."""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationInfo
from pydantic_core import to_json

from together_adapters.types.response import ResponseModel, Usage

if TYPE_CHECKING:
    import numpy


def floats(given: Any) -> list[float]:
    """Return an embedding as floats, however it was sent.

    Raises:
        ValueError: It is neither a list of numbers nor base64 of little-endian float32.
    """
    if isinstance(given, str):
        values = array("f", b64decode(given, validate=True))
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()
    return _FLOATS.validate_python(given)


def all_floats(content: bytes, answered: dict[str, Any]) -> bool:
    """Whether every number of the vectors in an answer was written, and so parsed, as a float.

    It is when there are as many decimal points as numbers, not counting those of its other texts: pydantic's way through every
    number costs more than parsing them.
    """
    vectors = [row["embedding"] for row in answered["data"]]
    if not all(type(vector) is list and vector and type(vector[0]) is float for vector in vectors):
        return False
    others = to_json({name: value for name, value in answered.items() if name != "data"})
    return content.count(b".") - others.count(b".") == sum(map(len, vectors))


def _vector(given: Any, info: ValidationInfo) -> list[float]:
    return given if info.context is KNOWN else floats(given)


KNOWN: Final = {"vectors": "floats"}
"""Context of a validation whose vectors are known to be lists of floats."""
_FLOATS: Final = TypeAdapter(list[float], config=ConfigDict(defer_build=True))

if TYPE_CHECKING:
    Vector = list[float]
else:
    Vector = Annotated[list[float], PlainValidator(_vector)]


class Embedding(ResponseModel):
    """One text's embedding; `index` is the text's position in the request."""

    object: str | None = None
    index: int | None = None
    embedding: Vector


class EmbeddingResponse(ResponseModel):
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
