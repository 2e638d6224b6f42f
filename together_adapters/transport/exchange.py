"""The attempts of a call: what to send, how long to wait, what to raise. A generator, so that drivers only transfer bytes.

It yields an `Attempt` or a `Sleep`, is sent the response or a `Failure`, and returns the final response.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from together_adapters.errors import HTTPResponse
from together_adapters.transport import failures
from together_adapters.transport.bodies import Body, FileRange, encode_json
from together_adapters.transport.call import Call, Response, Sleep
from together_adapters.transport.config import Config
from together_adapters.transport.retry import Failure

T = TypeVar("T")

logger = logging.getLogger("together_adapters")

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_FORWARDED_HEADERS = frozenset({"accept", "accept-encoding", "range", "if-range"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to send."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, Any]
    content: Body | None
    timeout: Any
    anonymous: bool  # goes to another host, with nothing of the client but these headers
    seconds_left: float | None  # for the request and its response, if the call has a limit


Attempts = Generator[Attempt | Sleep, Any, tuple[Any, int]]


def attempts(call: Call[Any], config: Config, *, accept: str = "") -> Attempts:
    """Yields the attempts of a call and its pauses; returns the driver's response and the number of requests, or raises."""
    request = _first_request(call, config, accept)
    policy = config.policy
    start = time.monotonic()
    count = redirects = 0
    while True:
        seconds_left = None if policy.max_elapsed is None else max(policy.max_elapsed - (time.monotonic() - start), 0.001)
        reply: HTTPResponse | Failure = yield Attempt(**request, seconds_left=seconds_left)
        count += 1
        if not isinstance(reply, Failure):
            status = reply.status_code
            if 200 <= status < 300 or status in call.accepts:
                _log(call, count, status, start)
                return reply, count
            if redirects < _MAX_REDIRECTS and (target := _redirect(call, request, reply)):
                request, redirects, count = target, redirects + 1, count - 1
                continue
        outcome = reply if isinstance(reply, Failure) else (reply.status_code, reply.headers)
        delay = policy.next_delay(
            outcome,
            attempts=count,
            elapsed=time.monotonic() - start,
            now=time.time(),
            jitter=random.random(),
            billable=bool(call.billable),
        )
        _log(call, count, outcome.reason if isinstance(outcome, Failure) else outcome[0], start, delay)
        if delay is not None:
            yield Sleep(delay)
        elif isinstance(reply, Failure):
            raise failures.connection_error(reply, call, count)
        else:
            raise failures.status_error(snapshot(reply, count), call, (*config.secrets, *call.secrets))


def snapshot(response: HTTPResponse, attempts: int, content: bytes | None = None) -> Response:
    """Returns a response apart from its HTTP library: header names in lower case, and no cookies."""
    headers = {name.lower(): value for name, value in response.headers.items() if name.lower() != "set-cookie"}
    return Response(response.status_code, headers, response.content if content is None else content, attempts)


def parse_response(call: Call[T], response: Response, secrets: tuple[str, ...] = ()) -> T:
    """Returns the result of a call. A body that reports an error, in spite of its status, is that error."""
    try:
        return call.parse(response)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as problem:
        response = snapshot(response, response.attempts)
        if error := failures.event_error(response.content, is_error_event=False):
            raise failures.reported_error(error, response, call, (*secrets, *call.secrets)) from None
        raise failures.invalid_response(problem, response, call, (*secrets, *call.secrets)) from None


def _first_request(call: Call[Any], config: Config, accept: str) -> dict[str, Any]:
    content: Any = call.body
    headers = {"accept": "*/*"} if call.external else config.base_headers
    if isinstance(content, Mapping):
        try:
            content = encode_json(content)
        except ValueError as problem:
            raise ValueError(f"the body of {call.method} {call.safe_path} cannot be written as JSON: {problem}") from None
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
        "anonymous": call.external,
    }


def _redirect(call: Call[Any], request: dict[str, Any], response: HTTPResponse) -> dict[str, Any] | None:
    """Returns the request that a redirect leads to, or None if following it would disclose something.

    Another origin gets no key, headers or query of the client, and no body unless it is a file for a storage provider.
    """
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    target = urljoin(request["url"], location)
    origin, destination = urlsplit(request["url"]), urlsplit(target)
    if destination.scheme not in {origin.scheme, "https"} & {"http", "https"} or _is_link_local(destination.hostname):
        return None
    redirect = {**request, "url": target, "query": {}}
    if call.external:
        return redirect
    same_host = (origin.hostname, origin.port) == (destination.hostname, destination.port)
    if request["content"] is not None and (not same_host or response.status_code not in (307, 308)):
        return None
    if same_host:
        return redirect
    headers = {name: value for name, value in request["headers"].items() if name in _FORWARDED_HEADERS}
    return {**redirect, "headers": headers, "anonymous": True}


def _is_link_local(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_link_local
    except ValueError:
        return False


def _log(call: Call[Any], count: int, outcome: object, start: float, delay: float | None = None) -> None:
    """Logs an attempt: never a body, a query or a header."""
    if logger.isEnabledFor(logging.INFO):
        retry = "" if delay is None else f", again in {delay:.2f} s"
        elapsed = time.monotonic() - start
        logger.info("%s %s: attempt %d: %s after %.3f s%s", call.method, call.safe_path, count, outcome, elapsed, retry)
