"""Everything that a test module needs: the check classes, under names that pytest collects, and their fixtures."""

from __future__ import annotations

from .agents import AgentChecks as TestAgents
from .beyond import BeyondChecks as TestBeyond
from .chat import ChatChecks as TestChat
from .construction import ConstructionChecks as TestConstruction
from .embedding import EmbeddingChecks as TestEmbedding
from .instrumentation import InstrumentationChecks as TestInstrumentation
from .provider import (
    _skip_known_failures,
    _wire_server,
    embedding_factory,
    events,
    llm,
    llm_factory,
    provider,
    rerank_factory,
    wire,
)
from .rag import RagChecks as TestRag
from .rag import index
from .reasoning import ReasoningChecks as TestReasoning
from .rerank import RerankChecks as TestRerank
from .resilience import ResilienceChecks as TestResilience
from .structured import StructuredChecks as TestStructured
from .tools import PromptedToolChecks as TestPromptedTools
from .tools import ToolChecks as TestTools

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
    "_skip_known_failures",
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
