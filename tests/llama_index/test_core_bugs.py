"""Bugs of llama-index-core that we work around. Each test here fails as soon as core mends its bug: drop the workaround then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.mock import MockLLM
from llama_index.core.program.function_program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index_together_adapters import TogetherLLM
from pydantic import BaseModel, ValidationError

from tests.llama_index.conformance.instrumentation import CountingLimiter
from tests.llama_index.conformance.wire import WireServer, schema_reply


class Ball(BaseModel):
    """A ball."""

    title: str


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


def test_core_drops_the_system_prompt_when_asynchronous(wire: WireServer) -> None:
    wire.chat(schema_reply)
    llm = TogetherLLM(api_key="k", api_base=wire.url, system_prompt="BE BRIEF")
    program = FunctionCallingProgram.from_defaults(Ball, llm=llm, prompt=PromptTemplate("Describe {thing}."))
    asyncio.run(program.acall(thing="a ball"))
    assert "BE BRIEF" not in str(wire.bodies[0]["messages"])


def test_core_streams_objects_without_insisting_on_the_tool(wire: WireServer) -> None:
    wire.chat(schema_reply)
    llm = TogetherLLM(api_key="k", api_base=wire.url)
    program = FunctionCallingProgram.from_defaults(Ball, llm=llm, prompt=PromptTemplate("Describe {thing}."))
    list(program.stream_call(thing="a ball"))
    assert wire.bodies[0]["tool_choice"] == "auto"


class RandomEmbedding(MockEmbedding):
    """An embedding model with different vectors for queries and passages."""

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0] * self.embed_dim


def test_core_confuses_queries_and_passages_in_a_cache() -> None:
    embedding = RandomEmbedding(embed_dim=2, embeddings_cache=SimpleKVStore())
    passage = embedding.get_text_embedding("abc")
    assert embedding.get_query_embedding("abc") == passage


def test_core_skips_the_rate_limiter_with_a_cache_when_asynchronous() -> None:
    if "rate_limiter" not in BaseEmbedding.model_fields:
        pytest.skip("this LlamaIndex has no rate limiters")
    limiter = CountingLimiter()
    embedding = MockEmbedding(embed_dim=2, embeddings_cache=SimpleKVStore(), rate_limiter=limiter)
    asyncio.run(embedding.aget_text_embedding_batch(["a", "b"]))
    assert limiter.count == 0


def test_core_cannot_prompt_a_model_for_a_tool() -> None:
    with pytest.raises(ValidationError, match="formatter"):
        LLM.predict_and_call(MockLLM(), [], user_msg="Add")


def test_core_leaves_streams_open_when_a_consumer_stops() -> None:
    closed: list[bool] = []

    class Streaming(MockLLM):
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    from llama_index.core.llms.callbacks import llm_chat_callback

    class Loops:
        def __init__(self) -> None:
            self.generator: Any = None

    loops = Loops()

    class Chats(MockLLM):
        @llm_chat_callback()
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            from llama_index.core.base.llms.types import ChatResponse

            def generate() -> Any:
                try:
                    while True:
                        yield ChatResponse(message=ChatMessage(content="a"))
                finally:
                    closed.append(True)

            loops.generator = generate()
            return loops.generator

    stream = Chats().stream_chat([ChatMessage(content="a")])
    next(stream)
    stream.close()
    assert not closed
    loops.generator.close()


def test_core_cannot_dump_a_chat_store() -> None:
    store = SimpleChatStore()
    store.add_message("a", ChatMessage(role="user", content="Hi"))
    try:
        store.model_dump()
    except Exception:
        return
    pytest.skip("this pair of LlamaIndex and pydantic dumps chat stores")
