"""`TogetherEmbeddings`: LangChain's embeddings for Together AI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field

from langchain_together_adapters.connection import Connection
from langchain_together_adapters.errors import model_errors
from together_adapters.resources.embeddings import BATCH_SIZE, CONCURRENCY, vectors
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, capabilities


class TogetherEmbeddings(Connection, Embeddings):
    """Embed texts with the models of Together AI, many texts in one request and several requests at the same time.

    Besides the attributes below it has those of `Connection` (api_key, timeout, ...).

    Attributes:
        model: The model (alias `model_name`).
        dimensions: Length of the embeddings, where the model can choose; sent only when set.
        chunk_size: Most texts in one request.
        max_concurrency: Most requests at the same time.
        query_prefix: What is put before a query; `auto` takes what the model's authors recommend. Texts travel verbatim
            when None.
        document_prefix: The same for documents.
        skip_empty: Send no empty texts; their embeddings are zeros.
        model_kwargs: Further fields of the request.

    Raises:
        ConfigurationError: There is no key, and no client was given.

    Example:
        ```python
        from langchain_together_adapters import TogetherEmbeddings

        embeddings = TogetherEmbeddings(model="intfloat/multilingual-e5-large-instruct", query_prefix="auto")
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
    skip_empty: bool = False
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    embedding_ctx_length: Any = Field(default=None, exclude=True, repr=False)
    allowed_special: Any = Field(default=None, exclude=True, repr=False)
    disallowed_special: Any = Field(default=None, exclude=True, repr=False)
    show_progress_bar: Any = Field(default=None, exclude=True, repr=False)
    """The last four are accepted from users of `langchain-together`, where they had no effect either."""

    def embed_documents(self, texts: Sequence[str], chunk_size: int | None = None) -> list[list[float]]:
        """Embed documents.

        Args:
            texts: Any number of them.
            chunk_size: Most texts in one request; the field's value when None.

        Returns:
            An embedding for each text, in their order. No request is sent for no text.

        Raises:
            TogetherError: A request failed for good; `completed` holds what others brought.
        """
        asked = self._documents(texts)
        with model_errors():
            found = self._clients.sync.perform(vectors(**self._request(asked, chunk_size)))
        return self._with_blanks(texts, found)

    async def aembed_documents(self, texts: Sequence[str], chunk_size: int | None = None) -> list[list[float]]:
        """Embed documents; see `embed_documents`."""
        asked = self._documents(texts)
        with model_errors():
            found = await self._clients.asynchronous.perform(vectors(**self._request(asked, chunk_size)))
        return self._with_blanks(texts, found)

    def embed_query(self, text: str) -> list[float]:
        """Embed a query.

        Raises:
            TogetherError: The request failed for good.
        """
        with model_errors():
            return self._clients.sync.embeddings.create(**self._request([self._query(text)], None)).data[0].embedding

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query; see `embed_query`."""
        with model_errors():
            answer = await self._clients.asynchronous.embeddings.create(**self._request([self._query(text)], None))
            return answer.data[0].embedding

    def _request(self, texts: list[str], chunk_size: int | None) -> dict[str, Any]:
        return {
            "model": self.model,
            "input": texts,
            "dimensions": self.dimensions,
            "batch_size": chunk_size or self.chunk_size,
            "max_concurrency": self.max_concurrency,
            "extra_body": self.model_kwargs or None,
        }

    def _query(self, text: str) -> str:
        prefix = capabilities(self.model).query_prefix if self.query_prefix == "auto" else self.query_prefix
        return f"{prefix}{text}" if prefix else text

    def _documents(self, texts: Sequence[str]) -> list[str]:
        sent = [text for text in texts if text.strip()] if self.skip_empty else list(texts)
        prefix = capabilities(self.model).document_prefix if self.document_prefix == "auto" else self.document_prefix
        return [f"{prefix}{text}" for text in sent] if prefix else sent

    def _with_blanks(self, texts: Sequence[str], found: list[list[float]]) -> list[list[float]]:
        """Give the texts that were not sent an embedding of zeros."""
        if len(found) == len(texts):
            return found
        length = len(found[0]) if found else self.dimensions or capabilities(self.model).dimensions
        rest = iter(found)
        return [next(rest) if text.strip() else [0.0] * length for text in texts]
