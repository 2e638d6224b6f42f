"""Which model of an engine answers for a name of Together's, and which engine for a kind of request."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.remote.conftest import HELLO, MODEL, ScriptedEngine, completion
from tests.emulator.remote.test_engine_calls import behind
from together_adapters import NotFoundError
from together_adapters.emulator import Engine
from together_adapters.emulator.remote.engines import command_line_engines, engines_by_kind, parse_engine
from together_adapters.emulator.remote.model_names import choose_name

OLLAMA = ["llama3.2:1b", "nomic-embed-text:latest", "gpt-oss-120b:latest"]


@pytest.mark.parametrize(
    ("model", "names", "kind", "default", "expected"),
    [
        ("llama3.2:1b", OLLAMA, "chat", None, "llama3.2:1b"),
        ("openai/gpt-oss-120b", OLLAMA, "chat", "llama3.2:1b", "gpt-oss-120b:latest"),
        ("Qwen/Qwen3.5-9B", ["/models/Qwen3.5-9B.gguf", "b"], "chat", None, "/models/Qwen3.5-9B.gguf"),
        ("BAAI/bge-m3", OLLAMA, "embeddings", None, "nomic-embed-text:latest"),
        ("Qwen/Qwen3.5-9B", OLLAMA[:2], "chat", None, "llama3.2:1b"),
        ("Qwen/Qwen3.5-9B", OLLAMA, "chat", "llama3.2:1b", "llama3.2:1b"),
        ("Qwen/Qwen3.5-9B", OLLAMA, "chat", None, None),
        ("Qwen/Qwen3.5-9B", ["tiny"], "chat", None, "tiny"),
    ],
)
def test_choice_of_a_name(model: str, names: list[str], kind: Any, default: str | None, expected: str | None) -> None:
    assert choose_name(model, names, kind, default) == expected


def test_names_are_sent_and_answered(engine: ScriptedEngine) -> None:
    engine.answer(completion())
    engine.models = OLLAMA
    with behind(Engine(engine.url, models={MODEL: "llama3.2:1b"})) as (_, client):
        chat = client.chat.completions
        assert chat.create(model=MODEL, messages=HELLO).model == MODEL
        assert chat.create(model="llama3.2:1b", messages=HELLO).model == "llama3.2:1b"
        with pytest.raises(NotFoundError, match=r"it has gpt-oss-120b:latest, llama3.2:1b.*--engine-model Qwen/Qwen3.5-9B="):
            chat.create(model="Qwen/Qwen3.5-9B", messages=HELLO)
        types = {model.id: model.type for model in client.models.list()}
    assert (types["llama3.2:1b"], types["nomic-embed-text:latest"]) == ("chat", "embedding")
    assert [body["model"] for _, _, body in engine.requests] == ["llama3.2:1b"] * 2


def test_a_server_without_a_list_gets_the_name_as_it_is(engine: ScriptedEngine) -> None:
    engine.answer(completion())
    engine.models = None
    with behind(engine) as (_, client):
        client.chat.completions.create(model=MODEL, messages=HELLO)
    assert engine.requests[0][2]["model"] == MODEL


def test_engines_for_kinds() -> None:
    by_kind = engines_by_kind(["http://127.0.0.1:8080", "embeddings=http://127.0.0.1:8001/v1/"])
    assert {kind: engine.url for kind, engine in by_kind.items()} == {
        "chat": "http://127.0.0.1:8080/v1",
        "completions": "http://127.0.0.1:8080/v1",
        "embeddings": "http://127.0.0.1:8001/v1",
    }
    assert parse_engine("http://h:1/v1?").models == {}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Engine("127.0.0.1:8080"),
        lambda: Engine("http://user:secret@h/v1"),
        lambda: parse_engine("speech=http://h/v1"),
        lambda: engines_by_kind(["http://a/v1", "http://b/v1"]),
        lambda: Engine("http://h/v1", key="a\nb"),
        lambda: Engine("http://h/v1", timeout=0),
        lambda: command_line_engines([], None, ["a"]),
        lambda: command_line_engines(["http://a/v1", "embeddings=http://b/v1"], "key", []),
        lambda: command_line_engines(["http://a/v1"], None, ["a", "b"]),
    ],
)
def test_wrong_engines_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError) as problem:
        wrong()
    assert "secret" not in str(problem.value)
