"""`TogetherRerank`: nodes in the order of their relevance to the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher

from llama_index_together_adapters.connection import Connected
from together_adapters.errors import APIResponseValidationError
from together_adapters.resources import rerank as resource
from together_adapters.transport.call import Flow, Parallel
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL, capabilities

dispatcher = get_dispatcher(__name__)
_CONCURRENCY = 8
Ranked = list[tuple[int, float]]


class TogetherRerank(Connected, BaseNodePostprocessor):
    """A reranker of Together AI, as a node postprocessor.

    Example:
        >>> rerank = TogetherRerank(top_n=3)  # doctest: +SKIP
        >>> engine = index.as_query_engine(node_postprocessors=[rerank])  # doctest: +SKIP

    Attributes:
        model: The rerank model; most run on a dedicated endpoint.
        top_n: Nodes to keep; None keeps all. `postprocess_nodes(..., top_n=...)` wins.
        metadata_mode: Which metadata is part of the text that is ranked.

    The settings of the connection (`api_key`, `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`,
    `default_query`, `client`, `async_client`) mean what they mean in `together_adapters.Together`.
    """

    model: str = Field(default=DEFAULT_RERANK_MODEL)
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
        """Set up a reranker. Nothing is sent until the first call.

        Args:
            model: The rerank model.
            top_n: Nodes to keep; None keeps all.
            api_key: The key; else `TOGETHER_API_KEY`.
            api_base: Where to send; else `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service.
            **kwargs: Any other field.

        Raises:
            ConfigurationError: There is neither a key nor a client.
        """
        super().__init__(model=model, top_n=top_n, api_key=api_key, api_base=api_base, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serializes this class."""
        return "TogetherRerank"

    def to_payload(self) -> dict[str, Any]:
        """Return what events may show of this model; never a key."""
        host = urlsplit(self.api_base or "").netloc
        return {"class_name": self.class_name(), "model_name": self.model, "top_n": self.top_n, "api_base": host}

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
            nodes: What was found.
            query_bundle: The query, or
            query_str: its text.
            top_n: Nodes to keep, instead of the field's value.

        Raises:
            ValueError: There is no query, or there are two.
            TogetherError: No answer came, or the service refused.
        """
        return self._postprocess_nodes(nodes, _query(query_bundle, query_str), top_n)

    async def apostprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,
        query_str: str | None = None,
        *,
        top_n: int | None = None,
    ) -> list[NodeWithScore]:
        """Return new nodes in the order of their relevance, as `postprocess_nodes` does."""
        return await self._apostprocess_nodes(nodes, _query(query_bundle, query_str), top_n)

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None, top_n: int | None = None
    ) -> list[NodeWithScore]:
        query = _text_of(query_bundle)
        keep = len(nodes) if (limit := top_n or self.top_n) is None else limit
        with self._reporting(nodes, query, keep) as found:
            if nodes:
                found.extend(_ranked_nodes(nodes, self.sync_client.perform(self._describe(nodes, query, keep))))
        return found

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None, top_n: int | None = None
    ) -> list[NodeWithScore]:
        query = _text_of(query_bundle)
        keep = len(nodes) if (limit := top_n or self.top_n) is None else limit
        with self._reporting(nodes, query, keep) as found:
            if nodes:
                found.extend(_ranked_nodes(nodes, await self.asynchronous_client.perform(self._describe(nodes, query, keep))))
        return found

    def _describe(self, nodes: Sequence[NodeWithScore], query: str, keep: int) -> Flow[Ranked]:
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        return ranking(self.model, query, texts, keep, capabilities(self.model).max_documents)

    @contextmanager
    def _reporting(self, nodes: list[NodeWithScore], query: str, keep: int) -> Iterator[list[NodeWithScore]]:
        """Tell the framework's observers when ranking starts and, whatever happens, when it ends."""
        found: list[NodeWithScore] = []
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=keep, model_name=self.model))
        try:
            payload: dict[str, Any] = {
                EventPayload.NODES: nodes,
                EventPayload.MODEL_NAME: self.model,
                EventPayload.QUERY_STR: query,
                EventPayload.TOP_K: keep,
            }
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield found
                event.on_end(payload={EventPayload.NODES: found})
        finally:
            dispatcher.event(ReRankEndEvent(nodes=found))


def ranking(model: str, query: str, texts: Sequence[str], keep: int, most: int) -> Flow[Ranked]:
    """Describe the ranking of any number of texts.

    Args:
        keep: Places to keep.
        most: Texts that one request may hold; more are ranked in several requests and merged by score.

    Returns:
        Positions in `texts` with their scores, the best first.
    """
    starts = range(0, len(texts), most)
    calls = [
        resource.create(model=model, query=query, documents=part, top_n=min(keep, len(part))).untyped()
        for part in (texts[start : start + most] for start in starts)
    ]
    if len(calls) == 1:
        answers = [(yield calls[0])]
    else:
        answers = yield Parallel(calls, _CONCURRENCY)
    found = [pair for start, answer in zip(starts, answers, strict=True) for pair in _scores(answer, start, len(texts))]
    return sorted(found, key=lambda pair: -pair[1])[:keep]


def _scores(answer: Any, start: int, count: int) -> Ranked:
    try:
        found = [(start + item["index"], float(item["relevance_score"])) for item in answer["results"]]
    except (KeyError, TypeError) as problem:
        raise APIResponseValidationError(f"the answer holds no ranking: {problem!r}", body=answer) from None
    if any(place >= count for place, _ in found):
        raise APIResponseValidationError("the answer ranks documents that were not sent", body=answer)
    return found


def _ranked_nodes(nodes: Sequence[NodeWithScore], ranked: Ranked) -> list[NodeWithScore]:
    return [NodeWithScore(node=nodes[place].node, score=score) for place, score in ranked]


def _query(bundle: QueryBundle | None, text: str | None) -> QueryBundle | None:
    if bundle is not None and text is not None:
        raise ValueError("give query_bundle or query_str, not both")
    return QueryBundle(text) if text is not None else bundle


def _text_of(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise ValueError("a query is needed to rank nodes by")
    return bundle.query_str
