"""What became of one request: a response, or an error that another try may mend or not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from together_adapters.control.estimates import usage_tokens
from together_adapters.control.prices import Tokens
from together_adapters.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ModelNotAvailableError,
    PaymentRequiredError,
    TogetherError,
)
from together_adapters.resources.batches import CHAT
from together_adapters.transport.call import Call, Response
from together_adapters.transport.failures import parse_error, status_error
from together_adapters.transport.model_parser import ModelParser
from together_adapters.transport.surrogates import lenient_json

COMPLETIONS: Final = "/v1/completions"
FATAL: Final = (AuthenticationError, BudgetExceededError, ConfigurationError, PaymentRequiredError)
"""Errors that every other request would meet, too."""
FATAL_OF_MODEL: Final = (*FATAL, ModelNotAvailableError)
"""Errors that every other request to the same model would meet, too."""
EMBEDDINGS: Final = "/v1/embeddings"
KINDS: Final[Mapping[str, str]] = {CHAT: "chat", COMPLETIONS: "completion", EMBEDDINGS: "embeddings"}
"""Kinds of calls by endpoint, as the ledger names them."""
_CONTENT: Final[Mapping[str, str]] = {CHAT: "choices", COMPLETIONS: "choices", EMBEDDINGS: "data"}
_TEXT: Final = (str, type(None))
_CONTENT_ERRORS: Final = frozenset({400, 413, 422})
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


class Failure(NamedTuple):
    """Why a request has no answer."""

    document: dict[str, Any]
    """`error` in the words of the service, its `status` if it is known, `connection` and `request_id` of a single request."""
    may_pass: bool
    """Whether it may be mended by sending the request again, soon."""

    @property
    def is_final(self) -> bool:
        """Whether the request itself is refused, so that sending it again is of no use, whenever it may be."""
        return (
            self.document["status"] in _CONTENT_ERRORS and self.document["error"].get("code") != "dedicated_endpoint_not_running"
        )


def read_line(line: bytes, endpoint: str) -> tuple[str, Tokens | Failure]:
    """Returns the id in a line of an output or an error file, or of answers of single requests, and its tokens or failure.

    A line that is none is a ValueError.
    """
    value = parse_json(line)
    if not isinstance(value, dict) or "custom_id" not in value:
        raise ValueError("it has no custom_id")
    return str(value["custom_id"]), _outcome(value, endpoint)


def read_id(line: bytes) -> str:
    """Returns the id in a line."""
    return str(parse_json(line)["custom_id"])


def parse_json(text: bytes) -> Any:
    """Returns a value of JSON, also of such with halves of characters."""
    try:
        return from_json(text)
    except ValueError:
        return from_json(lenient_json(text))


def _outcome(line: Mapping[str, Any], endpoint: str) -> Tokens | Failure:
    if isinstance(failure := line.get("failure"), dict):
        return failure_of(**failure)
    response = line.get("response")
    response = response if isinstance(response, dict) else {}
    body, status = response.get("body"), response.get("status_code")
    error = line.get("error")
    if not error and isinstance(body, dict) and (not isinstance(status, int) or status < 400) and not body.get("error"):
        return outcome_of_body(body, endpoint)
    status = status if isinstance(status, int) and status >= 400 else None
    return failure_of(error or (body.get("error") if isinstance(body, dict) else None) or body, status)


def outcome_of_body(body: dict[str, Any], endpoint: str) -> Tokens | Failure:
    """Returns the outcome of a response; one that is not what was asked for counts as an error."""
    tokens = usage_tokens(body.get("usage")) or Tokens()
    content = _CONTENT.get(endpoint)
    if content is not None and not body.get(content):
        return failure_of({"message": f"the response has no {content}", "code": "invalid_response"})
    try:
        if not _is_usual(body):
            AnswerParser(endpoint).parse_body(body)
    except ValueError as error:
        return failure_of({"message": f"the response cannot be parsed: {error}", "code": "invalid_response"})
    return tokens


def _is_usual(body: dict[str, Any]) -> bool:
    """Whether choices have their usual form, which is faster to see than to build their models."""
    choices = body.get("choices")
    return choices is None or (
        type(choices) is list
        and all(
            type(choice) is dict
            and (
                type(choice.get("text")) is str
                or (type(message := choice.get("message")) is dict and type(message.get("content")) in _TEXT)
            )
            for choice in choices
        )
    )


def answer_line(id: str, body: Mapping[str, Any]) -> bytes:
    """Returns the line of an answer to a single request."""
    return to_json({"custom_id": id, "response": {"status_code": 200, "body": body}}) + b"\n"


def failure_line(id: str, failure: Failure) -> bytes:
    """Returns the line of a request that failed."""
    return to_json({"custom_id": id, "failure": failure.document}, serialize_unknown=True) + b"\n"


def failure_of(error: Any, status: int | None = None, **details: Any) -> Failure:
    """Returns a failure by an error as the service words it."""
    error = error if isinstance(error, Mapping) else {"message": str(error or "no explanation was given")}
    code = error.get("code")
    if status is None and str(code).isdigit() and 400 <= int(str(code)) < 600:
        status = int(str(code))
    status = status or _STATUS_OF_CODE.get(str(code).lower())
    may_pass = (status is not None and (status in _AGAIN or status >= 500)) or str(code).lower() in _AGAIN_CODES
    return Failure({"status": status, "error": dict(error), **details}, may_pass)


def failure_of_exception(error: TogetherError) -> Failure:
    """Returns the failure of a single request."""
    body = error.body
    inner = body.get("error") if isinstance(body, Mapping) else None
    words = inner if isinstance(inner, Mapping) else {"message": parse_error(body).message or error.message, "code": error.code}
    if isinstance(error, APIConnectionError):
        return failure_of({"message": error.message, "code": "timeout"}, connection=True)
    if isinstance(error, APIResponseValidationError):
        words = {"message": error.message, "code": "invalid_response"}
    return failure_of(words, error.status_code if (error.status_code or 0) >= 400 else None, request_id=error.request_id)


def exception_of(failure: Failure, endpoint: str, name: str, body: bytes) -> APIError | APIConnectionError:
    """Returns the exception of a failure: the message names its request, `request` is the body."""
    fields = failure.document
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
    error.message = f"{name}: {error.message}"
    error.args = (error.message,)
    vars(error)["request"] = request
    return error


class AnswerParser:
    """Parses the answers of an endpoint into its models; without one, as JSON. Texts of chats may be objects of a class."""

    def __init__(self, endpoint: str, kind: Any = None) -> None:
        from together_adapters.types.chat import ChatCompletion
        from together_adapters.types.completions import Completion
        from together_adapters.types.embeddings import EmbeddingResponse

        models: dict[str, type[BaseModel]] = {CHAT: ChatCompletion, COMPLETIONS: Completion, EMBEDDINGS: EmbeddingResponse}
        if kind is not None:
            from together_adapters.resources.python_types.answers import TypedChatCompletion

            models[CHAT] = TypedChatCompletion
        self._arguments = endpoint, kind
        self._kind = kind
        self._model = model = models.get(endpoint)
        self._validate: Any = None if model is None else _line_type(model).validate_json

    def parse(self, line: bytes) -> Any:
        """Returns the response in a line. What cannot be parsed is a ValueError."""
        if self._validate is not None:
            try:
                return self._with_kind(self._validate(line)["response"]["body"])
            except ValidationError:
                pass
        return self.parse_body(parse_json(line)["response"]["body"])

    def parse_body(self, body: Any) -> Any:
        """Returns the response by its JSON, which is changed where it is repaired."""
        return body if self._model is None else self._with_kind(ModelParser(self._model).parse_document(body))

    def _with_kind(self, answer: Any) -> Any:
        if self._kind is not None:
            answer._kind = self._kind
        return answer

    def __reduce__(self) -> Any:
        return AnswerParser, self._arguments


@cache
def _line_type(model: type[BaseModel]) -> SchemaValidator:
    """Returns the type of a line with a model in it: one pass over its JSON, where extracting the model's first needs two."""
    model.model_rebuild()
    response = core_schema.typed_dict_schema({"body": core_schema.typed_dict_field(model.__pydantic_core_schema__)})
    line = core_schema.typed_dict_schema({"response": core_schema.typed_dict_field(response)})
    return SchemaValidator(line)
