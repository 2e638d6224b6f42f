"""Tools, forced choices and response formats as the service reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    Tool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")


def wire_tools(tools: Sequence[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Return tools as the service reads them."""
    return [
        dict(tool) if _is_wired(tool) and strict is None else convert_to_openai_tool(tool, strict=strict)  # type: ignore[arg-type]
        for tool in tools
    ]


def _is_wired(tool: Tool) -> bool:
    return isinstance(tool, Mapping) and tool.get("type") == "function" and "function" in tool


def wire_tool_choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """Return a choice of tools as the service reads it, or None where nothing was chosen.

    Args:
        choice: `any`, `required` or True to force some call; `auto`, `none`; a tool's name; the service's own object.
        tools: The tools to choose from.

    Raises:
        ValueError: The name is none of the tools'.
    """
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


def wire_response_format(wanted: Any, *, strict: bool | None = None) -> Any:
    """Return a response format as the service reads it: its own object as it is, a schema of any kind as `json_schema`.

    Args:
        wanted: A response format, or a pydantic class, a TypedDict, or a JSON schema.
        strict: Whether the model is held to the schema; not said when None.
    """
    if isinstance(wanted, Mapping) and wanted.get("type") in ("json_schema", "json_object", "regex", "text"):
        return dict(wanted)
    return schema_format(json_schema(wanted, strict=strict), strict=strict)


def schema_format(schema: Mapping[str, Any], *, strict: bool | None = None) -> dict[str, Any]:
    """Return the response format that holds a model to a JSON schema."""
    body = {key: value for key, value in schema.items() if key not in ("title", "description")}
    named: dict[str, Any] = {"name": _UNNAMEABLE.sub("_", str(schema.get("title") or "answer"))[:64]}
    if schema.get("description"):
        named["description"] = schema["description"]
    named["schema"] = body
    if strict is not None:
        named["strict"] = strict
    return {"type": "json_schema", "json_schema": named}


def json_schema(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Return any schema that LangChain knows as a JSON schema with a title."""
    if isinstance(schema, Mapping) and "properties" in schema and "title" not in schema and "name" not in schema:
        return {"title": "answer", **schema}
    known: Any = schema
    return convert_to_json_schema(known, strict=strict)
