"""`TogetherEmbedding`: texts to vectors, in batches, with instructions for queries and for passages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.embeddings.base import Embedding as Vector
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
from llama_index.core.storage.kvstore.types import BaseKVStore
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from llama_index_together_adapters.connection import Connected
from llama_index_together_adapters.embedding_cache import NamespacedStore, namespace
from together_adapters.errors import APIResponseValidationError, TogetherError
from together_adapters.resources import embeddings as resource
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL, capabilities
from together_adapters.types.embeddings import Embedding, EmbeddingResponse

Role = Literal["query", "text"]
F = TypeVar("F", bound=Callable[..., Any])


def _within_span(method: F) -> F:
    """Leave the span of a method to the method of the base class that it calls."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


class Progress:
    """What one call of many batches has finished, by text.

    Attributes:
        vectors: Embeddings of the texts that are done.
        failure: The first error; batches that have not begun give up with it.
    """

    def __init__(self) -> None:
        self.vectors: dict[str, Vector] = {}
        self.failure: TogetherError | None = None


_progress: ContextVar[Progress | None] = ContextVar("together_embedding_progress", default=None)


class TogetherEmbedding(Connected, BaseEmbedding):
    """Embeddings of Together AI.

    Texts travel verbatim unless an instruction is set. A batch is one request; a failed call raises an error whose
    `pending` lists the positions of the texts that have no embedding yet, and whose `completed` holds the others.

    Example:
        >>> embedding = TogetherEmbedding("intfloat/multilingual-e5-large-instruct")  # doctest: +SKIP
        >>> len(embedding.get_text_embedding("Hello"))  # doctest: +SKIP
        1024

    Attributes:
        model_name: The embedding model.
        embed_batch_size: Texts in one request.
        num_workers: Requests at the same time in asynchronous calls; None for 8.
        query_instruction: What is put before a query; `"auto"` takes it from the capability table.
        text_instruction: What is put before a passage, likewise.
        dimensions: Length of the embeddings, where the model can choose; sent only when set.
        additional_kwargs: Further fields of the request.
        embeddings_cache: A key-value store; models, roles and instructions keep apart in it.

    The settings of the connection (`api_key`, `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`,
    `default_query`, `client`, `async_client`) mean what they mean in `together_adapters.Together`.
    """

    model_name: str = Field(default=DEFAULT_EMBEDDING_MODEL)
    embed_batch_size: int = Field(default=resource.BATCH_SIZE, gt=0, le=2048)
    query_instruction: str | None = Field(default=None)
    text_instruction: str | None = Field(default=None)
    dimensions: int | None = Field(default=None, gt=0)
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    embeddings_cache: Any | None = Field(default=None, exclude=True)

    _slots: WeakKeyDictionary[Any, asyncio.Semaphore] = PrivateAttr(default_factory=WeakKeyDictionary)

    moot: ClassVar[frozenset[str]] = frozenset({"class_name"})

    def __init__(
        self,
        model_name: str = DEFAULT_EMBEDDING_MODEL,
        api_key: str | None = None,
        api_base: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Set up an embedding model. Nothing is sent until the first call.

        Args:
            model_name: The embedding model.
            api_key: The key; else `TOGETHER_API_KEY`.
            api_base: Where to send; else `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service.
            **kwargs: Any other field; `model` is another name of `model_name`.

        Raises:
            ConfigurationError: There is neither a key nor a client.
        """
        model_name = kwargs.pop("model", None) or model_name
        super().__init__(model_name=model_name, api_key=api_key, api_base=api_base, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serializes this class."""
        return "TogetherEmbedding"

    def to_payload(self) -> dict[str, Any]:
        """Return what events may show of this model; never a key."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
            "api_base": urlsplit(self.api_base or "").netloc,
        }

    @field_validator("embeddings_cache")
    @classmethod
    def _keep_apart(cls, store: Any) -> Any:
        return NamespacedStore(store) if isinstance(store, BaseKVStore) and not isinstance(store, NamespacedStore) else store

    # What LlamaIndex calls

    @_within_span
    def get_query_embedding(self, query: str) -> Vector:
        """Embed a query."""
        with self._as("query"):
            return super().get_query_embedding(query)

    @_within_span
    async def aget_query_embedding(self, query: str) -> Vector:
        """Embed a query."""
        with self._as("query"):
            return await super().aget_query_embedding(query)

    @_within_span
    def get_text_embedding(self, text: str) -> Vector:
        """Embed a passage."""
        with self._as("text"):
            return super().get_text_embedding(text)

    @_within_span
    async def aget_text_embedding(self, text: str) -> Vector:
        """Embed a passage."""
        with self._as("text"):
            return await super().aget_text_embedding(text)

    @_within_span
    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Vector]:
        """Embed passages, `embed_batch_size` of them in one request.

        Raises:
            TogetherError: A request failed for good. `pending` holds the positions of the texts that are not embedded,
                `completed` an `EmbeddingResponse` of the others.
        """
        with self._as("text"), _telling_progress(texts):
            return super().get_text_embedding_batch(texts, show_progress=show_progress, **kwargs)

    @_within_span
    async def aget_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Vector]:
        """Embed passages, as `get_text_embedding_batch` does, several requests at the same time."""
        with self._as("text"), _telling_progress(texts):
            return await super().aget_text_embedding_batch(texts, show_progress=show_progress, **kwargs)

    # What LlamaIndex leaves to an embedding model

    def _get_query_embedding(self, query: str) -> Vector:
        return self._read(self.sync_client.perform(self._describe([query], "query")), 1)[0]

    async def _aget_query_embedding(self, query: str) -> Vector:
        return self._read(await self.asynchronous_client.perform(self._describe([query], "query")), 1)[0]

    def _get_text_embedding(self, text: str) -> Vector:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Vector:
        return self._read(await self.asynchronous_client.perform(self._describe([text], "text")), 1)[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        with _noting(texts) as note:
            note(self._read(self.sync_client.perform(self._describe(texts, "text")), len(texts)))
        return note.vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        async with self._slot():
            limiter = getattr(self, "rate_limiter", None)
            if limiter is not None:
                await limiter.async_acquire()
            with _noting(texts) as note:
                note(self._read(await self.asynchronous_client.perform(self._describe(texts, "text")), len(texts)))
        return note.vectors

    async def _aget_text_embeddings_rate_limited(self, texts: list[str]) -> list[Vector]:
        return await self._aget_text_embeddings(texts)  # which asks the rate limiter itself, also for a batch with a cache

    def _describe(self, texts: list[str], role: Role) -> Any:
        instruction = self._instruction(role)
        return resource.vectors(
            model=self.model_name,
            input=[instruction + text for text in texts] if instruction else texts,
            dimensions=self.dimensions,
            batch_size=self.embed_batch_size,
            extra_body=self.additional_kwargs or None,
        )

    def _read(self, vectors: list[Vector], count: int) -> list[Vector]:
        if len(vectors) != count or not all(vectors):
            raise APIResponseValidationError(f"{count} embeddings were asked for, but some are missing or empty")
        return vectors

    def _instruction(self, role: Role) -> str:
        given = self.query_instruction if role == "query" else self.text_instruction
        if given != "auto":
            return given or ""
        known = capabilities(self.model_name)
        return known.query_prefix if role == "query" else known.document_prefix

    @contextmanager
    def _as(self, role: Role) -> Iterator[None]:
        parts = (self.model_name, str(self.dimensions or ""), role, self._instruction(role))
        with namespace("\x1f".join(parts)):
            yield

    def _slot(self) -> asyncio.Semaphore:
        """What bounds the requests of the running loop. LlamaIndex itself bounds nothing unless `num_workers` is above 1."""
        loop = asyncio.get_running_loop()
        slot = self._slots.get(loop)
        if slot is None:
            slot = self._slots[loop] = asyncio.Semaphore(self.num_workers or resource.CONCURRENCY)
        return slot

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        """Return a copy, with its own bound on concurrent requests."""
        copied = super().model_copy(update=update, deep=deep)
        copied._slots = WeakKeyDictionary()
        return copied


class _noting:
    """Adds what a batch brings, or how it fails, to the progress of the call that it belongs to."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self._progress = _progress.get()
        self.vectors: list[Vector] = []

    def __enter__(self) -> _noting:
        if self._progress is not None and self._progress.failure is not None:
            raise self._progress.failure
        return self

    def __call__(self, vectors: list[Vector]) -> None:
        self.vectors = vectors
        if self._progress is not None:
            self._progress.vectors.update(zip(self._texts, vectors, strict=True))

    def __exit__(self, kind: Any, problem: BaseException | None, traceback: Any) -> None:
        if isinstance(problem, TogetherError) and self._progress is not None and self._progress.failure is None:
            self._progress.failure = problem
            finished = problem.completed.data if problem.completed is not None else ()
            self._progress.vectors.update({self._texts[item.index]: item.embedding for item in finished})


@contextmanager
def _telling_progress(texts: list[str]) -> Iterator[None]:
    """Let an error tell which of all the texts are done, not which of one batch."""
    progress = Progress()
    token = _progress.set(progress)
    try:
        yield
    except TogetherError as error:
        done = [(place, progress.vectors[text]) for place, text in enumerate(texts) if text in progress.vectors]
        error.completed = EmbeddingResponse(
            object="list", data=[Embedding(index=place, embedding=vector) for place, vector in done]
        )
        error.pending = [place for place, text in enumerate(texts) if text not in progress.vectors]
        error.add_note(f"{len(done)} of {len(texts)} texts were embedded: see .completed and .pending")
        raise
    finally:
        _progress.reset(token)
