"""One call as its attempts: what to send, when to wait, what to raise. A generator, so that drivers only move bytes.

It yields `Transmit` and `Sleep`, is sent answers or failures, and returns the answer that settled the call.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

from together_adapters.transport import failures
from together_adapters.transport.bodies import Body, FileRange, encode_json
from together_adapters.transport.call import Call, Response, Sleep
from together_adapters.transport.config import Config
from together_adapters.transport.retry import Failure

logger = logging.getLogger("together_adapters")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_HARMLESS = frozenset({"accept", "accept-encoding", "range", "if-range"})


@dataclass(frozen=True, slots=True)
class Transmit:
    """One request to put on the wire.

    Attributes:
        bare: Whether it goes to another host, and takes nothing along but what stands here.
        seconds: Time that is left for it and its answer, when the call as a whole is bounded.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, Any]
    content: Body | None
    timeout: Any
    bare: bool
    seconds: float | None


class Answered(Protocol):
    """What a driver sends back: any HTTP library's response."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


Attempts = Generator[Transmit | Sleep, Any, tuple[Any, int]]


def attempts(call: Call[Any], config: Config, *, accept: str = "") -> Attempts:
    """Describe every attempt of a call.

    Args:
        call: What is asked.
        config: Of whom, and as whom.
        accept: The content type to ask for, instead of JSON.

    Returns:
        The driver's answer, which has a success status, and the number of requests sent.

    Raises:
        TogetherError: The call failed for good.
    """
    request = _first(call, config, accept)
    policy = config.policy
    began = time.monotonic()
    sent = redirects = 0
    while True:
        seconds = None if policy.max_elapsed is None else max(policy.max_elapsed - (time.monotonic() - began), 0.001)
        transmit = Transmit(**request, seconds=seconds)
        reply: Answered | Failure = yield transmit
        sent += 1
        if not isinstance(reply, Failure):
            status = reply.status_code
            if 200 <= status < 300 or status in call.accepts:
                _log(call, sent, status, began)
                return reply, sent
            if redirects < _MAX_REDIRECTS and (moved := _redirected(call, request, reply)):
                request, redirects, sent = moved, redirects + 1, sent - 1
                continue
        outcome = reply if isinstance(reply, Failure) else (reply.status_code, reply.headers)
        delay = policy.next_delay(
            outcome,
            attempts=sent,
            elapsed=time.monotonic() - began,
            now=time.time(),
            jitter=random.random(),
            billable=bool(call.billable),
        )
        _log(call, sent, outcome.reason if isinstance(outcome, Failure) else outcome[0], began, delay)
        if delay is None:
            raise _error(reply, call, sent, config)
        yield Sleep(delay)


def snapshot(answered: Answered, attempts: int, content: bytes | None = None) -> Response:
    """Return an answer apart from its HTTP library: lower-case headers, and no cookies."""
    headers = {name.lower(): value for name, value in answered.headers.items() if name.lower() != "set-cookie"}
    return Response(answered.status_code, headers, answered.content if content is None else content, attempts)


def _first(call: Call[Any], config: Config, accept: str) -> dict[str, Any]:
    content: Any = call.body
    headers = {"accept": "*/*"} if call.external else config.base_headers
    if isinstance(content, Mapping):
        content = _json(content, call)
        headers = {**headers, "content-type": "application/json"}
    elif isinstance(content, FileRange):
        headers = {**headers, "content-length": str(content.size)}
    if accept:
        headers = {**headers, "accept": accept}
    if call.headers:
        headers = {**headers, **{name.lower(): value for name, value in call.headers.items()}}
    query = {**config.query, **call.query} if (config.query or call.query) and not call.external else {}
    return {
        "method": call.method,
        "url": call.path if call.external else config.root + call.path,
        "headers": headers,
        "query": {name: value for name, value in query.items() if value is not None},
        "content": content,
        "timeout": call.timeout if call.has_timeout else config.timeout,
        "bare": call.external,
    }


def _json(body: Mapping[str, Any], call: Call[Any]) -> bytes:
    try:
        return encode_json(body)
    except ValueError as problem:
        raise ValueError(f"the body of {call.method} {call.safe_path} cannot be written as JSON: {problem}") from None


def _redirected(call: Call[Any], request: dict[str, Any], reply: Answered) -> dict[str, Any] | None:
    """Return the request that a redirect leads to, or None where following it would give something away.

    Another origin gets no key, no headers and no query of ours, and no body but a file that was meant for storage.
    """
    location = reply.headers.get("location")
    if reply.status_code not in _REDIRECTS or not location:
        return None
    target = urljoin(request["url"], location)
    here, there = urlsplit(request["url"]), urlsplit(target)
    if there.scheme not in (here.scheme, "https") or there.scheme not in ("http", "https") or _is_link_local(there.hostname):
        return None
    moved = {**request, "url": target, "query": {}}
    if call.external:
        return moved
    same = (here.hostname, here.port) == (there.hostname, there.port)
    if request["content"] is not None and (not same or reply.status_code not in (307, 308)):
        return None
    if same:
        return moved
    harmless = {name: value for name, value in request["headers"].items() if name in _HARMLESS}
    return {**moved, "headers": harmless, "bare": True}


def _is_link_local(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_link_local
    except ValueError:
        return False


def _error(reply: Answered | Failure, call: Call[Any], sent: int, config: Config) -> Exception:
    if isinstance(reply, Failure):
        return failures.connection_error(reply, call, sent)
    return failures.status_error(snapshot(reply, sent), call, (*config.secrets, *call.secrets))


def _log(call: Call[Any], sent: int, outcome: object, began: float, delay: float | None = None) -> None:
    """Log an attempt: never a body, a query or a header."""
    if logger.isEnabledFor(logging.INFO):
        again = "" if delay is None else f", again in {delay:.2f} s"
        elapsed = time.monotonic() - began
        logger.info("%s %s: attempt %d: %s after %.3f s%s", call.method, call.safe_path, sent, outcome, elapsed, again)
