"""The validator of one JSON schema, in a module of its own because its library takes long to import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import referencing
import referencing.jsonschema
from jsonschema import exceptions, validators  # type: ignore[import-untyped,unused-ignore]
from referencing.exceptions import Unresolvable

from together_adapters.emulator.engine.regular_expressions import compile_regex
from together_adapters.emulator.errors import Unsatisfiable


class SchemaValidator:
    """Validates values. Raises `Unsatisfiable` if the schema itself is invalid. References to other documents are never loaded."""

    def __init__(self, root: Any) -> None:
        dialect = _dialect(root)
        if isinstance(root, dict):  # or the validator would change to the class of this dialect, which backtracks
            root = {key: value for key, value in root.items() if key != "$schema"}
        self.root = root
        registry: Any = referencing.Registry()
        self._validator: Any = dialect(root, registry=registry, format_checker=dialect.FORMAT_CHECKER)
        specification = referencing.jsonschema.specification_with(dialect.META_SCHEMA["$schema"])
        self._resolver: Any = registry.resolver_with_root(specification.create_resource(root))

    def failed_keyword(self, value: Any, schema: Any) -> str:
        """The first keyword of a part of the schema that a value does not follow; empty if the value is valid."""
        try:
            error = next(self._validator.evolve(schema=schema).iter_errors(value), None)
        except (RecursionError, Unresolvable):
            return "$ref"
        except ValueError:  # of a pattern that is invalid or too complex
            return "pattern"
        return str(error.validator or "false") if error else ""

    def resolve(self, reference: str) -> Any:
        """The schema to which a `$ref` points."""
        try:
            return self._resolver.lookup(reference).contents
        except (Unresolvable, ValueError):
            raise Unsatisfiable("$ref", reference[:200]) from None


def _dialect(root: Any) -> Any:
    """The draft that a schema declares, else the newest one that it follows."""
    own_dialect = str(root.get("$schema", "")).rstrip("#") if isinstance(root, dict) else ""
    failures = []
    for dialect in sorted(_DIALECTS, key=lambda dialect: str(dialect.META_SCHEMA["$schema"]).rstrip("#") != own_dialect):
        try:
            error = exceptions.best_match(dialect(dialect.META_SCHEMA).iter_errors(root))
        except RecursionError:
            raise Unsatisfiable("allOf") from None
        if error is None:
            return dialect
        failures.append([str(step) for step in error.absolute_path] or [str(error.validator)])
    raise Unsatisfiable(failures[0][-1], "".join(failures[0][-2:-1]))


def _is_found(pattern: str, text: str) -> bool:
    return compile_regex(pattern).is_found(text)


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "string") and not _is_found(pattern, instance):
        yield exceptions.ValidationError("no match")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for key, value in instance.items():
                if _is_found(pattern, key):
                    yield from validator.descend(value, inner, path=key, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[exceptions.ValidationError]:
    if validator.is_type(instance, "object"):
        for key, value in instance.items():
            if key not in schema.get("properties", {}) and not any(
                _is_found(each, key) for each in schema.get("patternProperties", {})
            ):
                yield from validator.descend(value, inner, path=key)


_DIALECTS: Final = tuple(
    validators.extend(
        dialect, {"pattern": _pattern, "patternProperties": _pattern_properties, "additionalProperties": _additional_properties}
    )
    for dialect in (
        validators.Draft202012Validator,
        validators.Draft201909Validator,
        validators.Draft7Validator,
        validators.Draft4Validator,
    )
)
