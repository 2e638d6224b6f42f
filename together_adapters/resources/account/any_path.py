"""Requests to any path of the service, for what this library does not know yet."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, Unpack
from urllib.parse import unquote

from pydantic_core import from_json

from together_adapters.transport.bodies import Form, encode_json
from together_adapters.transport.call import Call, Response, StreamCall, request, track_dict_finish
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import secrets_in

FilePart: TypeAlias = bytes | str | PathLike[str] | tuple[str | None, bytes | str | PathLike[str], str]

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_METHOD = re.compile(r"[A-Za-z]{1,20}")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\?#]")
_OCTETS = "application/octet-stream"
_ACCEPT = {"accept": "application/json, */*;q=0.8"}


def request_any(
    method: str,
    path: str,
    *,
    body: Any = None,
    query: Mapping[str, Any] | None = None,
    files: Mapping[str, FilePart] | None = None,
    stream: bool = False,
    idempotent: bool | None = None,
    **options: Unpack[RequestOptions],
) -> Call[Any]:
    """Sends a request to any path of the service, also one that this library has no method for.

    Key, retries, errors and limits in time are those of every other method.

    Args:
        method: `GET`, `POST`, `PUT`, `PATCH`, `DELETE`, ...
        path: The path on the server of the base URL, with its version, such as `/v1/models`. A URL is refused, because the key is for
            that server alone.
        body: Sent as JSON; bytes are sent as they are. A file is passed as its bytes.
        query: Query parameters; those that are None are not sent.
        files: The files of a form by its fields, each its bytes, its path, or a tuple of name, bytes or path, and content type. The other
            fields are the body, a mapping.
        stream: Whether the response is a stream of events, each parsed JSON. A body that is a mapping gets `"stream": true`.
        idempotent: Whether the request may be sent again where it may have been accepted. By default all but POST and PATCH, which can
            start paid work.

    Returns:
        Parsed JSON; bytes for any other content type, None for a response without a body.

    Raises:
        ValueError: The method or the path is not valid; nothing was sent.
        TypeError: The query is no mapping, the body is a file, or a form has a field or a file that it cannot have.
    """
    if query is not None and not isinstance(query, Mapping):
        raise TypeError(f"query must be a mapping of names to values, not {type(query).__name__}")
    if isinstance(body, PathLike) or hasattr(body, "read"):
        raise TypeError(f"body={type(body).__name__} would not be sent as the content of the file: pass its bytes")
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise ValueError(f"method={method!r} must be the name of an HTTP method, such as 'GET'"[:200])
    method = method.upper()
    billable = None if (method in _IDEMPOTENT if idempotent is None else idempotent) else "what it may have created"
    call = request(method, _valid_path(path), _parse, None, query=query, billable=billable, options=options)
    content = {**body, "stream": True} if stream and isinstance(body, Mapping) else body
    call = _with_body(call, content) if files is None else _with_form(call, content, files)
    if stream:
        result: Any = StreamCall(call, from_json, _track_finish)
        return result
    return replace(call, headers={**_ACCEPT, **call.headers})


def _valid_path(path: Any) -> str:
    """Returns a path that stays on the server and below its base URL; any other is a ValueError."""
    if not isinstance(path, str) or not path.startswith("/") or path.startswith("//"):
        # The path is not shown: a URL may have credentials, and so may a query.
        raise ValueError(
            "path must begin with a slash and the version, such as '/v1/models'; it is no URL: the key is sent to the server of "
            "base_url alone"
        )
    if match := _FORBIDDEN.search(path):
        advice = "parameters go into query={...}" if match[0] in "?#" else "encode it with urllib.parse.quote"
        raise ValueError(f"path={path[: match.start()][:100]!r}... contains {match[0]!r}: {advice}")
    if any(unquote(part) in (".", "..") for part in path.split("/")):
        raise ValueError(f"path={path[:100]!r} contains '.' or '..' as a segment: write the whole path")
    return path


def _with_body(call: Call[Any], body: Any) -> Call[Any]:
    """Adds a body to a call that may have one of `extra_body`; a secret in it is not shown by errors."""
    if isinstance(body, Mapping) or body is None:
        fields = call.body if isinstance(call.body, Mapping) else None
        content: Any = fields if body is None else {**body, **(fields or {})}
        return replace(call, body=content, secrets=secrets_in(content))
    if call.body is not None:
        raise ValueError(f"extra_body goes with a body that is a mapping, not {type(body).__name__}")
    if isinstance(body, bytes | bytearray):
        return _with_content(call, bytes(body), _OCTETS)
    try:
        return replace(_with_content(call, encode_json(body), "application/json"), secrets=secrets_in(body))
    except ValueError as problem:
        raise ValueError(f"body cannot be written as JSON: {problem}") from None


def _with_form(call: Call[Any], body: Any, files: Mapping[str, FilePart]) -> Call[Any]:
    """Adds a form of files and of the fields of a body."""
    if not isinstance(body, Mapping | None):
        raise TypeError(f"files go with a body that is a mapping, the other fields of the form, not {type(body).__name__}")
    fields: Any = {**(body or {}), **(call.body if isinstance(call.body, Mapping) else {})}
    form = Form([*_form_fields(fields)], {name: _form_file(name, file) for name, file in files.items()})
    return replace(call, body=form, secrets=secrets_in(fields))


def _form_fields(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields the fields of a form; one for each item of a list, none for None."""
    for name, value in fields.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, str | int | float):  # a bool is an int
                yield name, str(item).lower() if isinstance(item, bool) else str(item)
            elif item is not None:
                raise TypeError(f"body[{name!r}] cannot be a field of a form: {type(item).__name__}")


def _form_file(field: str, file: FilePart) -> tuple[str, bytes | Path, str]:
    name, content, content_type = file if isinstance(file, tuple) else (None, file, _OCTETS)
    if isinstance(content, str | PathLike):
        content = Path(content)
        return name or content.name, content, content_type
    if not isinstance(content, bytes | bytearray):
        raise TypeError(f"files[{field!r}] must be bytes, a path, or a tuple of name, either and content type")
    return name or field, bytes(content), content_type


def _with_content(call: Call[Any], content: bytes, content_type: str) -> Call[Any]:
    return replace(call, body=content, headers={"content-type": content_type, **call.headers})


def _parse(response: Response) -> Any:
    if not response.content:
        return None
    content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in ("application/json", "text/json") and not content_type.endswith("+json"):
        return response.content
    value = response.json()
    if isinstance(value, dict) and value.get("error") and len(value) == 1:
        raise ValueError("the body reports an error")
    return value


def _track_finish(event: Any, finished: dict[Any, bool]) -> None:
    """Tracks the choices of an event; a stream of events without choices is complete at its end."""
    choices = event.get("choices") if isinstance(event, dict) else None
    if isinstance(choices, Sequence) and not isinstance(choices, str):
        track_dict_finish(event, finished)
    else:
        finished.setdefault("events", True)
