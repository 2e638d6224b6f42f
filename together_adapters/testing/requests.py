"""Describes requests as recordings have them. Equal requests have equal descriptions, whatever the host, the key and the boundary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from together_adapters.testing.contents import digest, sent_content, without_encoded
from together_adapters.testing.exact_json import loads
from together_adapters.transport.bodies import READ_SIZE, FileRange, Form
from together_adapters.transport.observation import Outgoing


def describe(outgoing: Outgoing) -> dict[str, Any]:
    """Returns method, path, query and body of a request. Reads its files."""
    attempt, root = outgoing.attempt, outgoing.config.root
    base, _, query_text = attempt.url.partition("?")
    is_own = base.startswith(f"{root}/")
    target = {"path": base.removeprefix(root)} if is_own else {"url": _without_credentials(base)}
    query = _query(query_text, attempt.query)
    return {
        "method": attempt.method,
        **target,
        **({"query": query} if query else {}),
        **_body(attempt.content, attempt.headers.get("content-type", "")),
    }


def reads_files(outgoing: Outgoing) -> bool:
    """Whether a description of this request reads a file."""
    content = outgoing.attempt.content
    return isinstance(content, FileRange) or (isinstance(content, Form) and bool(content.files))


def server_of(outgoing: Outgoing) -> str:
    """Returns scheme and host of the service."""
    parts = urlsplit(outgoing.config.root)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _query(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    query = {name: values if len(values) > 1 else values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
    return query | {name: _parameter(value) for name, value in parameters.items()}


def _parameter(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_parameter(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _body(content: Any, content_type: str) -> dict[str, Any]:
    if content is None:
        return {}
    if isinstance(content, FileRange):
        return digest(content)
    if isinstance(content, Form):
        return {"form": list(_fields(content))}
    if "json" in content_type:
        try:
            return {"json": without_encoded(loads(content))}
        except (ValueError, RecursionError):
            pass
    return sent_content(content)


def _fields(form: Form) -> Iterator[dict[str, Any]]:
    for name, text in form.fields:
        yield {"name": name, "text": text}
    for name, (filename, data, content_type) in form.files.items():
        content = digest(_blocks(data)) if isinstance(data, Path) else sent_content(data)
        yield {"name": name, "filename": filename, "type": content_type, **content}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(READ_SIZE):
            yield block
