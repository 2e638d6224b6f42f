"""One function for every type of model, as `init_chat_model` is for many providers."""

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
    """Return the adapter for a model: `ChatTogether` where the type of the model is not known.

    Args:
        model: The model's name; a leading `together:`, as `init_chat_model` takes it, is ignored.
        **fields: Fields of the adapter.

    Raises:
        ConfigurationError: There is neither a key nor a client.

    Example:
        ```python
        init_together_model("together:openai/gpt-oss-20b", temperature=0).invoke("Hello")
        ```
    """
    name = model.removeprefix("together:")
    module, kind = _CLASSES[capabilities(name).type]
    return getattr(import_module(f"langchain_together_adapters.{module}"), kind)(model=name, **fields)
