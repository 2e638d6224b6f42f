"""Inputs of a run: request bodies of any iterable or file, each with an id that is made of its content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.resources.batch_files import MAX_BYTES
from together_adapters.transport.bodies import encode_json

Bodies = Iterable[Mapping[str, Any]] | str | os.PathLike[str]
LINE_OVERHEAD = len(b'{"custom_id":"","body":}\n') + 64
"""Bytes of a line of a batch's file, besides the body."""
_LINE_KEYS = frozenset({"custom_id", "body", "method", "url"})


class Request(NamedTuple):
    """One input."""

    id: bytes  # SHA-256 of endpoint and body
    model: str
    body: bytes  # JSON


def read_requests(bodies: Bodies, endpoint: str, model: str | None) -> Iterator[Request]:
    """Yields the requests of bodies, or of a JSON Lines file with one body, or one line of a batch's file, in each line.

    The keys of a body and of its messages are sorted, so that equal requests have one id. What lies deeper is not: the order of the
    properties of a schema can change an answer.
    """
    if isinstance(bodies, str | os.PathLike):
        values, source = _read_file(Path(bodies)), f" of {bodies}"
    else:
        values, source = iter(bodies), ""
    prefix = endpoint.encode() + b"\n"
    for index, value in enumerate(values):
        where = f"request {index}{source}"
        if not isinstance(value, Mapping):
            raise DatasetError(f"{where}: a request body is an object, not {type(value).__name__}. Nothing was sent")
        name = value.get("model") or model
        if not isinstance(name, str) or not name:
            raise DatasetError(f"{where}: the body names no model; add one, or pass model=. Nothing was sent")
        try:
            body = encode_json(_sorted(value, name))
        except ValueError as error:
            raise DatasetError(f"{where} cannot be written as JSON: {error}. Nothing was sent") from None
        if len(body) + LINE_OVERHEAD > MAX_BYTES:
            raise DatasetError(f"{where} has {len(body):,} bytes; a batch takes {MAX_BYTES:,} at most. Nothing was sent")
        yield Request(sha256(prefix + body).digest(), name, body)


def _sorted(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Returns a body with a model, without what is None or would stream, its keys and those of its messages in order."""
    result = {name: value for name, value in sorted(body.items()) if value is not None and name != "stream"}
    if result.get("model") != model:
        result = dict(sorted({**result, "model": model}.items()))
    messages = result.get("messages")
    if isinstance(messages, list | tuple):
        result["messages"] = [dict(sorted(each.items())) if isinstance(each, Mapping) else each for each in messages]
    return result


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
