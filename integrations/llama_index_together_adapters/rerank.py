"""`TogetherRerank`: nodes in the order of their relevance to the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llama_index_together_adapters.connection import ServiceComponent
from together_adapters.resources.rerank import create, documents_of
from together_adapters.transport.call import Flow
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL
from together_adapters.types.rerank import RerankMethod, RerankResponse

dispatcher = get_dispatcher(__name__)


class TogetherRerank(ServiceComponent, BaseNodePostprocessor):
    """A reranker of Together AI, as a node postprocessor.

    Example:
        ```python
        rerank = TogetherRerank(top_n=3)
        engine = index.as_query_engine(node_postprocessors=[rerank])
        ```

    Attributes:
        model: A chat model, or a rerank model, most of which run on a dedicated endpoint.
        method: `rerank`, `listwise`, `pointwise`, or `auto`, which is `listwise` for chat models. Listwise scores are ranks; see
            `together_adapters.Together.rerank`.
        top_n: Number of nodes to keep; None keeps all. `postprocess_nodes(..., top_n=...)` takes precedence.
        metadata_mode: The metadata that is part of the ranked text.

    The settings of the connection (`api_key`, `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`,
    `default_query`, `client`, `async_client`, `http_client`, `async_http_client`, `transport`, `control`) are those of
    `together_adapters.Together`.

    Raises:
        ConfigurationError: There is neither a key nor a client.
    """

    model: str = Field(default=DEFAULT_RERANK_MODEL)
    method: RerankMethod = Field(default="auto")
    top_n: int | None = Field(default=None, gt=0)
    metadata_mode: MetadataMode = Field(default=MetadataMode.EMBED)

    def __init__(
        self,
        model: str = DEFAULT_RERANK_MODEL,
        top_n: int | None = None,
        api_key: str | None = None,
        api_base: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(model=model, top_n=top_n, api_key=api_key, api_base=api_base, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        return "TogetherRerank"

    def to_payload(self) -> dict[str, Any]:
        """Return the payload of events about this model, without the key."""
        return {"class_name": self.class_name(), "model_name": self.model, "top_n": self.top_n, "api_base": self._host}

    def postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        *,
        top_n: int | None = None,
    ) -> list[NodeWithScore]:
        """Return new nodes in the order of their relevance, with their scores.

        Args:
            nodes: The nodes to rank.
            query_bundle: The query.
            query_str: The query as text.
            top_n: Number of nodes to keep, instead of the field's value.

        Raises:
            ValueError: There is no query, or there are two.
            TypeError: `nodes` is one node.
            TogetherError: The request failed.
        """
        return self._postprocess_nodes(documents_of(nodes, "nodes"), _query(query_bundle, query_str), top_n)

    async def apostprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        *,
        top_n: int | None = None,
    ) -> list[NodeWithScore]:
        """Return new nodes in the order of their relevance; see `postprocess_nodes`."""
        return await self._apostprocess_nodes(documents_of(nodes, "nodes"), _query(query_bundle, query_str), top_n)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None, top_n: int | None = None
    ) -> list[NodeWithScore]:
        with self._report(nodes, query_bundle, top_n) as (request, result):
            if nodes:
                result.extend(_ranked_nodes(nodes, self.sync_client.perform(request)))
        return result

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None, top_n: int | None = None
    ) -> list[NodeWithScore]:
        with self._report(nodes, query_bundle, top_n) as (request, result):
            if nodes:
                result.extend(_ranked_nodes(nodes, await self.asynchronous_client.perform(request)))
        return result

    @contextmanager
    def _report(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None, top_n: int | None
    ) -> Iterator[tuple[Flow[RerankResponse], list[NodeWithScore]]]:
        """Yield the request and the result to fill; notify LlamaIndex of the start and, also after an error, of the end."""
        if query_bundle is None:
            raise ValueError("a query is needed to rank nodes by")
        query = query_bundle.query_str
        limit = top_n or self.top_n
        count = limit or len(nodes)
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        request = create(model=self.model, query=query, documents=texts, method=self.method, top_n=limit)
        result: list[NodeWithScore] = []
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=count, model_name=self.model))
        try:
            payload: dict[str, Any] = {
                EventPayload.NODES: nodes,
                EventPayload.MODEL_NAME: self.model,
                EventPayload.QUERY_STR: query,
                EventPayload.TOP_K: count,
            }
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield request, result
                event.on_end(payload={EventPayload.NODES: result})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=result))


def _ranked_nodes(nodes: Sequence[NodeWithScore], ranking: RerankResponse) -> list[NodeWithScore]:
    return [NodeWithScore(node=nodes[result.index].node, score=result.relevance_score) for result in ranking.results]


def _query(bundle: QueryBundle | None, text: str | None) -> QueryBundle | None:
    if bundle is not None and text is not None:
        raise ValueError("give query_bundle or query_str, not both")
    return QueryBundle(text) if text is not None else bundle
