"""Errors of request bodies: status, `param`, and a message that says what is expected."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.emulator.conftest import MODEL
from together_adapters.emulator import Emulator

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
IMAGE = {"model": "black-forest-labs/FLUX.1-schnell", "prompt": "a cat"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 129}, "n must be less than or equal to 128"),
        ({"n": "2"}, "n must be a valid integer"),
        ({"n": True}, "n must be a valid integer"),
        ({"temperature": -1}, "temperature must be greater than or equal to 0"),
        ({"stream": "yes"}, "stream must be a valid boolean"),
        ({"stop": [1]}, "stop must be a string or an array of strings"),
        ({"logprobs": 21}, "logprobs must be a boolean or a whole number up to 20"),
        ({"context_length_exceeded_behavior": "cut"}, "context_length_exceeded_behavior must be 'truncate' or 'error'"),
    ],
)
def test_sampling_parameters(changes: dict[str, Any], message: str, http: httpx.Client) -> None:
    response = http.post("/chat/completions", json={**CHAT, **changes})
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (422, next(iter(changes)))
    assert error["message"] == f"Input validation error: {message}"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": None}, "prompt is required."),
        ({"prompt": ""}, "prompt must have at least 1 character."),
        ({"width": 65}, "width must be a multiple of 8."),
        ({"size": "1x1"}, "size must be auto, or a width and height such as 1024x768."),
        ({"response_format": "gif"}, "response_format must be 'base64', 'b64_json' or 'url'."),
        ({"reference_images": [1]}, "reference_images.0 must be a valid string."),
    ],
)
def test_other_parameters(changes: dict[str, Any], message: str, http: httpx.Client) -> None:
    response = http.post("/images/generations", json={**IMAGE, **changes})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["message"]) == (400, next(iter(changes)), message)


def test_null_counts_as_absent(http: httpx.Client) -> None:
    assert http.post("/chat/completions", json={**CHAT, "n": None, "stop": None, "stream": None}).status_code == 200


def test_half_of_a_surrogate_pair_is_refused(http: httpx.Client) -> None:
    headers = {"content-type": "application/json"}
    for text, status in ((rb"\ud800", 400), (rb"\ude00\ud83d", 400), (rb"\ud83d\ude00", 200), (rb"\\ud800", 200)):
        answer = http.post("/embeddings", content=b'{"model": "BAAI/bge-base-en-v1.5", "input": "%b"}' % text, headers=headers)
        assert answer.status_code == status
        assert status == 200 or "surrogate" in answer.json()["error"]["message"]


def test_strict_mode_knows_the_fields(http: httpx.Client, emulator: Emulator) -> None:
    with emulator.behave(strict=True):
        assert http.post("/images/generations", json={**IMAGE, "seed": 1}).status_code == 200
        assert http.post("/chat/completions", json={**CHAT, "max_tokens": 5}).status_code == 200
        for path, body in (("/images/generations", IMAGE), ("/chat/completions", {**CHAT, "max_completion_tokens": 5})):
            response = http.post(path, json={**body, "later": 1})
            assert response.status_code == 422
            assert response.json()["error"]["message"].startswith("Input validation error: unknown parameter ")
