"""A pytest kit for any LlamaIndex provider: 119 numbered behaviours of an LLM, an embedding model and a reranker, and some more.

LlamaIndex has no standard suite for its integrations. The kit checks what agents, query engines, pipelines and observers need,
against the emulator of together-adapters, which speaks the OpenAI-compatible API and misbehaves as real servers do. It needs pytest,
llama-index-core and together-adapters[emulator], of which no other part is used. It is not in the wheel. Clone the repository of
together-adapters and put the parent of this folder on the path:

    PYTHONPATH=together-adapters/tests/llama_index pytest test_conformance.py

The test module defines the provider under test and imports the checks. For llama-index-llms-openai-like:

    import pytest
    from conformance import Provider
    from conformance.checks import *
    from llama_index.llms.openai_like import OpenAILike

    def make(**options):
        flags = {"is_chat_model": True, "is_function_calling_model": True, "context_window": 131_072}
        return OpenAILike(**{**flags, **options})

    @pytest.fixture
    def provider():
        return Provider(llm=make)

It runs for a minute or two. A class that needs no flags is passed directly: `Provider(llm=MyLLM, embedding=MyEmbedding,
rerank=MyRerank, key_variable="MY_API_KEY")`; checks of classes that are None are skipped. `Provider` documents the options that the
factories receive and its further fields: request parameters, how to request a JSON schema, the exception for prompts that are too
long. A class that looks up its context window by name needs a `model` that it knows, and the `context_window` to expect.

Known failures are listed, so that the other checks can guard a build: `lacks=frozenset({"R04", "T06"})`. Each check has its id in
its name (`-k t06`) and describes the behaviour in its docstring: L construction, C chat, R reasoning, T tools and agents,
S structured output, E resilience, I instrumentation, B embeddings, K reranking, G retrieval-augmented generation, X further
behaviours. Override the fixtures `llm_factory`, `embedding_factory` and `rerank_factory` where a factory is not enough; checks of
your own can script the server, `wire`, and use its `emulator`.
"""

from __future__ import annotations

from pkgutil import iter_modules

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from .provider import Provider  # after its assertions are registered for rewriting
from .wire import WireServer

__all__ = ["Provider", "WireServer"]
