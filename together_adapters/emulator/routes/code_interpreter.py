"""`POST /v1/tci/execute` and its sessions. Code runs on this machine, so only where that is allowed, and only on loopback."""

from __future__ import annotations

import secrets
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.hosts import is_loopback
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, json_route
from together_adapters.emulator.store import interpreter_session

_MAX_BYTES: Final = 20_000_000
_FORBIDDEN: Final = (
    "This emulator does not run code. Start it with --allow-code-execution, or serve(allow_code_execution=True), "
    "to let it run code on this machine."
)


class _Execution(RequestModel):
    code: str = Field(min_length=1, max_length=1_000_000)
    language: Literal["python"]
    session_id: Name | None = None
    files: list[dict[str, Any]] = Field(default=[], max_length=1_000)


def _execute(context: RequestContext) -> dict[str, Any]:
    """Runs code. It may take seconds, so this handler runs in a thread."""
    request = _Execution.read(context)
    files = _files(request.files)
    sessions = context.stores.code_sessions
    id = request.session_id or f"ses_{secrets.token_urlsafe(9)}"
    if request.session_id and id not in sessions:
        return {"data": None, "errors": [f"There is no session {id}; it may have expired."]}
    context.charge.bill_as("code", "")
    context.charge.count({})
    session = sessions.use(id)
    client = context.request.client
    is_allowed = context.state.allow_code_execution and client is not None and is_loopback(client.host)
    outputs = session.run(request.code, files) if is_allowed else [{"type": "error", "data": _FORBIDDEN}]
    if outputs is None:
        sessions.pop(id, session).close()
        message = f"The code ended its process, or ran longer than {interpreter_session.TIME_LIMIT:g} seconds."
        outputs = [{"type": "error", "data": message}]
    return {"data": {"session_id": id, "status": "success", "outputs": outputs}, "errors": None}


def _files(files: list[dict[str, Any]]) -> dict[str, bytes]:
    contents = dict(_read_file(file, f"files[{index}]") for index, file in enumerate(files))
    if sum(map(len, contents.values())) > _MAX_BYTES:
        raise bad_request("The files are larger than 20 MB together.", param="files")
    return contents


def _read_file(file: Mapping[str, Any], path: str) -> tuple[str, bytes]:
    """Returns the name and the content of a file."""
    name, content, encoding = file.get("name"), file.get("content"), file.get("encoding")
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= 255 or name in (".", ".."):
        raise bad_request(f"{path}.name must be a file name.", param="files")
    if any(letter in "/\\\0:" or not letter.isprintable() for letter in name):
        raise bad_request(f"{path}.name must be a file name without a path.", param="files")
    if not isinstance(content, str) or encoding not in ("string", "base64"):
        raise bad_request(f"{path} needs content as text, and the encoding string or base64.", param="files")
    try:
        return name, content.encode("utf-8", "replace") if encoding == "string" else b64decode(content, validate=True)
    except ValueError:
        raise bad_request(f"{path}.content is not base64.", param="files") from None


def _list_sessions(context: RequestContext) -> dict[str, Any]:
    sessions = context.stores.code_sessions
    sessions.remove_expired()
    return {"data": {"sessions": [session.to_dict(id) for id, session in sessions.items()]}, "errors": None}


ROUTES: Any = [
    json_route("/v1/tci/execute", _execute, needs_object=False, in_thread=True),
    json_route("/v1/tci/sessions", _list_sessions, method="GET"),
]
