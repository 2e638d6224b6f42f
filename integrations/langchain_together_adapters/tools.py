"""LangChain's tools, tool choices and schemas to those of a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, create_model

from together_adapters.adapters.tool_definitions import read_tools, resolve_reference
from together_adapters.errors import APIError, ContextLengthError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

RELAX_TOOL_CHOICE = "relax_tool_choice"
"""A keyword of requests whose forced tool choice is dropped where the model refuses it."""
_PARTS_OF_SCHEMAS = frozenset(
    {"properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "enum", "items", "title", "name", "function"}
)
_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def wire_tools(tools: Iterable[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return the tools of a request.

    A built-in tool of another provider is a `ValueError` that names it, and so are two schemas without a title.
    """
    if isinstance(tools, str | Mapping | type | BaseModel) or not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list, not {type(tools).__name__}: [tool]")
    tools = list(tools)
    if texts := [tool for tool in tools if isinstance(tool, str)]:
        raise TypeError(f"a tool is a function, a class, a LangChain tool or a schema, not the text {texts[0]!r:.60}")
    if sum(isinstance(tool, Mapping) and read_tools(tool) is None and not _title(tool) for tool in tools) > 1:
        raise ValueError("several of the tools are JSON schemas without a name: give each a 'title'")
    return [wire for tool in tools for wire in _wire_tools(tool, strict)]


def _wire_tools(tool: Any, strict: bool | None) -> list[dict[str, Any]]:
    wire = read_tools(tool)
    if wire is None and isinstance(tool, Mapping):
        wire = read_tools(_schema_tool(tool)) or []
    if wire is None:
        if is_enum(tool):
            tool = enum_model(tool)
        converted = convert_to_openai_tool(tool, strict=strict)
        return [{**converted, **each} for each in read_tools(converted) or ()]
    if strict is None:
        return wire
    return [each if "strict" in each["function"] else convert_to_openai_tool(each["function"], strict=strict) for each in wire]


def _title(schema: Mapping[str, Any]) -> str:
    return str(resolve_reference(schema).get("title") or "")


def _schema_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON schema as a tool whose parameters it describes."""
    parameters = {key: value for key, value in resolve_reference(schema).items() if key not in ("title", "description")}
    function: dict[str, Any] = {"name": _valid_name(_title(schema)), "parameters": parameters}
    if description := resolve_reference(schema).get("description"):
        function["description"] = description
    return {"type": "function", "function": function}


def is_enum(schema: Any) -> TypeGuard[type[Enum]]:
    """Whether a schema is an enumeration, one of whose members the model is to choose."""
    return isinstance(schema, type) and issubclass(schema, Enum)


def enum_model(schema: type[Enum]) -> type[BaseModel]:
    """Return a class with a member of an enumeration as its `value`, because the service takes objects alone."""
    return create_model(schema.__name__, __doc__=vars(schema).get("__doc__"), value=(schema, ...))


def _valid_name(title: str) -> str:
    return _INVALID_IN_NAMES.sub("_", title or "answer")[:64]


def is_about_tool_choice(error: APIError, choice: Any) -> bool:
    """Whether a model refused a forced tool choice; only the words of the engine's message tell."""
    if isinstance(error, ContextLengthError) or choice in (None, "auto", "none"):
        return False
    phrases = ("tool_choice", "tool choice", "grammar", "forced")
    return error.param == "tool_choice" or any(phrase in error.message.lower() for phrase in phrases)


def wire_response_format(value: Any, *, strict: bool | None = None) -> Any:
    """Return the response format of a request: one in the service's own form, or the `json_schema` of any schema."""
    if isinstance(value, Mapping) and value.get("type") in ("json_schema", "json_object", "regex", "text"):
        return dict(value)
    if isinstance(value, str) or (isinstance(value, Mapping) and not value.keys() & _PARTS_OF_SCHEMAS):
        raise ValueError(
            f"response_format must be a class, a JSON schema or such as {{'type': 'json_object'}}, not {value!r:.80}"
        )
    return schema_format(json_schema(value, strict=strict), strict=strict)


def schema_format(schema: Mapping[str, Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the response format that constrains a model to a JSON schema."""
    fields: dict[str, Any] = {"name": _valid_name(str(schema.get("title") or ""))}
    if schema.get("description"):
        fields["description"] = schema["description"]
    fields["schema"] = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if strict is not None:
        fields["strict"] = strict
    return {"type": "json_schema", "json_schema": fields}


def declared_strict(schema: Any) -> bool | None:
    """Return what a tool or a response format of another provider says of its own strictness; None where it says nothing."""
    wire = read_tools(schema) if isinstance(schema, Mapping) else None
    strict = wire[0]["function"].get("strict") if wire else None
    return strict if isinstance(strict, bool) else None


def json_schema(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a pydantic class, a TypedDict, an enumeration, a tool or a JSON schema as a JSON schema with a title."""
    if isinstance(schema, str):
        raise TypeError(
            f"a schema is a pydantic class, a TypedDict, an enumeration or a JSON schema, not the text {schema!r:.60}"
        )
    if is_enum(schema):
        schema = enum_model(schema)
    if isinstance(schema, Mapping):
        wire = read_tools(schema)
        function = (wire[0] if wire else _schema_tool(schema))["function"]
        schema = {key: value for key, value in function.items() if key != "strict"}
    return convert_to_json_schema(cast("Any", schema), strict=strict)
