"""One function for every kind of model, as `init_chat_model` is for many providers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from together_adapters.types.capabilities import capabilities

_CLASSES = {
    "chat": ("chat_models", "ChatTogether"),
    "language": ("llms", "Together"),
    "embedding": ("embeddings", "TogetherEmbeddings"),
    "rerank": ("rerank", "TogetherRerank"),
}


def init_together_model(model: str, **fields: Any) -> Any:
    """Return the adapter that suits a model: for one that is not known, a `ChatTogether`.

    Which class that is stands in the name, where no type checker sees it.

    Args:
        model: The model's name; a leading `together:`, as `init_chat_model` takes it, is ignored.
        **fields: Fields of the adapter.

    Raises:
        ConfigurationError: There is no key, and no client was given.

    Example:
        ```python
        init_together_model("together:openai/gpt-oss-20b", temperature=0).invoke("Hello")
        ```
    """
    name = model.removeprefix("together:")
    module, kind = _CLASSES[capabilities(name).type]
    return getattr(import_module(f"langchain_together_adapters.{module}"), kind)(model=name, **fields)
