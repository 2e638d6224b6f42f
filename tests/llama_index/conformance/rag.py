"""Checks G01-G10: retrieval-augmented generation from end to end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.postprocessor import StructuredLLMRerank
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.tools import QueryEngineTool

from .provider import KEY, Factory, run
from .structured import Small
from .wire import Reply, Request, WireServer, call, schema_reply, text_reply

FACTS = ("The capital of France is Paris.", "The capital of Italy is Rome.", "Bananas are yellow fruit.")
QUESTION = "What is the capital of France?"


def quote(request: Request) -> Reply:
    """Reply with the facts in the prompt."""
    prompt = json.dumps(request.json["messages"])
    return text_reply(request, " ".join(fact for fact in FACTS if fact in prompt) or "nothing")


@pytest.fixture
def index(embedding_factory: Factory) -> Any:
    """An index of three facts."""
    return VectorStoreIndex(nodes=[TextNode(text=fact) for fact in FACTS], embed_model=embedding_factory())


class RagChecks:
    """Query and chat engines, routers and pipelines work on the provider's classes."""

    def test_g01_query_engine(self, llm: Any, index: Any, wire: WireServer) -> None:
        """A query is answered from the retrieved nodes."""
        wire.chat(quote)
        assert FACTS[0] in str(index.as_query_engine(llm=llm, similarity_top_k=1).query(QUESTION))

    def test_g02_async(self, llm: Any, embedding_factory: Factory, wire: WireServer) -> None:
        """So is an asynchronous one, on an index that was built asynchronously."""
        wire.chat(quote)
        nodes = [TextNode(text=fact) for fact in FACTS]
        index = VectorStoreIndex(nodes=nodes, embed_model=embedding_factory(), use_async=True)

        async def scenario() -> str:
            return str(await index.as_query_engine(llm=llm, similarity_top_k=1).aquery(QUESTION))

        assert FACTS[0] in run(scenario())

    def test_g03_streaming(self, llm: Any, index: Any, wire: WireServer) -> None:
        """A streaming query engine streams the answer."""
        wire.chat(quote)
        response = index.as_query_engine(llm=llm, similarity_top_k=1, streaming=True).query(QUESTION)
        assert "".join(response.response_gen) == FACTS[0]

    @pytest.mark.parametrize("mode", ["context", "condense_plus_context"])
    def test_g04_chat_engines(self, llm: Any, index: Any, wire: WireServer, mode: str) -> None:
        """Chat engines respond, single and streamed."""
        wire.chat(quote)
        memory = ChatMemoryBuffer.from_defaults(token_limit=3000, tokenizer_fn=str.split)
        engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=1, memory=memory)
        assert FACTS[0] in str(engine.chat(QUESTION))
        assert FACTS[0] in "".join(engine.stream_chat(QUESTION).response_gen)

    def test_g05_rerank(self, llm: Any, index: Any, rerank_factory: Factory, wire: WireServer) -> None:
        """A reranker works inside a query engine."""
        wire.chat(quote)
        engine = index.as_query_engine(llm=llm, similarity_top_k=3, node_postprocessors=[rerank_factory(top_n=1)])
        response = engine.query(QUESTION)
        assert len(response.source_nodes) == 1
        assert FACTS[0] in str(response)

    def test_g06_context_window(self, llm: Any, wire: WireServer) -> None:
        """Twenty nodes of 300 tokens fit one call."""
        wire.chat(quote)
        nodes = [NodeWithScore(node=TextNode(text=f"{number} word " * 150)) for number in range(20)]
        helper = PromptHelper.from_llm_metadata(llm.metadata, tokenizer=str.split)
        synthesizer = get_response_synthesizer(llm=llm, response_mode=ResponseMode.COMPACT, prompt_helper=helper)
        synthesizer.synthesize(QUESTION, nodes)
        assert wire.count("/chat/completions") == 1

    def test_g07_structured(self, llm: Any, index: Any, wire: WireServer) -> None:
        """Structured answer filtering, and query engines that return objects."""
        wire.chat(schema_reply)
        refine = get_response_synthesizer(llm=llm, response_mode=ResponseMode.REFINE, structured_answer_filtering=True)
        assert "filled" in str(refine.synthesize(QUESTION, [NodeWithScore(node=TextNode(text=fact)) for fact in FACTS]))
        engine = index.as_query_engine(llm=llm, output_cls=Small, similarity_top_k=1)
        assert engine.query(QUESTION).response == Small(title="filled", count=1)

    def test_g08_router(self, llm: Any, index: Any, wire: WireServer) -> None:
        """A router picks an engine by its default selector."""

        def handler(request: Request) -> Reply:
            if tools := request.json.get("tools"):
                return text_reply(request, "", calls=[call(tools[0]["function"]["name"], '{"index": 2, "reason": "it fits"}')])
            if "choices" in request.last.lower():
                return text_reply(request, '[{"choice": 2, "reason": "it fits"}]')
            return quote(request)

        wire.chat(handler)
        engine = index.as_query_engine(llm=llm, similarity_top_k=1)
        tools = [QueryEngineTool.from_defaults(engine, name=name, description=name) for name in ("fruit", "capitals")]
        response = RouterQueryEngine.from_defaults(query_engine_tools=tools, llm=llm).query(QUESTION)
        assert FACTS[0] in str(response)
        assert response.metadata is not None
        assert response.metadata["selector_result"].ind == 1

    def test_g09_structured_rerank(self, llm: Any, wire: WireServer) -> None:
        """LlamaIndex's LLM reranker works with the LLM."""
        wire.chat(schema_reply)
        nodes = [NodeWithScore(node=TextNode(text=fact)) for fact in FACTS]
        ranking = StructuredLLMRerank(llm=llm, top_n=1).postprocess_nodes(nodes, QueryBundle(QUESTION))
        assert [node.node.get_content() for node in ranking] == [FACTS[0]]

    def test_g10_ingestion_cache(self, embedding_factory: Factory, wire: WireServer) -> None:
        """A second run is served from the cache, with any key, and the cache contains no key."""
        first = IngestionPipeline(transformations=[embedding_factory()])
        nodes = [TextNode(text=fact, id_=str(position)) for position, fact in enumerate(FACTS)]
        first.run(nodes=nodes)
        count = len(wire.requests)
        second = IngestionPipeline(transformations=[embedding_factory(api_key="sk-another")], cache=first.cache)
        second.run(nodes=[TextNode(text=fact, id_=str(position)) for position, fact in enumerate(FACTS)])
        assert len(wire.requests) == count
        assert KEY not in repr(first.cache.cache.get_all(first.cache.collection).keys())
