"""Whether a text is certain to be what a response format asks for. Pure.

It knows the part of JSON Schema that describes the shape of data. Where a schema says more (a pattern, a bound, a format), or the
text is anything but JSON, the answer is no: the model is then asked with the format, which is always right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ANNOTATIONS = frozenset("title description default examples deprecated $defs definitions $schema $comment".split())
_RULES = frozenset("type enum const properties required additionalProperties items anyOf allOf $ref".split())
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
_MAX_DEPTH = 50


def follows_format(text: str, response_format: Any) -> bool:
    """Whether a text is JSON that follows a response format with certainty."""
    if not isinstance(response_format, Mapping):
        return False
    wrapper = response_format.get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, Mapping) else response_format.get("schema")
    if schema is None and response_format.get("type") == "json_object":
        schema = {"type": "object"}
    try:
        return isinstance(schema, Mapping) and _follows(json.loads(text, parse_constant=_refuse), schema, schema, 0)
    except (ValueError, RecursionError):
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _follows(value: Any, schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping) or schema.keys() - _ANNOTATIONS - _RULES or depth > _MAX_DEPTH:
        return False
    branches = [(schema["anyOf"], any)] if "anyOf" in schema else []
    branches += [(schema["allOf"], all)] if "allOf" in schema else []
    branches += [([_definition(schema["$ref"], root)], all)] if "$ref" in schema else []
    return (
        all(combine(_follows(value, each, root, depth + 1) for each in options) for options, combine in branches)
        and _has_type(value, schema.get("type"))
        and ("enum" not in schema or any(_is_same(value, each) for each in schema["enum"]))
        and ("const" not in schema or _is_same(value, schema["const"]))
        and (not isinstance(value, dict) or _follows_object(value, schema, root, depth))
        and (not isinstance(value, list) or all(_follows(each, schema.get("items", True), root, depth + 1) for each in value))
    )


def _follows_object(value: dict[str, Any], schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> bool:
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties", True)
    return all(name in value for name in schema.get("required") or ()) and all(
        _follows(inner, properties.get(name, others), root, depth + 1) for name, inner in value.items()
    )


def _has_type(value: Any, kind: Any) -> bool:
    if kind is None:
        return True
    kinds = [kind] if isinstance(kind, str) else kind
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES.get(name, ())) for name in kinds)


def _is_same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _definition(reference: Any, root: Mapping[str, Any]) -> Any:
    """Return what a reference within the schema names; False, which nothing follows, where there is no such place."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return False
    target: Any = root
    for key in reference[2:].split("/"):
        target = target.get(key.replace("~1", "/").replace("~0", "~"), False) if isinstance(target, Mapping) else False
    return target
