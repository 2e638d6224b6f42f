"""Embeddings: batches, limits, and the attributes of errors."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index_together_adapters import TogetherEmbedding

from tests.llama_index.conformance.wire import WireServer, error, raw, vector
from together_adapters import APIResponseValidationError, ContextLengthError, RateLimitError
from together_adapters.emulator import Emulator, Limits
from together_adapters.types.capabilities import capabilities

TEXTS = [f"text {number}" for number in range(50)]
E5 = "BAAI/bge-base-en-v1.5"


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


def model_of(wire: WireServer, **options: Any) -> TogetherEmbedding:
    return TogetherEmbedding(**{"api_key": "k", "api_base": wire.url, "max_retries": 0, **options})


@pytest.mark.parametrize("flavour", ["sync", "async"])
async def test_an_error_lists_the_missing_texts(wire: WireServer, flavour: str) -> None:
    def embed(text: str) -> list[float]:
        if text == "text 10":
            wire.script(error(429, "slow down"))  # the next request, of the texts from 20 on
        return vector(text)

    wire.emulator.reply(embedding=embed)
    embedding = model_of(wire, embed_batch_size=10, num_workers=1)
    with pytest.raises(RateLimitError, match="slow down") as error_info:
        if flavour == "sync":
            embedding.get_text_embedding_batch(TEXTS)
        else:
            async with embedding.asynchronous_client:
                await embedding.aget_text_embedding_batch(TEXTS)
    assert list(error_info.value.pending) == list(range(20, 50))
    assert [item.index for item in error_info.value.completed.data] == list(range(20))
    assert wire.count("/embeddings") == 3
    assert "20 of 50" in str(error_info.value.__notes__)


async def test_at_most_eight_in_flight(wire: WireServer) -> None:
    wire.delay(0.05)
    wire.emulator.limits = Limits(concurrent=8)  # a ninth would fail
    embedding = model_of(wire, embed_batch_size=1)
    async with embedding.asynchronous_client:
        await embedding.aget_text_embedding_batch(TEXTS)
    assert wire.max_in_flight > 2


def test_ten_thousand_texts(wire: WireServer) -> None:
    assert len(model_of(wire).get_text_embedding_batch([f"text {number}" for number in range(10_000)])) == 10_000
    assert wire.count("/embeddings") <= 80


def test_auto_takes_the_prefixes_of_the_table(wire: WireServer) -> None:
    embedding = model_of(wire, model_name=E5, query_instruction="auto", text_instruction="auto")
    embedding.get_query_embedding("abc")
    embedding.get_text_embedding("abc")
    entry = capabilities(E5)
    assert [body["input"] for body in wire.bodies] == [[entry.query_prefix + "abc"], [entry.document_prefix + "abc"]]


@pytest.mark.parametrize("data", [[], [{"index": 0, "embedding": []}]])
def test_missing_and_empty_vectors_raise(wire: WireServer, data: Any) -> None:
    wire.script(raw({"object": "list", "data": data}))
    with pytest.raises(APIResponseValidationError):
        model_of(wire).get_text_embedding("abc")


def test_the_cache_is_no_part_of_a_dump(wire: WireServer) -> None:
    embedding = model_of(wire, embeddings_cache=SimpleKVStore())
    embedding.get_text_embedding("abc")
    assert "embeddings_cache" not in embedding.to_dict()
    assert embedding.to_json()


def test_cached_queries_and_single_texts(wire: WireServer) -> None:
    embedding = model_of(wire, embeddings_cache=SimpleKVStore())
    for _ in range(2):
        embedding.get_query_embedding("abc")
        embedding.get_text_embedding("abc")
        embedding.get_text_embedding_batch(["abc"])
    assert len(wire.requests) == 2


def test_on_the_emulator(emulator: Emulator) -> None:
    embedding = TogetherEmbedding(E5, api_key="k", base_url=emulator.base_url)
    with emulator.behave(shuffle_embeddings=True):
        vectors = embedding.get_text_embedding_batch(TEXTS)
    assert vectors == [embedding.get_text_embedding(text) for text in TEXTS]


@pytest.mark.parametrize("flavour", ["sync", "async"])
async def test_long_texts_are_split_and_equal_ones_sent_once(emulator: Emulator, flavour: str) -> None:
    long = "The quick brown fox jumps. " * 200
    embedding = TogetherEmbedding(E5, api_key="k", api_base=emulator.base_url, long_texts="split")
    if flavour == "sync":
        vectors = embedding.get_text_embedding_batch([long, "a", "a"])
    else:
        async with embedding.asynchronous_client:
            vectors = await embedding.aget_text_embedding_batch([long, "a", "a"])
    sent = emulator.requests[0].json["input"]
    assert "".join(sent[:-1]) == long and sent[-1] == "a"
    assert sum(value * value for value in vectors[0]) == pytest.approx(1.0) and vectors[1] == vectors[2]


def test_long_texts_may_be_an_error(emulator: Emulator) -> None:
    embedding = TogetherEmbedding(E5, api_key="k", api_base=emulator.base_url, long_texts="error")
    with pytest.raises(ContextLengthError, match="Nothing was sent"):
        embedding.get_query_embedding("The quick brown fox jumps. " * 200)
    assert emulator.requests == []
