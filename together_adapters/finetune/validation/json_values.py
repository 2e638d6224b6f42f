"""Copies JSON values, and finds what JSON cannot represent."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from together_adapters.finetune.findings import kind_of
from together_adapters.finetune.records import Unconvertible

MAX_DEPTH: Final = 100
_MAX_BITS: Final = 14_000


def copy_json(value: Any) -> Any:
    """Returns a copy that can be altered; values that are neither objects nor lists are shared."""
    if type(value) is dict:
        return {key: copy_json(item) for key, item in value.items()}
    return [copy_json(item) for item in value] if type(value) is list else value


def to_plain_json(value: Any, path: str = "", depth: int = 0) -> Any:
    """Returns a copy that consists of JSON types only; raises Unconvertible if it cannot."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if depth > MAX_DEPTH:
        raise Unconvertible("too_deep", f"the value is nested more than {MAX_DEPTH} levels deep", path)
    if kind is dict or isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise Unconvertible("not_json", f"a key must be a string, not {kind_of(key)}", path, repr(key)[:80])
        return {key: to_plain_json(item, f"{path}.{key}" if path else key, depth + 1) for key, item in value.items()}
    if kind is list or isinstance(value, (list, tuple)):
        return [to_plain_json(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
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
    """Whether no number in a JSON value is infinite or NaN. It does not recurse, so values may have any depth."""
    containers: list[Any] = [[value]]
    for container in containers:
        for item in container.values() if isinstance(container, dict) else container:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict or kind is list or isinstance(item, dict | list | tuple):
                containers.append(item)
            elif isinstance(item, float) and not isfinite(item):
                return False
    return True
