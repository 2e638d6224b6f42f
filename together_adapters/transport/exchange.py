"""The attempts of a call: what to send, how long to wait, what to raise. A generator, so that drivers only transfer bytes.

It yields an `Attempt` or a `Sleep`, is sent the response or a `Failure`, and returns the final response. Under a control, it yields an
`Admission` before each attempt.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from together_adapters.errors import HTTPResponse, hides_frames
from together_adapters.transport import failures, observation
from together_adapters.transport.bodies import Body, FileRange, Form, encode_json
from together_adapters.transport.call import Call, Response, Sleep
from together_adapters.transport.config import Config
from together_adapters.transport.observation import ORIGIN, Admission, Meter
from together_adapters.transport.redirects import redirect
from together_adapters.transport.retry import Failure

T = TypeVar("T")

__tracebackhide__ = hides_frames

logger = logging.getLogger("together_adapters")

_MAX_REDIRECTS = 5
_MAX_STALE = 10  # more than a pool keeps idle; a fresh connection cannot be stale
_NO_TURN = Failure("timed out (max_elapsed) while it waited for its turn under the control", maybe_received=False, timeout=True)


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
    deadline: float | None  # of the monotonic clock, for the request and its response, if the call has a limit


_ENDED: Final = (Response, Failure)

Attempts = Generator[Attempt | Sleep | Admission, Any, tuple[Any, int]]


def attempts(call: Call[Any], config: Config, *, accept: str = "", meter: Meter | None = None) -> Attempts:
    """Yields the attempts of a call and its pauses; returns the driver's response and the number of requests, or raises."""
    if call.warning is not None:
        config.warn(call.warning)
    request = _first_request(call, config, accept)
    policy = config.policy if call.max_elapsed is None else config.policy.within(call.max_elapsed)
    start = time.monotonic()
    deadline = None if policy.max_elapsed is None else start + policy.max_elapsed
    count = redirects = stale = 0
    meter = meter or call.meter
    while True:
        if meter is not None and (turn := meter.turn()) is not None and not (yield Admission(turn, deadline)):
            raise failures.connection_error(_NO_TURN, call, count, secrets=config.secrets)
        reply: HTTPResponse | Failure = yield Attempt(**request, deadline=deadline)
        if isinstance(reply, Failure) and stale < _MAX_STALE and _is_unserved(reply, call):
            stale += 1
            continue
        if meter is not None:
            meter.answer(reply, is_open=not isinstance(reply, _ENDED))
        count += 1
        if not isinstance(reply, Failure):
            status = reply.status_code
            if 200 <= status < 300 or status in call.accepts:
                _log(call, config, count, status, start)
                return reply, count
            if redirects < _MAX_REDIRECTS and (target := redirect(request, status, reply.headers.get("location"))):
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
        if delay is not None and not isinstance(reply, Failure) and failures.is_final(reply):
            delay = None
        _log(call, config, count, reply if isinstance(reply, Failure) else reply.status_code, start, delay)
        if delay is not None:
            yield Sleep(delay)
        elif isinstance(reply, Failure):
            # A recording must not keep what is true of this moment alone.
            advice = config.connection_advice(reply) if observation.tape is None else ""
            raise failures.connection_error(reply, call, count, secrets=config.secrets, advice=advice)
        else:
            raise failures.status_error(snapshot(reply, count), call, config.secrets, config.advise)


def snapshot(response: HTTPResponse, attempts: int, content: bytes | None = None) -> Response:
    """Returns a response apart from its HTTP library: header names in lower case, and no cookies."""
    headers = {name.lower(): value for name, value in response.headers.items() if name.lower() != "set-cookie"}
    content = response.content if content is None else content
    return Response(response.status_code, headers, content, attempts, origin_of(response))


def origin_of(response: Any) -> str:
    """Returns where a response comes from, whether it was read or is open; nothing if from the network."""
    origin: str = response.origin if isinstance(response, Response) else response.extensions.get(ORIGIN, "")
    return origin


def parse_response(call: Call[T], response: Response, config: Config) -> T:
    """Returns the result of a call. A body that reports an error, in spite of its status, is that error."""
    try:
        return call.parse(response)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        problem = error
    # Raised here, the error does not refer to one of pydantic, which has the values of the response.
    response = snapshot(response, response.attempts)
    if error_body := failures.event_error(response.content, is_error_event=False):
        raise failures.reported_error(error_body, response, call, config.secrets)
    raise failures.invalid_response(problem, response, call, config.secrets)


def _is_unserved(failure: Failure, call: Call[Any]) -> bool:
    """Whether a request goes again at once, uncounted: its connection died idle, before a byte of a response.

    Browsers and curl do so with every request, because a server that has the request does not close without a byte unless it
    crashed. For paid work that is not certain enough: it goes again only if not even its head was sent.
    """
    return failure.stale and not (call.billable and failure.maybe_received)


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
    elif isinstance(content, Form):  # whose type names its boundary
        headers = {name: value for name, value in headers.items() if name != "content-type"}
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


def _log(call: Call[Any], config: Config, count: int, outcome: int | Failure, start: float, delay: float | None = None) -> None:
    """Logs and reports an attempt: never a body, a query, a header or a secret in what the connection says."""
    if call.on_attempt is not None:
        call.on_attempt(count, outcome, delay)
    if logger.isEnabledFor(logging.INFO):
        retry = "" if delay is None else f", again in {delay:.2f} s"
        elapsed = time.monotonic() - start
        redact = failures.redactor_of(call, config.secrets)
        reason = redact(outcome.reason if isinstance(outcome, Failure) else outcome)
        logger.info("%s %s: attempt %d: %s after %.3f s%s", call.method, redact(call.safe_path), count, reason, elapsed, retry)
