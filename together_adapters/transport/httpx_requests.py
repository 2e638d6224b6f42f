"""From an attempt to a request of httpx, and from an exception of httpx to a `Failure`: what both drivers share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from together_adapters.transport.bodies import FileRange, Form
from together_adapters.transport.exchange import Attempt
from together_adapters.transport.retry import Failure

CONNECT_TIMEOUT = 15.0
TRANSPORT_FAILURES = (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL)

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_FATAL = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError, httpx.InvalidURL)


def build_request(
    client: httpx.Client | httpx.AsyncClient, attempt: Attempt, reader: Callable[[FileRange], Any], files: ExitStack
) -> httpx.Request:
    """Returns the request of an attempt. `reader` makes an iterable of the client's flavour; `files` closes those of a form."""
    body: dict[str, Any] = {"content": attempt.content}
    if isinstance(attempt.content, FileRange):
        body = {"content": reader(attempt.content)}
    elif isinstance(attempt.content, Form):
        body = _form(attempt.content, files)
    timeout = _timeout(attempt)
    if attempt.anonymous:
        # Built apart from the client, whose own headers and cookies are for the service alone.
        return httpx.Request(
            attempt.method, attempt.url, headers=attempt.headers, extensions={"timeout": timeout.as_dict()}, **body
        )
    return client.build_request(
        attempt.method, _parse_url(attempt.url), params=attempt.query or None, headers=attempt.headers, timeout=timeout, **body
    )


@lru_cache(maxsize=64)
def _parse_url(url: str) -> httpx.URL:
    """Parses a URL. A client uses few of them, and parsing one is half of what httpx does to make a request."""
    return httpx.URL(url)


@lru_cache(maxsize=16)
def _timeout_of_seconds(seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=None if seconds is None else min(seconds, CONNECT_TIMEOUT))


def _timeout(attempt: Attempt) -> httpx.Timeout:
    """Returns the time limits of an attempt, none longer than the time that is left for the call."""
    timeout = attempt.timeout if isinstance(attempt.timeout, httpx.Timeout) else _timeout_of_seconds(attempt.timeout)
    left = attempt.seconds_left
    if left is None:
        return timeout
    return httpx.Timeout(**{name: left if limit is None else min(limit, left) for name, limit in timeout.as_dict().items()})


def _form(form: Form, stack: ExitStack) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    for name, text in form.fields:
        fields.setdefault(name, []).append(text)
    files = {
        name: (filename, stack.enter_context(data.open("rb")) if isinstance(data, Path) else data, content_type)
        for name, (filename, data, content_type) in form.files.items()
    }
    # A form without a file is still multipart: the service reads no other kind.
    return {"data": fields, "files": files} if files else {"files": [(n, (None, t)) for n, t in form.fields]}


def failure_of(error: Exception) -> Failure:
    """Returns the failure that an exception of httpx means. Its request, which holds the key, is not kept."""
    timeout = isinstance(error, httpx.TimeoutException)
    if isinstance(error, httpx.LocalProtocolError):
        reason = "the request could not be written: a header or the URL holds characters that HTTP forbids"
    elif timeout:
        reason = f"timed out ({type(error).__name__.removesuffix('Timeout').lower()})"
    else:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return Failure(reason, not isinstance(error, _NOT_SENT + _FATAL), timeout, isinstance(error, _FATAL))


def is_event_stream(response: httpx.Response) -> bool:
    """Whether a response can be a stream of events. Gateways may give it an odd content type, but not JSON or HTML."""
    content_type = response.headers.get("content-type", "").lower()
    return "json" not in content_type and "html" not in content_type
