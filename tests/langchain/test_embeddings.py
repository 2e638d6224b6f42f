"""Embeddings: batches, order, prefixes, limits."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import TogetherEmbeddings
from pydantic import ValidationError

import together_adapters
from together_adapters.emulator import Emulator, Fault

E5 = "BAAI/bge-base-en-v1.5"


async def both(embedder: TogetherEmbeddings, texts: list[str]) -> AsyncIterator[list[list[float]]]:
    """Embed in both flavours, one after the other."""
    yield embedder.embed_documents(texts)
    yield await embedder.aembed_documents(texts)


@pytest.mark.parametrize(("count", "requests"), [(0, 0), (1, 1), (128, 1), (129, 2), (300, 3)])
async def test_one_request_for_each_batch(count: int, requests: int, embedder: Any, emulator: Emulator) -> None:
    async for vectors in both(embedder, [f"text {n}" for n in range(count)]):
        assert len(vectors) == count
        assert len(emulator.requests) == requests
        emulator.clear()


async def test_order(embedder: TogetherEmbeddings, emulator: Emulator) -> None:
    texts = [f"text number {n}" for n in range(150)]
    straight = embedder.embed_documents(texts)
    with emulator.behave(shuffle_embeddings=True):
        async for vectors in both(embedder, texts):
            assert vectors == straight
    assert straight[7] == embedder.embed_query(texts[7]) == await embedder.aembed_query(texts[7])


def test_plain_floats(embedder: TogetherEmbeddings, emulator: Emulator) -> None:
    with emulator.behave(embedding_usage=False):
        vectors = embedder.embed_documents(["a", "b"])
    assert type(vectors) is list
    assert {type(value) for vector in vectors for value in vector} == {float}
    assert math.isfinite(sum(vectors[0]))


async def test_concurrency_is_bounded(connect: Any, emulator: Emulator) -> None:
    embedder = TogetherEmbeddings(**connect, chunk_size=10, max_concurrency=2)
    with emulator.behave(delay=0.02):
        assert [len(vectors) async for vectors in both(embedder, [f"text {n}" for n in range(120)])] == [120, 120]
    assert len(emulator.requests) == 24
    assert emulator.most_in_flight <= 4, "one that is answered may still be counted when the next arrives"
    assert embedder.embed_documents(["x"] * 20, chunk_size=20)
    assert len(emulator.requests) == 25
    await embedder.aclose()


def test_ten_thousand_texts() -> None:
    sizes: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["input"]
        sizes.append(len(texts))
        return httpx.Response(200, json={"data": [{"index": at, "embedding": [float(text)]} for at, text in enumerate(texts)]})

    with httpx.Client(transport=httpx.MockTransport(answer)) as http_client:
        vectors = TogetherEmbeddings(api_key="k", http_client=http_client).embed_documents([str(n) for n in range(10_000)])
    assert vectors == [[float(n)] for n in range(10_000)]
    assert len(sizes) <= 80


async def test_prefixes(connect: Any, emulator: Emulator) -> None:
    def inputs() -> list[Any]:
        inputs = [request.json["input"] for request in emulator.requests]
        emulator.clear()
        return inputs

    default = TogetherEmbeddings(model=E5, **connect)
    default.embed_query("q")
    default.embed_documents(["d"])
    assert inputs() == [["q"], ["d"]]
    auto = TogetherEmbeddings(model=E5, **connect, query_prefix="auto", document_prefix="auto")
    auto.embed_query("q")
    await auto.aembed_documents(["d"])
    query, documents = inputs()
    assert query[0].startswith("Represent this sentence")
    assert query[0].endswith("q")
    assert documents == ["d"]
    prefixed = TogetherEmbeddings(model=E5, **connect, query_prefix="query: ", document_prefix="passage: ")
    await prefixed.aembed_query("q")
    prefixed.embed_documents(["d"])
    assert inputs() == [["query: q"], ["passage: d"]]


def test_wire(connect: Any, emulator: Emulator) -> None:
    TogetherEmbeddings(model=E5, **connect).embed_query("q")
    assert emulator.requests[-1].json == {"model": E5, "input": ["q"]}
    with emulator.behave(dimensions=True):
        TogetherEmbeddings(model=E5, **connect, dimensions=256, model_kwargs={"encoding_format": "float"}).embed_query("q")
    assert emulator.requests[-1].json == {"model": E5, "input": ["q"], "dimensions": 256, "encoding_format": "float"}


def test_too_large_requests_are_halved(embedder: TogetherEmbeddings, emulator: Emulator) -> None:
    emulator.inject(Fault("too-large", limit=20, times=None))
    assert len(embedder.embed_documents(["x"] * 100)) == 100


def test_an_error_carries_the_finished_embeddings(connect: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("400"))
    with pytest.raises(together_adapters.BadRequestError) as error_info:
        TogetherEmbeddings(**connect, chunk_size=5, max_concurrency=1).embed_documents([str(n) for n in range(20)])
    assert len(error_info.value.pending) >= 5


def test_empty_texts(connect: Any, emulator: Emulator) -> None:
    embedder = TogetherEmbeddings(**connect, skip_empty=True)
    vectors = embedder.embed_documents(["a", "", "  ", "b"])
    assert emulator.requests[-1].json["input"] == ["a", "b"]
    assert [any(vector) for vector in vectors] == [True, False, False, True]
    assert len({len(vector) for vector in vectors}) == 1
    emulator.clear()
    assert embedder.embed_documents([""]) == [[0.0] * 768]
    assert emulator.requests == []


def test_only_texts(embedder: TogetherEmbeddings, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match="no token ids"):
        embedder.embed_documents([[1, 2]])  # type: ignore[list-item]
    assert emulator.requests == []


def test_a_misspelt_field(connect: Any) -> None:
    with pytest.raises(ValidationError, match="chunksize"):
        TogetherEmbeddings(**connect, chunksize=3)
    with pytest.raises(ValidationError):
        TogetherEmbeddings(**connect, chunk_size=0)


def test_vector_store(embedder: TogetherEmbeddings, emulator: Emulator) -> None:
    store = InMemoryVectorStore(embedder)
    store.add_documents([Document(f"fact {n} about llamas") for n in range(50)])
    assert store.similarity_search("llamas", k=3)
    assert len(emulator.requests) == 2


def test_indexing_twice(embedder: TogetherEmbeddings) -> None:
    store, records = InMemoryVectorStore(embedder), InMemoryRecordManager("tests")
    records.create_schema()
    documents = [Document(f"fact {n}", metadata={"source": str(n)}) for n in range(20)]
    options: Any = {"cleanup": None, "key_encoder": "sha256"}
    assert index(documents, records, store, **options)["num_added"] == 20
    assert index(documents, records, store, **options)["num_skipped"] == 20


async def test_long_texts_are_split(connect: Any, emulator: Emulator) -> None:
    long = "The quick brown fox jumps. " * 200
    embedder = TogetherEmbeddings(**connect, model=E5, long_texts="split")
    async for vectors in both(embedder, [long, "a", "a"]):
        sent = emulator.requests[0].json["input"]
        assert "".join(sent[:-1]) == long and sent[-1] == "a"
        assert math.hypot(*vectors[0]) == pytest.approx(1.0) and vectors[1] == vectors[2]
        emulator.clear()
    assert embedder.embed_query(long) == pytest.approx(vectors[0])
    with pytest.raises(together_adapters.ContextLengthError, match="Nothing was sent"):
        embedder.model_copy(update={"long_texts": "error"}).embed_query(long)
    with pytest.raises(ValidationError):
        TogetherEmbeddings(**connect, long_texts="cut")
