"""What became of one request: a response, or an error that another try may mend or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from together_adapters.control.estimates import usage_tokens
from together_adapters.control.prices import Tokens
from together_adapters.errors import APIConnectionError, APIError, APIResponseValidationError, TogetherError
from together_adapters.resources.batches import CHAT
from together_adapters.transport.call import Call, Response
from together_adapters.transport.failures import parse_error, status_error
from together_adapters.transport.model_parser import ModelParser

COMPLETIONS: Final = "/v1/completions"
EMBEDDINGS: Final = "/v1/embeddings"
KINDS: Final[Mapping[str, str]] = {CHAT: "chat", COMPLETIONS: "completion", EMBEDDINGS: "embeddings"}
"""Kinds of calls by endpoint, as the ledger names them."""
_CONTENT: Final[Mapping[str, str]] = {CHAT: "choices", COMPLETIONS: "choices", EMBEDDINGS: "data"}
_AGAIN: Final = frozenset({408, 409, 425, 429})
_AGAIN_CODES: Final = frozenset(
    {"missing", "expired", "batch_expired", "job_failed", "invalid_response", "rate_limit_exceeded", "rate_limit", "timeout"}
    | {"internal_error", "internal_server_error", "server_error", "service_unavailable", "overloaded", "model_overloaded"}
)


_STATUS_OF_CODE: Final[Mapping[str, int]] = {
    **dict.fromkeys(("invalid_request_error", "invalid_request", "bad_request", "context_length_exceeded"), 400),
    **dict.fromkeys(("dedicated_endpoint_not_running", "invalid_parameter", "validation_error"), 400),
    **dict.fromkeys(("invalid_api_key", "authentication_error", "unauthorized"), 401),
    **dict.fromkeys(("third_party_data_sharing_blocked", "permission_denied", "forbidden"), 403),
    **dict.fromkeys(("model_not_available", "model_not_found", "not_found"), 404),
    "request_too_large": 413,
    "unprocessable_entity": 422,
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit"), 429),
    **dict.fromkeys(("internal_error", "internal_server_error", "server_error"), 500),
    **dict.fromkeys(("service_unavailable", "overloaded", "model_overloaded"), 503),
}
"""The error files of jobs have codes and no statuses, by which errors are told apart."""


class Outcome(NamedTuple):
    """A row of the checkpoint: what came of a request."""

    response: bytes | None
    error: str | None
    retry: bool = False
    tokens: Tokens = Tokens()


def of_line(line: Mapping[str, Any], endpoint: str) -> Outcome:
    """Returns the outcome of a line of an output or an error file."""
    response = line.get("response")
    response = response if isinstance(response, dict) else {}
    body, status = response.get("body"), response.get("status_code")
    error = line.get("error")
    if not error and isinstance(body, dict) and (not isinstance(status, int) or status < 400) and not body.get("error"):
        return of_response(body, endpoint)
    status = status if isinstance(status, int) and status >= 400 else None
    return of_error(error or (body.get("error") if isinstance(body, dict) else None) or body, status)


def of_response(body: dict[str, Any], endpoint: str) -> Outcome:
    """Returns the outcome of a response; one without what was asked for counts as an error."""
    content = _CONTENT.get(endpoint)
    if content is not None and not body.get(content):
        return of_error({"message": f"the response has no {content}", "code": "invalid_response"})
    return Outcome(to_json(body), None, tokens=usage_tokens(body.get("usage")) or Tokens())


def of_error(error: Any, status: int | None = None, **details: Any) -> Outcome:
    """Returns the outcome of an error as the service words it, and whether another try may mend it."""
    error = error if isinstance(error, Mapping) else {"message": str(error or "no explanation was given")}
    code = error.get("code")
    if status is None and str(code).isdigit() and 400 <= int(str(code)) < 600:
        status = int(str(code))
    status = status or _STATUS_OF_CODE.get(str(code).lower())
    retry = (status is not None and (status in _AGAIN or status >= 500)) or str(code).lower() in _AGAIN_CODES
    document = {"status": status, "error": dict(error), **details}
    return Outcome(None, to_json(document, serialize_unknown=True).decode(), retry)


def of_exception(error: TogetherError) -> Outcome:
    """Returns the outcome of a call that failed."""
    body = error.body
    inner = body.get("error") if isinstance(body, Mapping) else None
    words = inner if isinstance(inner, Mapping) else {"message": parse_error(body).message or error.message, "code": error.code}
    if isinstance(error, APIConnectionError):
        return of_error({"message": error.message, "code": "timeout"}, connection=True)
    if isinstance(error, APIResponseValidationError):
        words = {"message": error.message, "code": "invalid_response"}
    return of_error(words, error.status_code if (error.status_code or 0) >= 400 else None, request_id=error.request_id)


def exception_of(document: str, endpoint: str, index: int, body: bytes) -> APIError | APIConnectionError:
    """Returns the exception of an error in the checkpoint, which names its request: the message its index, `request` the body."""
    fields = from_json(document)
    words, status, request = fields["error"], fields.get("status"), from_json(body)
    error: APIError | APIConnectionError
    message = parse_error({"error": words}).message or "no explanation was given"
    if fields.get("connection"):
        error = APIConnectionError(message, code=words.get("code"))
    elif status is None:
        error = APIError(f"the request failed: {message}", code=words.get("code"), body={"error": words})
    else:
        headers = {"x-request-id": fields["request_id"]} if fields.get("request_id") else {}
        call: Call[Any] = Call("POST", endpoint, lambda response: None, request)
        error = status_error(Response(status, headers, to_json({"error": words})), call)
    error.message = f"request {index}: {error.message}"
    error.args = (error.message,)
    vars(error)["request"] = request
    return error


def parser_for(endpoint: str) -> Callable[[bytes], Any]:
    """Returns the parser of an endpoint's responses; without a model of its own, one of JSON."""
    from together_adapters.types.chat import ChatCompletion
    from together_adapters.types.completions import Completion
    from together_adapters.types.embeddings import EmbeddingResponse

    models: dict[str, type[BaseModel]] = {CHAT: ChatCompletion, COMPLETIONS: Completion, EMBEDDINGS: EmbeddingResponse}
    model = models.get(endpoint)
    return from_json if model is None else ModelParser(model).parse
