"""Bodies of chats that are data: their classes and functions as schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from together_adapters.resources.python_types.schemas import response_format, tools_of, type_adapter


def json_body(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], Any]:
    """Returns a body with schemas in place of classes and functions, and the class that was its `response_format`.

    Raises:
        TypeError: A class or function has no JSON schema.
    """
    kind, tools = body.get("response_format"), body.get("tools")
    if isinstance(kind, Mapping | str | None):
        kind = None
    else:
        type_adapter(kind)  # says what is no type, which may have no hash
        body = {**body, "response_format": _format(kind)}
    if isinstance(tools, list | tuple) and any(map(callable, tools)):
        body = {**body, "tools": tools_of(tools)}
    return body, kind


@lru_cache(128)
def _format(kind: Any) -> dict[str, Any]:
    return response_format(kind)  # nobody changes what is only written
