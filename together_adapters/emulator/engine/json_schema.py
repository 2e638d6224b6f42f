"""A JSON schema: its validator, and its branches, which are lists of plain parts that hold together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from together_adapters.emulator.errors import Unsatisfiable

TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
_MAX_REFERENCES: Final = 2  # how often a schema may contain itself
_MAX_DEPTH, _MAX_STEPS = 60, 50_000
_APPLICATORS: Final = frozenset(
    ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
)
_NEGATED_BOUNDS: Final = {  # type, keyword and difference of the bound that excludes another
    "minimum": ("number", "exclusiveMaximum", 0), "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0), "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1), "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1), "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1), "maxProperties": ("object", "minProperties", 1),
}  # fmt: skip
_TYPE_OF_KEYWORD: Final = {"pattern": "string", "format": "string", "multipleOf": "number", "uniqueItems": "array"}

Part = dict[str, Any]
References = tuple[str, ...]


class JsonSchema:
    """A schema that is valid itself. Raises `Unsatisfiable` otherwise."""

    def __init__(self, root: Any) -> None:
        from together_adapters.emulator.engine.schema_validator import SchemaValidator

        self._validator = SchemaValidator(root)
        self.root = self._validator.root
        self.failed_keyword = self._validator.failed_keyword
        self._resolve = self._validator.resolve
        self._steps = 0

    def branches(self, schema: Any, references: References = ()) -> Iterator[tuple[list[Part], References]]:
        """Yields the alternatives of a schema, each as parts without `$ref`, `anyOf` and the like, with the references that it used."""
        yield from self._expand([schema], [], references)

    def _expand(self, pending: list[Any], parts: list[Part], references: References) -> Iterator[tuple[list[Part], References]]:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise Unsatisfiable("anyOf")
        if not pending:
            yield parts, references
            return
        schema, *rest = pending
        if schema is True:
            yield from self._expand(rest, parts, references)
        if not isinstance(schema, dict) or len(parts) > _MAX_DEPTH:
            return
        reference = schema.get("$ref")
        if reference is not None:
            if references.count(reference) >= _MAX_REFERENCES:
                return
            references = (*references, reference)
        plain = {key: value for key, value in schema.items() if key not in _APPLICATORS}
        if isinstance(plain.get("type"), list):
            del plain["type"]
        for choice in product(*self._groups(schema)):
            yield from self._expand([*choice, *rest], [*parts, plain], references)

    def _groups(self, schema: Part) -> Iterator[list[Any]]:
        """Yields lists of schemas: of each list, one holds."""
        if isinstance(schema.get("type"), list):
            yield [{"type": kind} for kind in schema["type"]]
        if "$ref" in schema:
            yield [self._resolve(schema["$ref"])]
        yield from ([part] for part in schema.get("allOf", ()))
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                yield schema[keyword]
        if "not" in schema:
            yield list(self._negations(schema["not"]))
        if "if" in schema:
            condition = schema["if"]
            yield [
                {"allOf": [condition, schema.get("then", True)]},
                {"allOf": [{"not": condition}, schema.get("else", True)]},
            ]
        for keyword in ("dependentSchemas", "dependencies"):
            for key, inner in schema.get(keyword, {}).items():
                if not isinstance(inner, list):
                    yield [inner, {"properties": {key: False}}]

    def _negations(self, schema: Any) -> Iterator[Any]:
        """Yields schemas of which each excludes the given one, or `True` where only the validator can tell."""
        if isinstance(schema, bool) or not schema:
            yield schema is False
            return
        for key, value in schema.items():
            match key:
                case "type":
                    other_types = {value} if isinstance(value, str) else set(value)
                    yield from (
                        {"type": kind}
                        for kind in TYPES
                        if kind not in other_types and not (kind == "integer" and "number" in other_types)
                    )
                case "required":
                    yield from ({"type": "object", "properties": {name: False}} for name in value)
                case "properties":
                    yield from (
                        {"type": "object", "required": [name], "properties": {name: {"not": inner}}}
                        for name, inner in value.items()
                    )
                case "items":
                    yield {"type": "array", "contains": {"not": value}}
                case "contains":
                    yield {"type": "array", "items": {"not": value}}
                case "allOf":
                    yield from ({"not": part} for part in value)
                case "anyOf" | "oneOf":
                    yield {"allOf": [{"not": part} for part in value]}
                case "not":
                    yield value
                case "$ref":
                    yield {"not": self._resolve(value)}
                case _ if key in _NEGATED_BOUNDS:
                    kind, bound, difference = _NEGATED_BOUNDS[key]
                    yield {"type": kind, bound: value + difference}
                case _:
                    yield {"type": _TYPE_OF_KEYWORD[key]} if key in _TYPE_OF_KEYWORD else True
