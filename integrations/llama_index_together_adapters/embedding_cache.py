"""A view of an embeddings cache in which models, roles and instructions keep apart.

LlamaIndex uses the bare text as the key, for queries and for passages of every model alike, so that one of them gets the
vector of another as soon as they share a store.
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
    """Prefix the keys of every `NamespacedStore` for the time of a block."""
    token = _namespace.set(name)
    try:
        yield
    finally:
        _namespace.reset(token)


class NamespacedStore(BaseKVStore):
    """A store whose keys carry the namespace in force.

    Attributes:
        store: The store behind it.
    """

    def __init__(self, store: BaseKVStore) -> None:
        self.store = store

    def put(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Put a value under a key."""
        self.store.put(_named(key), val, collection)

    async def aput(self, key: str, val: dict[str, Any], collection: str = DEFAULT_COLLECTION) -> None:
        """Put a value under a key."""
        await self.store.aput(_named(key), val, collection)

    def get(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return the value of a key, or None."""
        return self.store.get(_named(key), collection)

    async def aget(self, key: str, collection: str = DEFAULT_COLLECTION) -> dict[str, Any] | None:
        """Return the value of a key, or None."""
        return await self.store.aget(_named(key), collection)

    def get_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return everything in a collection, under its full keys."""
        return self.store.get_all(collection)

    async def aget_all(self, collection: str = DEFAULT_COLLECTION) -> dict[str, dict[str, Any]]:
        """Return everything in a collection, under its full keys."""
        return await self.store.aget_all(collection)

    def delete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a key; say whether it was there."""
        return self.store.delete(_named(key), collection)

    async def adelete(self, key: str, collection: str = DEFAULT_COLLECTION) -> bool:
        """Delete a key; say whether it was there."""
        return await self.store.adelete(_named(key), collection)


def _named(key: str) -> str:
    prefix = _namespace.get()
    return f"{prefix}\x1f{key}" if prefix else key
