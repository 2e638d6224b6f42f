"""The error bodies of the API in one table; the wording is ours, `type`, `param` and `code` are the service's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class ApiError(Exception):
    """An error answer: raised by a route, written by the edge."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | int | None = None

    def body(self) -> dict[str, Any]:
        """Return the canonical error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


TYPICAL: dict[int, ApiError] = {
    error.status: error
    for error in (
        ApiError(400, "The request could not be understood; check its parameters."),
        ApiError(401, "The API key is missing or is not one that this server accepts.", code="invalid_api_key"),
        ApiError(402, "The spending limit of this account is reached; add credit to go on.", "credit_limit"),
        ApiError(403, "The prompt and max_tokens together exceed what this model accepts."),
        ApiError(404, "There is nothing at this address.", code="not_found"),
        ApiError(405, "This address does not answer that method.", code="method_not_allowed"),
        ApiError(408, "The request took too long to arrive.", "timeout"),
        ApiError(409, "The request conflicts with the present state of the resource.", code="conflict"),
        ApiError(413, "The request body is larger than this endpoint takes.", code="request_too_large"),
        ApiError(422, "Input validation error: a parameter has a value of the wrong kind."),
        ApiError(429, "Too many requests at once; slow down and try again.", "rate_limit", code="rate_limit_exceeded"),
        ApiError(500, "Something failed inside the service.", "server_error"),
        ApiError(503, "The service is over capacity; try again shortly.", "service_unavailable", code="overloaded"),
        ApiError(504, "The model did not answer in time.", "timeout"),
    )
}

BAD_GATEWAY_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>502 Bad gateway</title></head>"
    b"<body><h1>Bad gateway</h1><p>The origin server gave no usable answer.</p></body></html>\n"
)


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A 400 of the canonical shape."""
    return ApiError(400, message, param=param, code=code)


def unprocessable(message: str, param: str | None = None) -> ApiError:
    """A 422 of the canonical shape."""
    return ApiError(422, f"Input validation error: {message}", param=param)


def model_not_available(model: str) -> ApiError:
    """The answer to a model that is not served."""
    return ApiError(404, f"The model {model} is not served here; GET /v1/models lists those that are.",
                    code="model_not_available")  # fmt: skip


def context_too_long(limit: int, prompt: int, asked: int) -> ApiError:
    """The answer to a prompt that does not fit the model."""
    return bad_request(
        f"Input validation error: `inputs` tokens + `max_new_tokens` may be {limit} at most, the model's context length; "
        f"this request has {prompt} `inputs` tokens and asks for {asked} `max_new_tokens`"
    )
