"""`TogetherRerank`: documents in the order of their relevance, as LangChain's document compressor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field

from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from together_adapters.errors import APIResponseValidationError
from together_adapters.resources.rerank import create
from together_adapters.transport.call import Flow, Parallel
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL, capabilities

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks
    from langchain_core.runnables import Runnable

Rankable = str | Document | Mapping[str, Any]
Result = dict[str, Any]

_CONCURRENCY = 8


class TogetherRerank(Connection, BaseDocumentCompressor):
    """Order documents by their relevance to a query with the rerank models of Together AI.

    Besides the attributes below it has those of `Connection` (api_key, timeout, ...).

    Attributes:
        model: The model (alias `model_name`); most rerank models run on a dedicated endpoint.
        top_n: Documents to keep; all when None.
        score_threshold: Least score of a document to keep (alias `threshold`).
        rank_fields: Fields to rank by: keys of the metadata, or `page_content`. The text alone when None.
        max_documents: Documents in one request; what the model takes when None.

    Raises:
        ConfigurationError: There is no key, and no client was given.

    Example:
        ```python
        from langchain_together_adapters import TogetherRerank

        reranker = TogetherRerank(model="Salesforce/Llama-Rank-V1", top_n=3)
        reranker.compress_documents(documents, "What is a llama?")
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True, extra="forbid")

    model: str = Field(default=DEFAULT_RERANK_MODEL, validation_alias="model_name")
    top_n: int | None = Field(default=None, ge=1)
    score_threshold: float | None = Field(default=None, validation_alias="threshold")
    rank_fields: list[str] | None = None
    max_documents: int | None = Field(default=None, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the most relevant documents, the best first, as copies with `metadata["relevance_score"]`.

        Args:
            documents: What to order; they are left as they are. No request is sent when there are none.
            query: What is searched for.
            callbacks: Not used.

        Raises:
            TogetherError: The request failed for good.
        """
        return _scored(documents, self.rerank(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the most relevant documents; see `compress_documents`."""
        return _scored(documents, await self.arerank(documents, query))

    def rerank(self, documents: Sequence[Rankable], query: str, **options: Any) -> list[Result]:
        """Return scores, the best first.

        Args:
            documents: Texts, documents, or dicts whose fields are ranked.
            query: What is searched for.
            **options: `model`, `top_n`, `rank_fields`, `score_threshold` in place of the fields; `return_documents` to have
                each result bring its document.

        Returns:
            Dicts with `index`, the position in `documents`, and `relevance_score`. No request is sent for no document.

        Raises:
            TogetherError: The request failed for good.
        """
        with model_errors():
            results: list[Result] = self._clients.sync.perform(self._rank(documents, query, **options))
            return results

    async def arerank(self, documents: Sequence[Rankable], query: str, **options: Any) -> list[Result]:
        """Return scores, the best first; see `rerank`."""
        with model_errors():
            results: list[Result] = await self._clients.asynchronous.perform(self._rank(documents, query, **options))
            return results

    def as_runnable(self) -> Runnable[Mapping[str, Any], Sequence[Document]]:
        """Return a runnable that takes `{"documents": ..., "query": ...}` and returns the most relevant documents."""
        from langchain_core.runnables import RunnableLambda

        def compress(given: Mapping[str, Any]) -> Sequence[Document]:
            return self.compress_documents(given["documents"], given["query"])

        async def acompress(given: Mapping[str, Any]) -> Sequence[Document]:
            return await self.acompress_documents(given["documents"], given["query"])

        return RunnableLambda(compress, acompress, name="TogetherRerank")

    def _rank(
        self,
        documents: Sequence[Rankable],
        query: str,
        *,
        model: str | None = None,
        top_n: int | None = None,
        rank_fields: Sequence[str] | None = None,
        score_threshold: float | None = None,
        return_documents: bool = False,
    ) -> Flow[list[Result]]:
        """Rank in as many requests as the model needs, and merge what they say."""
        if not documents:
            return []
        model, top_n = model or self.model, top_n or self.top_n
        rank_fields = rank_fields or self.rank_fields
        threshold = self.score_threshold if score_threshold is None else score_threshold
        texts = _rankable(documents, rank_fields)
        size = self.max_documents or capabilities(model).max_documents
        begins = range(0, len(texts), size)
        asked = [
            create(
                model=model,
                query=query,
                documents=part,
                top_n=top_n and min(top_n, len(part)),
                rank_fields=_sent(part, rank_fields),
            )
            for part in (texts[begin : begin + size] for begin in begins)
        ]
        if len(asked) > 1:
            message = f"{len(texts)} documents need {len(asked)} requests: scores of different requests are compared"
            warnings.warn(message, UserWarning, stacklevel=2)
        answers = yield Parallel([call.untyped() for call in asked], _CONCURRENCY)
        results = [found for begin, answer in zip(begins, answers, strict=True) for found in _results(answer, begin, len(texts))]
        results.sort(key=lambda found: (-found["relevance_score"], found["index"]))
        kept = [found for found in results[:top_n] if threshold is None or found["relevance_score"] >= threshold]
        return [{**found, "document": documents[found["index"]]} for found in kept] if return_documents else kept


def _rankable(documents: Sequence[Rankable], rank_fields: Sequence[str] | None) -> list[Any]:
    """Return documents as the service reads them: all texts, or all objects."""
    if rank_fields is None and all(isinstance(document, str | Document) for document in documents):
        return [document if isinstance(document, str) else document.page_content for document in documents]  # type: ignore[union-attr]
    return [_fields(document, rank_fields) for document in documents]


def _fields(document: Rankable, rank_fields: Sequence[str] | None) -> dict[str, Any]:
    """Return a document's fields; those that are not ranked by stay at home."""
    if isinstance(document, str):
        return dict.fromkeys(_text_names(rank_fields), document)
    if isinstance(document, Document):
        text = dict.fromkeys(_text_names(rank_fields), document.page_content)
        return {**{name: document.metadata[name] for name in rank_fields or () if name in document.metadata}, **text}
    return {name: value for name, value in document.items() if rank_fields is None or name in rank_fields}


def _text_names(rank_fields: Sequence[str] | None) -> list[str]:
    return [name for name in ("page_content", "text") if name in rank_fields] if rank_fields else ["text"]


def _sent(documents: Sequence[Any], rank_fields: Sequence[str] | None) -> Sequence[str] | None:
    return rank_fields if documents and isinstance(documents[0], dict) else None


def _results(answer: Any, begin: int, total: int) -> list[Result]:
    found = [
        {"index": begin + result["index"], "relevance_score": result["relevance_score"]} for result in answer.get("results") or ()
    ]
    if any(not begin <= result["index"] < total for result in found):
        raise APIResponseValidationError("the rerank answer cannot be used: it scores a document that was not sent", body=answer)
    return found


def _scored(documents: Sequence[Document], results: Sequence[Result]) -> list[Document]:
    return [
        document.model_copy(update={"metadata": {**document.metadata, "relevance_score": result["relevance_score"]}})
        for result in results
        for document in (documents[result["index"]],)
    ]
