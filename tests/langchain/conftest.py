"""Fixtures of the LangChain tests: a lenient and a strict emulator, and adapters that are connected to it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from together_adapters.emulator import Emulator, serve

if TYPE_CHECKING:
    from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank

KEY = "sk-test-4f1d2c3b5a69788796a5b4c3d2e1f000"
MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
REASONER = "openai/gpt-oss-120b"

_PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@pytest.fixture(scope="session")
def strict_emulator() -> Iterator[Emulator]:
    from together_adapters.emulator import Behaviour

    with serve(behaviour=Behaviour(strict=True)) as running:
        yield running


@pytest.fixture
def connect(emulator: Emulator) -> dict[str, Any]:
    """The fields that lead an adapter to the emulator."""
    return {"api_key": KEY, "base_url": emulator.base_url}


@pytest.fixture
def llm(connect: dict[str, Any]) -> ChatTogether:
    from langchain_together_adapters import ChatTogether

    return ChatTogether(model=MODEL, **connect)


@pytest.fixture
def completer(connect: dict[str, Any]) -> Together:
    from langchain_together_adapters import Together

    return Together(model=MODEL, **connect)


@pytest.fixture
def embedder(connect: dict[str, Any]) -> TogetherEmbeddings:
    from langchain_together_adapters import TogetherEmbeddings

    return TogetherEmbeddings(**connect)


@pytest.fixture
def reranker(connect: dict[str, Any]) -> TogetherRerank:
    from langchain_together_adapters import TogetherRerank

    return TogetherRerank(model="acme/ranker", **connect)


@pytest.fixture
def offline_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard suite fetches pictures and sounds with `httpx.get`; it gets a pixel."""

    def get(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(200, content=_PIXEL, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "offline")


@pytest.fixture
def vcr(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The standard suite's recorder, offline: it replays what it has just recorded from the emulator.

    The port is another one each time, so requests are told apart by their path.
    """
    if request.node.get_closest_marker("vcr") is None:
        yield None
        return
    from langchain_tests.conftest import CustomPersister, CustomSerializer
    from vcr import VCR

    recorder = VCR(record_mode="once", match_on=["method", "path", "body"], cassette_library_dir=str(tmp_path))
    recorder.register_serializer("yaml.gz", CustomSerializer())
    recorder.register_persister(CustomPersister)
    request.getfixturevalue("_server")
    model = request.getfixturevalue("model")
    with recorder.use_cassette("stream.yaml.gz", serializer="yaml.gz"):
        list(model.stream("Write a story about a cat."))
    replay = {"serializer": "yaml.gz", "allow_playback_repeats": True}
    with recorder.use_cassette("stream.yaml.gz", **replay) as cassette:
        yield cassette
