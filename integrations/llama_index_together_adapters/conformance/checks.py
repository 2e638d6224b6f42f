"""Everything that a test module needs: the check classes, under names that pytest collects, and their fixtures."""

from __future__ import annotations

from llama_index_together_adapters.conformance.agents import AgentChecks as TestAgents
from llama_index_together_adapters.conformance.beyond import BeyondChecks as TestBeyond
from llama_index_together_adapters.conformance.chat import ChatChecks as TestChat
from llama_index_together_adapters.conformance.construction import ConstructionChecks as TestConstruction
from llama_index_together_adapters.conformance.embedding import EmbeddingChecks as TestEmbedding
from llama_index_together_adapters.conformance.instrumentation import InstrumentationChecks as TestInstrumentation
from llama_index_together_adapters.conformance.provider import (
    _skip_what_is_known_to_fail,
    _wire_server,
    embedding_factory,
    events,
    llm,
    llm_factory,
    provider,
    rerank_factory,
    wire,
)
from llama_index_together_adapters.conformance.rag import RagChecks as TestRag
from llama_index_together_adapters.conformance.rag import index
from llama_index_together_adapters.conformance.reasoning import ReasoningChecks as TestReasoning
from llama_index_together_adapters.conformance.rerank import RerankChecks as TestRerank
from llama_index_together_adapters.conformance.resilience import ResilienceChecks as TestResilience
from llama_index_together_adapters.conformance.structured import StructuredChecks as TestStructured
from llama_index_together_adapters.conformance.tools import PromptedToolChecks as TestPromptedTools
from llama_index_together_adapters.conformance.tools import ToolChecks as TestTools

__all__ = [
    "TestAgents",
    "TestBeyond",
    "TestChat",
    "TestConstruction",
    "TestEmbedding",
    "TestInstrumentation",
    "TestPromptedTools",
    "TestRag",
    "TestReasoning",
    "TestRerank",
    "TestResilience",
    "TestStructured",
    "TestTools",
    "_skip_what_is_known_to_fail",
    "_wire_server",
    "embedding_factory",
    "events",
    "index",
    "llm",
    "llm_factory",
    "provider",
    "rerank_factory",
    "wire",
]
