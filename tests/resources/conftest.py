"""A stub service for responses that the emulator never sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.transport.conftest import raw_server  # noqa: F401  a fixture


class Service:
    """Responds with a function of the parsed body, or with one fixed value, through the client's own `http_client`."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        reply = self.reply(json.loads(request.content or b"null")) if callable(self.reply) else self.reply
        return reply if isinstance(reply, httpx.Response) else httpx.Response(200, json=reply)


def events(*chunks: Any) -> httpx.Response:
    """Returns a streamed response of chunks, with its end marker."""
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return httpx.Response(
        200, headers={"content-type": "text/event-stream;charset=utf-8"}, stream=httpx.ByteStream(body.encode())
    )


@pytest.fixture
def event_stream() -> Callable[..., httpx.Response]:
    return events


@pytest.fixture
def stub_client(flavour: Any) -> Callable[..., tuple[Any, Service]]:
    """Returns a function that makes a client of a stub service with this reply, and the service."""

    def client_of(reply: Any, **options: Any) -> tuple[Any, Service]:
        service = Service(reply)
        return flavour.client(http_client=flavour.mock_client(service), **options), service

    return client_of
