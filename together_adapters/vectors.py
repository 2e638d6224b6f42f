"""The numbers of embeddings, from JSON or base64 to floats; the result is the same whichever package parses them. Pure.

Objects of Python for each number cost more than all else in a response. So large ones are parsed by simdjson, where it is installed, into
arrays, of which lists are made when somebody asks for them. What it takes is what JSON allows; all else is left to pydantic, which
says what is wrong.
"""

from __future__ import annotations

import base64
import struct
import sys
from array import array
from functools import cache
from importlib import import_module
from itertools import repeat
from math import isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import to_json

if TYPE_CHECKING:
    import numpy

Vector: TypeAlias = "list[float] | array[float]"
"""A list; or an array of 64-bit floats, from JSON, or of 32-bit floats, from base64."""
_MIN_SIZE: Final = 10_000  # bytes of a response from which arrays pay
_MAX_CACHED: Final = 2 << 20
_BLOCK: Final = 1 << 16
_FLOATS: Final = TypeAdapter(list[float], config=ConfigDict(defer_build=True))
_MAX_IDLE: Final = 4 << 20
_idle_parsers: Final[list[Any]] = []
"""A parser that keeps its memory, some three times the largest response, because new memory costs as much as parsing."""
_embedding: Final = itemgetter("embedding")


def parse_vector(value: Any) -> Vector:
    """Returns an embedding as floats, from numbers or from base64 of little-endian float32."""
    if not isinstance(value, str):
        return _FLOATS.validate_python(value)
    pybase64 = None if len(value) % 4 else _package("pybase64")  # which takes superfluous padding
    values = array("f", (pybase64 or base64).b64decode(value, validate=True))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def list_of(vector: Vector) -> list[float]:
    """Returns an embedding as a list."""
    return vector if isinstance(vector, list) else vector.tolist()


def float32_of(vector: Vector) -> Any:
    """Returns an embedding for those who take 32-bit floats: an array of numpy, if it is imported and no list was made, else a list."""
    numpy = sys.modules.get("numpy")
    if numpy is None or isinstance(vector, list):
        return list_of(vector)
    with numpy.errstate(over="ignore"):  # too large is infinite, as `array` has it
        return numpy.frombuffer(vector, vector.typecode).astype("f4")


def are_finite(vectors: list[Vector]) -> bool:
    """Whether embeddings have no NaN and no infinity. Arrays of 64 bits have none: simdjson parsed them."""
    return all(map(_is_finite, [vector for vector in vectors if isinstance(vector, list) or vector.typecode == "f"]))


def _is_finite(vector: Vector) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or isinstance(vector, list):
        return isfinite(sum(vector)) or all(map(isfinite, vector))  # the sum is faster
    return bool(numpy.isfinite(numpy.frombuffer(vector, "f4")).all())


def table_of(vectors: list[Vector]) -> numpy.ndarray[Any, numpy.dtype[numpy.float32]]:
    """Returns embeddings of one length as float32, rounded as numpy does it."""
    import numpy

    table = numpy.empty((len(vectors), len(vectors[0]) if vectors else 0), dtype=numpy.float32)
    packed = struct.Struct(f"={table.shape[1]}f")  # which refuses what is too large, and other lengths
    try:
        for index, vector in enumerate(vectors):
            if isinstance(vector, list):
                packed.pack_into(table.data, index * packed.size, *vector)  # twice as fast as numpy's own way
            elif len(vector) == table.shape[1]:
                table[index] = numpy.frombuffer(vector, vector.typecode)
            else:
                raise ValueError("the lengths are different")
    except (struct.error, ValueError, OverflowError, TypeError):
        return numpy.array(list(map(list_of, vectors)), dtype=numpy.float32)
    return table


def parse_floats(content: bytes) -> dict[str, Any] | None:
    """Returns a response whose embeddings were parsed as floats, as they nearly always are; None for others, and without fast packages."""
    return _parse_arrays(content) or _parse_lists(content)


