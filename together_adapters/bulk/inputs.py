"""Inputs of a run: request bodies of any iterable or file, each as the JSON that is sent, with an id that is made of its content."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from io import BufferedReader
from itertools import chain, islice, repeat
from math import isfinite
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic_core import from_json

from together_adapters.body_parameters import ParameterCheck
from together_adapters.bulk.answer_types import AnswerTypes
from together_adapters.errors import DatasetError
from together_adapters.resources.batch_files import CONTENT, MAX_BYTES, check_content
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

ID_BYTES: Final = 16
_LINE: Final = (b'{"custom_id":"', b'","body":', b"}\n")  # around the id and the body
_BODY: Final = slice(len(_LINE[0]) + 2 * ID_BYTES + len(_LINE[1]), -len(_LINE[2]))  # of a line
_LINE_SIZE: Final = sum(map(len, _LINE)) + 2 * ID_BYTES  # without the body
_MAX_BODY: Final = MAX_BYTES - _LINE_SIZE
_BLOCK: Final = 200  # requests that are read at once
_BLOCK_BYTES: Final = 1 << 22  # of long bodies it is fewer
_SEQUENCES: Final = (list, tuple)
_SCALARS: Final = frozenset({str, int, bool, float})
Name = Callable[[int], str]
"""Names a request by its index: `request 0`, or the line of a file."""
_EXAMPLE: Final = 'Each line is a request, such as {"model": ..., "messages": [...]}'
_CHAT: Final = '[{"model": ..., "messages": [{"role": "user", "content": ...}]}])'
_LINE_KEYS: Final = frozenset({"custom_id", "body", "method", "url"})


class Requests(NamedTuple):
    """Some requests.

    Attributes:
        ids: Made of their bodies.
        models: Their models.
        bodies: Their JSON.
    """

    ids: Sequence[str]
    models: Sequence[str]
    bodies: Sequence[bytes]

    @property
    def size(self) -> int:
        """The bytes of their lines."""
        return sum(map(len, self.bodies)) + _LINE_SIZE * len(self.bodies)

    def lines(self) -> bytes:
        """Returns their lines in a file that is uploaded."""
        parts = [*_LINE[:1], b"", *_LINE[1:2], b"", *_LINE[2:]] * len(self.ids)
        parts[1::5], parts[3::5] = map(str.encode, self.ids), self.bodies
        return b"".join(parts)

    def take(self, positions: Sequence[int]) -> Requests:
        """Returns some of them."""
        ids, models, bodies = self
        return Requests([ids[i] for i in positions], [models[i] for i in positions], [bodies[i] for i in positions])


def read_requests(
    bodies: Bodies,
    endpoint: str,
    model: str | None,
    *,
    parameters: ParameterCheck | None = None,
    types: AnswerTypes | None = None,
) -> Iterator[Requests]:
    """Yields the requests of bodies, or of a JSON Lines file with one body, or one line of a batch's file, in each line.

    The keys of a body and of its messages are put in one order, so that equal requests have one id. What lies deeper is not: the order
    of the properties of a schema can change an answer.

    Args:
        parameters: Checks the names in bodies.
        types: Takes the classes that bodies have as `response_format`.
    """
    types = AnswerTypes(endpoint) if types is None else types
    blank: list[int] = []  # how many values stand before each blank line
    if isinstance(bodies, str | os.PathLike):
        values = _read_file(Path(bodies), blank)
    else:
        values = iter(bodies)

    def name(index: int) -> str:
        if isinstance(bodies, str | os.PathLike):
            return _line_name(Path(bodies), index + 1 + bisect_right(blank, index))
        return f"request {index}"

    index, count = 0, 1
    while block := [*islice(values, count)]:
        models, contents = _encode_alike(block, model) or _encode_each(block, model, index, name, types)
        _check_contents(block, endpoint, index, name)
        if parameters is not None:
            parameters.check(block, index, name)
        if (size := sum(map(len, contents))) > _MAX_BODY:
            _check_sizes(contents, index, name)
        yield Requests(_ids(contents), models, contents)
        index += len(block)
        count = min(_BLOCK, 1 + _BLOCK_BYTES * len(block) // size)


def body_of(line: bytes) -> bytes:
    """Returns the body in a line."""
    return line[_BODY]


def _ids(contents: list[bytes]) -> list[str]:
    ids, new = [], blake2b(digest_size=ID_BYTES).copy  # sooner than the constructor
    for content in contents:
        hash = new()
        hash.update(content)
        ids.append(hash.hexdigest())
    return ids


def _check_contents(bodies: list[Any], endpoint: str, start: int, name: Name) -> None:
    """Raises a DatasetError if a body has not what the endpoint wants, so that the service would refuse every one like it."""
    for field in CONTENT.get(endpoint, ()):
        for index, body in enumerate(bodies, start):
            if not body.get(field):
                try:
                    check_content(body, endpoint)
                except ValueError as error:
                    raise DatasetError(f"{name(index)}{error}. Nothing was sent") from None


def _check_sizes(contents: list[bytes], start: int, name: Name) -> None:
    for index, size in enumerate(map(len, contents), start):
        if size > _MAX_BODY:
            raise DatasetError(f"{name(index)} has {size:,} bytes; a batch takes {MAX_BYTES:,} at most. Nothing was sent")


def _encode_each(
    bodies: list[Any], model: str | None, start: int, name: Name, types: AnswerTypes
) -> tuple[list[str], list[bytes]]:
    """Returns models and JSON of bodies, of which the first has the index `start`."""
    models, contents = [], []
    for index, body in enumerate(bodies, start):
        try:
            its_model, content = _encode_flat(body) or _encode(types.add(index, body), model)
        except ValueError as error:
            raise DatasetError(f"{name(index)}{error}. Nothing was sent") from None
        models.append(its_model)
        contents.append(content)
    return models, contents


def _encode(body: Any, model: str | None) -> tuple[str, bytes]:
    """Returns the model and the JSON of a body: keys in order, without what is None or would stream."""
    if type(body) is not dict and not isinstance(body, Mapping):
        raise ValueError(f": a request body is an object, not {type(body).__name__}")
    name = body.get("model") or model
    if not isinstance(name, str) or not name:
        raise ValueError(": the body names no model; add one, or pass model=")
    values: Any = body if body.get("model") is name else {**body, "model": name}
    values = {key: value for key in _order(tuple(values)) if (value := values[key]) is not None and key != "stream"}
    messages = values.get("messages")
    if isinstance(messages, _SEQUENCES):
        values["messages"] = [
            {key: each[key] for key in _order(tuple(each))} if type(each) is dict or isinstance(each, Mapping) else each
            for each in messages
        ]
    try:
        return name, _to_json(values)
    except ValueError as error:
        raise ValueError(f" cannot be written as JSON: {error}") from None


@lru_cache(maxsize=1024)
def _order(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(keys, key=str))


def _encode_flat(body: Any) -> tuple[str, bytes] | None:
    """Returns what `_encode` does, sooner, for a body in whose JSON there are no objects but messages, and no null; else None."""
    if _dumps is None or type(body) is not dict or type(name := body.get("model")) is not str or not name or "stream" in body:
        return None
    with suppress(TypeError):
        content: bytes = _dumps(body, None, _SORTED)
        if content.count(b"{") == 1 + len(body.get("messages", ())) and content.find(b"null") < 0:
            return name, content
    return None


def _encode_alike(bodies: list[Any], model: str | None) -> tuple[Sequence[str], list[bytes]] | None:
    """Returns what `_encode_each` does, sooner, for bodies with the same keys and no objects but messages, as most are; else None."""
    if _dumps is None or {*map(type, bodies)} != {dict}:
        return None
    if model and "model" not in bodies[0]:
        bodies = [{"model": model, **body} for body in bodies]
    columns = _columns(bodies)
    models, messages = columns.get("model", ()), columns.pop("messages", ())
    if {*map(type, models)} != {str} or "" in models or "stream" in columns:
        return None
    if not _are_texts(messages) or not all(map(_are_scalars, columns.values())):
        return None
    with suppress(TypeError):
        return models, [*map(_dumps, bodies, repeat(None), repeat(_SORTED))]
    return None


def _columns(bodies: list[dict[Any, Any]]) -> dict[Any, list[Any]]:
    """Returns the values of each key, if the bodies have the same keys."""
    keys = tuple(bodies[0])
    if {*map(len, bodies)} == {len(keys)}:
        with suppress(KeyError):
            return {key: [body[key] for body in bodies] for key in keys}
    return {}


def _are_texts(conversations: Sequence[Any]) -> bool:
    """Whether all conversations are lists of messages that are nothing but texts."""
    if not {*map(type, conversations)} <= {list}:
        return False
    messages = [*chain.from_iterable(conversations)]
    return {*map(type, messages)} <= {dict} and {*map(type, chain.from_iterable(map(dict.values, messages)))} <= {str}


def _are_scalars(values: Sequence[Any]) -> bool:
    """Whether all values are texts and numbers, or lists of these."""
    types = {*map(type, values)}
    if types == {list}:
        values = [*chain.from_iterable(values)]
        types = {*map(type, values)}
    return types <= _SCALARS and (float not in types or all(isfinite(value) for value in values if type(value) is float))


def _to_json(body: dict[str, Any]) -> bytes:
    try:
        content: bytes = b"null" if _dumps is None else _dumps(body, None, _STRICT)
    except TypeError:
        return encode_json(body)
    return encode_json(body) if content.find(b"null") >= 0 else content  # which may be a number that JSON does not have


def _line_name(path: Path, number: int) -> str:
    """Returns the name of a line, with the id that it has in the file. A pipe cannot be read again."""
    id = None
    if path.is_file():
        with open_lines(path) as file:
            value = from_json(next(islice(file, number - 1, None), b"null"))
        id = value.get("custom_id") if isinstance(value, dict) else None
    return f"line {number}{f' (custom_id {id:.64})' if isinstance(id, str) else ''} of {path}"


def open_lines(path: Path) -> BufferedReader:
    """Opens a file of lines after its byte order mark, which Windows writes."""
    file = path.open("rb")
    if file.peek(len(BOM_UTF8)).startswith(BOM_UTF8):
        file.read(len(BOM_UTF8))
    return file


def _open_requests(path: Path) -> BufferedReader:
    try:
        return open_lines(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENAMETOOLONG):
            raise
        hint = "no such file (a text is taken as the path of a JSON Lines file; requests are a list of bodies, such as " + _CHAT
        raise FileNotFoundError(errno.ENOENT, hint, f"{path!s:.200}") from None


def _read_file(path: Path, blank: list[int]) -> Iterator[Any]:
    """Yields the bodies of a file, and notes how many of them stand before each blank line."""
    with _open_requests(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                blank.append(number - 1 - len(blank))
                continue
            try:
                value = from_json(line)
            except ValueError as error:
                raise DatasetError(f"line {number} of {path} is not JSON: {error}. {_EXAMPLE}. Nothing was sent") from None
            if isinstance(value, list):
                raise DatasetError(f"line {number} of {path} is a list. {_EXAMPLE}. Nothing was sent")
            is_line = isinstance(value, dict) and "body" in value and value.keys() <= _LINE_KEYS
            yield value["body"] if is_line else value
