"""Together AI for LangChain: chat, completions, embeddings and rerank on langchain-core alone.

Names are imported when they are first used, so that a program that only reranks never loads the chat machinery.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("langchain_core") is None:
    raise ImportError('the LangChain integration needs langchain-core: pip install "together-adapters[langchain]"')

if TYPE_CHECKING:
    from langchain_together_adapters.chat_models import ChatTogether
    from langchain_together_adapters.embeddings import TogetherEmbeddings
    from langchain_together_adapters.factory import init_together_model
    from langchain_together_adapters.llms import Together
    from langchain_together_adapters.rerank import TogetherRerank
    from langchain_together_adapters.serialization import load

_HOMES = {
    "ChatTogether": "chat_models",
    "Together": "llms",
    "TogetherEmbeddings": "embeddings",
    "TogetherRerank": "rerank",
    "init_together_model": "factory",
    "load": "serialization",
}

__all__ = ["ChatTogether", "Together", "TogetherEmbeddings", "TogetherRerank", "init_together_model", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
