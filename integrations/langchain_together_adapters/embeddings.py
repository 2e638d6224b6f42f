"""`TogetherEmbeddings`: LangChain's embeddings for Together AI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from together_adapters.adapters.prefixes import prefix_of
from together_adapters.resources.embedding_limits import LongTexts
from together_adapters.resources.embeddings import BATCH_SIZE, CONCURRENCY, single_text, text_list, vectors
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, capabilities


class TogetherEmbeddings(Connection, Embeddings):
    """Embed texts with models of Together AI or of another server with the same API, in batches and with concurrent requests.

    Besides the attributes below it has those of `Connection` (api_key, base_url, timeout, ...).

    Attributes:
        model: The model (alias `model_name`).
        dimensions: Length of the embeddings, for models that support several; sent only when set. A response with another
            length is an error.
        chunk_size: Maximum number of texts in one request; a server that takes fewer gets fewer.
        max_concurrency: Maximum number of concurrent requests.
        query_prefix: A prefix for queries; `auto` is the one that the model's authors recommend, which is known for some
            models: a warning says so for others. None sends queries unchanged.
        document_prefix: The same for documents.
        long_texts: What to do with texts that are longer than the model reads: `send`, `error`, `truncate` or `split`, as in
            `client.embeddings.create`.
        skip_empty: Do not send empty texts; their embeddings are zeros.
        model_kwargs: Further fields of the request.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        from langchain_together_adapters import TogetherEmbeddings

        embeddings = TogetherEmbeddings(model="BAAI/bge-base-en-v1.5", query_prefix="auto")
        embeddings.embed_query("What is a llama?")
        ```
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True, extra="forbid")

    model: str = Field(default=DEFAULT_EMBEDDING_MODEL, validation_alias="model_name")
    dimensions: int | None = None
    chunk_size: int = Field(default=BATCH_SIZE, ge=1)
    max_concurrency: int = Field(default=CONCURRENCY, ge=1)
    query_prefix: str | None = None
    document_prefix: str | None = None
    long_texts: LongTexts = "send"
    skip_empty: bool = False
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    embedding_ctx_length: Any = Field(default=None, exclude=True, repr=False)
    allowed_special: Any = Field(default=None, exclude=True, repr=False)
    disallowed_special: Any = Field(default=None, exclude=True, repr=False)
    show_progress_bar: Any = Field(default=None, exclude=True, repr=False)
    """The last four are accepted for compatibility with `langchain-together`, and have no effect there either."""

    def embed_documents(self, texts: Iterable[str], chunk_size: int | None = None) -> list[list[float]]:
        """Embed documents.

        Args:
            texts: The documents. Without documents no request is sent.
            chunk_size: Maximum number of texts in one request; the field's value when None.

        Returns:
            An embedding for each text, in the same order.

        Raises:
            TogetherError: A request failed; `completed` holds the results of the others.
            TypeError: A document is not a text, or `texts` is one text and no list.
        """
        texts = text_list(texts)
        inputs = self._documents(texts)
        with model_errors():
            embeddings = self._clients.sync.perform(vectors(**self._request(inputs, chunk_size)))
        return self._insert_zeros(texts, embeddings)

    async def aembed_documents(self, texts: Iterable[str], chunk_size: int | None = None) -> list[list[float]]:
        """Embed documents; see `embed_documents`."""
        texts = text_list(texts)
        inputs = self._documents(texts)
        with model_errors():
            embeddings = await self._clients.asynchronous.perform(vectors(**self._request(inputs, chunk_size)))
        return self._insert_zeros(texts, embeddings)

    def embed_query(self, text: str) -> list[float]:
        """Embed a query.

        Raises:
            TogetherError: The request failed.
            TypeError: The query is not a text.
        """
        with model_errors():
            return self._clients.sync.embeddings.create(**self._request([self._query(text)], None)).data[0].embedding

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query; see `embed_query`."""
        with model_errors():
            response = await self._clients.asynchronous.embeddings.create(**self._request([self._query(text)], None))
            return response.data[0].embedding

    def _request(self, texts: list[str], chunk_size: int | None) -> dict[str, Any]:
        return {
            "model": self.model,
            "input": texts,
            "dimensions": self.dimensions,
            "batch_size": chunk_size or self.chunk_size,
            "max_concurrency": self.max_concurrency,
            "long_texts": self.long_texts,
            "extra_body": self.model_kwargs or None,
        }

    def _query(self, text: str) -> str:
        return prefix_of(self.model, self.query_prefix, "query", "query_prefix") + single_text(text)

    def _documents(self, texts: list[str]) -> list[str]:
        inputs = [text for text in texts if text.strip()] if self.skip_empty else texts
        prefix = prefix_of(self.model, self.document_prefix, "document", "document_prefix")
        return [f"{prefix}{text}" for text in inputs] if prefix else inputs

    def _insert_zeros(self, texts: list[str], embeddings: list[list[float]]) -> list[list[float]]:
        """Insert an embedding of zeros for each empty text that was not sent."""
        if len(embeddings) == len(texts):
            return embeddings
        length = len(embeddings[0]) if embeddings else self.dimensions or capabilities(self.model).dimensions
        if not length:
            raise ValueError(
                f"all texts are empty, and the length of the embeddings of {self.model} is not known: set dimensions"
            )
        iterator = iter(embeddings)
        return [next(iterator) if text.strip() else [0.0] * length for text in texts]
