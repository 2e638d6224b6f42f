"""Reranking beyond one request."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index_together_adapters import TogetherRerank

from tests.llama_index.conformance.wire import WireServer, raw
from tests.resources.rerank_oracle import Oracle
from together_adapters import APIResponseValidationError
from together_adapters.emulator import Emulator


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


def nodes_of(count: int, *best: int) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text="red apples" if index in best else "pears")) for index in range(count)]


async def test_many_documents_are_split_and_merged(wire: WireServer) -> None:
    rerank = TogetherRerank("acme/ranker", api_key="k", api_base=wire.url, top_n=2)
    nodes = nodes_of(2500, 5, 2400)
    with pytest.warns(UserWarning, match="2500 documents need 3 requests"):
        rankings = [
            rerank.postprocess_nodes(nodes, QueryBundle("red apples")),
            await rerank.apostprocess_nodes(nodes, QueryBundle("red apples")),
        ]
    for ranking in rankings:
        assert [nodes.index(next(n for n in nodes if n.node is item.node)) for item in ranking] == [5, 2400]
        assert [item.score for item in ranking] == [1.0, 1.0]
    await rerank.asynchronous_client.aclose()
    assert sorted(len(body["documents"]) for body in wire.bodies) == [452, 452, 1024, 1024, 1024, 1024]
    assert {body["top_n"] for body in wire.bodies} == {2}


def test_top_n_of_the_call(wire: WireServer) -> None:
    rerank = TogetherRerank("acme/ranker", api_key="k", api_base=wire.url, top_n=2)
    assert len(rerank.postprocess_nodes(nodes_of(9), query_str="a", top_n=5)) == 5
    assert len(rerank.postprocess_nodes(nodes_of(9), query_str="a")) == 2
    assert len(TogetherRerank("acme/ranker", api_key="k", api_base=wire.url).postprocess_nodes(nodes_of(9), query_str="a")) == 9
    assert "return_documents" not in wire.bodies[0]


@pytest.mark.parametrize("answer", [{}, {"results": [{"index": 9, "relevance_score": 1.0}]}, {"results": [{"index": 0}]}])
def test_responses_without_a_valid_ranking(wire: WireServer, answer: Any) -> None:
    wire.script(raw(answer))
    with pytest.raises(APIResponseValidationError):
        TogetherRerank("acme/ranker", api_key="k", api_base=wire.url).postprocess_nodes(nodes_of(2), query_str="a")


def test_two_queries_are_one_too_many(wire: WireServer) -> None:
    with pytest.raises(ValueError, match="both"):
        TogetherRerank("acme/ranker", api_key="k", api_base=wire.url).postprocess_nodes(nodes_of(1), QueryBundle("a"), "b")


def test_on_the_emulator(emulator: Emulator) -> None:
    rerank = TogetherRerank("acme/ranker", api_key="k", base_url=emulator.base_url, top_n=1)
    assert rerank.postprocess_nodes(nodes_of(4, 2), query_str="red apples")[0].node.get_content() == "red apples"


CHAT = "Qwen/Qwen3.5-9B"


@pytest.mark.parametrize(("method", "scores"), [("auto", [1.0, 0.5]), ("listwise", [1.0, 0.5]), ("pointwise", [0.9, 0.2])])
async def test_by_a_chat_model(method: Any, scores: list[float], emulator: Emulator) -> None:
    emulator.reply(Oracle(lambda query, passage: 0.9 if "apples" in passage else 0.2))
    rerank = TogetherRerank(model=CHAT, method=method, top_n=2, api_key="k", base_url=emulator.base_url)
    nodes = nodes_of(4, 2)
    for ranking in (
        rerank.postprocess_nodes(nodes, query_str="red apples"),
        await rerank.apostprocess_nodes(nodes, query_str="red apples"),
    ):
        assert [nodes.index(next(n for n in nodes if n.node is item.node)) for item in ranking] == [2, 0]
        assert [item.score for item in ranking] == pytest.approx(scores)
    await rerank.asynchronous_client.aclose()
    assert {request.path for request in emulator.requests} == {"/v1/chat/completions"}


def test_the_method_is_a_field(emulator: Emulator) -> None:
    rerank = TogetherRerank(model="acme/assistant", method="pointwise", api_key="k", base_url=emulator.base_url)
    assert TogetherRerank.from_dict(rerank.to_dict() | {"api_key": "k"}).method == "pointwise"
    with pytest.raises(ValueError, match="method"):
        TogetherRerank(method="best", api_key="k")
