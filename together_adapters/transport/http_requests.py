"""From an attempt to a request of the HTTP library, and from its response or exception to a `Response` or `Failure`."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.transport.bodies import FileBlocks, FileRange, Form
from together_adapters.transport.call import Response
from together_adapters.transport.exchange import Attempt, origin_of
from together_adapters.transport.http_library import HTTPLibrary, byte_stream, error_names, parse_url
from together_adapters.transport.network import ReadTimeout, StaleConnection, TransferError, begin_body, until
from together_adapters.transport.retry import Failure

if TYPE_CHECKING:
    from together_adapters.transport.http_library import HTTPRequest, HTTPResponse

__tracebackhide__ = hides_frames

Limits = dict[str, float | None]

CONNECT_TIMEOUT = 15.0
MAX_ERROR_BODY = 1 << 20  # bytes; more is not read
_UNSUSPICIOUS = 64 << 20  # bytes that a compressed body may always unpack to
_MAX_RATIO = 100  # beyond that

# The names of exceptions in both libraries.
_BROKEN = frozenset({"RemoteProtocolError", "ReadError", "WriteError"})
_NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"})
_REFUSED = frozenset({"InvalidURL", "UnsupportedProtocol"})  # requests, for a reason that shows no header
_INVALID = _REFUSED | {"LocalProtocolError", "StreamError"}
_FAILURES = _INVALID | {"RequestError"}
_BAD_REDIRECT = "Invalid URL in location header"
_NOT_STALE = frozenset(
    {"connection.connect_tcp.started", "connection.connect_unix_socket.started", "http11.receive_response_headers.complete"}
)
_MISUSE = re.compile("client has been closed|event loop", re.IGNORECASE)
_LIBRARIES = frozenset({"httpx_aiohttp", "aiohttp", "httpcore", "httpcore2", "h11", "h2", "anyio", "trio", "ssl", "socksio"})


class Trace:
    """What httpcore tells of a request on a connection of a supplied client, whose streams are not those of `network`."""

    def __init__(self) -> None:
        self.events: set[str] = set()

    def __call__(self, event: str, info: object) -> None:
        self.events.add(event)

    def stale(self, error: Exception) -> Exception:
        """Returns a `StaleConnection` for the error of a connection that had served another request and died before a response."""
        events = self.events
        is_broken = not _BROKEN.isdisjoint(error_names(error))
        if not is_broken or "http11.send_request_headers.started" not in events or events & _NOT_STALE:
            return error
        stale = StaleConnection("the server had closed the connection")
        stale.unsent = "http11.send_request_headers.complete" not in events
        return stale


class AsyncTrace(Trace):
    """The same for httpcore's asynchronous pools."""

    async def __call__(self, event: str, info: object) -> None:  # type: ignore[override]
        self.events.add(event)


class SuspiciousBody(TransferError):
    """A body that unpacks to far more than was received."""


def build_request(
    library: HTTPLibrary,
    client: Any,
    attempt: Attempt,
    reader: Callable[[Iterator[bytes]], Any],
    files: ExitStack,
    trace: Trace | None = None,
) -> HTTPRequest:
    """Returns the request of an attempt. `reader` makes an iterable of the client's flavour; `files` closes what is read."""
    body: dict[str, Any] = {"content": attempt.content}
    if isinstance(attempt.content, FileRange):
        # Not closed by the library, which may leave a cancelled body to the garbage collector.
        blocks = files.enter_context(closing(FileBlocks(attempt.content)))
        body = {"content": reader(blocks)}
    elif isinstance(attempt.content, Form):
        body = _form(attempt.content, files)
    extensions: dict[str, Any] = {"timeout": _limits(attempt)}
    if trace:
        extensions["trace"] = trace
    if attempt.anonymous:
        # Built apart from the client, whose own headers and cookies are for the service alone.
        return library.module.Request(  # type: ignore[no-any-return]
            attempt.method, attempt.url, headers=attempt.headers, extensions=extensions, **body
        )
    return client.build_request(  # type: ignore[no-any-return]
        attempt.method,
        parse_url(library, attempt.url),
        params=attempt.query or None,
        headers=attempt.headers,
        extensions=extensions,
        **body,
    )


