"""Inputs of a run: request bodies of any iterable or file, each as the line that is sent, with an id that is made of its content."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.resources.batch_files import MAX_BYTES
from together_adapters.resources.batches import Bodies
from together_adapters.transport.bodies import encode_json

try:
    import orjson
except ImportError:
    _dumps, _STRICT, _SORTED = None, 0, 0
else:
    _dumps = orjson.dumps
    # What orjson would write in another way than the other requests of a client is refused.
    _STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
    _SORTED = _STRICT | orjson.OPT_SORT_KEYS

Request = tuple[str, str, bytes]
"""The id, the model, and the line of a file that is uploaded."""
ID_BYTES: Final = 16
_LINE: Final = b'{"custom_id":"%b","body":%b}\n'
_BODY: Final = slice(len(_LINE % (b"0" * 2 * ID_BYTES, b"")) - 2, -2)  # of a line
_MAX_BODY: Final = MAX_BYTES - len(_LINE) - 2 * ID_BYTES
_SEQUENCES: Final = (list, tuple)
_LINE_KEYS: Final = frozenset({"custom_id", "body", "method", "url"})


def read_requests(bodies: Bodies, endpoint: str, model: str | None) -> Iterator[Request]:
    """Yields the requests of bodies, or of a JSON Lines file with one body, or one line of a batch's file, in each line.

    The keys of a body and of its messages are put in one order, so that equal requests have one id. What lies deeper is not: the order
    of the properties of a schema can change an answer.
    """
    if isinstance(bodies, str | os.PathLike):
        values, source = _read_file(Path(bodies)), f" of {bodies}"
    else:
        values, source = iter(bodies), ""
    for index, value in enumerate(values):
        try:
            if (content := _encode_usual(value)) is None:
                name, content = _encode(value, model)
            else:
                name = value["model"]
            if len(content) > _MAX_BODY:
                raise ValueError(f" has {len(content):,} bytes; a batch takes {MAX_BYTES:,} at most")
        except ValueError as error:
            raise DatasetError(f"request {index}{source}{error}. Nothing was sent") from None
        id = blake2b(content, digest_size=ID_BYTES).hexdigest()
        yield id, name, _LINE % (id.encode(), content)


def body_of(line: bytes) -> bytes:
    """Returns the body in a line."""
    return line[_BODY]


def _encode(body: Any, model: str | None) -> tuple[str, bytes]:
    """Returns the model and the JSON of a body: keys in order, without what is None or would stream."""
    if not isinstance(body, Mapping):
        raise ValueError(f": a request body is an object, not {type(body).__name__}")
    name = body.get("model") or model
    if not isinstance(name, str) or not name:
        raise ValueError(": the body names no model; add one, or pass model=")
    values = {key: value for key, value in body.items() if value is not None and key != "stream"} | {"model": name}
    messages = values.get("messages")
    if isinstance(messages, _SEQUENCES):
        values["messages"] = [_in_order(each) if isinstance(each, Mapping) else each for each in messages]
    try:
        return name, _to_json(_in_order(values))
    except ValueError as error:
        raise ValueError(f" cannot be written as JSON: {error}") from None


def _in_order(value: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value[name] for name in _order(tuple(value))}


@lru_cache(maxsize=1024)
def _order(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(keys, key=str))


def _encode_usual(body: Any) -> bytes | None:
    """Returns what `_encode` does, sooner, for a body as most are; else None. It needs orjson."""
    if _dumps is None or type(body) is not dict or type(name := body.get("model")) is not str or not name or "stream" in body:
        return None
    try:
        content: bytes = _dumps(body, None, _SORTED)
        has_other_objects = content.count(b"{") != 1 + len(body.get("messages", ()))  # their keys are in order now, too
    except TypeError:
        return None
    return None if has_other_objects or content.find(b"null") >= 0 else content


def _to_json(body: dict[str, Any]) -> bytes:
    try:
        content: bytes = b"null" if _dumps is None else _dumps(body, None, _STRICT)
    except TypeError:
        return encode_json(body)
    return encode_json(body) if content.find(b"null") >= 0 else content  # which may be a number that JSON does not have


def _read_file(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                value = from_json(line)
            except ValueError as error:
                raise DatasetError(f"line {number} of {path} is not JSON: {error}. Nothing was sent") from None
            is_line = isinstance(value, dict) and "body" in value and value.keys() <= _LINE_KEYS
            yield value["body"] if is_line else value
