"""Checks that any LlamaIndex provider can run on its own classes, in pytest: 119 numbered behaviours, and some beyond them.

LlamaIndex has no standard suite for its integrations. This one asks of an LLM, an embedding model and a reranker what
agents, query engines, pipelines and observers need of them, over a small server that speaks the OpenAI-compatible wire and
misbehaves in the ways that real servers do. It needs pytest, llama-index-core and a free port on the loopback.

A provider's test module says what is tested, and imports the checks:

    import pytest
    from my_provider import MyEmbedding, MyLLM
    from llama_index_together_adapters.conformance import Provider
    from llama_index_together_adapters.conformance.checks import *

    @pytest.fixture
    def provider():
        return Provider(llm=MyLLM, embedding=MyEmbedding, key_variable="MY_API_KEY", parameters={"top_k": 5})

`Provider` says what else can be told, among it `lacks`, the ids of checks that are known to fail. Fixtures to override
where a factory is not enough: `llm_factory`, `embedding_factory`, `rerank_factory`; the server is `wire`. Each check has its
id in its name (`-k t06`): L construction, C chat, R reasoning, T tools and agents, S structured output, E resilience,
I instrumentation, B embeddings, K reranking, G retrieval-augmented generation, X beyond the numbered suite.
"""

from __future__ import annotations

from llama_index_together_adapters.conformance.provider import Provider
from llama_index_together_adapters.conformance.wire import WireServer

__all__ = ["Provider", "WireServer"]
