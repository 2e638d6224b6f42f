"""Checks that any LlamaIndex provider can run on its own classes, in pytest: 119 numbered behaviours, and some beyond them.

LlamaIndex has no standard suite for its integrations. This one asks of an LLM, an embedding model and a reranker what
agents, query engines, pipelines and observers need of them, over a small server that speaks the OpenAI-compatible wire and
misbehaves in the ways that real servers do. It needs pytest, llama-index-core and a free port on the loopback.

    pip install "together-adapters[llama-index]" pytest

A provider's test module says what is tested, and imports the checks. For llama-index-llms-openai-like:

    import pytest
    from llama_index.llms.openai_like import OpenAILike
    from tests.llama_index.conformance import Provider
    from tests.llama_index.conformance.checks import *

    def make(**options):
        flags = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 131_072}
        return OpenAILike(**{**flags, **options})

    @pytest.fixture
    def provider():
        return Provider(llm=make)

`pytest test_conformance.py` takes a minute or two. A class that needs no flags is given as it is: `Provider(llm=MyLLM,
embedding=MyEmbedding, rerank=MyRerank, key_variable="MY_API_KEY")`; checks of what is None are skipped. `Provider` lists
which options the factories get and what else can be told: further request parameters, how to ask for a JSON schema, which
exception means that a prompt is too long. A class that looks its context window up by name needs a `model` it knows,
and `context_window` to compare with.

What a provider is known to fail is listed, so that the rest can guard a build: `lacks=frozenset({"R04", "T06"})`. Each check
has its id in its name (`-k t06`), and says in its docstring what it asks for: L construction, C chat, R reasoning, T tools
and agents, S structured output, E resilience, I instrumentation, B embeddings, K reranking, G retrieval-augmented
generation, X beyond the numbered suite. Fixtures to override where a factory is not enough: `llm_factory`,
`embedding_factory`, `rerank_factory`; the server is `wire`, and can be scripted in checks of your own.
"""

from __future__ import annotations

from tests.llama_index.conformance.provider import Provider
from tests.llama_index.conformance.wire import WireServer

__all__ = ["Provider", "WireServer"]
