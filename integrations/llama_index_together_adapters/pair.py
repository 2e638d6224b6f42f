"""The clients of one component, apart, because they bring the HTTP library, which an import of the classes does not need."""

from __future__ import annotations

from typing import Any

from together_adapters.client import ClientPair


class Connection(ClientPair):
    """Both clients of one component. It holds the key, so a pickle keeps nothing of it."""

    def __reduce__(self) -> Any:
        return type(None), ()
