"""The clients of a component, in a module of their own, so that importing the components does not import httpx."""

from __future__ import annotations

from typing import Any

from together_adapters.client import ClientPair


class ComponentClients(ClientPair):
    """The clients of one component. They hold the key, so their pickle is None."""

    def __reduce__(self) -> Any:
        return type(None), ()
