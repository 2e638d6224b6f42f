"""Checks K01-K08: reranking."""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, TextNode

from .provider import KEY, Events, Factory, run
from .wire import WireServer, error

QUERY = "red apples"


def nodes_of(*texts: str) -> list[NodeWithScore]:
    """Return nodes as a retriever finds them."""
    return [NodeWithScore(node=TextNode(text=text), score=0.1) for text in texts]


class RerankChecks:
    """Nodes are returned in order, events are sent, retries are limited."""

    def test_k01_order(self, rerank_factory: Factory) -> None:
        """The best nodes are first, with their scores; the input is not changed."""
        nodes = nodes_of("green pears", "red apples", "red wine")
        ranking = rerank_factory(top_n=2).postprocess_nodes(nodes, query_str=QUERY)
        assert [(item.node.get_content(), item.score) for item in ranking] == [("red apples", 1.0), ("red wine", 0.5)]
        assert [node.score for node in nodes] == [0.1, 0.1, 0.1]

    def test_k02_text(self, rerank_factory: Factory, wire: WireServer) -> None:
        """The ranked text is that for embedding, with its metadata."""
        node = TextNode(text="body", metadata={"seen": "yes", "hidden": "no"}, excluded_embed_metadata_keys=["hidden"])
        rerank_factory().postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
        assert "seen: yes" in wire.bodies[0]["documents"][0]
        assert "hidden" not in wire.bodies[0]["documents"][0]

    def test_k03_nothing(self, rerank_factory: Factory, wire: WireServer) -> None:
        """No nodes, no request; no query, a ValueError."""
        rerank = rerank_factory()
        assert rerank.postprocess_nodes([], query_str=QUERY) == []
        with pytest.raises(ValueError, match=r"\S"):
            rerank.postprocess_nodes(nodes_of("a"))
        assert not wire.requests

    def test_k04_events(self, rerank_factory: Factory, events: Events) -> None:
        """One start, one end, one callback."""
        started: list[Any] = []

        class Handler(TokenCountingHandler):
            def on_event_start(self, event_type: Any, payload: Any = None, event_id: str = "", *args: Any, **kwargs: Any) -> str:
                started.append(event_type)
                return event_id

        rerank = rerank_factory(callback_manager=CallbackManager([Handler()]))
        rerank.postprocess_nodes(nodes_of("a", "b"), query_str=QUERY)
        assert (events.count("ReRankStartEvent"), events.count("ReRankEndEvent")) == (1, 1)
        assert started.count(CBEventType.RERANKING) == 1

    def test_k05_always_paired(self, rerank_factory: Factory, wire: WireServer, events: Events) -> None:
        """Every start has its end, without nodes and on failure too."""
        rerank = rerank_factory(max_retries=0)
        rerank.postprocess_nodes([], query_str=QUERY)
        wire.script(error(400, "no"))
        with pytest.raises(Exception, match="no"):
            rerank.postprocess_nodes(nodes_of("a"), query_str=QUERY)
        assert events.count("ReRankStartEvent") == events.count("ReRankEndEvent")

    def test_k06_native_async(self, rerank_factory: Factory, wire: WireServer) -> None:
        """The asynchronous method is native and concurrent."""
        rerank = rerank_factory()
        barrier = threading.Barrier(8, timeout=30)
        wire.emulator.reply(scores=lambda query, document: float(barrier.wait()))

        async def scenario() -> list[Any]:
            return await asyncio.gather(*(rerank.apostprocess_nodes(nodes_of("a"), query_str=QUERY) for _ in range(8)))

        assert len(run(scenario())) == 8
        assert type(rerank)._apostprocess_nodes is not BaseNodePostprocessor._apostprocess_nodes

    def test_k07_rate_limit(self, rerank_factory: Factory, wire: WireServer) -> None:
        """Two 429, then a response."""
        wire.script(error(429, "slow down", retry_after=0, times=2))
        assert rerank_factory(max_retries=2).postprocess_nodes(nodes_of("a"), query_str=QUERY)
        assert len(wire.requests) == 3

    def test_k08_secrets_and_pickle(self, rerank_factory: Factory) -> None:
        """No dump shows the key; a used reranker survives a pickle round trip."""
        rerank = rerank_factory()
        rerank.postprocess_nodes(nodes_of("a"), query_str=QUERY)
        assert KEY not in repr(rerank) + repr(rerank.to_dict()) + rerank.to_json()
        assert pickle.loads(pickle.dumps(rerank)).postprocess_nodes(nodes_of("a"), query_str=QUERY)
