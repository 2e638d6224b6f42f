"""`multipart/form-data` bodies, read whole from memory: fields, and files with their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from together_adapters.emulator.app import Ask, respond
from together_adapters.emulator.http.errors import bad_request

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


def form_route(path: str, handler: Callable[[Ask], Any]) -> Route:
    """Make a POST route of a pure function whose `ask.body` is a form.

    Args:
        path: Where it answers, `/v1/...`.
        handler: As for `json_route`.
    """

    def read(ask: Ask, body: bytes) -> Any:
        form = parse(body, ask.request.headers.get("content-type", ""))
        return handler(replace(ask, body=form))

    async def endpoint(request: Request) -> Response:
        ask = Ask(request=request, **request.scope["ask"])
        body = await request.body()
        return await respond(lambda ask: read(ask, body), ask)

    return Route(path, endpoint, methods=["POST"], name=path)
