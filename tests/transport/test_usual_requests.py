"""Usual requests go past the HTTP library's client to our transport: nobody can tell, but for the time that it takes."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import pytest

from together_adapters.emulator import Emulator
from together_adapters.transport import http_requests
from together_adapters.transport.exchange import Attempt
from together_adapters.transport.http_library import library_of
from together_adapters.transport.http_requests import build_request, usual_request

URL = "https://api.together.xyz/v1/chat/completions"
MODEL = "openai/gpt-oss-120b"
STEPS = ["build_request", "send", "_send_single_request"]
HEADERS: dict[str, dict[str, str]] = {
    "none": {},
    "usual": {
        "authorization": "Bearer key",
        "user-agent": "together-adapters",
        "content-type": "application/json",
        "x-name": "1",
    },
    "of a client": {"Accept": "application/json", "accept-encoding": "gzip", "CONNECTION": "close"},
    "host": {"host": "example.com", "content-length": "7"},
}


def attempt(headers: dict[str, str] | None = None, **changes: Any) -> Attempt:
    fields = {"method": "POST", "url": URL, "headers": headers or {}, "query": {}, "content": b'{"a":1}', "timeout": 5.0}
    return Attempt(**{**fields, "anonymous": False, "deadline": None, **changes})


def own_client(name: str, kind: str) -> tuple[Any, Any]:
    library = library_of(pytest.importorskip(name).__name__)
    return library, library.new_client(object(), is_async=kind == "async")


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("changes", [{}, {"method": "GET", "content": None}, {"timeout": None}], ids=str)
def test_a_usual_request_is_the_one_of_the_client(name: str, kind: str, headers: str, changes: dict[str, Any]) -> None:
    library, client = own_client(name, kind)
    one = attempt(HEADERS[headers], **changes)
    usual, expected = usual_request(library, client, one), build_request(library, client, one, iter, ExitStack())
    assert usual is not None
    for request in (usual, expected):
        request.read()
    assert (usual.method, str(usual.url), usual.content) == (expected.method, str(expected.url), expected.content)
    assert usual.headers.raw == expected.headers.raw
    assert usual.extensions == expected.extensions


@pytest.mark.parametrize(
    "changes",
    [{"query": {"limit": 1}}, {"anonymous": True}, {"content": {"a": 1}}, {"url": "https://me:secret@api.together.xyz/v1"}],
    ids=["query", "another host", "form", "credentials"],
)
def test_others_are_left_to_the_client(changes: dict[str, Any]) -> None:
    library, client = own_client("httpx", "sync")
    assert usual_request(library, client, attempt()) is not None
    assert usual_request(library, client, attempt(**changes)) is None
    assert usual_request(library, library.module.Client(), attempt()) is None


def wrap(kind: type, name: str, calls: list[str], how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wraps a method of the HTTP library's client, as monitors do."""
    original = getattr(kind, name)

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return original(self, *args, **kwargs)

    if how == "wrapt":
        wrapt = pytest.importorskip("wrapt")

        def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            calls.append(name)
            return wrapped(*args, **kwargs)

        monkeypatch.setattr(kind, name, wrapt.FunctionWrapper(original, call))
    else:
        monkeypatch.setattr(kind, name, wrapper)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["function", "wrapt"])
def test_monitors_see_every_request(
    step: str, how: str, flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    client = flavour.client(http_library="httpx")
    calls: list[str] = []
    flavour.run(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}]))
    wrap(httpx.AsyncClient if flavour.is_async else httpx.Client, step, calls, how, monkeypatch)
    flavour.run(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}]))
    assert calls == [step]
    assert len(emulator.requests) == 2


def test_the_log_of_the_library_has_every_request(flavour: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    client = flavour.client(http_library="httpx")
    with caplog.at_level(logging.INFO, logger="httpx"):
        flavour.run(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}]))
    assert [record.getMessage() for record in caplog.records if record.name == "httpx"] == [
        f'HTTP Request: POST {emulator.base_url}/chat/completions "HTTP/1.1 200 OK"'
    ]


def test_a_long_body_that_is_not_compressed_is_read(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_requests, "_UNSUSPICIOUS", 10)
    response = flavour.run(flavour.client().embeddings.create(model="BAAI/bge-base-en-v1.5", input=["a"]))
    assert len(response.data) == 1
