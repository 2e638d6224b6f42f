"""Declarations of tools in any provider's layout, and those of data sets that write the types of Python, as the service's tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from together_adapters.adapters.tool_definitions import read_tools
from together_adapters.finetune.records import Row, Unconvertible

_TYPES: Final = {
    "str": "string", "string": "string", "text": "string", "char": "string", "int": "integer", "integer": "integer", "long": "integer",
    "float": "number", "double": "number", "number": "number", "bool": "boolean", "boolean": "boolean", "list": "array", "tuple": "array",
    "set": "array", "array": "array", "dict": "object", "object": "object", "hashmap": "object", "map": "object", "mapping": "object",
}  # fmt: skip
_JSON_TYPES: Final = frozenset({*"string integer number boolean array object null".split()})
_SCHEMA_KEYS: Final = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "$defs", "additionalProperties"})
_WRAPPERS: Final = ("tools", "functionDeclarations", "function_declarations", "toolSpec")


def declarations(tools: Any) -> list[Any]:
    """Returns the tools in a list, in an object that wraps them, or in one with their names as keys."""
    if not isinstance(tools, Mapping):
        return [*tools]
    if isinstance(tools.get("tools"), list | tuple):
        return [*tools["tools"]]
    if "name" not in tools and "function" not in tools and not any(key in tools for key in _WRAPPERS):
        values = [*tools.values()]
        if values and all(
            isinstance(value, Mapping) and value.keys() & {"description", "parameters", "inputSchema"} for value in values
        ):
            return [{"name": name, **value} for name, value in tools.items()]
    return [tools]


def foreign_tools(tool: Any, path: str) -> list[Row]:
    """Returns the tools that one of another provider's layout declares."""
    try:
        rows = read_tools(_plain(tool)) if isinstance(tool, Mapping) else None
    except ValueError as problem:
        raise Unconvertible("tool_invalid", str(problem), path, tool) from None
    if rows is None:
        raise Unconvertible("tool_invalid", "a tool has no name, or its format is not known", path, tool)
    return rows


def _plain(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a tool whose schemas are those of JSON Schema."""
    return {
        key: json_schema(value)
        if key in ("parameters", "input_schema", "inputSchema", "parameter_definitions", "parameterDefinitions", "arguments")
        else _plain(value)
        if key == "function" and isinstance(value, Mapping)
        else value
        for key, value in tool.items()
    }


def json_schema(schema: Any) -> Any:
    """Returns the schema of parameters, which may be parameters by name, with types as Python writes them."""
    if not isinstance(schema, Mapping):
        return schema
    if schema and _SCHEMA_KEYS.isdisjoint(schema) and all(isinstance(value, Mapping) for value in schema.values()):
        required = [name for name, value in schema.items() if value.get("required") is True]
        properties = {name: _property(value) for name, value in schema.items()}
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return _property(schema)


def has_python_types(schema: Any) -> bool:
    """Whether a schema has a type that JSON Schema does not know, or is parameters by name."""
    return bool(json_schema(schema) != schema)


def _property(schema: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_fields(schema))


def _fields(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in schema.items():
        if key == "type" and isinstance(value, str):
            yield from _type(value).items()
        elif key == "properties" and isinstance(value, Mapping):
            yield key, {name: _property(inner) if isinstance(inner, Mapping) else inner for name, inner in value.items()}
        elif key == "items" and isinstance(value, Mapping):
            yield key, _property(value)
        elif key != "required" or isinstance(value, list):
            yield key, value


def _type(name: str) -> dict[str, Any]:
    """Returns the type, and that of the items, of a type as Python writes it; an unknown one is left as it is."""
    if name in _JSON_TYPES:
        return {"type": name}
    head, _, inner = name.split(",", maxsplit=1)[0].strip().removeprefix("Optional[").partition("[")
    kind = _TYPES.get(head.strip().rstrip("]").lower())
    if kind is None:
        return {"type": name}
    items = _TYPES.get(inner.strip().rstrip("]").lower()) if kind == "array" else None
    return {"type": kind, "items": {"type": items}} if items else {"type": kind}
