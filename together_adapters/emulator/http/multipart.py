"""`multipart/form-data` bodies: fields, and files with their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.routing import Route

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route

_BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_NAME: Final = re.compile(r'(?<![a-z])name="((?:[^"\\]|\\.){0,1000})"', re.IGNORECASE)
_FILENAME: Final = re.compile(r'filename="((?:[^"\\]|\\.){0,1000})"', re.IGNORECASE)
_MAX_PARTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file in a form."""

    name: str
    content: bytes


def parse_form(body: bytes, content_type: str) -> dict[str, Any]:
    """Parses a form: texts, files as `FormFile`, and lists where a name ends in `[]`; raises `ApiError`."""
    boundary = _BOUNDARY.search(content_type)
    if not boundary or "multipart/form-data" not in content_type.lower():
        raise bad_request("The body must be multipart/form-data.")
    parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode("latin-1"), _MAX_PARTS + 1)
    if len(parts) < 3 or len(parts) > _MAX_PARTS or not parts[-1].startswith(b"--"):
        raise bad_request("The form is incomplete: its last boundary is missing.")
    form: dict[str, Any] = {}
    for part in parts[1:-1]:
        name, value = _parse_part(part)
        if name.endswith("[]"):
            form.setdefault(name[:-2], []).append(value)
        else:
            form[name] = value
    return form


def _parse_part(part: bytes) -> tuple[str, Any]:
    head, separator, content = part.partition(b"\r\n\r\n")
    headers = head.decode("utf-8", "replace")
    name = _NAME.search(headers)
    if not separator or not name:
        raise bad_request("A part of the form has no name.")
    filename = _FILENAME.search(headers)
    if filename:
        return name[1], FormFile(filename[1].replace("\\", "/").rpartition("/")[2], content)
    try:
        return name[1], content.decode("utf-8")
    except UnicodeDecodeError:
        raise bad_request(f"{name[1][:100]} is not UTF-8.", param=name[1][:100]) from None


def form_route(path: str, handler: Callable[[RequestContext], Any]) -> Route:
    """Creates a POST route from a handler whose `context.body` is a form."""
    return json_route(path, lambda context: handler(replace(context, body=form_of(context))), needs_object=False)


def form_of(context: RequestContext) -> dict[str, Any]:
    """Parses the body of a request as a form."""
    return parse_form(context.content, context.request.headers.get("content-type", ""))
