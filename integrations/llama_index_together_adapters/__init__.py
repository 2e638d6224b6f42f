"""Together AI for LlamaIndex: a chat and completion model, embeddings and a reranker, on llama-index-core alone.

Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_index_together_adapters.embedding import TogetherEmbedding
    from llama_index_together_adapters.llm import TogetherLLM
    from llama_index_together_adapters.rerank import TogetherRerank

__all__ = ["TogetherEmbedding", "TogetherLLM", "TogetherRerank"]

_HOMES = {"TogetherEmbedding": "embedding", "TogetherLLM": "llm", "TogetherRerank": "rerank"}


def _require_core() -> None:
    try:
        found = find_spec("llama_index.core") is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise ImportError('llama_index_together_adapters needs llama-index-core: pip install "together-adapters[llama-index]"')


_require_core()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
