"""Values of a row: copied so that they can be altered, and looked at for what JSON cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.records import Unconvertible

MAX_DEPTH: Final = 100
_MAX_BITS: Final = 14_000


def copy_json(value: Any) -> Any:
    """Return a copy of a row that can be altered; what is neither an object nor a list in it is shared."""
    if type(value) is dict:
        return {key: copy_json(item) for key, item in value.items()}
    return [copy_json(item) for item in value] if type(value) is list else value


def to_plain_json(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return a copy of a value of which every part is JSON.

    Raises:
        Unconvertible: A part of it is not, and where.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if depth > MAX_DEPTH:
        raise Unconvertible("too_deep", f"it is nested more than {MAX_DEPTH} levels deep", path)
    if kind is dict or isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise Unconvertible("not_json", f"a key must be a text, not {kind_of(key)}", path, repr(key)[:80])
        return {key: to_plain_json(item, f"{path}.{key}" if path else key, depth + 1) for key, item in value.items()}
    if kind is list or isinstance(value, (list, tuple)):
        return [to_plain_json(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(value)]
    if isinstance(value, float):
        if not isfinite(value):
            raise Unconvertible("json_syntax", "NaN and Infinity are not JSON", path, value)
        return value
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise Unconvertible("number_too_large", "a number has too many digits", path)
        return value
    if isinstance(value, str):
        return value
    raise Unconvertible("not_json", f"{kind_of(value)} cannot be written as JSON", path)


def is_finite(value: Any) -> bool:
    """Whether no number in a JSON value is infinite or NaN; without recursion, for values of any depth."""
    waiting: list[Any] = [[value]]
    for held in waiting:
        for item in held.values() if isinstance(held, dict) else held:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict or kind is list or isinstance(item, dict | list | tuple):
                waiting.append(item)
            elif isinstance(item, float) and not isfinite(item):
                return False
    return True
