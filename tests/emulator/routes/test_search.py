"""Embeddings, rerank and the list of models."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import Any

import httpx
import pytest

from together_adapters.emulator import Emulator
from together_adapters.types.capabilities import MODELS

LARGE = "BAAI/bge-large-en-v1.5"
RERANK = "Salesforce/Llama-Rank-V1"
DOCUMENTS = [
    "Otters eat crabs and sleep in dens.",
    "A kiln is an oven that hardens clay.",
    "The parliament met on Tuesday.",
    "Clay pots are fired in kilns.",
]


def embed(http: httpx.Client, texts: Any, **more: Any) -> list[list[float]]:
    answer = http.post("/embeddings", json={"model": LARGE, "input": texts, **more})
    assert answer.status_code == 200, answer.text
    return [row["embedding"] for row in sorted(answer.json()["data"], key=lambda row: row["index"])]


def similarity(one: list[float], two: list[float]) -> float:
    return sum(a * b for a, b in zip(one, two, strict=True))


def test_vectors_have_unit_length_and_the_dimensions_of_the_model(http: httpx.Client) -> None:
    for text in ("Otters eat crabs", "a", "", "   ", "世界", "?!"):
        assert math.isclose(math.hypot(*embed(http, text)[0]), 1.0, abs_tol=1e-4)
    for model, size in ((LARGE, 1024), ("BAAI/bge-base-en-v1.5", 768), ("Alibaba-NLP/gte-modernbert-base", 768)):
        body = http.post("/embeddings", json={"model": model, "input": "a"}).json()
        assert (body["object"], body["model"], len(body["data"][0]["embedding"])) == ("list", model, size)


@pytest.mark.parametrize(
    ("query", "best"), [("What do otters eat?", 0), ("hardening clay in an oven", 1), ("parliaments meeting", 2)]
)
def test_similar_texts_have_similar_vectors(http: httpx.Client, query: str, best: int) -> None:
    for request in (
        query,
        f"Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: {query}",
    ):
        vector, *others = embed(http, [request, *DOCUMENTS])
        assert max(range(4), key=lambda at: similarity(vector, others[at])) == best
    assert embed(http, query) != embed(http, f"query: {query}")


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("erase an entry", "Remove the item."),
        ("what `is` is for", "Use `is` for identity."),
        ("a := b", "The operator `:=` binds."),
    ],
)
def test_related_words_and_code_count(http: httpx.Client, query: str, best: str) -> None:
    documents = [
        "Add the item twice.",
        "Remove the item.",
        "Use `in` for members.",
        "Use `is` for identity.",
        "The operator `:=` binds.",
    ]
    vector, *others = embed(http, [query, *documents])
    assert documents[max(range(5), key=lambda at: similarity(vector, others[at]))] == best
    results = http.post("/rerank", json={"model": RERANK, "query": query, "documents": documents}).json()["results"]
    assert documents[results[0]["index"]] == best


def test_the_same_text_has_the_same_vector(http: httpx.Client) -> None:
    assert embed(http, DOCUMENTS) == [embed(http, document)[0] for document in DOCUMENTS]


def test_base64_contains_the_same_numbers(http: httpx.Client) -> None:
    encoded = http.post("/embeddings", json={"model": LARGE, "input": DOCUMENTS[0], "encoding_format": "base64"}).json()
    numbers = struct.unpack("<1024f", base64.b64decode(encoded["data"][0]["embedding"]))
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(numbers, embed(http, DOCUMENTS[0])[0], strict=True))


@pytest.mark.parametrize(
    "body",
    [
        {"user": "u"}, {"dimensions": 256}, {"input": [1, 2, 3]}, {"input": [[1, 2]]}, {"input": []}, {"input": None}, {"input": 5},
        {"encoding_format": "hex"}, {"input": " ".join(f"word{number}" for number in range(900))}, {"input": ["a"] * 3_000},
    ],
)  # fmt: skip
def test_invalid_embedding_requests(http: httpx.Client, body: dict[str, Any]) -> None:
    answer = http.post("/embeddings", json={"model": LARGE, "input": "a", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_behaviour_of_embeddings(http: httpx.Client, emulator: Emulator) -> None:
    emulator.behave(shuffle_embeddings=True, embedding_usage=False, dimensions=True, embedding_overflow="truncate")
    body = http.post("/embeddings", json={"model": LARGE, "input": DOCUMENTS, "dimensions": 64}).json()
    order = [row["index"] for row in body["data"]]
    assert order != sorted(order) and sorted(order) == [0, 1, 2, 3]
    assert body["usage"] is None
    assert {len(row["embedding"]) for row in body["data"]} == {64}
    assert len(embed(http, "word " * 3_000)) == 1


def test_many_texts(http: httpx.Client) -> None:
    texts = [" ".join(f"{DOCUMENTS[(at + step) % 4]} item{at}" for step in range(14)) for at in range(300)]
    assert len(http.post("/embeddings", json={"model": LARGE, "input": texts}).json()["data"]) == 300


def test_rerank(http: httpx.Client) -> None:
    body = http.post(
        "/rerank", json={"model": RERANK, "query": "Which oven hardens clay?", "documents": DOCUMENTS, "top_n": 3}
    ).json()
    assert body["object"] == "rerank"
    scores = [result["relevance_score"] for result in body["results"]]
    assert [result["index"] for result in body["results"]][:2] == [1, 3]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert len(scores) == 3
    assert body["results"][0]["document"] == {}
    assert body["usage"]["total_tokens"] > 0


def test_rerank_of_objects(http: httpx.Client) -> None:
    documents = [{"title": "Panda", "text": "Bears of China", "id": 1}, {"title": "Llama", "text": "Camelids near Peru", "id": 2}]
    request = {
        "model": RERANK,
        "query": "camelids near Peru",
        "documents": documents,
        "return_documents": True,
        "rank_fields": ["title", "text"],
    }
    best = http.post("/rerank", json=request).json()["results"][0]
    assert best["index"] == 1
    assert json.loads(best["document"]["text"]) == {"title": "Llama", "text": "Camelids near Peru"}


@pytest.mark.parametrize(
    "body",
    [
        {"documents": []}, {"documents": None}, {"query": None}, {"query": 5}, {"top_n": 0}, {"top_n": "x"}, {"documents": ["a", {}]}, {"documents": [1]},
        {"documents": ["a"] * 1025}, {"max_chunks_per_doc": 1}, {"rank_fields": "title"}, {"model": None},
    ],
)  # fmt: skip
def test_invalid_rerank_requests(http: httpx.Client, body: dict[str, Any]) -> None:
    answer = http.post("/rerank", json={"model": RERANK, "query": "q", "documents": ["a"], **body})
    assert answer.status_code == 400


def test_models(http: httpx.Client) -> None:
    models = http.get("/models").json()
    assert {model["id"] for model in models} == set(MODELS)
    assert all(
        model["type"] == MODELS[model["id"]].type and model["context_length"] == MODELS[model["id"]].context_length
        for model in models
    )
    assert all(set(model["pricing"]) >= {"hourly", "input", "output", "base", "finetune"} for model in models)
    names = {entry["name"] for entry in http.get("/autoscale/models").json()}
    assert names and names < set(MODELS)
