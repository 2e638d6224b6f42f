"""A recorded exchange: what a recording has for each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Exchange:
    """A request with its response or its failure, both as the file has them.

    The request: `method`, `path` below the base URL, or `url` at another host, `query`, and a body: `json`, `form`, `text`, or `sha256` and
    `size`. The response: `status`, `headers`, `after`, a body of `contents`, and what ended it: a `failure`, or
    `incomplete`, for a client that left it.
    """

    request: dict[str, Any]
    response: dict[str, Any] | None = None
    failure: dict[str, Any] | None = None
    number: int = 0
    line: int = 0
    is_used: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        target = self.request.get("path") or self.request.get("url")
        return f"exchange {self.number} (line {self.line}), {self.request['method']} {target}"


def path_of(request: Mapping[str, Any]) -> str:
    """Returns the path of a request, at whatever host."""
    return str(request["path"]) if "path" in request else urlsplit(str(request["url"])).path
