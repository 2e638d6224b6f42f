"""Every form of an error body, and the exception for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

import together_adapters as ta
from together_adapters import errors
from together_adapters.transport.call import Call, Response
from together_adapters.transport.failures import connection_error, parse_error, status_error
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
    ({"data": None, "errors": ["first", "second"]}, ("first", None, None, None)),
    ({"errors": [{"message": "m", "code": "c"}]}, ("m", None, None, "c")),
    ({"error": {"detail": "m"}}, ("m", None, None, None)),
    ({"detail": [{"loc": ["body"], "msg": "missing"}]}, ("[{'loc': ['body'], 'msg': 'missing'}]", None, None, None)),
    ({"error_type": "dynamic_token_limited", "message": "m"}, ("m", None, None, "dynamic_token_limited")),
    ({"error": {"odd": 1}}, ("{'odd': 1}", None, None, None)),
    ({"error": None, "message": "m"}, ("m", None, None, None)),
    ({"file_id": "file-1"}, ("", None, None, None)),
    ("<html><head><title>no</title></head><body><h1>502</h1>\n Bad gateway</body></html>", ("502 Bad gateway", None, None, None)),
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


@pytest.mark.parametrize("status", [400, 403, 413, 422])
@pytest.mark.parametrize(
    "details",
    [
        {"message": "`inputs` tokens + `max_new_tokens` must be <= 32769. Given: 30 `inputs` tokens"},
        {"message": "The requested tokens exceed the maximum context length of 8192"},
        {"message": "The input (9 tokens) is longer than the model's context length (8 tokens)."},
        {"message": "too long", "code": "context_length_exceeded"},
    ],
)
def test_a_context_length_error_is_recognised_at_any_status(status: int, details: dict[str, str]) -> None:
    error = error_of(status, {"error": details})
    assert type(error) is ta.ContextLengthError
    assert error.status_code == status
    assert "Shorten the prompt" in str(error)


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
