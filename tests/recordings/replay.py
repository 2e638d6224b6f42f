"""Replays recorded exchanges: their files, the calls that repeat them, and a transport that responds."""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from together_adapters.transport.call import Call, Response, request
from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

UNSET = "TOGETHER_RECORDINGS names no folder of recorded exchanges"
FRAMING = ("content-length", "content-encoding", "transfer-encoding")
PARAMETERS: dict[str, set[str]] = {
    "chat": set(ChatParams.__annotations__),
    "completions": set(CompletionParams.__annotations__),
    "embeddings": {"model", "input", "dimensions", "encoding_format"},
    "rerank": {"model", "query", "documents", "top_n", "return_documents", "rank_fields"},
}
QUESTION: dict[str, dict[str, Any]] = {
    "chat": {"model": "acme/m", "messages": [{"role": "user", "content": "?"}]},
    "completions": {"model": "acme/m", "prompt": "?"},
    "embeddings": {"model": "acme/m"},
    "rerank": {"model": "acme/m", "query": "?", "documents": ["?"]},
}


@dataclass(frozen=True)
class Recording:
    """One file: a request, which may be unknown, and its response."""

    name: str
    content: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def resource(self) -> str:
        return self.kind.partition("_")[0]

    @property
    def is_error(self) -> bool:
        return self.kind.startswith("error") or self.status >= 400

    @property
    def is_stream(self) -> bool:
        return self.kind.endswith("_stream") and not self.is_error

    @property
    def response(self) -> dict[str, Any]:
        return self.content["response"]  # type: ignore[no-any-return]

    @property
    def status(self) -> int:
        return int(self.response["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The recorded headers, names in lower case, without those on encoding and length."""
        recorded = {name.lower(): _one(value) for name, value in (self.response.get("headers") or {}).items()}
        return {name: value for name, value in recorded.items() if name not in FRAMING}

    @property
    def path(self) -> str:
        """The path below the version: `/chat/completions`."""
        return urlsplit(self.content["request"]["url"]).path.partition("/v1")[2]

    @property
    def request_params(self) -> dict[str, Any] | None:
        """The recorded JSON request, if it is known."""
        body = self.content["request"].get("body")
        return body if isinstance(body, dict) else None

    @cached_property
    def body(self) -> bytes:
        """The bytes of the response, encoded again where only parsed values were recorded."""
        response = self.response
        if (text := response.get("sse_text")) is not None:
            return str(text).encode()
        if "json" in response:
            return json.dumps(response["json"], ensure_ascii=False).encode()
        if "parsed" in response:
            parsed = response["parsed"]
            if not self.is_stream:
                return json.dumps(parsed, ensure_ascii=False).encode()
            events = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in parsed)
            return f"{events}data: [DONE]\n\n".encode()
        for name in ("text", "body"):
            if isinstance(response.get(name), str):
                return str(response[name]).encode()
        pytest.skip(f"a body in a form that is not known here: {sorted(response)}")

    @cached_property
    def value(self) -> Any:
        """The response as JSON: a value, or the list of events of a stream."""
        if not self.is_stream:
            return json.loads(self.body)
        if "parsed" in self.response:
            return self.response["parsed"]
        return plain_events(self.body.decode())

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "text/event-stream" if self.is_stream else "application/json")

    def parameters(self) -> dict[str, Any]:
        """The arguments for the method; unknown fields go into `extra_body`."""
        params = dict(self.request_params or self._question())
        known_names = PARAMETERS[self.resource] - set(RequestOptions.__annotations__) | {"stream"}
        for name in QUESTION[self.resource].keys() - params.keys():
            params[name] = self._question()[name]
        extra = {name: params.pop(name) for name in params.keys() - known_names}
        return {**params, **({"extra_body": extra} if extra else {}), **({"stream": True} if self.is_stream else {})}

    def _question(self) -> dict[str, Any]:
        question = dict(QUESTION[self.resource])
        if self.resource == "embeddings":
            question["input"] = ["?"] * len(self.value["data"])
        if self.resource == "rerank":
            question["documents"] = ["?"] * (1 + max(result["index"] for result in self.value["results"]))
        return question

    def plain_call(self) -> Call[Any]:
        """The exchange as a plain call, for endpoints without a method."""
        return request("POST", f"/v1{self.path}", Response.json, self.request_params or {})


def plain_events(text: str) -> list[Any]:
    """Reads a recorded event stream in the simplest way: one event per block, only data lines, up to the end marker."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if data.strip() == "[DONE]":
            break
        if data:
            events.append(json.loads(data))
    return events


def _one(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)


class Replay:
    """Responds to every request with one recording; an event stream comes in small chunks, always the same ones."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.requests: list[httpx.Request] = []

    def _head(self, request: httpx.Request) -> dict[str, Any]:
        self.requests.append(request)
        return {
            "status_code": self.recording.status,
            "headers": {**self.recording.headers, "content-type": self.recording.content_type},
        }

    def sync(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(**self._head(request), content=iter(self.chunks()))

    async def asynchronous(self, request: httpx.Request) -> httpx.Response:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in self.chunks():
                yield chunk

        return httpx.Response(**self._head(request), content=chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yields the body in chunks of a few bytes, split within characters, lines and events."""
        random_ = random.Random(self.recording.name)
        body = self.recording.body
        maximum = 9 if len(body) < 20_000 else len(body) // 1_500
        start = 0
        while start < len(body):
            end = start + random_.randint(1, maximum)
            yield body[start:end]
            start = end


@lru_cache
def exchanges() -> list[Recording]:
    """Returns all recorded exchanges; none if the variable names no folder."""
    folder = os.environ.get("TOGETHER_RECORDINGS")
    files = sorted(Path(folder, "exchanges").glob("*.json")) if folder else []
    return [Recording(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in files]


def recordings_where(predicate: Callable[[Recording], bool]) -> list[Any]:
    """Returns a parameter for each recorded exchange that matches; a skipped one if there is none."""
    params = [pytest.param(recording, id=recording.name) for recording in exchanges() if predicate(recording)]
    return params or [pytest.param(None, marks=pytest.mark.skip(reason="no recorded exchange has this form"), id="none")]


def errors_elsewhere() -> list[Any]:
    """Returns a parameter for each error body that was recorded elsewhere, with its status."""
    file = Path(os.environ.get("TOGETHER_RECORDINGS", "."), "errors_seen_in_the_wild.json")
    entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [pytest.param(entry, id=f"{index:02d}-{entry['status']}") for index, entry in enumerate(entries)]
