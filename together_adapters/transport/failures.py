"""From an error response, or a missing one, to the exception that says what happened and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from together_adapters import errors
from together_adapters.errors import APIError, APIStatusError, TogetherError
from together_adapters.transport.call import Call, Response
from together_adapters.transport.redirects import host_of
from together_adapters.transport.retry import Failure

E = TypeVar("E", bound=TogetherError)

_CONTEXT_MESSAGE = re.compile(
    r"context[ _](length|window)|longer than the model|max_new_tokens`? must be|maximum sequence length|too many input tokens",
    re.IGNORECASE,
)
_CONTEXT_STATUSES = frozenset({400, 403, 413, 422})
_UNAVAILABLE_CODES = frozenset({"model_not_available", "model_not_found", "dedicated_endpoint_not_running"})
_NO_MESSAGE = "no explanation was given"
_TAGS = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)

_HINTS: tuple[tuple[type[TogetherError], str], ...] = (
    (errors.ContextLengthError, "Shorten the prompt, lower max_tokens, or choose a model with a longer context."),
    (errors.ModelNotFoundError, "Check the name against models.list(); some models run on a dedicated endpoint only."),
    (
        errors.ModelNotServerlessError,
        "Start a dedicated endpoint for it with endpoints.create(model=..., hardware=...), which costs by the hour, "
        "or choose a serverless model.",
    ),
    (errors.AuthenticationError, "Check TOGETHER_API_KEY, or the api_key that was passed."),
    (errors.PaymentRequiredError, "Add credit or raise the spending limit in the account's billing settings."),
    (errors.PermissionDeniedError, "The API key does not have this permission."),
    (errors.RateLimitError, "Send fewer requests at once, or raise max_retries."),
    (errors.ServiceUnavailableError, "The model is overloaded; try again later, or another model."),
    (errors.InternalServerError, "The service failed; try again later."),
)


class ErrorDetails(NamedTuple):
    """The content of an error body."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None


def parse_error(body: Any) -> ErrorDetails:
    """Parses an error body: nested, flat, a bare string, a list of errors, HTML, plain text, or nothing."""
    if isinstance(body, str):
        return ErrorDetails(" ".join(_TAGS.sub(" ", body).split())[:500])
    if isinstance(body, list):
        return parse_error(body[0]) if body else ErrorDetails("")
    if not isinstance(body, Mapping):
        return ErrorDetails("")
    if inner := body.get("error") or body.get("errors"):
        details = parse_error(inner)
        return details if details.message else ErrorDetails(str(inner)[:500], *details[1:])
    message = body.get("message") or body.get("detail") or ""
    return ErrorDetails(
        message if isinstance(message, str) else str(message)[:500],
        _text(body.get("type")),
        _text(body.get("param")),
        _text(body.get("code") or body.get("error_type")),
    )


