"""Adapters loaded from what `langchain_core.load.dumpd` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.load import load as load_object

_ROOT = "langchain_together_adapters"
_PATHS = ((_ROOT, "chat_models", "ChatTogether"), (_ROOT, "llms", "Together"))


def load(data: Any, *, secrets_map: Mapping[str, str] | None = None, secrets_from_env: bool = True) -> Any:
    """Return the object that `dumpd` wrote: an adapter, or a chain of langchain-core's classes that contains adapters.

    langchain-core only loads classes of its own list; this function allows the adapters as well. The data decides where
    requests are sent: do not load data that you do not trust.

    Args:
        data: The result of `dumpd`, or its JSON parsed.
        secrets_map: Secrets by name; dumps contain none.
        secrets_from_env: Whether secrets that are not in the map are read from the environment (`TOGETHER_API_KEY`).

    Raises:
        ValueError: The data names a class that is neither langchain-core's nor an adapter.
        ConfigurationError: There is no key.
    """
    return load_object(
        data,
        allowed_objects="core",
        valid_namespaces=[_ROOT],
        additional_import_mappings={path: path for path in _PATHS},
        secrets_map=dict(secrets_map or {}),
        secrets_from_env=secrets_from_env,
    )
