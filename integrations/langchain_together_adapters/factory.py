"""Adapters for the name of a model, and from what `langchain_core.load.dumpd` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from langchain_core.load import load as load_object

from together_adapters.types.capabilities import capabilities

_ROOT = "langchain_together_adapters"
_SERIALIZABLE = ((_ROOT, "chat_models", "ChatTogether"), (_ROOT, "llms", "Together"), (_ROOT, "decisions", "TogetherDecisions"))
_CLASSES = {
    "chat": ("chat_models", "ChatTogether"),
    "language": ("llms", "Together"),
    "embedding": ("embeddings", "TogetherEmbeddings"),
    "rerank": ("rerank", "TogetherRerank"),
}


def init_together_model(model: str, **fields: Any) -> Any:
    """Return the adapter for a model: `ChatTogether` where the type of the model is not known.

    Args:
        model: The model's name; a leading `together:`, as `init_chat_model` takes it, is ignored.
        **fields: Fields of the adapter.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        init_together_model("together:openai/gpt-oss-120b", temperature=0).invoke("Hello")
        ```
    """
    name = model.removeprefix("together:")
    module, kind = _CLASSES[capabilities(name).type]
    return getattr(import_module(f"{_ROOT}.{module}"), kind)(model=name, **fields)


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
        additional_import_mappings={path: path for path in _SERIALIZABLE},
        secrets_map=dict(secrets_map or {}),
        secrets_from_env=secrets_from_env,
    )
