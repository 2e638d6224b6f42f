"""An embeddings cache with separate keys for each model, role and instruction.

LlamaIndex uses the text as the key, for queries and passages of all models, so that they get each other's vectors from a shared
store.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from llama_index.core.storage.kvstore.types import DEFAULT_COLLECTION, BaseKVStore

_namespace: ContextVar[str] = ContextVar("together_embedding_namespace", default="")


@contextmanager
def namespace(name: str) -> Iterator[None]:
    """Prefix the keys of every `NamespacedStore` within a `with` block."""
    token = _namespace.set(name)
    try:
        yield
    finally:
        _namespace.reset(token)


class NamespacedStore(BaseKVStore):
    """A store that adds the current namespace to its keys.

    Attributes:
        store: The underlying store.
    """

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
    prefix = _namespace.get()
    return f"{prefix}\x1f{key}" if prefix else key
