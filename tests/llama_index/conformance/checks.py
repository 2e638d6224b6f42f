"""Everything that a test module needs: the check classes, under names that pytest collects, and their fixtures."""

from __future__ import annotations

from tests.llama_index.conformance.agents import AgentChecks as TestAgents
from tests.llama_index.conformance.beyond import BeyondChecks as TestBeyond
from tests.llama_index.conformance.chat import ChatChecks as TestChat
from tests.llama_index.conformance.construction import ConstructionChecks as TestConstruction
from tests.llama_index.conformance.embedding import EmbeddingChecks as TestEmbedding
from tests.llama_index.conformance.instrumentation import InstrumentationChecks as TestInstrumentation
from tests.llama_index.conformance.provider import (
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
from tests.llama_index.conformance.rag import RagChecks as TestRag
from tests.llama_index.conformance.rag import index
from tests.llama_index.conformance.reasoning import ReasoningChecks as TestReasoning
from tests.llama_index.conformance.rerank import RerankChecks as TestRerank
from tests.llama_index.conformance.resilience import ResilienceChecks as TestResilience
from tests.llama_index.conformance.structured import StructuredChecks as TestStructured
from tests.llama_index.conformance.tools import PromptedToolChecks as TestPromptedTools
from tests.llama_index.conformance.tools import ToolChecks as TestTools

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
