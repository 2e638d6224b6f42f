"""What both drivers share of httpx: its timeouts and failures in our terms, one TLS context for the process."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

import httpx

from together_adapters.transport.bodies import FileRange, Form
from together_adapters.transport.exchange import Transmit
from together_adapters.transport.retry import Failure

C = TypeVar("C", httpx.Client, httpx.AsyncClient)

CONNECT_TIMEOUT = 15.0
KEEPALIVE_SECONDS = 30.0
DRAIN_SECONDS = 0.5
TRANSPORT_FAILURES = (httpx.TransportError, httpx.DecodingError, httpx.InvalidURL)

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_FATAL = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.DecodingError, httpx.InvalidURL)


def ssl_context() -> ssl.SSLContext:
    """Return the TLS context of this process: loading the certificates takes 27 ms, so it is done once.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured, as httpx does.
    """
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache
def _ssl_context(file: str | None, directory: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


class NoCookies(httpx.Cookies):
    """The API has none, and looking for them in every answer takes a twentieth of a call."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Find nothing."""


def without_cookies(client: C) -> C:
    """Return a client that neither keeps nor sends cookies."""
    client._cookies = NoCookies()  # its public setter copies what it is given into a jar of its own
    return client


def has_proxy() -> bool:
    """Whether the environment names a proxy; httpx then chooses transports itself."""
    return bool(getproxies())


@lru_cache(maxsize=64)
def _url_of(url: str) -> httpx.URL:
    """Return a parsed URL. A client uses few of them, and parsing one is half of what httpx does to make a request."""
    return httpx.URL(url)


@lru_cache(maxsize=16)
def _timeout_of(seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=None if seconds is None else min(seconds, CONNECT_TIMEOUT))


def timeout_of(transmit: Transmit) -> httpx.Timeout:
    """Return the time limits of one attempt, none longer than what is left for the call."""
    wanted = transmit.timeout
    if not isinstance(wanted, httpx.Timeout):
        wanted = _timeout_of(wanted)
    if transmit.seconds is None:
        return wanted
    limits = {
        name: transmit.seconds if value is None else min(value, transmit.seconds) for name, value in wanted.as_dict().items()
    }
    return httpx.Timeout(**limits)


def prepare(
    client: httpx.Client | httpx.AsyncClient, transmit: Transmit, stream: Callable[[FileRange], Any], opened: ExitStack
) -> httpx.Request:
    """Return the request of an attempt as httpx has it.

    Args:
        client: Whose defaults apply.
        transmit: The attempt.
        stream: Turns a stretch of a file into what this flavour of client can read.
        opened: Closes the files of a form after the attempt.
    """
    body: dict[str, Any] = {"content": transmit.content}
    if isinstance(transmit.content, FileRange):
        body = {"content": stream(transmit.content)}
    elif isinstance(transmit.content, Form):
        body = _form(transmit.content, opened)
    limits = timeout_of(transmit)
    if transmit.bare:
        # Built apart from the client, whose own headers and cookies are for the service alone.
        return httpx.Request(
            transmit.method, transmit.url, headers=transmit.headers, extensions={"timeout": limits.as_dict()}, **body
        )
    return client.build_request(
        transmit.method,
        _url_of(transmit.url),
        params=transmit.query or None,
        headers=transmit.headers,
        timeout=limits,
        **body,
    )


def auth_of(transmit: Transmit) -> Any:
    """Return what httpx may add as credentials: those of a client that was given, and nothing for another host."""
    return None if transmit.bare else httpx.USE_CLIENT_DEFAULT


def _form(form: Form, opened: ExitStack) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    for name, text in form.fields:
        fields.setdefault(name, []).append(text)
    files = {
        name: (filename, opened.enter_context(data.open("rb")) if isinstance(data, Path) else data, kind)
        for name, (filename, data, kind) in form.files.items()
    }
    # A form without a file is still multipart: the service reads no other kind.
    return {"data": fields, "files": files} if files else {"files": [(n, (None, t)) for n, t in form.fields]}


def failure_of(problem: Exception) -> Failure:
    """Return what a transport failure of httpx means. Its request, which holds the key, is not kept."""
    if isinstance(problem, httpx.LocalProtocolError):
        reason = "the request could not be written: a header or the URL holds characters that HTTP forbids"
    elif isinstance(problem, httpx.TimeoutException):
        phase = type(problem).__name__.removesuffix("Timeout").lower()
        reason = f"timed out ({phase})"
    else:
        reason = f"{type(problem).__name__}: {problem}".rstrip(": ")
    return Failure(
        reason,
        maybe_received=not isinstance(problem, _NOT_SENT + _FATAL),
        timeout=isinstance(problem, httpx.TimeoutException),
        fatal=isinstance(problem, _FATAL),
    )


def is_event_stream(response: httpx.Response) -> bool:
    """Whether an answer can be a sequence of events. Gateways are forgiven an odd type, but JSON and HTML are neither."""
    content_type = response.headers.get("content-type", "").lower()
    return "json" not in content_type and "html" not in content_type
