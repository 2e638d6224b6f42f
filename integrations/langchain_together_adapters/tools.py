"""LangChain's tools, tool choices and schemas to those of a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

from together_adapters.adapters.tool_definitions import read_tools
from together_adapters.errors import BadRequestError, ContextLengthError, UnprocessableEntityError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

RELAX_TOOL_CHOICE = "relax_tool_choice"
"""A keyword of requests whose forced tool choice is dropped where the model refuses it."""
_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def wire_tools(tools: Iterable[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return the tools of a request; a built-in tool of another provider is a `ValueError` that names it."""
    return [wire for tool in tools for wire in _wire_tools(tool, strict)]


def _wire_tools(tool: Any, strict: bool | None) -> list[dict[str, Any]]:
    wire = read_tools(tool)
    if wire is None:
        converted = convert_to_openai_tool(tool, strict=strict)
        return [{**converted, **each} for each in read_tools(converted) or ()]
    if strict is None:
        return wire
    return [each if "strict" in each["function"] else convert_to_openai_tool(each["function"], strict=strict) for each in wire]


def is_about_tool_choice(error: BadRequestError | UnprocessableEntityError, choice: Any) -> bool:
    """Whether a model refused a forced tool choice; only the words of the engine's message tell."""
    if isinstance(error, ContextLengthError) or choice in (None, "auto", "none"):
        return False
    phrases = ("tool_choice", "tool choice", "grammar", "forced")
    return error.param == "tool_choice" or any(phrase in error.message.lower() for phrase in phrases)


def wire_response_format(value: Any, *, strict: bool | None = None) -> Any:
    """Return the response format of a request: one in the service's own form, or the `json_schema` of any schema."""
    if isinstance(value, Mapping) and value.get("type") in ("json_schema", "json_object", "regex", "text"):
        return dict(value)
    return schema_format(json_schema(value, strict=strict), strict=strict)


def schema_format(schema: Mapping[str, Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the response format that constrains a model to a JSON schema."""
    fields: dict[str, Any] = {"name": _INVALID_IN_NAMES.sub("_", str(schema.get("title") or "answer"))[:64]}
    if schema.get("description"):
        fields["description"] = schema["description"]
    fields["schema"] = {key: value for key, value in schema.items() if key not in ("title", "description")}
    if strict is not None:
        fields["strict"] = strict
    return {"type": "json_schema", "json_schema": fields}


def json_schema(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return a pydantic class, a TypedDict, a tool or a JSON schema as a JSON schema with a title."""
    if isinstance(schema, Mapping) and "properties" in schema and "title" not in schema and "name" not in schema:
        return {"title": "answer", **schema}
    if isinstance(schema, Mapping) and (wire := read_tools(schema)):
        schema = wire[0]
    return convert_to_json_schema(cast("Any", schema), strict=strict)