def status_error(response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIStatusError:
    """Returns the error for an error status, without the secrets, should the service repeat them."""
    response = _redacted(response, secrets)
    try:
        body = response.json()
    except ValueError:
        body = response.text
    details = parse_error(body)
    if 300 <= response.status_code < 400:
        location = host_of(response.headers.get("location", "")) or "nowhere"
        details = ErrorDetails(f"a redirect to {location} was not followed")
    return _response_error(
        _status_class(response.status_code, details),
        f"{response.status_code} from {call.method} {call.safe_path}: {details.message or _NO_MESSAGE}",
        response,
        call,
        details,
        status_code=response.status_code,
        body=body,
        request_id=response.request_id or (_text(body.get("id")) if isinstance(body, Mapping) else None),
    )


def stream_error(body: Any, response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Returns the error for an event that reports one in the middle of a stream."""
    return reported_error(body, response, call, secrets, place="stream of")


def reported_error(
    body: Any, response: Response, call: Call[Any], secrets: Iterable[str] = (), *, place: str = "answer to"
) -> APIError:
    """Returns the error that a body reports although its status is no error."""
    details = parse_error(body)
    message = details.message or _NO_MESSAGE
    for secret in filter(None, secrets):
        message = message.replace(secret, "[redacted]")
    message = f"error in the {place} {call.method} {call.safe_path}: {message}"
    return _response_error(APIError, message, response, call, details, body=body)


def invalid_response(
    problem: Exception | str, response: Response, call: Call[Any], secrets: Iterable[str] = ()
) -> errors.APIResponseValidationError:
    """Returns the error for a response that cannot be parsed."""
    lines = [line.strip() for line in str(problem).splitlines()]
    detail = "; ".join(lines) if isinstance(problem, str) else f"{type(problem).__name__}: {' '.join(lines[:3])}"
    message = f"the response to {call.method} {call.safe_path} cannot be parsed: {detail[:500]}"
    kind = errors.APIResponseValidationError
    return _response_error(kind, message, response, call, status_code=response.status_code, body=response.text[:2000])


def not_a_stream(response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Returns the error for a response that should be an event stream and is not."""
    if error := event_error(response.content, is_error_event=False):
        return stream_error(error, response, call, secrets)
    content_type = response.headers.get("content-type", "nothing")
    return invalid_response(f"an event stream was expected, but {content_type} came", response, call)


def connection_error(
    failure: Failure, call: Call[Any], attempts: int, kind: type[errors.APIConnectionError] | None = None
) -> errors.APIConnectionError:
    """Returns the error for a call without a response, or with an incomplete one."""
    kind = kind or (errors.APITimeoutError if failure.timeout else errors.APIConnectionError)
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    address = f" at {address}" if (address := _address(failure.url, call)) else ""
    message = f"{call.method} {call.safe_path}{address} failed{tries}: {failure.reason}"
    return kind(message + _billable_warning(call, failure.maybe_received), attempts=attempts)


def _address(url: str, call: Call[Any]) -> str:
    """Returns host, port and a gateway's path prefix of the URL of a call; the path of any other URL may hold credentials."""
    if call.external or not url:
        return ""
    host, path = host_of(url), urlsplit(url).path
    return host + path.removesuffix(call.safe_path) if host and path.endswith(call.safe_path) else host


def event_error(data: bytes, is_error_event: bool) -> Any:
    """Returns the error that an event reports, or None. A key `error` with an empty value is no error."""
    try:
        body = from_json(data)
    except ValueError:
        return data.decode("utf-8", "replace") if is_error_event else None
    if isinstance(body, Mapping):
        choices = body.get("choices")
        for part in (body, *(choices if isinstance(choices, list) else ())):
            if isinstance(part, Mapping) and part.get("error"):
                return part
    return (body or "unnamed error") if is_error_event else None


def _status_class(status: int, details: ErrorDetails) -> type[APIStatusError]:
    if status in _CONTEXT_STATUSES and (details.code == "context_length_exceeded" or _CONTEXT_MESSAGE.search(details.message)):
        return errors.ContextLengthError
    if details.code in _UNAVAILABLE_CODES and status in (400, 404):
        return errors.ModelNotFoundError if status == 404 else errors.ModelNotServerlessError
    if kind := errors.BY_STATUS.get(status):
        return kind
    return errors.InternalServerError if status >= 500 else errors.APIStatusError


def _response_error(
    kind: type[E], message: str, response: Response, call: Call[Any], details: ErrorDetails | None = None, **attributes: Any
) -> E:
    """Returns an error with all that its response says, and a message with a hint, the request id and the number of attempts."""
    parts = [message if message.endswith((".", "!", "?")) else message + "."]
    parts += [hint for cause, hint in _HINTS if issubclass(kind, cause)][:1]
    if response.request_id:
        parts.append(f"(request id {response.request_id})")
    if response.attempts > 1:
        parts.append(f"({response.attempts} attempts)")
    message = " ".join(parts) + _billable_warning(call, response.status_code >= 500)
    if details:
        attributes |= {"type": details.type, "param": details.param, "code": details.code}
    attributes = {"headers": response.headers, "request_id": response.request_id, "attempts": response.attempts, **attributes}
    return kind(message, response=response, **attributes)


def _billable_warning(call: Call[Any], maybe_accepted: bool) -> str:
    if not call.billable or not maybe_accepted:
        return ""
    return f" It was not retried, because the service may have accepted it: check {call.billable} before you send it again."


def _redacted(response: Response, secrets: Iterable[str]) -> Response:
    content = response.content
    for secret in filter(None, secrets):
        content = content.replace(secret.encode(), b"[redacted]")
    return replace(response, content=content)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
