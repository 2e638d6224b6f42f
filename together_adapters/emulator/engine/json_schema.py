"""A JSON schema: it validates values, and has branches, which are lists of plain parts that hold together.

It is imported where the first schema is used, because its library takes long to import.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

import referencing
import referencing.jsonschema
from jsonschema import exceptions, validators  # type: ignore[import-untyped,unused-ignore]
from referencing.exceptions import Unresolvable

from together_adapters.emulator.engine.regular_expressions import compile_regex
from together_adapters.emulator.errors import Unsatisfiable

TYPES: Final = ("string", "integer", "number", "boolean", "object", "array", "null")
_MAX_REFERENCES: Final = 2  # how often a schema may contain itself
_MAX_DEPTH, _MAX_STEPS = 60, 50_000
_APPLICATORS: Final = frozenset(
    "$ref $dynamicRef allOf anyOf oneOf not if then else dependentSchemas dependentRequired dependencies".split()
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
    """A schema that is valid itself. Raises `Unsatisfiable` otherwise. References to other documents are never loaded."""

    def __init__(self, root: Any) -> None:
        dialect = _dialect(root)
        if isinstance(root, dict):  # or the validator would change to the class of this dialect, which backtracks
            root = {key: value for key, value in root.items() if key != "$schema"}
        self.root = root
        registry: Any = referencing.Registry()
        self._validator: Any = dialect(root, registry=registry, format_checker=dialect.FORMAT_CHECKER)
        specification = referencing.jsonschema.specification_with(dialect.META_SCHEMA["$schema"])
        self._resolver: Any = registry.resolver_with_root(specification.create_resource(root))
        self._steps = 0

    def failed_keyword(self, value: Any, schema: Any) -> str:
        """The first keyword of a part of the schema that a value does not follow; empty if the value is valid."""
        try:
            error = next(self._validator.evolve(schema=schema).iter_errors(value), None)
        except (RecursionError, Unresolvable):
            return "$ref"
        except ValueError:  # of a pattern that is invalid or too complex
            return "pattern"
        return str(error.validator or "false") if error else ""

    def branches(
        self, schema: Any, references: References = (), pending: Sequence[Any] = (), parts: Sequence[Part] = ()
    ) -> Iterator[tuple[list[Part], References]]:
        """Yields the alternatives of a schema, each as parts without `$ref`, `anyOf` and the like, with the references that it used.

        `pending` are schemas that hold too, `parts` what is known already.
        """
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise Unsatisfiable("anyOf")
        schema = {} if schema is True else schema
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
            if rest := [*choice, *pending]:
                yield from self.branches(rest[0], references, rest[1:], [*parts, plain])
            else:
                yield [*parts, plain], references

    def _resolve(self, reference: str) -> Any:
        try:
            return self._resolver.lookup(reference).contents
        except (Unresolvable, ValueError):
            raise Unsatisfiable("$ref", reference[:200]) from None

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
        for keyword in ("dependentSchemas", "dependentRequired", "dependencies"):
            for key, inner in schema.get(keyword, {}).items():
                yield [{"required": inner} if isinstance(inner, list) else inner, {"properties": {key: False}}]

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
                case "items" | "contains":
                    yield {"type": "array", "contains" if key == "items" else "items": {"not": value}}
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


def has_exactly(schema: Any, value: Any) -> bool:
    """Whether a value follows a schema of an object, and has no names but those of the schema."""
    try:
        schema = JsonSchema({"type": "object", "unevaluatedProperties": False, **schema})
    except (TypeError, Unsatisfiable):
        return False
    return not schema.failed_keyword(value, schema.root)


def _dialect(root: Any) -> Any:
    """The draft that a schema declares, else the newest one that it follows."""
    own_dialect = str(root.get("$schema", "")).rstrip("#") if isinstance(root, dict) else ""
    failures = []
    for draft in sorted(_DRAFTS, key=lambda draft: draft != own_dialect):
        try:
            _DIALECTS[draft].check_schema(root)
            return _DIALECTS[draft]
        except RecursionError:
            raise Unsatisfiable("allOf") from None
        except exceptions.SchemaError as error:
            failures.append([str(step) for step in error.absolute_path] or [str(error.validator)])
    raise Unsatisfiable(failures[0][-1], "".join(failures[0][-2:-1]))


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "string") and not compile_regex(pattern).is_found(instance):
        yield exceptions.ValidationError("no match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if compile_regex(pattern).is_found(key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "object"):
        for key, value in instance.items():
            if key not in schema.get("properties", {}) and not any(
                compile_regex(each).is_found(key) for each in schema.get("patternProperties", {})
            ):
                yield from validator.descend(value, inner, path=key)


_KEYWORDS: Final = {"pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional_properties}
_DRAFTS: Final = ("https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema",
                  "http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-04/schema")  # fmt: skip
_DIALECTS: Final = {draft: validators.extend(validators.validator_for({"$schema": draft}), _KEYWORDS) for draft in _DRAFTS}