def usual_request(library: HTTPLibrary, client: Any, attempt: Attempt) -> HTTPRequest | None:
    """Returns the request of a usual attempt for the transport of our own client; None where the client has anything to do for it.

    What a client does for every request costs as much as half of the transfer: auth, cookies, redirects and hooks, of which there are none.
    """
    if attempt.query or attempt.anonymous or not (attempt.content is None or type(attempt.content) is bytes):
        return None
    url = parse_url(library, attempt.url)
    if url.userinfo or not library.is_transparent(client):
        return None
    names = {name.lower().encode() for name in attempt.headers}
    headers = [header for header in client.headers.raw if header[0].lower() not in names]
    return library.module.Request(  # type: ignore[no-any-return]
        attempt.method,
        url,
        headers=[*headers, *attempt.headers.items()],
        content=attempt.content,
        extensions={"timeout": _limits(attempt)},
    )


def _limits(attempt: Attempt) -> Limits:
    """Returns the time limits of an attempt by kind, none beyond the deadline of the call."""
    limits = _limits_of(attempt.timeout)
    if attempt.deadline is None:
        return limits
    return {kind: until(limit, attempt.deadline) for kind, limit in limits.items()}


def _limits_of(timeout: Any) -> Limits:
    """Returns new limits, for `begin_body` changes them, for seconds, None, or a `Timeout` of either library."""
    if hasattr(timeout, "as_dict"):
        return timeout.as_dict()  # type: ignore[no-any-return]
    connect = None if timeout is None else min(timeout, CONNECT_TIMEOUT)
    return {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}


def open_body(library: HTTPLibrary, response: HTTPResponse, attempt: Attempt, *, keep: bool) -> None:
    """Prepares the reading of a body. The deadline of the call does not apply to a body that is kept open, as of a stream."""
    read_timeout = _limits_of(attempt.timeout)["read"]
    begin_body(response, read_timeout if keep or attempt.deadline is None else until(read_timeout, attempt.deadline))
    if "content-encoding" in response.headers:
        response.stream = byte_stream(library, _Slices)(response.stream, response.headers["content-encoding"])


