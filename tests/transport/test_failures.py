"""Every form of an error body, and the exception for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import together_adapters as ta
from together_adapters import errors
from together_adapters.transport.call import Call, Response
from together_adapters.transport.failures import connection_error, parse_error, status_error, stream_error
from together_adapters.transport.retry import Failure

CALL: Call[Any] = Call("POST", "/v1/chat/completions", Response.json)
BILLABLE: Call[Any] = Call("POST", "/v1/fine-tunes", Response.json, billable="fine_tuning.list()")

BODIES: list[tuple[Any, tuple[str, str | None, str | None, str | None]]] = [
    ({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}, ("m", "t", "p", "c")),
    ({"id": "o1", "error": {"message": "m", "type": "t", "param": None, "code": None}}, ("m", "t", None, None)),
    ({"error": {"message": "m", "code": 400}}, ("m", None, None, "400")),
    ({"error": "text"}, ("text", None, None, None)),
    ({"message": "m", "type": "t"}, ("m", "t", None, None)),
    ({"code": 400, "message": "m"}, ("m", None, None, "400")),
    ({"data": None, "errors": ["first", "second"]}, ("first; second", None, None, None)),
    ({"errors": [{"message": "m", "code": "c"}]}, ("m", None, None, "c")),
    ({"error": {"detail": "m"}}, ("m", None, None, None)),
    ({"detail": [{"loc": ["body", "n", 0], "msg": "too big", "type": "less_than"}]}, ("body.n.0: too big", None, None, None)),
    ({"detail": [{"loc": ["body"], "msg": "missing"}, {"msg": "odd"}]}, ("body: missing; odd", None, None, None)),
    ({"detail": '{"error": {"message": "m", "code": "c"}}'}, ("m", None, None, None)),
    ({"error": {"message": {"text": "m", "message": "n"}}}, ("n", None, None, None)),
    (
        {"message": ["a must be a string", "b is required"], "error": "Bad Request", "statusCode": 400},
        ("Bad Request: a must be a string; b is required", None, None, None),
    ),
    ({"error": "invalid_request", "error_description": "no such grant"}, ("invalid_request: no such grant", None, None, None)),
    ({"error": "`inputs` is empty", "error_type": "validation"}, ("`inputs` is empty", None, None, "validation")),
    ({"error": True, "message": "m"}, ("m", None, None, None)),
    (
        {"type": "about:blank", "title": "Not found", "status": 404, "detail": "no job x"},
        ("Not found: no job x", "about:blank", None, None),
    ),
    (
        {"title": "Invalid", "errors": {"name": ["is required", "is short"], "n": ["is odd"]}},
        ("Invalid: name: is required; is short; n: is odd", None, None, None),
    ),
    ({"message": "Invalid", "errors": [{"message": "n is odd", "code": 7}]}, ("Invalid: n is odd", None, None, "7")),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, ("m", "overloaded_error", None, None)),
    (
        [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "m", "details": [{"reason": "r"}]}}],
        ("m", "INVALID_ARGUMENT", None, "400"),
    ),
    ({"__type": "ValidationException", "Message": "m"}, ("m", "ValidationException", None, None)),
    ({"code": 5, "message": "m", "details": []}, ("m", None, None, "5")),
    (
        {"error": {"message": None, "code": None}, "detail": None, "message": {}},
        ("{'message': None, 'code': None}", None, None, None),
    ),
    ({"error_type": "dynamic_token_limited", "message": "m"}, ("m", None, None, "dynamic_token_limited")),
    ({"error": {"odd": 1}}, ("{'odd': 1}", None, None, None)),
    ({"error": None, "message": "m"}, ("m", None, None, None)),
    ({"file_id": "file-1"}, ("", None, None, None)),
    (
        "<html><head><title>no</title></head><body><h1>502</h1>\n Bad gateway</body></html>",
        ("no: 502 Bad gateway", None, None, None),
    ),
    (
        "<html><head><title>502 Bad Gateway</title><style>a { b }</style></head><!-- no --><center><h1>502 Bad Gateway</h1></center>"
        "<script>if (a<b) { c() }</script><hr>nginx &amp; co<script>never closed",
        ("502 Bad Gateway nginx & co", None, None, None),
    ),
    ("<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>gone</Message></Error>", ("NoSuchKey gone", None, None, None)),
    ("expected n < 5 and n > 3", ("expected n < 5 and n > 3", None, None, None)),
    ("upstream connect error", ("upstream connect error", None, None, None)),
    ("", ("", None, None, None)),
    (None, ("", None, None, None)),
    ([], ("", None, None, None)),
    (7, ("", None, None, None)),
]


def error_of(status: int, body: Any, headers: dict[str, str] | None = None, call: Call[Any] = CALL) -> ta.APIStatusError:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return status_error(Response(status, headers or {}, content, attempts=2), call, secrets=["sk-secret"])


@pytest.mark.parametrize(("body", "expected"), BODIES)
def test_error_bodies(body: Any, expected: tuple[str, str | None, str | None, str | None]) -> None:
    assert tuple(parse_error(body)) == expected
    error = error_of(500, body)
    assert isinstance(error, ta.InternalServerError)
    assert expected[0] in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ta.BadRequestError),
        (401, ta.AuthenticationError),
        (402, ta.PaymentRequiredError),
        (403, ta.PermissionDeniedError),
        (404, ta.NotFoundError),
        (409, ta.ConflictError),
        (413, ta.APIStatusError),
        (415, ta.InvalidRequestError),
        (422, ta.UnprocessableEntityError),
        (429, ta.RateLimitError),
        (500, ta.InternalServerError),
        (502, ta.InternalServerError),
        (503, ta.ServiceUnavailableError),
        (504, ta.InternalServerError),
        (418, ta.APIStatusError),
    ],
)
def test_the_status_selects_the_class(status: int, kind: type[ta.APIStatusError]) -> None:
    for details in ("invalid_request_error", "credit_limit", "server_error"):
        assert type(error_of(status, {"error": {"message": "m", "type": details}})) is kind


OVERFLOWS: list[dict[str, Any]] = [
    {"message": "`inputs` tokens + `max_new_tokens` must be <= 32769. Given: 30 `inputs` tokens"},
    {"message": "The requested tokens exceed the maximum context length of 8192"},
    {
        "message": "The input (9 tokens) is longer than the model's context length (8 tokens).",
        "type": "BadRequestError",
        "code": 400,
    },
    {"message": "too long", "code": "context_length_exceeded"},
    {"message": "no", "type": "exceed_context_size_error", "code": 400, "n_prompt_tokens": 9, "n_ctx": 8},
    {
        "message": "request (9 tokens) exceeds the available context size (8 tokens), try increasing it",
        "type": "invalid_request_error",
    },
    {
        "message": "The decoder prompt (length 9) is longer than the maximum model length of 8. Make sure that",
        "type": "ValueError",
    },
    {
        "message": "This model's maximum context length is 8 tokens. However, you requested 9 tokens",
        "code": "invalid_request_error",
    },
    {"message": "litellm.BadRequestError: litellm.ContextWindowExceededError: OpenAIException", "type": None, "code": "400"},
    {"message": "no", "type": "ContextWindowExceededError"},
    {"message": "Requested token count exceeds the model's maximum context length of 8 tokens."},
    {"message": "Input length (9 tokens) exceeds the maximum allowed length (8 tokens)."},
    {"message": "Input validation error: `inputs` must have less than 512 tokens. Given: 534", "type": "Validation", "code": 413},
    {"message": "the input length exceeds the context length"},
    {"message": "prompt too long; exceeded max context length by 4 tokens", "type": "api_error"},
    {"message": "prompt is too long: 9 tokens > 8 maximum", "type": "invalid_request_error"},
    {"message": "input length and `max_tokens` exceed context limit: 7 + 2 > 8, decrease input length"},
    {"message": "Input is too long for requested model.", "type": "ValidationException"},
    {"message": "Prompt contains 9 tokens and 0 draft tokens, too large for model with 8 maximum context length", "code": "3051"},
    {"message": "This model's maximum prompt length is 8 but the request contains 9 tokens."},
    {"message": "Please reduce the length of the messages or completion."},
    {"message": "Your input exceeds the context window of this model. Please adjust your input", "code": "invalid_value"},
    {"message": "The input token count (9) exceeds the maximum number of tokens allowed (8).", "status": "INVALID_ARGUMENT"},
    {"message": "Trying to keep the first 9 tokens when context the overflows. However, the model is loaded with 8"},
    {"message": "Your request exceeded model token limit: 8 (requested: 9)"},
    {"message": "Input tokens exceed the configured limit of 8 tokens. Your messages resulted in 9 tokens."},
]  # of Together, TGI, SGLang, OpenAI, llama.cpp, vLLM, LiteLLM, TEI, Ollama, Anthropic, Bedrock, Mistral, xAI, Groq, Gemini, LM Studio, Kimi


@pytest.mark.parametrize("details", OVERFLOWS)
def test_a_context_length_error_is_recognised_at_any_status_and_in_a_stream(details: dict[str, Any]) -> None:
    for status in (400, 403, 413, 422, 500):
        error = error_of(status, {"error": details})
        assert type(error) is ta.ContextLengthError
        assert error.status_code == status
        assert "Shorten the prompt" in str(error)
    in_stream = stream_error({"error": details}, Response(200, {}), CALL)
    assert type(in_stream) is ta.ContextLengthError
    assert in_stream.status_code is None
    for status in (401, 404, 429, 502, 503):
        by_code = "context" in (str(details.get("code")) + str(details.get("type"))).lower()
        assert (type(error_of(status, {"error": details})) is ta.ContextLengthError) is by_code


@pytest.mark.parametrize(
    "code",
    ["content_filter", "invalid_api_key", "model_not_found", "unsupported_parameter", "json_validate_failed", "rate_limit"],
)
def test_an_echoed_text_is_not_taken_for_an_exceeded_context(code: str) -> None:
    message = "the prompt 'this exceeds the maximum context length' was not accepted"
    for details in ({"message": message, "code": code}, {"message": message, "type": code, "code": 400}):
        assert type(error_of(400, {"error": details})) is not ta.ContextLengthError
        assert type(stream_error({"error": details}, Response(200, {}), CALL)) is ta.APIError
    assert type(error_of(400, {"error": {"message": "context_window must be positive"}})) is ta.BadRequestError


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "context_length_exceeded", ta.ContextLengthError),
        (400, "invalid_api_key", ta.AuthenticationError),
        (403, "invalid_api_key", ta.AuthenticationError),
        (429, "insufficient_quota", ta.PaymentRequiredError),
        (403, "billing_not_active", ta.PaymentRequiredError),
        (429, "rate_limit_exceeded", ta.RateLimitError),
        (400, "model_not_found", errors.ModelNotFoundError),
        (302, "invalid_api_key", ta.APIStatusError),
    ],
)
def test_a_code_that_is_sure_selects_the_class(status: int, code: str, kind: type[ta.APIStatusError]) -> None:
    assert type(error_of(status, {"error": {"message": "m", "code": code}})) is kind


def test_llama_cpp_reports_an_exceeded_context_as_500() -> None:
    details = {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}
    assert type(error_of(500, {"error": details})) is ta.ContextLengthError


def test_grpc_has_its_message_in_a_header() -> None:
    assert "no quota left" in str(error_of(503, "", {"grpc-status": "8", "grpc-message": "no%20quota left"}))


def test_an_unavailable_model_is_recognised_by_its_code() -> None:
    missing = error_of(404, {"error": {"message": "no model x", "code": "model_not_available"}})
    not_serverless = error_of(400, {"error": {"message": "not serverless", "code": "model_not_available"}})
    not_running = error_of(400, {"error": {"message": "not running", "code": "dedicated_endpoint_not_running"}})
    assert isinstance(missing, ta.ModelNotAvailableError) and isinstance(missing, ta.NotFoundError)
    for error in (not_serverless, not_running):
        assert isinstance(error, ta.ModelNotAvailableError) and isinstance(error, ta.BadRequestError)
        assert "dedicated endpoint" in str(error)


def test_attributes_of_an_error() -> None:
    body = {"id": "o-9", "error": {"message": "no", "type": "t", "param": "model", "code": "c"}}
    error = error_of(400, body, {"x-request-id": "req-1", "cf-ray": "ray-1"})
    assert (error.status_code, error.http_status, error.code, error.param, error.attempts) == (400, 400, "c", "model", 2)
    assert (error.request_id, error.body, error.headers["cf-ray"]) == ("req-1", body, "ray-1")
    assert error.response is not None
    assert error.response.json() == body
    assert str(error) == "400 from POST /v1/chat/completions: no. (request id req-1) (2 attempts)"
    assert error_of(400, body, {"cf-ray": "ray-1"}).request_id == "ray-1"
    assert error_of(400, body).request_id == "o-9"


def test_a_key_in_the_response_is_redacted() -> None:
    error = error_of(401, {"error": {"message": "bad key sk-secret", "code": "sk-secret"}})
    assert error.response is not None
    assert "sk-secret" not in f"{error} {vars(error)} {error.response.content!r}"


def test_errors_of_billable_work_say_where_to_check() -> None:
    assert "check fine_tuning.list()" in str(error_of(500, "", call=BILLABLE))
    assert "It was not retried" not in str(error_of(400, "", call=BILLABLE))
    assert "It was not retried" not in str(error_of(500, ""))
    assert "check fine_tuning.list()" in str(connection_error(Failure("reset"), BILLABLE, 1))
    assert "It was not retried" not in str(connection_error(Failure("refused", maybe_received=False), BILLABLE, 1))


def test_connection_errors() -> None:
    assert type(connection_error(Failure("x", timeout=True), CALL, 1)) is errors.APITimeoutError
    error = connection_error(Failure("ConnectError: refused"), CALL, 3)
    assert type(error) is errors.APIConnectionError
    assert str(error) == "POST /v1/chat/completions failed after 3 attempts: ConnectError: refused"
