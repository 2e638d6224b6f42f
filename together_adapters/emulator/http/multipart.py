"""`multipart/form-data` bodies, read whole from memory: fields, and files with their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.routing import Route

from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route

_BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_NAME: Final = re.compile(r'(?<![a-z])name="((?:[^"\\]|\\.){0,1000})"', re.IGNORECASE)
_FILENAME: Final = re.compile(r'filename="((?:[^"\\]|\\.){0,1000})"', re.IGNORECASE)
_MOST_PARTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form."""

    name: str
    content: bytes


def parse(body: bytes, content_type: str) -> dict[str, Any]:
    """Read a form: texts, files as `Upload`, and lists where a name stands several times or ends in `[]`.

    Raises:
        ApiError: It is no form.
    """
    found = _BOUNDARY.search(content_type)
    if not found or "multipart/form-data" not in content_type.lower():
        raise bad_request("The body must be multipart/form-data.")
    parts = (b"\r\n" + body).split(b"\r\n--" + found[1].encode("latin-1"), _MOST_PARTS + 1)
    if len(parts) < 3 or len(parts) > _MOST_PARTS or not parts[-1].startswith(b"--"):
        raise bad_request("The form is incomplete: its last boundary is missing.")
    form: dict[str, Any] = {}
    for part in parts[1:-1]:
        name, value = _part(part)
        if name.endswith("[]"):
            form.setdefault(name[:-2], []).append(value)
        else:
            form[name] = value
    return form


def _part(part: bytes) -> tuple[str, Any]:
    head, split, content = part.partition(b"\r\n\r\n")
    headers = head.decode("utf-8", "replace")
    name = _NAME.search(headers)
    if not split or not name:
        raise bad_request("A part of the form has no name.")
    file = _FILENAME.search(headers)
    if file:
        return name[1], Upload(file[1].replace("\\", "/").rpartition("/")[2], content)
    try:
        return name[1], content.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"{name[1][:100]} is not UTF-8.", param=name[1][:100]) from None


def form_route(path: str, handler: Callable[[RequestContext], Any]) -> Route:
    """Create a POST route from a handler whose `context.body` is a form."""

    def handle(context: RequestContext) -> Any:
        return handler(replace(context, body=form_of(context)))

    return json_route(path, handle, needs_object=False)


def form_of(context: RequestContext) -> dict[str, Any]:
    """Parse the body of a request as a form."""
    return parse(context.content, context.request.headers.get("content-type", ""))
