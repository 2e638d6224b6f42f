"""Together AI for LlamaIndex: a chat and completion model, embeddings and a reranker, on llama-index-core alone.

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_adapters._lazy import attach, require

require("llama_index_together_adapters", "llama-index", "llama_index.core")

__all__ = ["TogetherEmbedding", "TogetherLLM", "TogetherRerank"]

if TYPE_CHECKING:
    from llama_index_together_adapters.embedding import TogetherEmbedding
    from llama_index_together_adapters.llm import TogetherLLM
    from llama_index_together_adapters.rerank import TogetherRerank
else:
    __getattr__, __dir__ = attach(
        __name__, {"TogetherEmbedding": ".embedding", "TogetherLLM": ".llm", "TogetherRerank": ".rerank"}
    )
