"""Whether a text is certain to be what a response format asks for. Pure.

It checks the keywords of JSON Schema that pydantic writes; others are annotations, but for those of `_UNCHECKED`. Where a schema has
one of these, or the text is anything but JSON, the answer is no: the model is then asked with the format, which is always right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from together_adapters.adapters.schema_constraints import Unclear, is_constrained, matches

_UNCHECKED: Final = frozenset(
    "not if then else contains minContains maxContains dependentRequired dependentSchemas dependencies additionalItems "
    "unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef".split()
)
_COMBINATIONS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = {
    "allOf": all, "anyOf": any, "oneOf": lambda verdicts: sum(verdicts) == 1,
}  # fmt: skip
_MAX_DEPTH: Final = 50


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
    except Exception:  # the text is no JSON, or the schema is none, which the service says best
        return False


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _follows(value: Any, schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping) or schema.keys() & _UNCHECKED or depth > _MAX_DEPTH:
        raise Unclear
    return (
        is_constrained(value, schema)
        and all(_follows(inner, rule, root, depth + 1) for inner, rule in _parts(value, schema))
        and ("$ref" not in schema or _follows(value, _definition(schema["$ref"], root), root, depth + 1))
        and all(
            combine(_follows(value, each, root, depth + 1) for each in schema[keyword])
            for keyword, combine in _COMBINATIONS.items()
            if keyword in schema
        )
    )


def _parts(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the items of an array, or the names and values of an object, each with a schema that it has to follow."""
    if isinstance(value, list):
        first = schema.get("prefixItems") or []
        yield from zip(value, first, strict=False)
        yield from ((item, schema.get("items", True)) for item in value[len(first) :])
    elif isinstance(value, dict):
        properties, patterns = schema.get("properties") or {}, schema.get("patternProperties") or {}
        for name, inner in value.items():
            rules = [properties[name]] if name in properties else []
            rules += [rule for pattern, rule in patterns.items() if matches(name, pattern)]
            yield name, schema.get("propertyNames", True)
            yield from ((inner, rule) for rule in rules or [schema.get("additionalProperties", True)])


def _definition(reference: Any, root: Mapping[str, Any]) -> Any:
    """Return what a reference within the schema names."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise Unclear
    target: Any = root
    for key in reference.split("/")[1:]:
        target = target.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target
