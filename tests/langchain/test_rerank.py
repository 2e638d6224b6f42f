"""Rerank: LangChain has no standard suite for document compressors, so this is one."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.runnables import RunnablePassthrough
from langchain_together_adapters import TogetherRerank
from pydantic import ValidationError

from tests.resources.rerank_oracle import Oracle
from together_adapters.emulator import Emulator

TEXTS = ["Pandas eat bamboo.", "Llamas live in Peru.", "Peru has llamas and alpacas.", "Paris is in France."]
QUERY = "Where do llamas live?"


def documents() -> list[Document]:
    return [Document(text, id=str(n), metadata={"title": f"T{n}", "nested": {"n": n}}) for n, text in enumerate(TEXTS)]


async def both(reranker: TogetherRerank, *args: Any, **options: Any) -> list[list[dict[str, Any]]]:
    return [reranker.rerank(*args, **options), await reranker.arerank(*args, **options)]


def test_it_is_a_compressor(reranker: TogetherRerank) -> None:
    assert isinstance(reranker, BaseDocumentCompressor)


async def test_compress(reranker: TogetherRerank) -> None:
    inputs = documents()
    before = copy.deepcopy(inputs)
    for results in (reranker.compress_documents(inputs, QUERY), await reranker.acompress_documents(inputs, QUERY)):
        scores = [document.metadata["relevance_score"] for document in results]
        assert len(results) == 4
        assert scores == sorted(scores, reverse=True)
        assert "llama" in results[0].page_content.lower()
        assert {document.id for document in results} == {"0", "1", "2", "3"}
        assert results[0].metadata["title"].startswith("T")
        assert inputs == before


def test_subclasses_stay(reranker: TogetherRerank) -> None:
    class Mine(Document):
        mine: int = 7

    results = reranker.compress_documents([Mine("llamas")], QUERY)
    assert isinstance(results[0], Mine)
    assert results[0].mine == 7


async def test_nothing_to_rank(reranker: TogetherRerank, emulator: Emulator) -> None:
    assert reranker.compress_documents([], QUERY) == []
    assert await reranker.acompress_documents([], QUERY) == []
    assert await both(reranker, [], QUERY) == [[], []]
    assert emulator.requests == []


async def test_top_n_and_threshold(connect: Any, emulator: Emulator) -> None:
    for results in await both(TogetherRerank(model="acme/ranker", **connect, top_n=2), TEXTS, QUERY):
        assert len(results) == 2
        assert emulator.requests[-1].json["top_n"] == 2
    everything = TogetherRerank(model="acme/ranker", **connect).rerank(TEXTS, QUERY)
    middle = everything[1]["relevance_score"]
    for field in ("score_threshold", "threshold"):
        filtered = TogetherRerank(model="acme/ranker", **connect, **{field: middle}).rerank(TEXTS, QUERY)
        assert [results["relevance_score"] >= middle for results in filtered] == [True] * len(filtered)
        assert len(filtered) < 4
    assert len(TogetherRerank(model="acme/ranker", **connect, top_n=3).rerank(TEXTS, QUERY, top_n=1)) == 1
    assert len(TogetherRerank(model="acme/ranker", **connect).rerank(["x"], QUERY, top_n=5)) == 1


async def test_scores_are_by_index(reranker: TogetherRerank) -> None:
    for results in await both(reranker, TEXTS, QUERY):
        assert sorted(result["index"] for result in results) == [0, 1, 2, 3]
        assert set(results[0]) == {"index", "relevance_score"}
    with_documents = reranker.rerank(TEXTS, QUERY, return_documents=True)
    assert all(result["document"] == TEXTS[result["index"]] for result in with_documents)


def test_requests(connect: Any, emulator: Emulator) -> None:
    def request_of(inputs: Any, **options: Any) -> Any:
        TogetherRerank(model="acme/ranker", **connect).rerank(inputs, QUERY, **options)
        body = emulator.requests[-1].json
        return body["documents"], body.get("rank_fields")

    assert request_of(TEXTS) == (TEXTS, None)
    assert request_of(documents()[:1]) == (TEXTS[:1], None)
    assert request_of([{"a": "x", "b": "y"}]) == ([{"a": "x", "b": "y"}], None)
    assert request_of([{"a": "x", "b": "y"}], rank_fields=["a"]) == ([{"a": "x"}], ["a"])
    assert request_of(documents()[:1], rank_fields=["title", "page_content"]) == (
        [{"title": "T0", "page_content": TEXTS[0]}],
        ["title", "page_content"],
    )
    assert request_of(["x", {"text": "y"}]) == ([{"text": "x"}, {"text": "y"}], None)
    TogetherRerank(model="acme/ranker", **connect).rerank(TEXTS, QUERY, model="acme/other-ranker")
    assert emulator.requests[-1].json["model"] == "acme/other-ranker"
    assert set(emulator.requests[-1].json) == {"model", "query", "documents"}


async def test_more_documents_than_fit_a_request(connect: Any, emulator: Emulator) -> None:
    texts = [f"Fact {n} about pandas." for n in range(2100)]
    texts[2050] = "Where do llamas live? Llamas live here."
    reranker = TogetherRerank(model="acme/ranker", **connect, top_n=3)
    with pytest.warns(UserWarning, match="2100 documents need 3 requests: scores of different requests are compared") as record:
        results = reranker.rerank(texts, QUERY)
    assert len(record) == 1
    assert len(emulator.requests) == 3
    assert (len(results), results[0]["index"]) == (3, 2050)
    with pytest.warns(UserWarning, match="different requests"):
        assert await reranker.arerank(texts, QUERY) == results
    await reranker.aclose()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker.rerank(texts[:1024], QUERY)
    small = TogetherRerank(model="acme/ranker", **connect, max_documents=2)
    with pytest.warns(UserWarning, match="different requests"):
        assert [r["index"] for r in small.rerank(TEXTS, QUERY)] == [
            r["index"] for r in TogetherRerank(model="acme/ranker", **connect).rerank(TEXTS, QUERY)
        ]


async def test_as_runnable(reranker: TogetherRerank) -> None:
    runnable = reranker.as_runnable()
    inputs = {"documents": documents(), "query": QUERY}
    assert runnable.invoke(inputs) == await runnable.ainvoke(inputs) == reranker.compress_documents(documents(), QUERY)
    chain = RunnablePassthrough.assign(best=runnable)
    assert chain.invoke(inputs)["best"][0].metadata["relevance_score"]


CHAT = "Qwen/Qwen3.5-9B"


@pytest.mark.parametrize(("method", "requests"), [("auto", 1), ("listwise", 1), ("pointwise", 4)])
async def test_by_a_chat_model(method: Any, requests: int, connect: Any, emulator: Emulator) -> None:
    emulator.reply(Oracle(lambda query, passage: 0.9 if "Paris" in passage else len(passage) / 100))
    reranker = TogetherRerank(model=CHAT, method=method, top_n=3, **connect)
    best = reranker.compress_documents(documents(), QUERY)
    assert [document.id for document in best] == ["3", "2", "1"]
    scores = [document.metadata["relevance_score"] for document in best]
    assert scores == pytest.approx([0.9, 0.28, 0.2] if method == "pointwise" else [1.0, 0.75, 0.5])
    assert await reranker.acompress_documents(documents(), QUERY) == best
    assert len(emulator.requests) == 2 * requests
    assert [r["index"] for r in reranker.rerank(TEXTS, QUERY, score_threshold=0.6)] == [3, 2][: 1 if method == "pointwise" else 2]
    by_title = reranker.rerank([*documents()[:1], {"title": "Paris"}], QUERY, rank_fields=["title"], return_documents=True)
    assert by_title[0]["document"] == {"title": "Paris"}
    assert "Pandas" not in emulator.requests[-1].body.decode()


def test_the_method_of_a_call(connect: Any, emulator: Emulator) -> None:
    reranker = TogetherRerank(model="acme/ranker", **connect)
    reranker.rerank(TEXTS, QUERY)
    reranker.rerank(TEXTS, QUERY, method="listwise")
    reranker.rerank(TEXTS, QUERY, model=CHAT)
    assert [request.path for request in emulator.requests] == ["/v1/rerank", *["/v1/chat/completions"] * 2]


def test_an_error_of_a_chat_model_is_langchain_s(connect: Any, emulator: Emulator) -> None:
    emulator.inject("400")
    with pytest.raises(ModelInvalidRequestError, match="listwise request 1, documents 0, 1, 2, 3"):
        TogetherRerank(model=CHAT, **connect).rerank(TEXTS, QUERY)


def test_bad_fields(connect: Any) -> None:
    for wrong in ({"top_n": 0}, {"max_documents": 0}, {"topn": 3}, {"method": "best"}):
        with pytest.raises(ValidationError):
            TogetherRerank(model="acme/ranker", **connect, **wrong)
