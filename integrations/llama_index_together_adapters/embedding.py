"""`TogetherEmbedding`: texts to vectors, in batches, with instructions for queries and for passages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.embeddings.base import Embedding as Vector
from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_validator
from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore
from llama_index_instrumentation.dispatcher import DISPATCHER_SPAN_DECORATED_ATTR

from llama_index_together_adapters.connection import ServiceComponent
from llama_index_together_adapters.rate_limits import aacquire, acquire, text_tokens
from together_adapters.adapters.prefixes import prefix_of
from together_adapters.errors import APIResponseValidationError, TogetherError
from together_adapters.resources import embeddings as resource
from together_adapters.resources.embedding_limits import LongTexts
from together_adapters.types.capabilities import DEFAULT_EMBEDDING_MODEL
from together_adapters.types.embeddings import Embedding, EmbeddingResponse

Role = Literal["query", "text"]
F = TypeVar("F", bound=Callable[..., Any])


def _no_span(method: F) -> F:
    """Add no span to a method: the method of the base class that it calls has one."""
    setattr(method, DISPATCHER_SPAN_DECORATED_ATTR, True)
    return method


@dataclass
class EmbeddingCall:
    """A call with any number of batches: the rate limiter, the embeddings by text, and the first error, which further batches raise."""

    key_prefix: str = ""
    limiter: Any = None
    vectors: dict[str, Vector] = field(default_factory=dict)
    error: TogetherError | None = None


_current_call: ContextVar[EmbeddingCall | None] = ContextVar("together_embedding_call", default=None)


class TogetherEmbedding(ServiceComponent, BaseEmbedding):
    """Embeddings of Together AI, or of another server with the same API.

    Texts are sent unchanged unless an instruction is set. A batch is one request; a failed call raises an error whose
    `pending` lists the positions of the texts without an embedding, and whose `completed` holds the embeddings of the others.
    A `rate_limiter` is acquired once for each batch that is sent, with an estimate of its tokens, at four bytes a token.

    Example:
        ```python
        embedding = TogetherEmbedding("BAAI/bge-base-en-v1.5")
        assert len(embedding.get_text_embedding("Hello")) == 768
        ```

    Attributes:
        model_name: The embedding model; the constructor also accepts `model`.
        embed_batch_size: Number of texts in one request; a server that takes fewer gets fewer.
        num_workers: Maximum number of concurrent requests in asynchronous calls; None for 8.
        query_instruction: A prefix for queries; `"auto"` takes it from the table of models, and warns if the model is not in it.
        text_instruction: A prefix for passages, likewise.
        dimensions: Length of the embeddings, for models that support several; sent only when set. A response with another length
            is an error.
        long_texts: What to do with texts that are longer than the model reads: `send`, `error`, `truncate` or `split`, as in
            `client.embeddings.create`.
        additional_kwargs: Further fields of the request.
        embeddings_cache: A key-value store; each model, role and instruction has keys of its own in it.

    The settings of the connection (`api_key`, `api_base`, `timeout`, `max_retries`, `max_elapsed`, `default_headers`,
    `default_query`, `client`, `async_client`, `http_client`, `async_http_client`, `transport`, `control`) are those of
    `together_adapters.Together`.

    Raises:
        ConfigurationError: There is neither a key nor a client.
    """

    model_name: str = Field(default=DEFAULT_EMBEDDING_MODEL)
    embed_batch_size: int = Field(default=resource.BATCH_SIZE, gt=0, le=2048)
    query_instruction: str | None = Field(default=None)
    text_instruction: str | None = Field(default=None)
    dimensions: int | None = Field(default=None, gt=0)
    long_texts: LongTexts = Field(default="send")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    embeddings_cache: Any | None = Field(default=None, exclude=True)

    _semaphores: WeakKeyDictionary[Any, asyncio.Semaphore] = PrivateAttr(default_factory=WeakKeyDictionary)

    def __init__(
        self, model_name: str = DEFAULT_EMBEDDING_MODEL, api_key: str | None = None, api_base: str | None = None, **kwargs: Any
    ) -> None:
        model_name = kwargs.pop("model", None) or model_name
        super().__init__(model_name=model_name, api_key=api_key, api_base=api_base, **kwargs)

    @classmethod
    def class_name(cls) -> str:
        return "TogetherEmbedding"

    def to_payload(self) -> dict[str, Any]:
        """Return the payload of events about this model, without the key."""
        return {
            "class_name": self.class_name(),
            "model_name": self.model_name,
            "embed_batch_size": self.embed_batch_size,
            "api_base": self._host,
        }

    @field_validator("embeddings_cache")
    @classmethod
    def _add_namespaces(cls, store: Any) -> Any:
        return NamespacedStore(store) if isinstance(store, BaseKVStore) and not isinstance(store, NamespacedStore) else store

    # The interface of an embedding model

    @_no_span
    def get_query_embedding(self, query: str) -> Vector:
        with self._call("query") as base:
            return base.get_query_embedding(query)

    @_no_span
    async def aget_query_embedding(self, query: str) -> Vector:
        with self._call("query") as base:
            return await base.aget_query_embedding(query)

    @_no_span
    def get_text_embedding(self, text: str) -> Vector:
        with self._call("text") as base:
            return base.get_text_embedding(text)

    @_no_span
    async def aget_text_embedding(self, text: str) -> Vector:
        with self._call("text") as base:
            return await base.aget_text_embedding(text)

    @_no_span
    def get_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Vector]:
        """Embed passages, `embed_batch_size` of them in one request.

        Raises:
            TogetherError: A request failed. `pending` holds the positions of the texts without an embedding, `completed` an
                `EmbeddingResponse` of the others.
            TypeError: A passage is not a text, or `texts` is one text and no list.
        """
        texts = resource.text_list(texts)
        with self._call("text", texts) as base:
            return base.get_text_embedding_batch(texts, show_progress=show_progress, **kwargs)

    @_no_span
    async def aget_text_embedding_batch(self, texts: list[str], show_progress: bool = False, **kwargs: Any) -> list[Vector]:
        """Embed passages with concurrent requests; see `get_text_embedding_batch`."""
        texts = resource.text_list(texts)
        with self._call("text", texts) as base:
            return await base.aget_text_embedding_batch(texts, show_progress=show_progress, **kwargs)

    # The hooks of the base class

    def _get_query_embedding(self, query: str) -> Vector:
        return _validate(self._perform([resource.single_text(query)], "query"), 1)[0]

    async def _aget_query_embedding(self, query: str) -> Vector:
        return _validate(await self._aperform([resource.single_text(query)], "query"), 1)[0]

    def _get_text_embedding(self, text: str) -> Vector:
        return self._get_text_embeddings([resource.single_text(text)])[0]

    async def _aget_text_embedding(self, text: str) -> Vector:
        return _validate(await self._aperform([resource.single_text(text)], "text"), 1)[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        with _batch(texts) as complete:
            return complete(self._perform(texts, "text"))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        async with self._semaphore():
            with _batch(texts) as complete:
                return complete(await self._aperform(texts, "text"))

    def _perform(self, texts: list[str], role: Role) -> list[Vector]:
        texts, call = self._with_instruction(texts, role), _current_call.get()
        if call is not None and call.limiter is not None:
            acquire(call.limiter, text_tokens(texts))
        vectors: list[Vector] = self.sync_client.perform(self._describe(texts))
        return vectors

    async def _aperform(self, texts: list[str], role: Role) -> list[Vector]:
        texts, call = self._with_instruction(texts, role), _current_call.get()
        if call is not None and call.limiter is not None:
            await aacquire(call.limiter, text_tokens(texts))
        vectors: list[Vector] = await self.asynchronous_client.perform(self._describe(texts))
        return vectors

    def _with_instruction(self, texts: list[str], role: Role) -> list[str]:
        instruction = self._instruction(role)
        return [instruction + text for text in texts] if instruction else texts

    def _describe(self, texts: list[str]) -> Any:
        return resource.vectors(
            model=self.model_name,
            input=texts,
            dimensions=self.dimensions,
            batch_size=self.embed_batch_size,
            long_texts=self.long_texts,
            extra_body=self.additional_kwargs or None,
        )

    def _instruction(self, role: Role) -> str:
        if role == "query":
            return prefix_of(self.model_name, self.query_instruction, "query", "query_instruction")
        return prefix_of(self.model_name, self.text_instruction, "document", "text_instruction")

    @contextmanager
    def _call(self, role: Role, texts: Sequence[str] = ()) -> Iterator[BaseEmbedding]:
        """Begin a call, and yield the model to make it with; an error reports the progress over all `texts`, not those of one batch."""
        key_parts = (self.model_name, str(self.dimensions or ""), role, self._instruction(role), "")
        call = EmbeddingCall("\x1f".join(key_parts), getattr(self, "rate_limiter", None))
        token = _current_call.set(call)
        try:
            yield super(TogetherEmbedding, self if call.limiter is None else self._without_limiter())  # type: ignore[misc]
        except TogetherError as error:
            if texts:
                vectors = call.vectors
                data = [Embedding(index=index, embedding=vectors[text]) for index, text in enumerate(texts) if text in vectors]
                error.completed = EmbeddingResponse(object="list", data=data)
                error.pending = [index for index, text in enumerate(texts) if text not in vectors]
                error.add_note(f"{len(data)} of {len(texts)} texts were embedded: see .completed and .pending")
            raise
        finally:
            _current_call.reset(token)

    def _without_limiter(self) -> Any:
        """Return this model as core is to see it, which would acquire the rate limiter without tokens, and also for no request."""
        self._current_clients()  # which the copy shares
        model = copy(self)
        model.rate_limiter = None
        return model

    def _semaphore(self) -> asyncio.Semaphore:
        """Return the limit on concurrent requests of the running loop; LlamaIndex has none unless `num_workers` is above 1."""
        loop = asyncio.get_running_loop()
        semaphore = self._semaphores.get(loop)
        if semaphore is None:
            semaphore = self._semaphores[loop] = asyncio.Semaphore(self.num_workers or resource.CONCURRENCY)
        return semaphore

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Any:
        """Return a copy, with its own limit on concurrent requests."""
        model = super().model_copy(update=update, deep=deep)
        model._semaphores = WeakKeyDictionary()
        return model


@contextmanager
def _batch(texts: list[str]) -> Iterator[Callable[[list[Vector]], list[Vector]]]:
    """Yield a function that returns valid vectors; those of the batch, or its error, become part of the progress of the call."""
    call = _current_call.get() or EmbeddingCall()
    if call.error is not None:
        raise call.error

    def complete(vectors: list[Vector]) -> list[Vector]:
        call.vectors.update(zip(texts, _validate(vectors, len(texts)), strict=True))
        return vectors

    try:
        yield complete
    except TogetherError as error:
        if call.error is None:
            call.error = error
            finished = error.completed.data if error.completed is not None else ()
            call.vectors.update({texts[item.index]: item.embedding for item in finished})
        raise


def _validate(vectors: list[Vector], count: int) -> list[Vector]:
    if len(vectors) != count or not all(vectors):
        raise APIResponseValidationError(f"{count} embeddings were requested, but some are missing or empty")
    return vectors


class NamespacedStore(BaseKVStore):
    """A store whose keys begin with model, role and instruction of the call; LlamaIndex's own keys are the texts alone."""

    def __init__(self, store: BaseKVStore) -> None:
        self.store = store

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        self.store.put(_full_key(key), val, collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        await self.store.aput(_full_key(key), val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        return self.store.get(_full_key(key), collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        return await self.store.aget(_full_key(key), collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        return self.store.get_all(collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        return await self.store.aget_all(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        return self.store.delete(_full_key(key), collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        return await self.store.adelete(_full_key(key), collection)


def _full_key(key: str) -> str:
    call = _current_call.get()
    return call.key_prefix + key if call else key
