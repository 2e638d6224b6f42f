"""Embeddings: lists of floats, or base64 of little-endian float32; the result is the same."""

from __future__ import annotations

import struct
import sys
from array import array
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationInfo
from pydantic_core import to_json

from together_adapters.types.response import ResponseModel, Usage

if TYPE_CHECKING:
    import numpy


def parse_vector(value: Any) -> list[float]:
    """Returns an embedding as floats, from a list of numbers or from base64 of little-endian float32."""
    if isinstance(value, str):
        values = array("f", b64decode(value, validate=True))
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()
    return _FLOATS.validate_python(value)


def parse_floats(content: bytes) -> dict[str, Any] | None:
    """Returns a response as orjson parses it if all numbers of its embeddings are finite floats, as they nearly always are; else None.

    It refuses NaN and what is infinite, but makes a float of an integer that is too large, so that other responses are not its own. It
    takes longer than pydantic where its copy of the content does not fit the caches.
    """
    if len(content) > _MAX_CACHED:
        return None
    try:
        from orjson import loads

        response = loads(content)
        return response if has_only_floats(content, response) else None
    except (ImportError, ValueError, LookupError, TypeError, AttributeError):
        return None


def has_only_floats(content: bytes, response: dict[str, Any]) -> bool:
    """Whether every number of the embeddings in a response was parsed as a float, so that pydantic need not check them.

    It is, if there are as many decimal points as numbers, without those of other fields. Pydantic takes longer to check every
    number than to parse it.
    """
    rows = response["data"]
    vectors = [row["embedding"] for row in rows]
    if not all(type(vector) is list and vector and type(vector[0]) is float for vector in vectors):
        return False
    others: dict[str, Any] = {name: value for name, value in response.items() if name != "data"}
    if not all(len(row) == 3 and row.get("object") == "embedding" and type(row.get("index")) is int for row in rows):
        others["data"] = [{name: value for name, value in row.items() if name != "embedding"} for row in rows]
    return _count_points(content) - _count_points(to_json(others)) == sum(map(len, vectors))


def _count_points(content: bytes) -> int:
    numpy = sys.modules.get("numpy")
    if numpy is None or len(content) < _MIN_ARRAY:
        return content.count(b".")
    data = numpy.frombuffer(content, "u1")  # 20 times as fast, in blocks that fit the cache
    return int(sum(numpy.count_nonzero(data[start : start + _BLOCK] == ord(".")) for start in range(0, len(data), _BLOCK)))


def _validate_vector(value: Any, info: ValidationInfo) -> list[float]:
    return value if info.context is PARSED else parse_vector(value)


PARSED: Final = {"vectors": "floats"}
"""Validation context for responses whose embeddings are lists of floats already."""
_MAX_CACHED: Final = 2 << 20
_MIN_ARRAY: Final = 10_000
_BLOCK: Final = 1 << 16
_FLOATS: Final = TypeAdapter(list[float], config=ConfigDict(defer_build=True))

if TYPE_CHECKING:
    Vector = list[float]
else:
    Vector = Annotated[list[float], PlainValidator(_validate_vector)]


class Embedding(ResponseModel):
    """The embedding of one text; `index` is the position of the text in the input."""

    object: str | None = None
    index: int | None = None
    embedding: Vector


class EmbeddingResponse(ResponseModel):
    """Embeddings of all inputs, in the order of the inputs.

    `usage` is the sum of all requests, or None where the model reports none.
    """

    object: str | None = None
    id: str | None = None
    model: str | None = None
    data: list[Embedding] = []
    usage: Usage | None = None

    def to_numpy(self) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
        """Returns the embeddings as a float32 array of shape `(n, dimensions)`, ordered by `index`.

        Raises:
            ImportError: numpy is not installed (`pip install "together-adapters[numpy]"`).
        """
        try:
            import numpy
        except ImportError:
            raise ImportError('to_numpy() needs numpy: pip install "together-adapters[numpy]"') from None
        vectors = [item.embedding for item in sorted(self.data, key=lambda item: item.index or 0)]
        table = numpy.empty((len(vectors), len(vectors[0]) if vectors else 0), dtype=numpy.float32)
        row = struct.Struct(f"={table.shape[1]}f")  # which refuses what is too large
        try:
            for start, vector in zip(range(0, table.nbytes, row.size or 1), vectors, strict=True):
                row.pack_into(table.data, start, *vector)  # twice as fast as numpy's own way
        except (struct.error, ValueError, OverflowError, TypeError):
            return numpy.array(vectors, dtype=numpy.float32)
        return table
