"""Exchanges with the emulator, kept as cassettes and played with the network blocked.

To record anew, delete the files in `tests/cassettes` and run `python -m pytest tests/recordings/test_cassettes.py
--record-mode=once`. Look at what changed before it is committed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from operator import mul
from pathlib import Path
from typing import Any

import pytest

from tests.recordings import cassettes
from tests.resources.stream_joiner import join
from together_adapters import NotFoundError
from together_adapters.emulator import Emulator

FOLDER = Path(__file__).parent.parent / "cassettes"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    return str(FOLDER)


@pytest.fixture
def vcr_config() -> dict[str, Any]:
    return {
        "serializer": cassettes.SERIALIZER,
        "match_on": ["method", "path", "body"],
        "before_record_request": cassettes.without_machine,
        "before_record_response": cassettes.without_noise,
    }


@pytest.fixture
def client(flavour: Any, emulator: Emulator, record_mode: str, vcr: Any) -> Iterator[Any]:
    """Returns a client of the emulator while recording, otherwise of no server."""
    if record_mode != "none":
        with emulator.behave(dimensions=True):
            yield flavour.client(max_retries=0)
        return
    yield flavour.client(base_url=f"{cassettes.HOST}/v1", max_retries=0)
    assert vcr.all_played
    assert emulator.requests == []


def cassette(name: str) -> pytest.MarkDecorator:
    def mark(test: Any) -> Any:
        return pytest.mark.vcr(pytest.mark.block_network(pytest.mark.default_cassette(name)(test)))

    return mark  # type: ignore[return-value]


@cassette("chat")
def test_chat(flavour: Any, client: Any) -> None:
    messages = [{"role": "user", "content": 'Say "Grüße, 世界 🦙".'}]
    answer = flavour.run(client.chat.completions.create(model="moonshotai/Kimi-K3", messages=messages, logprobs=True))
    message = answer.choices[0].message
    assert message.content == "Grüße, 世界 🦙"
    assert message.reasoning_content == message.thinking != ""
    assert "".join(answer.choices[0].logprobs.tokens) == message.content
    assert answer.choices[0].seed > 2**63


@cassette("chat_stream_tools")
def test_chat_stream_with_tools(flavour: Any, client: Any) -> None:
    stream = flavour.run(
        client.chat.completions.create(
            model="deepseek-ai/DeepSeek-V4.1-Flash",
            messages=[{"role": "user", "content": "What is the weather in Paris and in Zürich?"}],
            tools=[WEATHER],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    combined = join([chunk.model_dump(exclude_unset=True) for chunk in flavour.iterate(stream)])
    calls = combined["choices"][0]["calls"]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Zürich"}),
    ]
    assert combined["choices"][0]["finish_reason"] == "tool_calls"
    assert combined["usage"]["total_tokens"] > 0


@cassette("embeddings")
def test_embeddings(flavour: Any, client: Any) -> None:
    inputs = ["a llama", "another llama", "semantic versioning"]
    answer = flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=inputs, dimensions=8, batch_size=2))
    first, second, third = (item.embedding for item in answer.data)
    assert len(first) == len(second) == len(third) == 8
    assert sum(map(mul, first, second)) > sum(map(mul, first, third))


@cassette("rerank")
def test_rerank(flavour: Any, client: Any) -> None:
    documents = ["Pandas eat bamboo.", "Llamas are camelids of Peru.", "Nothing to see."]
    answer = flavour.run(
        client.rerank.create(model="acme/ranker", query="camelids of Peru", documents=documents, top_n=2, return_documents=True)
    )
    best = answer.results[0]
    assert (best.index, best.document) == (1, {"text": documents[1]})


@cassette("unknown_model")
def test_unknown_model(flavour: Any, client: Any) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(NotFoundError, match="does-not-exist") as error_info:
        flavour.run(client.chat.completions.create(model="acme/does-not-exist", messages=messages))
    assert error_info.value.code == "model_not_available"
    assert error_info.value.request_id in str(error_info.value)


def files() -> list[Path]:
    return sorted(FOLDER.glob("**/*.*"))


def test_no_cassette_is_an_orphan_and_none_is_missing() -> None:
    marks = [mark for value in vars(sys.modules[__name__]).values() for mark in getattr(value, "pytestmark", [])]
    used = {f"{mark.args[0]}.{cassettes.SERIALIZER}" for mark in marks if mark.name == "default_cassette"}
    assert {file.name for file in files()} == used


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_a_cassette_holds_no_key_and_nothing_of_a_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    result = re.findall(r"authorization|bearer|user-agent|api[-_]key|\bsk-\w+|\b[0-9a-f]{40,}\b", text, re.IGNORECASE)
    assert result == []
    assert re.findall(r"127\.0\.0\.1|localhost|python/\d|/home/|/root/|/Users/|/tmp/", text) == []
    assert set(re.findall(r"https?://[^/\s]+", text)) <= {cassettes.HOST}


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_a_cassette_is_written_as_values_and_read_without_loss(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    read = cassettes.deserialize(text)
    for interaction in read["interactions"]:
        for body in (interaction["request"]["body"], interaction["response"]["body"]["string"]):
            assert body.startswith(("{", "[", "data: "))
    assert cassettes.serialize(read) == text
    assert r"\"" not in re.sub(r"arguments: .*", "", text)
