"""From exceptions of wreq to those of the HTTP library, whose names say whether a request can have been received.

wreq tells in the text of an exception what failed. The text is never passed on: it has the URL, and the password of a proxy.
"""

from __future__ import annotations

import re
from typing import Any

from together_adapters.transport.http_library import HTTPLibrary
from together_adapters.transport.network import OversizedHead, ReadTimeout, StaleConnection

_LOCAL_ADDRESS = re.compile(r"local_addr: ([^ ,}]+)")
_DETAIL = re.compile(r'(?:message|reason|error): "([^"]{1,200})"|netty::Error\((?:Parse\()?(\w+)|Some\((\w+)\)')
_DEAD = re.compile(r"IncompleteMessage|ConnectionReset|ConnectionAborted|BrokenPipe|NotConnected")
_TIMED_OUT = re.compile(r"kind: TimedOut|Some\(TimedOut\)")  # of the connector, or of the timer around it, whichever is first
_WORDS = {
    "IncompleteMessage": "the server closed the connection without a response",
    "Version": "the response is not HTTP/1.1",
}


def translate(error: Exception, library: HTTPLibrary, has_served: Any) -> Exception:
    """Returns the exception to raise for one of wreq; what cannot be told apart may have been received.

    Args:
        error: The exception.
        library: Whose exceptions are returned.
        has_served: Tells of the local address of a connection whether a response has arrived on it.
    """
    text = str(error)
    errors = library.module
    if "kind: ProxyConnect" in text:
        return errors.ProxyError(_detail(text))  # type: ignore[no-any-return]
    if "kind: Connect," in text:
        return (errors.ConnectTimeout if _TIMED_OUT.search(text) else errors.ConnectError)(_detail(text))  # type: ignore[no-any-return]
    if "source: TimedOut" in text:
        return ReadTimeout("no time is left")
    if "TooLarge" in text:
        return OversizedHead("the head of the response is too large")
    address = _LOCAL_ADDRESS.search(text)
    if _DEAD.search(text) and "kind: SendRequest" in text:
        if has_served(address and address[1]):
            return StaleConnection("the server had closed the connection")
        return errors.RemoteProtocolError(_detail(text))  # type: ignore[no-any-return]
    if "ConnectionReset" in text:
        return errors.ReadError(_detail(text))  # type: ignore[no-any-return]
    return errors.RemoteProtocolError(_detail(text))  # type: ignore[no-any-return]


def _detail(text: str) -> str:
    """Returns what happened, in the words of the system or of TLS."""
    details = [next(filter(None, match.groups())) for match in _DETAIL.finditer(text)]
    return _WORDS.get(details[-1], details[-1]) if details else "the connection failed"
