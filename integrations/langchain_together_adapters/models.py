"""One function for every kind of model, as `init_chat_model` is for many providers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from together_adapters.types.capabilities import capabilities

if TYPE_CHECKING:
    from langchain_together_adapters.chat_models import ChatTogether
    from langchain_together_adapters.embeddings import TogetherEmbeddings
    from langchain_together_adapters.llms import Together
    from langchain_together_adapters.rerank import TogetherRerank

_CLASSES = {
    "chat": ("chat_models", "ChatTogether"),
    "language": ("llms", "Together"),
    "embedding": ("embeddings", "TogetherEmbeddings"),
    "rerank": ("rerank", "TogetherRerank"),
}


def init_together_model(model: str, **fields: Any) -> ChatTogether | Together | TogetherEmbeddings | TogetherRerank:
    """Return the adapter that suits a model: for one that is not known, a `ChatTogether`.

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
    adapter: Any = getattr(import_module(f"langchain_together_adapters.{module}"), kind)
    made: ChatTogether | Together | TogetherEmbeddings | TogetherRerank = adapter(model=name, **fields)
    return made
