"""The errors of the API in one table: messages of our own, with the `type`, `param` and `code` of the service."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(slots=True)
class ApiError(Exception):
    """An error response: raised by handlers, sent by the application."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | int | None = None
    error_type: str | None = None  # which the service's errors about limits have

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        return body if self.error_type is None else body | {"error_type": self.error_type}


class Unsatisfiable(ValueError):
    """No value was found for a JSON schema; the message names the keyword and its field."""

    def __init__(self, keyword: str, field: str = "") -> None:
        super().__init__(f"`{keyword}`" + (f" of `{field}`" if field else ""))


_TYPICAL: dict[int, ApiError] = {
    error.status: error
    for error in (
        ApiError(400, "The request could not be understood; check its parameters."),
        ApiError(401, "The API key is missing or is not one that this server accepts.", code="invalid_api_key"),
        ApiError(402, "The spending limit of this account is reached; add credit to go on.", "credit_limit"),
        ApiError(403, "The prompt and max_tokens exceed the context length of this model."),
        ApiError(404, "This URL does not exist.", code="not_found"),
        ApiError(405, "This URL does not support that method.", code="method_not_allowed"),
        ApiError(408, "The request took too long to arrive.", "timeout"),
        ApiError(409, "The request conflicts with the state of the resource.", code="conflict"),
        ApiError(413, "The request body is larger than this endpoint accepts.", code="request_too_large"),
        ApiError(422, "Input validation error: a parameter has a value of the wrong type."),
        ApiError(429, "Too many requests at once; slow down and try again.", "rate_limit", code="rate_limit_exceeded"),
        ApiError(500, "Something failed inside the service.", "server_error"),
        ApiError(503, "The service is over capacity; try again shortly.", "service_unavailable", code="overloaded"),
        ApiError(504, "The model did not respond in time.", "timeout"),
    )
}

BAD_GATEWAY_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad gateway</title></head>"
    b"<body><h1>Bad gateway</h1><p>The origin server sent no valid response.</p></body></html>\n"
)


def typical(status: int) -> ApiError:
    """Returns the usual error of a status. It is a new one each time: an exception keeps the frames that have raised it."""
    return replace(_TYPICAL.get(status, _TYPICAL[400]))


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Returns a 400 error."""
    return ApiError(400, message, param=param, code=code)


def unprocessable(message: str, param: str | None = None) -> ApiError:
    """Returns a 422 error."""
    return ApiError(422, f"Input validation error: {message}", param=param)


def unsatisfiable_schema(error: Unsatisfiable, param: str) -> ApiError:
    """Returns the error for a schema that no value satisfies, with the keyword that `error` names."""
    return bad_request(f"Input validation error: grammar is not valid: no value satisfies {error}", param=param)


def limit_exceeded(by: str, limit: int, window: float) -> ApiError:
    """Returns the error of a request beyond a limit of requests, tokens or concurrency.

    The service's page names the `error_type`, but neither where it stands nor the other fields, so it is `type` too. That of a
    refusal for concurrency is not known.
    """
    if by == "concurrent":
        return replace(typical(429), message=f"{limit} requests are in progress, as many as this account may have; wait for one.")
    type = "dynamic_request_limited" if by == "requests" else "dynamic_token_limited"
    message = f"Too many {by}: this account may use {limit} in {window:g} s; wait as long as x-ratelimit-reset says."
    return ApiError(429, message, type, error_type=type)


def model_not_available(model: str, advice: str = "GET /v1/models lists the catalogue.") -> ApiError:
    """Returns the error for a model that does not exist, or is no longer served; the beginning of its message is the service's."""
    return ApiError(404, f"Unable to access model {model}. {advice}", code="model_not_available")


def model_not_serverless(model: str) -> ApiError:
    """Returns the error for a model that needs a dedicated endpoint; the beginning of its message is the service's."""
    message = f"Unable to access non-serverless model {model}; create and start a dedicated endpoint for it."
    return bad_request(message, code="model_not_available")


def endpoint_not_running(model: str) -> ApiError:
    """Returns the error for a model whose dedicated endpoint is stopped, or has not started yet."""
    return bad_request(f"The dedicated endpoint for {model} is not running; start it.", code="dedicated_endpoint_not_running")


def data_sharing_blocked(model: str) -> ApiError:
    """Returns the error for a model of a third party, before the organization has allowed that data are shared with it."""
    message = f"{model} runs at a third party: the organization has to allow data sharing before it is used."
    return ApiError(403, message, code="third_party_data_sharing_blocked")