def has_only_floats(content: bytes, response: dict[str, Any]) -> bool:
    """Whether every number of the embeddings in a response was parsed as a float, so that pydantic need not check them.

    It is, if there are as many decimal points as numbers, without those of other fields. Pydantic takes longer to check every
    number than to parse it.
    """
    rows = response["data"]
    vectors = list(map(_embedding, rows))
    if set(map(type, vectors)) != {list} or not all(vectors) or set(map(type, map(itemgetter(0), vectors))) != {float}:
        return False
    others: dict[str, Any] = {name: value for name, value in response.items() if name != "data"}
    if set(map(len, rows)) != {3} or not all(type(row.get("index")) is int and row.get("object") == "embedding" for row in rows):
        others["data"] = [{name: value for name, value in row.items() if name != "embedding"} for row in rows]
    return _count_points(content) - _count_points(to_json(others)) == sum(map(len, vectors))


def _parse_arrays(content: bytes) -> dict[str, Any] | None:
    """Returns a response with arrays, as simdjson parses it. It refuses what is not finite; a response of another form is None."""
    simdjson = _package("simdjson") if len(content) >= _MIN_SIZE and content.startswith(b"{") else None
    if simdjson is None:
        return None
    try:
        parser = _idle_parsers.pop()
    except IndexError:
        parser = simdjson.Parser()
    try:
        response = _read_document(parser.parse(content), content)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError):
        return None
    if len(content) <= _MAX_IDLE and not _idle_parsers:
        _idle_parsers.append(parser)
    return response


def _read_document(document: Any, content: bytes) -> dict[str, Any] | None:
    names = [*document.keys()]
    response = {name: _value(document[name]) for name in names if name != "data"}
    response["data"] = rows = list(map(_row, document["data"]))
    return response if len(response) == len(names) and _has_only_rows(content, rows) else None


def _row(item: Any) -> dict[str, Any]:
    numbers, values = item["embedding"], array("d")
    values.frombytes(numbers.as_buffer(of_type="d"))
    if len(values) != len(numbers):
        raise ValueError("a list in place of a number")
    try:
        kind, index = item["object"], item["index"]
        if len(item) == 3 and type(kind) is str and type(index) is int:
            return {"object": kind, "index": index, "embedding": values}
    except KeyError:
        pass
    row = {name: _value(item[name]) if name != "embedding" else values for name in item.keys()}  # noqa: SIM118 - an object of simdjson
    if len(row) != len(item):
        raise ValueError("a name is there twice")
    return row


def _value(value: Any) -> Any:
    """Returns a value of simdjson as Python has it."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    return value.as_list() if hasattr(value, "as_list") else value


def _has_only_rows(content: bytes, rows: list[Any]) -> bool:
    """Whether there is no list inside of an embedding, which simdjson flattens: there are no more brackets than those of embeddings."""
    position = -1
    for _ in repeat(None, len(rows) + 1):
        position = content.find(b"[", position + 1)
    return position >= 0 and content.find(b"[", position + 1) < 0


def _parse_lists(content: bytes) -> dict[str, Any] | None:
    """Returns a response with lists, as orjson parses it, or with the arrays of base64.

    It refuses NaN and what is infinite, but makes a float of an integer that is too large, so that other responses are not its own. It
    takes longer than pydantic where its copy of the content does not fit the caches.
    """
    orjson = _package("orjson") if len(content) <= _MAX_CACHED else None
    if orjson is None:
        return None
    try:
        response: dict[str, Any] = orjson.loads(content)
        if set(map(type, map(_embedding, response["data"]))) == {str}:
            for row in response["data"]:
                row["embedding"] = parse_vector(row["embedding"])
            return response
        return response if has_only_floats(content, response) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


@cache
def _package(name: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, RuntimeError):  # which simdjson raises where its binary part is missing
        return None


def _count_points(content: bytes) -> int:
    numpy = sys.modules.get("numpy")
    if numpy is None or len(content) < _MIN_SIZE:
        return content.count(b".")
    data = numpy.frombuffer(content, "u1")  # 20 times as fast, in blocks that fit the cache
    return int(sum(numpy.count_nonzero(data[start : start + _BLOCK] == ord(".")) for start in range(0, len(data), _BLOCK)))
