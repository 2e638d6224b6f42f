"""Tools and tool choices in any provider's layout, as those of a request. Pure.

The layouts are those of OpenAI (chat and Responses), Anthropic, Gemini, Bedrock Converse and MCP. A tool that its provider runs
itself, such as a web search, is a `ValueError` that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

Tool = dict[str, Any]

_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema", "parametersJsonSchema", "schema")
_DECLARATIONS = ("function_declarations", "functionDeclarations", "tools")
_SCHEMA_PARTS = frozenset({"properties", "items", "anyOf", "oneOf", "allOf", "prefixItems", "$defs", "definitions"})
_JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_SCHEMA_KEYS = frozenset({"title", "properties", "$ref", "$defs", "anyOf", "oneOf", "allOf", "enum", "const"})
_MODES = {"auto": "auto", "validated": "auto", "none": "none", "any": "required", "required": "required"}


def read_tools(tool: Any) -> list[Tool] | None:
    """Return the tools that an object of any provider's layout defines; None where it is no such object."""
    if not isinstance(tool, Mapping):
        if not (hasattr(tool, "inputSchema") and hasattr(tool, "name")):  # of MCP
            return None
        tool = {"name": tool.name, "description": getattr(tool, "description", None), "inputSchema": tool.inputSchema}
    function, kind = tool.get("function"), tool.get("type")
    if isinstance(function, Mapping) and kind in (None, "function"):
        return [cast(Tool, tool) if _is_complete(tool, function) else _tool(function, tool.get("strict"))]
    if isinstance(declarations := next((tool[key] for key in _DECLARATIONS if isinstance(tool.get(key), list)), None), list):
        return [each for inner in declarations for each in read_tools(inner) or _refuse(inner)]
    if isinstance(spec := tool.get("toolSpec"), Mapping):
        return [_tool(spec)]
    if tool.keys() & {"cachePoint", "cache_point"}:
        return []
    if kind in (None, "function", "custom") and "name" in tool and ("title" not in tool or _schema(tool) is not None):
        if kind == "custom" and _schema(tool) is None:
            _refuse(tool)
        return [_tool(tool)]
    if str(kind) in _JSON_TYPES or isinstance(kind, list | tuple) or (kind is None and tool.keys() & _SCHEMA_KEYS):
        return None  # a JSON schema
    return _refuse(tool)


def _is_complete(tool: Mapping[str, Any], function: Mapping[str, Any]) -> bool:
    parameters = function.get("parameters")
    return (
        type(tool) is dict
        and tool.get("type") == "function"
        and isinstance(function.get("name"), str)
        and isinstance(parameters, dict)
        and parameters.get("type") == "object"
        and isinstance(parameters.get("properties"), dict)
        and "$ref" not in parameters
    )


def _refuse(tool: Any) -> list[Tool]:
    name = _label(tool) if isinstance(tool, Mapping) else type(tool).__name__
    raise ValueError(f"the tool {name!r} is a built-in tool of another provider, which the service does not run: give a function")


def _label(tool: Mapping[str, Any]) -> str:
    return str(tool.get("type") or tool.get("name") or next(iter(tool), "{}"))


def _schema(tool: Mapping[str, Any]) -> Any:
    schema = next((tool[key] for key in _SCHEMAS if tool.get(key) is not None), None)
    return schema["json"] if isinstance(schema, Mapping) and isinstance(schema.get("json"), Mapping) else schema


def _tool(fields: Mapping[str, Any], strict: Any = None) -> Tool:
    name = fields.get("name")
    if not isinstance(name, str) or not name:
        raise ValueError(f"a tool has no name: {dict(fields)!r:.200}")
    function: Tool = {"name": name}
    if fields.get("description"):
        function["description"] = fields["description"]
    function["parameters"] = complete_schema(_schema(fields), name)
    strict = fields.get("strict") if strict is None else strict
    return {"type": "function", "function": function if strict is None else {**function, "strict": strict}}


def complete_schema(schema: Any, name: str = "") -> dict[str, Any]:
    """Return the schema of a tool's parameters as engines require it: an object with properties."""
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    elif schema is not None and not isinstance(schema, Mapping) and hasattr(schema, "model_dump"):  # Gemini's
        schema = schema.model_dump(exclude_none=True, by_alias=True)
    if schema is None:
        schema = {}
    if not isinstance(schema, Mapping):
        raise ValueError(f"the parameters of the tool {name!r} are no JSON schema but a {type(schema).__name__}")
    result = resolve_reference(schema)
    kind = result.get("type")
    if isinstance(kind, list | tuple):
        kind = "object" if "object" in kind else kind[0] if kind else None
    if kind is None:
        kind = "enum" if result.keys() & {"enum", "const"} else "object"
    kind = str(getattr(kind, "value", kind))
    if kind.isupper():  # Gemini's
        result, kind = _lower_types(result), kind.lower()
    if kind != "object":
        raise ValueError(f"the parameters of the tool {name!r} must be an object, not of type {kind!r}")
    result["type"] = kind
    properties = result.get("properties")
    fields = properties.items() if isinstance(properties, Mapping) else ()
    result["properties"] = {key: {} if value is None or value is True else value for key, value in fields}
    if not isinstance(result.get("required", []), list | tuple):
        del result["required"]
    return result


