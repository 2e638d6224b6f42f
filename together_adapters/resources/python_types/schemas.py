"""Classes as response formats, functions as tools. Pure; pydantic makes the schemas."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter

_ENTRY: Final = re.compile(r"\s+(\w+)(?: \(.*?\))?: +(.+)")
_SECTION: Final = re.compile(r"\n\s*(?:Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*\n")


def type_adapter(kind: Any) -> TypeAdapter[Any]:
    """Returns what checks objects of a type; raises a TypeError for what is no type."""
    if not (isinstance(kind, type) or hasattr(kind, "__origin__")):
        raise TypeError(f"response_format= takes a dictionary or a class, not {kind!r:.80}")
    return _type_adapter(kind)


@lru_cache(128)  # making one takes a millisecond
def _type_adapter(kind: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(kind)
    except PydanticUserError as error:
        raise TypeError(f"response_format={kind!r} has no JSON schema: {str(error).splitlines()[0]}") from None


def response_format(kind: Any) -> dict[str, Any]:
    """Returns the response format that a class stands for: a model of pydantic, a dataclass, a TypedDict, or a type such as `list[int]`."""
    schema = type_adapter(kind).json_schema()
    return {"type": "json_schema", "json_schema": {"name": type_name(kind), "schema": schema}}


def type_name(kind: Any) -> str:
    """Returns the name of a type, as the service takes names: letters, digits, `_` and `-`."""
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64]


def tools_of(tools: Sequence[Any]) -> list[Any]:
    """Returns tools with the declarations of those that are functions or classes."""
    return [tool if isinstance(tool, Mapping) or not callable(tool) else deepcopy(_declaration(tool)) for tool in tools]


@lru_cache(256)
def _declaration(function: Callable[..., Any]) -> dict[str, Any]:
    name = getattr(function, "__name__", "")
    doc = inspect.getdoc(function) or ""
    schema = _parameters(function, name)
    for parameter, text in _argument_docs(doc).items():
        if parameter in schema["properties"]:
            schema["properties"][parameter].setdefault("description", text)
    description = schema.pop("description", None) or _SECTION.split(f"\n{doc}")[0].strip()
    declaration = {"name": name, **({"description": description} if description else {}), "parameters": schema}
    return {"type": "function", "function": declaration}


def _parameters(function: Any, name: str) -> dict[str, Any]:
    try:
        schema = TypeAdapter(function).json_schema()
    except (PydanticUserError, TypeError, NameError) as error:
        raise TypeError(f"the tool {name!r} has no JSON schema: {str(error).splitlines()[0]}") from None
    if schema.get("type") != "object":
        raise TypeError(
            f"the tool {name!r} must have parameters with names, without `*args` and without ones that are positional only"
        )
    return {"type": "object", "properties": schema.pop("properties", {}), **schema}


def _argument_docs(doc: str) -> dict[str, str]:
    """Returns what a Google-style docstring says of the arguments."""
    _, _, section = f"\n{doc}\n".partition("\nArgs:\n")
    docs: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line and not line[0].isspace():
            break
        if entry := _ENTRY.fullmatch(line):
            name = entry[1]
            docs[name] = entry[2].strip()
        elif name and line.strip():
            docs[name] += f" {line.strip()}"
    return docs
