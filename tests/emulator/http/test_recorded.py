"""An emulator that answers as the service did when `doctor --record` was run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters.emulator import serve

CHAT = "openai/gpt-oss-120b"
GONE = "intfloat/multilingual-e5-large-instruct"  # models-check: ignore
ERROR = {"type": "their_type", "param": None, "code": "their_code"}


@contextmanager
def recorded(folder: Path, **facts: dict[str, Any]) -> Iterator[Callable[..., httpx.Response]]:
    """An emulator as recorded, with a function that sends requests to it."""
    names = {name.replace("_", "-"): value for name, value in facts.items()}
    (folder / "doctor.json").write_text(json.dumps({"version": 1, "facts": names}))
    with serve(as_recorded=folder) as emulator, httpx.Client(base_url=emulator.base_url, timeout=HANG) as client:

        def send(path: str, **body: Any) -> httpx.Response:
            chat = {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}]} if path == "/chat/completions" else {}
            request = {**chat, **body} if body else None
            return client.request("POST" if body else "GET", path, json=request, headers={"authorization": "Bearer k"})

        yield send
        assert emulator.errors == []


def test_errors_are_those_that_were_seen(tmp_path: Path) -> None:
    facts = {
        "context_length": {"status": 403, "message": "Their words.", **ERROR},
        "regex": {"status": 400, "message": "No regex.", **ERROR},
        "unknown_model": {"status": 404, "message": "No together-adapters/does-not-exist.", **ERROR},
        "unknown_parameter": {"status": 400, "message": "What is doctor_parameter?", **ERROR, "param": "doctor_parameter"},
    }
    with recorded(tmp_path, **facts) as send:
        for status, message, body in (
            (403, "Their words.", {"max_tokens": 10**6}),
            (400, "No regex.", {"response_format": {"type": "regex", "pattern": "a"}}),
            (404, "No acme/does-not-exist.", {"model": "acme/does-not-exist"}),
            (400, "What is colour?", {"colour": 1}),
        ):
            response = send("/chat/completions", **body)
            error = response.json()["error"]
            assert (response.status_code, error["message"], error["code"]) == (status, message, "their_code")
        assert error["param"] == "colour"


def test_what_was_accepted_is_accepted(tmp_path: Path) -> None:
    facts: dict[str, Any] = {name: {"status": 200} for name in ("context_length", "unknown_parameter", "tools_with_format")}
    tool = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}
    format = {"type": "json_schema", "schema": {"type": "object"}}
    with recorded(tmp_path, **facts) as send:
        for body in ({"max_tokens": 10**6}, {"colour": 1}, {"tools": [tool], "response_format": format}):
            assert send("/chat/completions", **body).status_code == 200


def test_paths_headers_and_vectors(tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "evaluation_path": {"/v1/evaluation": 404, "/v1/evaluations": 200},
        "limit_headers": {"headers": ["x-ratelimit-limit"]},
        "embeddings": {"status": 200, "usage": False},
        "base64": {"status": 200, "embedding": "list"},
    }
    with recorded(tmp_path, **facts) as send:
        assert [send(f"/{path}").status_code for path in ("evaluation", "evaluations")] == [404, 200]
        headers = send("/chat/completions", max_tokens=1).headers
        assert [name for name in headers if "limit" in name or name == "retry-after"] == ["x-ratelimit-limit"]
        body = send("/embeddings", model=GONE, input="a", encoding_format="base64").json()
        assert isinstance(body["data"][0]["embedding"], list) and body["usage"] is None


@pytest.mark.parametrize("content", [None, "{", "[]", '{"version": 2, "facts": {}}'])
def test_a_folder_without_a_record_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "doctor.json").write_text(content)
    with pytest.raises(ValueError, match=r"doctor\.json"), serve(as_recorded=tmp_path):
        pass


def test_an_unknown_behaviour_is_refused(tmp_path: Path) -> None:
    facts = {"chat": {"status": 200, "cached_tokens": "elsewhere"}}
    with pytest.raises(ValueError, match="cached_tokens='elsewhere'"), recorded(tmp_path, **facts):
        pass
