"""What JSON Schema says of one value, without its parts: types, choices, bounds, patterns and formats. Pure.

Patterns and formats are left to pydantic, which reads the answer in the end: so the verdicts are the same.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import operator
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "minimum": operator.ge, "exclusiveMinimum": operator.gt, "maximum": operator.le, "exclusiveMaximum": operator.lt,
}  # fmt: skip
_LENGTHS: Final[Mapping[type, tuple[str, str]]] = {
    str: ("minLength", "maxLength"), list: ("minItems", "maxItems"), dict: ("minProperties", "maxProperties"),
}  # fmt: skip
_FORMATS: Final[Mapping[str, Any]] = {
    "date": datetime.date, "date-time": datetime.datetime, "time": datetime.time, "duration": datetime.timedelta, "uuid": uuid.UUID,
    **{f"uuid{version}": f"UUID{version}" for version in range(1, 9)},
    "ipv4": ipaddress.IPv4Address, "ipv4network": ipaddress.IPv4Network, "ipv4interface": ipaddress.IPv4Interface,
    "ipv6": ipaddress.IPv6Address, "ipv6network": ipaddress.IPv6Network, "ipv6interface": ipaddress.IPv6Interface,
    "uri": "AnyUrl", "email": "EmailStr", "name-email": "NameEmail",
    "ipvanyaddress": "IPvAnyAddress", "ipvanynetwork": "IPvAnyNetwork", "ipvanyinterface": "IPvAnyInterface",
}  # fmt: skip
"""Types of the standard library, and of pydantic by their names. Other formats are annotations."""


class Unclear(Exception):
    """What a schema says cannot be checked here."""


def is_constrained(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is as a schema demands, whatever its parts are."""
    return (
        ("type" not in schema or _has_type(value, schema["type"]))
        and ("enum" not in schema or any(_is_same(value, each) for each in schema["enum"]))
        and ("const" not in schema or _is_same(value, schema["const"]))
        and (not _is_number(value) or _is_within(value, schema))
        and (not isinstance(value, str | list | dict) or _has_length(value, schema))
        and (not isinstance(value, str) or _is_spelled(value, schema))
        and (not isinstance(value, list) or not schema.get("uniqueItems") or _is_unique(value))
        and (not isinstance(value, dict) or all(name in value for name in schema.get("required") or ()))
    )


def matches(text: str, pattern: str) -> bool:
    """Whether a pattern is found in a text."""
    return _is_valid(_pattern_adapter(pattern), text)


def _has_type(value: Any, kind: Any) -> bool:
    kinds = [kind] if isinstance(kind, str) else kind
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES.get(name, ())) for name in kinds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _is_within(value: Any, schema: Mapping[str, Any]) -> bool:
    return all(compare(value, schema[name]) for name, compare in _COMPARISONS.items() if name in schema) and (
        "multipleOf" not in schema or _is_multiple(value, schema["multipleOf"])
    )


def _is_multiple(value: Any, step: Any) -> bool:
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    return _is_valid(_step_adapter(step), value)


def _has_length(value: Any, schema: Mapping[str, Any]) -> bool:
    least, most = _LENGTHS[type(value)]
    return bool(schema.get(least, 0) <= len(value) <= schema.get(most, len(value)))


def _is_spelled(value: str, schema: Mapping[str, Any]) -> bool:
    adapter = _format_adapter(schema.get("format"))
    return ("pattern" not in schema or matches(value, schema["pattern"])) and (adapter is None or _is_valid(adapter, value))


def _is_unique(value: list[Any]) -> bool:
    return len({json.dumps(each, sort_keys=True) for each in value}) == len(value)


def _is_valid(adapter: TypeAdapter[Any], value: Any) -> bool:
    from pydantic import ValidationError

    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


@lru_cache
def _pattern_adapter(pattern: str) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, StringConstraints, TypeAdapter
    from pydantic_core import SchemaError

    for engine in ("rust-regex", "python-re"):  # the first takes linear time, and knows no lookahead
        try:
            return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)], config=ConfigDict(regex_engine=engine))
        except SchemaError:
            continue
    raise Unclear


@lru_cache
def _step_adapter(step: float) -> TypeAdapter[Any]:
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[float, Field(multiple_of=step)])


@lru_cache
def _format_adapter(name: Any) -> TypeAdapter[Any] | None:
    """Return what reads a format; None of one that has no type, or whose package is not installed, as pydantic's e-mail addresses."""
    import pydantic

    kind = _FORMATS.get(name)
    try:
        return None if kind is None else pydantic.TypeAdapter(getattr(pydantic, kind) if isinstance(kind, str) else kind)
    except (AttributeError, ImportError):
        return None
