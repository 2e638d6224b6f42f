"""From an attempt to a request of httpx, and from its response or exception to a `Response` or `Failure`: what both drivers share."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from together_adapters.errors import ConfigurationError
from together_adapters.transport.bodies import FileRange, Form
from together_adapters.transport.call import Response
from together_adapters.transport.exchange import Attempt
from together_adapters.transport.network import StaleConnection, begin_body, until
from together_adapters.transport.retry import Failure

CONNECT_TIMEOUT = 15.0
MAX_ERROR_BODY = 1 << 20  # bytes; more is not read
_UNSUSPICIOUS = 64 << 20  # bytes that a compressed body may always unpack to
_MAX_RATIO = 100  # beyond that

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_INVALID = (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.StreamError, UnicodeError)
_BAD_REDIRECT = "Invalid URL in location header"  # httpx parses it, although the redirect is not for httpx to follow
_NOT_STALE = frozenset(
    {"connection.connect_tcp.started", "connection.connect_unix_socket.started", "http11.receive_response_headers.complete"}
)
_MISUSE = re.compile("client has been closed|event loop", re.IGNORECASE)
_LIBRARIES = frozenset({"httpx_aiohttp", "aiohttp", "httpcore", "h11", "h2", "anyio", "trio", "ssl", "socksio"})


class Trace:
    """What httpcore tells of a request on a connection of a supplied client, whose streams are not those of `network`."""

    def __init__(self) -> None:
        self.events: set[str] = set()

    def __call__(self, event: str, info: object) -> None:
        self.events.add(event)

    def stale(self, error: Exception) -> Exception:
        """Returns a `StaleConnection` for the error of a connection that had served another request and died before a response."""
        events = self.events
        is_broken = isinstance(error, (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError))
        if not is_broken or "http11.send_request_headers.started" not in events or events & _NOT_STALE:
            return error
        stale = StaleConnection("the server had closed the connection")
        stale.unsent = "http11.send_request_headers.complete" not in events
        return stale


class AsyncTrace(Trace):
    """The same for httpcore's asynchronous pools."""

    async def __call__(self, event: str, info: object) -> None:  # type: ignore[override]
        self.events.add(event)


class SuspiciousBody(httpx.DecodingError):
    """A body that unpacks to far more than was received."""


def build_request(
    client: httpx.Client | httpx.AsyncClient,
    attempt: Attempt,
    reader: Callable[[FileRange], Any],
    files: ExitStack,
    trace: Trace | None = None,
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
        request = httpx.Request(
            attempt.method, attempt.url, headers=attempt.headers, extensions={"timeout": timeout.as_dict()}, **body
        )
    else:
        request = client.build_request(
            attempt.method,
            _parse_url(attempt.url),
            params=attempt.query or None,
            headers=attempt.headers,
            timeout=timeout,
            **body,
        )
    if trace:
        request.extensions["trace"] = trace
    return request


@lru_cache(maxsize=64)
def _parse_url(url: str) -> httpx.URL:
    """Parses a URL. A client uses few of them, and parsing one is half of what httpx does to make a request."""
    return httpx.URL(url)


@lru_cache(maxsize=16)
def _timeout_of_seconds(seconds: float | None) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=None if seconds is None else min(seconds, CONNECT_TIMEOUT))


def _timeout(attempt: Attempt) -> httpx.Timeout:
    """Returns the time limits of an attempt, none beyond the deadline of the call."""
    timeout = _timeout_of(attempt)
    if attempt.deadline is None:
        return timeout
    return httpx.Timeout(**{name: until(limit, attempt.deadline) for name, limit in timeout.as_dict().items()})


def _timeout_of(attempt: Attempt) -> httpx.Timeout:
    return attempt.timeout if isinstance(attempt.timeout, httpx.Timeout) else _timeout_of_seconds(attempt.timeout)


def open_body(response: httpx.Response, attempt: Attempt, *, keep: bool) -> None:
    """Prepares the reading of a body. The deadline of the call does not apply to a body that is kept open, as of a stream."""
    read_timeout = _timeout_of(attempt).read
    begin_body(response, read_timeout if keep or attempt.deadline is None else until(read_timeout, attempt.deadline))
    if "content-encoding" in response.headers:
        response.stream = _Slices(response.stream, response.headers["content-encoding"])