def resolve_reference(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose top is no reference: the definition stands there, beside the others."""
    schema, seen = dict(schema), set()
    while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
        seen.add(reference)
        target: Any = schema
        for key in reference.removeprefix("#/").split("/"):
            target = target.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**target, **rest} if isinstance(target, Mapping) else rest
    schema.pop("$ref", None)
    return schema


def _lower_types(schema: Any) -> Any:
    """Return a schema with the types in lower case: Gemini writes `OBJECT`."""
    if isinstance(schema, list | tuple):
        return [_lower_types(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type":
            result[key] = str(getattr(value, "value", value)).lower()
        elif key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            result[key] = {name: _lower_types(inner) for name, inner in value.items()}
        else:
            result[key] = _lower_types(value) if key in _SCHEMA_PARTS else value
    return result


def tool_params(tools: list[Tool], choice: Any) -> dict[str, Any]:
    """Return the parameters of a request with tools: `tools`, `tool_choice` where there is one; nothing where there are no tools.

    A choice that no tool has the name of, or of a built-in tool, is a `ValueError`.
    """
    names = [tool["function"]["name"] for tool in tools]
    mode, allowed = _read_choice(choice)
    if allowed is not None and (missing := [name for name in allowed if name not in names]):
        raise ValueError(f"tool_choice {missing[0]!r} is none of the tools: {', '.join(names) or 'there are none'}")
    if not tools:
        return {}
    params: dict[str, Any] = {"tools": tools}
    if mode is not None:
        params["tool_choice"] = mode
    if allowed is not None and (mode != "required" or len(allowed) > 1):
        params["tools"] = [tool for tool in tools if tool["function"]["name"] in allowed]
    elif allowed is not None:
        params["tool_choice"] = {"type": "function", "function": {"name": allowed[0]}}
    if isinstance(choice, Mapping) and choice.get("disable_parallel_tool_use"):
        params["parallel_tool_calls"] = False
    return params


def _read_choice(choice: Any) -> tuple[str | None, list[str] | None]:
    """Return mode and names of a tool choice: the mode that the service knows, and the tools that may be called, if not all."""
    if choice is None or choice is False:
        return None, None
    if choice is True:
        return "required", None
    if isinstance(choice, str):
        mode = _MODES.get(choice.lower())
        return (mode, None) if mode else ("required", [choice])
    if isinstance(choice, Mapping):
        return _read_mapping(choice)
    if callable(getattr(choice, "model_dump", None)):
        return _read_mapping(choice.model_dump(exclude_none=True))
    raise ValueError(f"tool_choice {choice!r} is none that the service knows: auto, none, required, or the name of a tool")


def _read_mapping(choice: Mapping[str, Any]) -> tuple[str | None, list[str] | None]:
    for wrapper in (
        "tool_config",
        "toolConfig",
        "function_calling_config",
        "functionCallingConfig",
        "toolChoice",
        "allowed_tools",
    ):
        if isinstance(choice.get(wrapper), Mapping):
            return _read_mapping(choice[wrapper])
    function = next((choice[key] for key in ("function", "tool") if isinstance(choice.get(key), Mapping)), choice)
    kind, name = choice.get("type"), function.get("name")
    if kind in (None, "function", "tool") and isinstance(name, str):
        return "required", [name]
    mode = choice.get("mode") or kind or (next(iter(choice)) if len(choice) == 1 else None)
    if not isinstance(mode, str) or mode.lower() not in _MODES:
        raise ValueError(f"tool_choice {dict(choice)!r} is none that the service knows: auto, none, required, or a tool's name")
    return _MODES[mode.lower()], _allowed(choice)


def _allowed(choice: Mapping[str, Any]) -> list[str] | None:
    names: Iterable[Any] | None = (
        choice.get("allowed_function_names") or choice.get("allowedFunctionNames") or choice.get("tools")
    )
    if not names:
        return None
    allowed = [name if isinstance(name, str) else name.get("name") or name.get("function", {}).get("name") for name in names]
    return [str(name) for name in allowed]
