"""Rerank: LangChain has no standard suite for document compressors, so this is one."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnablePassthrough
from langchain_together_adapters import TogetherRerank
from pydantic import ValidationError

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
    for results in await both(TogetherRerank(**connect, top_n=2), TEXTS, QUERY):
        assert len(results) == 2
        assert emulator.requests[-1].json["top_n"] == 2
    everything = TogetherRerank(**connect).rerank(TEXTS, QUERY)
    middle = everything[1]["relevance_score"]
    for field in ("score_threshold", "threshold"):
        filtered = TogetherRerank(**connect, **{field: middle}).rerank(TEXTS, QUERY)
        assert [results["relevance_score"] >= middle for results in filtered] == [True] * len(filtered)
        assert len(filtered) < 4
    assert len(TogetherRerank(**connect, top_n=3).rerank(TEXTS, QUERY, top_n=1)) == 1
    assert len(TogetherRerank(**connect).rerank(["x"], QUERY, top_n=5)) == 1


async def test_scores_are_by_index(reranker: TogetherRerank) -> None:
    for results in await both(reranker, TEXTS, QUERY):
        assert sorted(result["index"] for result in results) == [0, 1, 2, 3]
        assert set(results[0]) == {"index", "relevance_score"}
    with_documents = reranker.rerank(TEXTS, QUERY, return_documents=True)
    assert all(result["document"] == TEXTS[result["index"]] for result in with_documents)


def test_requests(connect: Any, emulator: Emulator) -> None:
    def request_of(inputs: Any, **options: Any) -> Any:
        TogetherRerank(**connect).rerank(inputs, QUERY, **options)
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
    TogetherRerank(**connect).rerank(TEXTS, QUERY, model="mixedbread-ai/Mxbai-Rerank-Large-V2")
    assert emulator.requests[-1].json["model"] == "mixedbread-ai/Mxbai-Rerank-Large-V2"
    assert set(emulator.requests[-1].json) == {"model", "query", "documents"}


async def test_more_documents_than_fit_a_request(connect: Any, emulator: Emulator) -> None:
    texts = [f"Fact {n} about pandas." for n in range(2100)]
    texts[2050] = "Where do llamas live? Llamas live here."
    reranker = TogetherRerank(**connect, top_n=3)
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
    small = TogetherRerank(**connect, max_documents=2)
    with pytest.warns(UserWarning, match="different requests"):
        assert [r["index"] for r in small.rerank(TEXTS, QUERY)] == [
            r["index"] for r in TogetherRerank(**connect).rerank(TEXTS, QUERY)
        ]


async def test_as_runnable(reranker: TogetherRerank) -> None:
    runnable = reranker.as_runnable()
    inputs = {"documents": documents(), "query": QUERY}
    assert runnable.invoke(inputs) == await runnable.ainvoke(inputs) == reranker.compress_documents(documents(), QUERY)
    chain = RunnablePassthrough.assign(best=runnable)
    assert chain.invoke(inputs)["best"][0].metadata["relevance_score"]


def test_bad_fields(connect: Any) -> None:
    for wrong in ({"top_n": 0}, {"max_documents": 0}, {"topn": 3}):
        with pytest.raises(ValidationError):
            TogetherRerank(**connect, **wrong)
