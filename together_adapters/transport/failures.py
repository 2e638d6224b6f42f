"""From an answer that is an error, or from none, to the exception that says what happened and what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic_core import from_json

from together_adapters import errors
from together_adapters.errors import APIError, APIStatusError, TogetherError
from together_adapters.transport.call import Call, Response
from together_adapters.transport.retry import Failure

_CONTEXT = re.compile(
    r"context[ _](length|window)|longer than the model|max_new_tokens`? must be|maximum sequence length|too many input tokens",
    re.IGNORECASE,
)
_CONTEXT_STATUSES = frozenset({400, 403, 413, 422})
_UNAVAILABLE = frozenset({"model_not_available", "model_not_found", "dedicated_endpoint_not_running"})
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
    (errors.PermissionDeniedError, "This key may not do that."),
    (errors.RateLimitError, "Send fewer requests at once, or raise max_retries."),
    (errors.ServiceUnavailableError, "The model is overloaded; try again later, or another model."),
    (errors.InternalServerError, "The service failed; try again later."),
)


class Said(NamedTuple):
    """What an error body says, whichever of its many shapes it has."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None


def parse_error(body: Any) -> Said:
    """Read an error body: nested, flat, a bare string, a list of errors, HTML, plain text, or nothing."""
    if isinstance(body, str):
        return Said(" ".join(_TAGS.sub(" ", body).split())[:500])
    if isinstance(body, list):
        return parse_error(body[0]) if body else Said("")
    if not isinstance(body, Mapping):
        return Said("")
    if inner := body.get("error") or body.get("errors"):
        found = parse_error(inner)
        return found if found.message else Said(str(inner)[:500], *found[1:])
    message = body.get("message") or body.get("detail") or ""
    return Said(
        message if isinstance(message, str) else str(message)[:500],
        _text(body.get("type")),
        _text(body.get("param")),
        _text(body.get("code") or body.get("error_type")),
    )


def status_error(response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIStatusError:
    """Return the error for an answer with an error status.

    Args:
        response: The answer.
        call: What was asked.
        secrets: Texts that must not appear in the error, should the service repeat them.
    """
    response = _without(response, secrets)
    body = _body(response)
    said = parse_error(body)
    if 300 <= response.status_code < 400:
        said = Said(f"a redirect to {urlsplit(response.headers.get('location', '')).netloc or 'nowhere'} was not followed")
    kind = _status_class(response.status_code, said)
    where = f"{response.status_code} from {call.method} {call.safe_path}"
    return kind(
        _sentence(f"{where}: {said.message or 'no explanation was given'}", kind, response, call),
        status_code=response.status_code,
        type=said.type,
        param=said.param,
        code=said.code,
        body=body,
        headers=response.headers,
        request_id=response.request_id or _body_id(body),
        attempts=response.attempts,
        response=response,
    )


def stream_error(body: Any, response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Return the error for an event that reports one in the middle of a stream."""
    said = parse_error(body)
    message = said.message or "no explanation was given"
    for secret in filter(None, secrets):
        message = message.replace(secret, "[redacted]")
    kind = errors.APIError
    return kind(
        _sentence(f"error in the stream of {call.method} {call.safe_path}: {message}", kind, response, call),
        type=said.type,
        param=said.param,
        code=said.code,
        body=body,
        headers=response.headers,
        request_id=response.request_id,
        attempts=response.attempts,
        response=response,
    )


def connection_error(
    failure: Failure, call: Call[Any], attempts: int, kind: type[errors.APIConnectionError] | None = None
) -> errors.APIConnectionError:
    """Return the error for an exchange that brought no answer, or only a part of one."""
    kind = kind or (errors.APITimeoutError if failure.timeout else errors.APIConnectionError)
    tries = f" after {attempts} attempts" if attempts > 1 else ""
    message = f"{call.method} {call.safe_path} failed{tries}: {failure.reason}"
    return kind(message + _paid_warning(call, failure.maybe_received), attempts=attempts)


def invalid_answer(problem: Exception | str, response: Response, call: Call[Any]) -> errors.APIResponseValidationError:
    """Return the error for an answer that cannot be read."""
    detail = "; ".join(str(problem).splitlines())[:500] if isinstance(problem, str) else _first_line(problem)
    kind = errors.APIResponseValidationError
    return kind(
        _sentence(f"the answer to {call.method} {call.safe_path} cannot be read: {detail}", kind, response, call),
        status_code=response.status_code,
        body=response.text[:2000],
        headers=response.headers,
        request_id=response.request_id,
        attempts=response.attempts,
        response=response,
    )


def not_a_stream(response: Response, call: Call[Any], secrets: Iterable[str] = ()) -> APIError:
    """Return the error for a stream that was asked for and answered by something else."""
    if error := event_error(response.content, named=False):
        return stream_error(error, response, call, secrets)
    kind = response.headers.get("content-type", "nothing")
    return invalid_answer(f"an event stream was expected, but {kind} came", response, call)


def event_error(data: bytes, named: bool) -> Any:
    """Return the error that an event reports, or None. A key named `error` with nothing in it is none."""
    try:
        body = from_json(data)
    except ValueError:
        return data.decode("utf-8", "replace") if named else None
    if isinstance(body, Mapping) and body.get("error"):
        return body
    return (body or "unnamed error") if named else None


def _status_class(status: int, said: Said) -> type[APIStatusError]:
    if status in _CONTEXT_STATUSES and (said.code == "context_length_exceeded" or _CONTEXT.search(said.message)):
        return errors.ContextLengthError
    if said.code in _UNAVAILABLE and status in (400, 404):
        return errors.ModelNotFoundError if status == 404 else errors.ModelNotServerlessError
    if kind := errors.BY_STATUS.get(status):
        return kind
    return errors.InternalServerError if status >= 500 else errors.APIStatusError


def _sentence(what: str, kind: type[TogetherError], response: Response, call: Call[Any]) -> str:
    parts = [what if what.endswith((".", "!", "?")) else what + "."]
    parts += [text for cause, text in _HINTS if issubclass(kind, cause)][:1]
    if response.request_id:
        parts.append(f"(request id {response.request_id})")
    if response.attempts > 1:
        parts.append(f"({response.attempts} attempts)")
    return " ".join(parts) + (_paid_warning(call, response.status_code >= 500) if response.status_code else "")


def _paid_warning(call: Call[Any], maybe_accepted: bool) -> str:
    if not call.billable or not maybe_accepted:
        return ""
    return f" It was not sent again, because the service may have accepted it: look with {call.billable} before you repeat it."


def _without(response: Response, secrets: Iterable[str]) -> Response:
    content = response.content
    for secret in filter(None, secrets):
        content = content.replace(secret.encode(), b"[redacted]")
    return Response(response.status_code, response.headers, content, response.attempts)


def _body(response: Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text


def _body_id(body: Any) -> str | None:
    return _text(body.get("id")) if isinstance(body, Mapping) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _first_line(problem: Exception) -> str:
    lines = str(problem).splitlines()
    return f"{type(problem).__name__}: {' '.join(line.strip() for line in lines[:3])}"[:500]