class BodyBuffer:
    """Collects the decoded body of a response, bounded: that of an error is cut, and one that unpacks to too much is refused."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self._is_success = response.is_success
        self._is_encoded = is_encoded(response)
        self._parts: list[bytes] = []
        self._size = 0

    def is_full(self, data: bytes) -> bool:
        """Adds data; returns whether to stop reading."""
        self._parts.append(data)
        self._size += len(data)
        if not self._is_success:
            return self._size >= MAX_ERROR_BODY
        if self._is_encoded and self._size > _UNSUSPICIOUS and self._size > _MAX_RATIO * self._response.num_bytes_downloaded:
            raise SuspiciousBody(f"a compressed response of {self._response.num_bytes_downloaded} bytes unpacks to {self._size}")
        return False

    def response(self) -> Response:
        """Returns the response with its body."""
        content = b"".join(self._parts)
        if not self._is_success:
            content = content[:MAX_ERROR_BODY]
        response = self._response
        return Response(response.status_code, response.headers, content, origin=origin_of(response))


class _Slices:
    """A compressed body in slices that do not unpack to more than a few megabytes each: a library may unpack a read as a whole."""

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


def failure_of(error: Exception, url: str, deadline: float | None = None, response: HTTPResponse | None = None) -> Failure:
    """Returns the failure that an exception of the transfer means; raises any other. Its request, which holds the key, is not kept.

    `response` is the one whose body was read, if its head had arrived.

    The libraries beneath the HTTP library raise some exceptions that it does not translate.
    """
    if isinstance(error, RuntimeError) and _MISUSE.search(str(error)):
        raise ConfigurationError(f"the http_client cannot be used: {error}") from None
    if _is_of_redirect(error):
        return Failure(_BAD_REDIRECT, fatal=True, url=url)
    names = error_names(error)
    known = isinstance(error, TransferError | UnicodeError) or not _FAILURES.isdisjoint(names)
    if not known and type(error).__module__.partition(".")[0] not in _LIBRARIES:
        raise error
    timeout = isinstance(error, ReadTimeout) or "TimeoutException" in names
    is_late = timeout and deadline is not None and time.monotonic() >= deadline
    invalid = isinstance(error, UnicodeError) or type(error).__name__ == "LocalProtocolError" or not _INVALID.isdisjoint(names)
    if invalid:
        reason = _invalid_request(error, names)
    elif timeout:
        reason = f"timed out ({'max_elapsed' if is_late else type(error).__name__.removesuffix('Timeout').lower()})"
    else:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
    reason += "".join(f" ({note})" for note in getattr(error, "__notes__", ()))  # of a recording, that it is one
    unsent = invalid or not _NOT_SENT.isdisjoint(names) or (isinstance(error, StaleConnection) and error.unsent)
    return Failure(
        reason,
        maybe_received=not unsent,
        timeout=timeout,
        fatal=invalid or is_late or isinstance(error, SuspiciousBody),
        stale=isinstance(error, StaleConnection),
        refused="ConnectError" in names and is_refused(error),
        url=url,
        status=None if response is None else response.status_code,
    )


def is_refused(error: BaseException) -> bool:
    """Whether a machine answered that nothing listens on the port; the exception that says so may be under others."""
    if isinstance(error, ConnectionRefusedError) or "refused" in str(error):  # wreq has the text alone
        return True
    causes = (error.__cause__ or error.__context__, *getattr(error, "exceptions", ()))
    return any(is_refused(cause) for cause in causes if cause)


def _is_of_redirect(error: Exception) -> bool:
    """Whether an exception is about a `Location`, which a supplied client parses although it is not to follow it.

    httpx raises an error of its own, httpx2 a bare ValueError. A test fails if the name changes.
    """
    return any(frame.f_code.co_name == "_build_redirect_request" for frame, _ in walk_tb(error.__traceback__))


def late(url: str) -> Failure:
    """Returns the failure of an attempt that was ended at the deadline of its call."""
    return Failure("timed out (max_elapsed)", timeout=True, fatal=True, url=url)


def _invalid_request(error: Exception, names: frozenset[str]) -> str:
    if "StreamError" in names:
        return f"{type(error).__name__}: {error}"
    # The text of the others can quote the header, which may be the key.
    detail = f": {error}" if isinstance(error, UnicodeError) or not _REFUSED.isdisjoint(names) else ""
    return f"the request could not be written: a header or the URL holds characters that HTTP forbids{detail}"


def check_deadline(deadline: float | None) -> None:
    """Raises a timeout if the deadline of a call has passed."""
    if deadline is not None and time.monotonic() >= deadline:
        raise ReadTimeout("max_elapsed")


def is_encoded(response: HTTPResponse) -> bool:
    """Whether a body must be read through the library's own readers, which cost more than the rest of a small one.

    That is one with a content encoding, and one that a transport has read already (a test's, a cache's).
    """
    return "content-encoding" in response.headers or response.is_stream_consumed


def never(response: HTTPResponse) -> bool:
    """The responses of a call: each is read before it is returned."""
    return False


def always(response: HTTPResponse) -> bool:
    """The responses of a download: its body is read as it arrives, whatever it is."""
    return True


def is_event_stream(response: HTTPResponse) -> bool:
    """Whether a response can be a stream of events. Gateways may give it an odd content type, but not JSON, HTML or XML."""
    content_type = response.headers.get("content-type", "").lower()
    return not any(kind in content_type for kind in ("json", "html", "xml"))