class BodyBuffer:
    """Collects the decoded body of a response, bounded: that of an error is cut, and one that unpacks to too much is refused."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._is_success = response.is_success
        self._parts: list[bytes] = []
        self._size = 0

    def is_full(self, data: bytes) -> bool:
        """Adds data; returns whether to stop reading."""
        self._parts.append(data)
        self._size += len(data)
        if not self._is_success:
            return self._size >= MAX_ERROR_BODY
        if self._size > _UNSUSPICIOUS and self._size > _MAX_RATIO * self._response.num_bytes_downloaded:
            raise SuspiciousBody(f"a compressed response of {self._response.num_bytes_downloaded} bytes unpacks to {self._size}")
        return False

    def response(self) -> Response:
        """Returns the response with its body."""
        content = b"".join(self._parts)
        if not self._is_success:
            content = content[:MAX_ERROR_BODY]
        return Response(self._response.status_code, self._response.headers, content)


class _Slices(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A compressed body in slices that do not unpack to more than a few megabytes each: httpx unpacks a read as a whole."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._stream = stream
        self._size = 4096 if encoding in ("gzip", "deflate") else 16

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            for start in range(0, len(data), self._size):
                yield data[start : start + self._size]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            for start in range(0, len(data), self._size):
                yield data[start : start + self._size]

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


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


def failure_of(error: Exception, url: str, deadline: float | None = None) -> Failure:
    """Returns the failure that an exception of the transfer means; raises any other. Its request, which holds the key, is not kept.

    The libraries beneath httpx raise some exceptions that httpx does not translate.
    """
    if isinstance(error, RuntimeError) and _MISUSE.search(str(error)):
        raise ConfigurationError(f"the http_client cannot be used: {error}") from None
    if not isinstance(error, (httpx.RequestError, *_INVALID)) and type(error).__module__.partition(".")[0] not in _LIBRARIES:
        raise error
    timeout = isinstance(error, httpx.TimeoutException)
    is_late = timeout and deadline is not None and time.monotonic() >= deadline
    invalid = isinstance(error, _INVALID) or type(error).__name__ == "LocalProtocolError"
    if invalid:
        reason = _invalid_request(error)
    elif timeout:
        reason = f"timed out ({'max_elapsed' if is_late else type(error).__name__.removesuffix('Timeout').lower()})"
    else:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
    return Failure(
        reason,
        maybe_received=not (invalid or isinstance(error, _NOT_SENT) or (isinstance(error, StaleConnection) and error.unsent)),
        timeout=timeout,
        fatal=invalid or is_late or isinstance(error, SuspiciousBody) or str(error).startswith(_BAD_REDIRECT),
        stale=isinstance(error, StaleConnection),
        url=url,
    )


def late(url: str) -> Failure:
    """Returns the failure of an attempt that was ended at the deadline of its call."""
    return Failure("timed out (max_elapsed)", timeout=True, fatal=True, url=url)


def _invalid_request(error: Exception) -> str:
    if isinstance(error, httpx.StreamError):
        return f"{type(error).__name__}: {error}"
    # The text of the others can quote the header, which may be the key.
    detail = f": {error}" if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError)) else ""
    return f"the request could not be written: a header or the URL holds characters that HTTP forbids{detail}"


def check_deadline(deadline: float | None) -> None:
    """Raises a timeout if the deadline of a call has passed."""
    if deadline is not None and time.monotonic() >= deadline:
        raise httpx.ReadTimeout("max_elapsed")


def never(response: httpx.Response) -> bool:
    """The responses of a call: each is read before it is returned."""
    return False


def always(response: httpx.Response) -> bool:
    """The responses of a download: its body is read as it arrives, whatever it is."""
    return True


def is_event_stream(response: httpx.Response) -> bool:
    """Whether a response can be a stream of events. Gateways may give it an odd content type, but not JSON, HTML or XML."""
    content_type = response.headers.get("content-type", "").lower()
    return not any(kind in content_type for kind in ("json", "html", "xml"))
