"""A running emulator and a plain HTTP client: these tests are about the HTTP API, so they use no client of this library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters.emulator import Behaviour, Emulator, serve

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
KEY = {"authorization": "Bearer k-123"}


@pytest.fixture(scope="session")
def running() -> Iterator[Emulator]:
    with serve() as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    running.reset()
    defaults = {name: getattr(Behaviour(), name) for name in Behaviour.__dataclass_fields__}
    with running.behave(**defaults):
        yield running
    assert running.errors == []
    running.clear()


@pytest.fixture(scope="session")
def session_client(running: Emulator) -> Iterator[httpx.Client]:
    # without certificates: loading them takes longer than most of these tests
    with httpx.Client(base_url=running.base_url, headers=KEY, timeout=HANG, verify=False) as client:
        yield client


@pytest.fixture
def http(emulator: Emulator, session_client: httpx.Client) -> httpx.Client:
    return session_client


class Chat:
    """Sends chat requests, and parses responses and streams."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def post(self, messages: str | list[dict[str, Any]], headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        return self.http.post("/chat/completions", json={"model": MODEL, "messages": messages, **body}, headers=headers)

    def whole(self, messages: str | list[dict[str, Any]], headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        answer = self.post(messages, headers, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def text(self, messages: str | list[dict[str, Any]], **body: Any) -> str:
        return str(self.whole(messages, **body)["choices"][0]["message"]["content"])

    def calls(self, messages: str | list[dict[str, Any]], **body: Any) -> list[tuple[str, dict[str, Any]]]:
        message = self.whole(messages, **body)["choices"][0]["message"]
        return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]

    def chunks(
        self, messages: str | list[dict[str, Any]], headers: dict[str, str] | None = None, **body: Any
    ) -> list[dict[str, Any]]:
        answer = self.post(messages, headers, stream=True, **body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/event-stream;charset=utf-8"
        return events(answer.content)


def events(body: bytes) -> list[dict[str, Any]]:
    """Returns the events of a complete stream."""
    parts = body.split(b"\n\n")
    assert parts[-2:] == [b"data: [DONE]", b""]
    return [json.loads(part.removeprefix(b"data: ")) for part in parts[:-2]]


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Joins a stream: text, reasoning, tool calls, finish reason, usage, log-probabilities."""
    message: dict[str, Any] = {"text": "", "reasoning": "", "calls": [], "finish": None, "usage": None, "logprobs": []}
    by_index: dict[int, dict[str, str]] = {}
    for chunk in chunks:
        message["usage"] = chunk["usage"] or message["usage"]
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["text"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or delta.get("reasoning_content") or ""
            message["finish"] = choice["finish_reason"] or message["finish"]
            message["logprobs"] += [choice["logprobs"]] if choice["logprobs"] is not None else []
            for part in delta.get("tool_calls") or []:
                call = by_index.setdefault(part["index"], {"name": "", "arguments": "", "id": ""})
                call["id"] += part.get("id") or ""
                call["name"] += part["function"].get("name") or ""
                call["arguments"] += part["function"].get("arguments") or ""
    message["calls"] = [by_index[index] for index in sorted(by_index)]
    return message


@pytest.fixture
def chat(http: httpx.Client) -> Chat:
    return Chat(http)


def tool(name: str, description: str = "", required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """Returns a tool in the format of requests."""
    parameters = {"type": "object", "properties": properties, "required": list(properties) if required is None else required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


STRING = {"type": "string"}
INTEGER = {"type": "integer"}
WEATHER = tool("get_weather", "Get the weather at a location.", location=STRING)
ADD = tool("add", "Add two integers.", a=INTEGER, b=INTEGER)
MULTIPLY = tool("multiply", "Multiply two integers.", a=INTEGER, b=INTEGER)
