"""The docstrings of methods, which the descriptor completes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Unpack

import pytest

from together_adapters import Together
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request
from together_adapters.types.requests import RequestOptions

OPTIONS = ["extra_body", "extra_headers", "extra_query", "timeout"]
COMMON_ERRORS = ["APIStatusError", "APIConnectionError"]


def entries(function: Callable[..., Any], section: str) -> list[str]:
    """The names that a section of a Google-style docstring describes."""
    text = inspect.getdoc(function) or ""
    match = re.search(rf"^{section}:\n((?: {{4}}.*\n?)+)", text, re.MULTILINE)
    return re.findall(r"^ {4}(\S+?):", match[1], re.MULTILINE) if match else []


def summary_only(id: str, **options: Unpack[RequestOptions]) -> Call[Response]:
    """Sends a request."""
    return request("GET", f"/v1/{id}", lambda response: response, options=options)


def every_section(id: str, **options: Unpack[RequestOptions]) -> Call[Response]:
    """Sends a request.

    It has a description.

    Args:
        id: The id.

    Returns:
        A response.

    Raises:
        ValueError: The id is empty.
    """
    return summary_only(id, **options)


def own_words(id: str, **options: Unpack[RequestOptions]) -> Call[Response]:
    """Sends a request.

    Args:
        id: The id.
        **options: Request options; they do not apply to the upload.

    Raises:
        APIError: The service refused.
    """
    return summary_only(id, **options)


def wait(id: str, *, poll_interval: float = 1.0, timeout: float | None = None, progress: Any = None) -> Flow[Response]:
    """Waits for a job.

    Args:
        id: The id.
        progress: Called with every step.
    """
    return (yield summary_only(id))


def local(path: str) -> Flow[None]:
    """Sends nothing."""
    yield from ()


class Example(Resource[D, R]):
    summary_only = method(summary_only)
    every_section = method(every_section)
    own_words = method(own_words)
    wait = method(wait)
    local = method(local)


@pytest.fixture
def resource() -> Any:
    return Example(Together(api_key="any-key")._driver)


@pytest.mark.parametrize(
    ("name", "arguments", "errors"),
    [
        ("summary_only", ["id", *OPTIONS], COMMON_ERRORS),
        ("every_section", ["id", *OPTIONS], ["ValueError", *COMMON_ERRORS]),
        ("own_words", ["id", "**options"], ["APIError", "APIConnectionError"]),
        ("wait", ["id", "progress", "poll_interval", "timeout"], COMMON_ERRORS),
        ("local", [], []),
    ],
)
@pytest.mark.parametrize("owner", ["class", "instance"])
def test_shared_entries_are_added_to_the_right_sections(
    resource: Any, owner: str, name: str, arguments: list[str], errors: list[str]
) -> None:
    for _ in range(2):
        function = getattr(resource if owner == "instance" else Example, name)
        assert entries(function, "Args") == arguments
        assert entries(function, "Raises") == errors


def test_the_docstring_stays_well_formed(resource: Any) -> None:
    assert inspect.getdoc(resource.every_section) == (
        "Sends a request.\n\nIt has a description.\n\nArgs:\n    id: The id.\n"
        "    extra_body: JSON fields that this library does not know yet, or that replace its own.\n"
        "    extra_headers: Headers for this call.\n"
        "    extra_query: Query parameters for this call.\n"
        "    timeout: Seconds, or a `Timeout` of httpx or httpx2, for each attempt of this call.\n\n"
        "Returns:\n    A response.\n\nRaises:\n    ValueError: The id is empty.\n"
        "    APIStatusError: The service refused the request; the subclass names the reason.\n"
        "    APIConnectionError: No complete response arrived; an `APITimeoutError` if the time ran out."
    )


def test_every_request_option_is_described() -> None:
    assert list(RequestOptions.__annotations__) == OPTIONS
