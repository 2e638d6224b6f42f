"""LangChain's tools, tool choices and schemas to those of a request. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

from together_adapters.errors import BadRequestError, ContextLengthError, UnprocessableEntityError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

RELAX_TOOL_CHOICE = "relax_tool_choice"
"""A keyword of requests whose forced tool choice is dropped where the model refuses it."""
_INVALID_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")


def wire_tools(tools: Sequence[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return the tools of a request."""
    return [_wire_tool(tool, strict) for tool in tools]


def _wire_tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    is_wire = isinstance(tool, Mapping) and tool.get("type") == "function" and "function" in tool
    return dict(tool) if is_wire and strict is None else convert_to_openai_tool(tool, strict=strict)


def wire_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """Return the tool choice of a request, None where there is none; `ValueError` where no tool has the chosen name."""
    if choice is None or choice is False:
        return None
    if choice is True or choice in ("any", "required"):
        return "required"
    if choice in ("auto", "none") or isinstance(choice, Mapping):
        return choice
    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    if choice not in names:
        raise ValueError(f"tool_choice {choice!r} is none of the tools: {', '.join(names) or 'there are none'}")
    return {"type": "function", "function": {"name": choice}}


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
    return convert_to_json_schema(cast("Any", schema), strict=strict)
