"""No key and no e-mail address is in a recording, wherever it was, and requests are found again all the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.testing.conftest import NOWHERE, Session, chat
from together_adapters.emulator import Emulator
from together_adapters.testing import record, replay
from together_adapters.testing.redaction import MARK, Redaction

KEY = "tgp_v1_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7d"
PLAIN = "correct-horse-battery"
"""A secret without a form, known because it is the key or the value of a secret header."""
OTHER = "sk-proj-" + "Zx9Yw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe"
EMAIL = "ann.lee+news@mail.example.com"


def test_nothing_secret_is_written(flavour: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In headers, query, bodies and responses, whole, encoded, and in pieces."""
    monkeypatch.setenv("OTHER_VENDOR_API_KEY", "other-vendor-secret-value")
    secrets = (KEY, PLAIN, OTHER, EMAIL, "other-vendor-secret-value", "s1gnature")
    text = f"I am {EMAIL}; {KEY} and {OTHER}, {PLAIN}, other-vendor-secret-value"

    def answer(request: Any) -> httpx.Response:
        assert PLAIN in request.headers["authorization"]
        body = {
            "id": "1",
            "object": "file",
            "echo": json.loads(request.content)["messages"][0]["content"],
            "wandb_api_key": "w4ndb",
            "url": f"https://ann:{PLAIN}@storage.example.com/x?X-Amz-Signature=s1gnature&part=1",
            "nested": json.dumps({"key": KEY}),
            KEY: 1,
        }
        headers = {"set-cookie": f"session={PLAIN}", "x-request-id": PLAIN, "x-api-key": "short", "location": "/x?sig=s1gnature"}
        return httpx.Response(200, json=body, headers=headers)

    client = flavour.client(
        http_client=flavour.mock_client(answer),
        api_key=PLAIN,
        base_url="https://gateway.example.com/v1",
    )
    body = {**chat(text), "metadata": {"hf_api_token": "hugging"}}
    query = {"api_key": "queried", "limit": "2"}

    def ask(with_client: Any, **changes: Any) -> Any:
        return flavour.run(with_client.request("POST", "/v1/anything", body={**body, **changes}, query=query))

    with record(path, redact=[r"\bI am\b"]):
        ask(client)
    content = path.read_text("utf-8")
    for secret in (*secrets, "w4ndb", "hugging", "queried", "short", "session", "I am"):
        assert secret not in content, content
    assert content.count(MARK) > 15
    assert "limit: '2'" in content
    with replay(path):
        assert ask(flavour.client(base_url=NOWHERE))["echo"].endswith(f"{MARK}, {MARK}, {MARK}")


def test_streams_bring_secrets_in_pieces(session: Session, emulator: Emulator) -> None:
    text = f"Mail {EMAIL} and use {KEY}; or {PLAIN}, thanks."

    def scenario(client: Any) -> list[str]:
        chunks = session.flavour.iterate(session.flavour.run(client.chat.completions.create(**chat(text, stream=True))))
        return [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]

    for pieces in (1, 3):
        emulator.reply(text)
        with emulator.behave(pieces=pieces):
            assert "".join(session.record(scenario, api_key=PLAIN)) == text
        content = session.path.read_text("utf-8")
        events = [line for line in content.splitlines() if "delta: {" in line]
        assert len(events) > len(text) / 4
        replayed = session.replay(scenario)
        assert "".join(replayed) == f"Mail {MARK} and use {MARK}; or {MARK}, thanks."
        joined = "".join(replayed)
        assert not any(secret in joined for secret in (KEY, PLAIN, EMAIL))


def test_choices_are_told_apart() -> None:
    """Pieces of two choices that arrive by turns are no common text."""

    def event(index: int, text: str) -> dict[str, Any]:
        return {"data": {"choices": [{"index": index, "delta": {"content": text}}]}}

    halves = [event(0, f"{KEY[:20]}"), event(1, "fine"), event(0, KEY[20:]), event(1, " day")]
    texts = [item["data"]["choices"][0]["delta"]["content"] for item in Redaction([]).events(halves)]
    assert texts == [MARK, "fine", "", " day"]


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=5 and <bos_token>",
        "x-tokenlimit-remaining",
        "a@b, @decorator and user@localhost",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "https://example.com/path?part=1",
        "an emulator",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redaction(["emulator", "short"]).text(text) == text


def test_fields_of_the_api_stay() -> None:
    value = {"token": "Paris", "tokens": ["a"], "eos_token": "</s>", "max_tokens": 5, "api_key": None, "total_tokens": 7}
    assert Redaction([]).value(value) == value


def test_headers_of_limits_stay(session: Session) -> None:
    session.record(lambda client: session.flavour.run(client.chat.completions.create(**chat())))
    content = session.path.read_text("utf-8")
    assert "x-tokenlimit-limit: '200000'" in content
    assert re.search(r"retry-after: '\d'", content)
