"""`TogetherRerank`: documents in the order of their relevance, as LangChain's document compressor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field

from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from together_adapters.resources.rerank import create, documents_of
from together_adapters.transport.call import Flow
from together_adapters.types.capabilities import DEFAULT_RERANK_MODEL
from together_adapters.types.rerank import RerankMethod

if TYPE_CHECKING:
    from langchain_core.callbacks import Callbacks
    from langchain_core.runnables import Runnable

Rankable = str | Document | Mapping[str, Any]
Result = dict[str, Any]


class TogetherRerank(Connection, BaseDocumentCompressor):
    """Order documents by their relevance to a query with a rerank model or any chat model of Together AI.

    Besides the attributes below it has those of `Connection` (api_key, timeout, ...).

    Attributes:
        model: A chat model, or a rerank model, most of which run on a dedicated endpoint (alias `model_name`).
        method: `rerank`, `listwise`, `pointwise`, or `auto`, which is `listwise` for chat models. Listwise scores are ranks; see
            `together_adapters.Together.rerank`.
        top_n: Number of documents to keep; all when None.
        score_threshold: Minimum score of a document to keep (alias `threshold`).
        rank_fields: Fields to rank by: keys of the metadata, or `page_content`. The text alone when None.
        max_documents: Maximum number of documents in one request; when None the model's limit, and 20 for `listwise`.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        from langchain_together_adapters import TogetherRerank

        reranker = TogetherRerank(top_n=3)
        reranker.compress_documents(documents, "What is a llama?")
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True, extra="forbid")

    model: str = Field(default=DEFAULT_RERANK_MODEL, validation_alias="model_name")
    method: RerankMethod = "auto"
    top_n: int | None = Field(default=None, ge=1)
    score_threshold: float | None = Field(default=None, validation_alias="threshold")
    rank_fields: list[str] | None = None
    max_documents: int | None = Field(default=None, ge=1)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the most relevant documents, the best first, as copies with `metadata["relevance_score"]`.

        Args:
            documents: The documents to rank; they are not changed. Without documents no request is sent.
            query: The search query.
            callbacks: Not used.

        Raises:
            TogetherError: The request failed.
            TypeError: `documents` is one document.
        """
        documents = documents_of(documents)
        return _with_scores(documents, self.rerank(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Return the most relevant documents; see `compress_documents`."""
        documents = documents_of(documents)
        return _with_scores(documents, await self.arerank(documents, query))

    def rerank(self, documents: Iterable[Rankable], query: str, **options: Any) -> list[Result]:
        """Return scores, the best first.

        Args:
            documents: Texts, documents, or dicts whose fields are ranked. Without documents no request is sent.
            query: The search query.
            **options: `model`, `method`, `top_n`, `rank_fields` and `score_threshold` override the fields; `return_documents` adds its
                `document` to each result.

        Returns:
            Dicts with `index`, the position in `documents`, and `relevance_score`.

        Raises:
            TogetherError: The request failed.
            TypeError: `documents` is one document.
        """
        with model_errors():
            results: list[Result] = self._clients.sync.perform(self._rank(documents, query, **options))
            return results

    async def arerank(self, documents: Iterable[Rankable], query: str, **options: Any) -> list[Result]:
        """Return scores, the best first; see `rerank`."""
        with model_errors():
            results: list[Result] = await self._clients.asynchronous.perform(self._rank(documents, query, **options))
            return results

    def as_runnable(self) -> Runnable[Mapping[str, Any], Sequence[Document]]:
        """Return a runnable that takes `{"documents": ..., "query": ...}` and returns the most relevant documents."""
        from langchain_core.runnables import RunnableLambda

        def compress(inputs: Mapping[str, Any]) -> Sequence[Document]:
            return self.compress_documents(inputs["documents"], inputs["query"])

        async def acompress(inputs: Mapping[str, Any]) -> Sequence[Document]:
            return await self.acompress_documents(inputs["documents"], inputs["query"])

        return RunnableLambda(compress, acompress, name="TogetherRerank")

    def _rank(
        self,
        documents: Iterable[Rankable],
        query: str,
        *,
        model: str | None = None,
        method: RerankMethod | None = None,
        top_n: int | None = None,
        rank_fields: Sequence[str] | None = None,
        score_threshold: float | None = None,
        return_documents: bool = False,
    ) -> Flow[list[Result]]:
        documents = documents_of(documents)
        if not documents:
            return []
        rank_fields = rank_fields or self.rank_fields
        inputs = _wire_documents(documents, rank_fields)
        ranking = yield from create(
            model=model or self.model,
            query=query,
            documents=inputs,
            method=method or self.method,
            top_n=top_n or self.top_n,
            score_threshold=self.score_threshold if score_threshold is None else score_threshold,
            rank_fields=rank_fields if isinstance(inputs[0], dict) else None,
            max_documents=self.max_documents,
        )
        results: list[Result] = [{"index": result.index, "relevance_score": result.relevance_score} for result in ranking.results]
        return [{**result, "document": documents[result["index"]]} for result in results] if return_documents else results


def _wire_documents(documents: Sequence[Rankable], rank_fields: Sequence[str] | None) -> list[Any]:
    """Return documents for a request: all as texts, or all as objects."""
    if rank_fields is None and all(isinstance(document, str | Document) for document in documents):
        return [document if isinstance(document, str) else document.page_content for document in documents]  # type: ignore[union-attr]
    return [_fields(document, rank_fields) for document in documents]


def _fields(document: Rankable, rank_fields: Sequence[str] | None) -> dict[str, Any]:
    """Return the fields of a document that are ranked."""
    if isinstance(document, Mapping):
        return {name: value for name, value in document.items() if rank_fields is None or name in rank_fields}
    text_fields = [name for name in ("page_content", "text") if name in rank_fields] if rank_fields else ["text"]
    if isinstance(document, str):
        return dict.fromkeys(text_fields, document)
    metadata = {name: document.metadata[name] for name in rank_fields or () if name in document.metadata}
    return {**metadata, **dict.fromkeys(text_fields, document.page_content)}


def _with_scores(documents: Sequence[Document], results: Sequence[Result]) -> list[Document]:
    return [
        document.model_copy(update={"metadata": {**document.metadata, "relevance_score": result["relevance_score"]}})
        for result in results
        for document in (documents[result["index"]],)
    ]
