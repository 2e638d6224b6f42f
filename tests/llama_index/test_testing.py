"""A recorded session is replayed without a server: every class, both ways of calling, and an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank
from pydantic import BaseModel

from together_adapters import AsyncTogether, Together
from together_adapters.emulator import Emulator
from together_adapters.testing import record, replay
from together_adapters.testing.recording_file import load

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
QUESTION = "What is the weather in Rome?"


class Person(BaseModel):
    """A person."""

    name: str


def weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"Sunny in {city}."


@asynccontextmanager
async def clients(base_url: str) -> AsyncIterator[dict[str, Any]]:
    """Yields clients, and closes them."""
    options: dict[str, Any] = {"base_url": base_url, "api_key": "any"}
    with Together(**options) as client:
        async with AsyncTogether(**options) as async_client:
            yield {"client": client, "async_client": async_client}


async def session(base_url: str) -> list[Any]:
    """Uses every class, synchronously and asynchronously, and returns all that came."""
    async with clients(base_url) as connect:
        return await use(connect)


async def use(connect: dict[str, Any]) -> list[Any]:
    """Uses every class with these clients."""
    llm = TogetherLLM(model=MODEL, **connect)
    embedding = TogetherEmbedding(model_name="acme/embed", **connect)
    rerank = TogetherRerank(model="acme/rerank", **connect)
    message = [ChatMessage(content=QUESTION)]
    nodes = [NodeWithScore(node=TextNode(text=text, id_=text), score=0.5) for text in ("A cat.", "The weather.")]
    results = [
        llm.chat(message).model_dump_json(exclude={"raw"}),
        (await llm.achat(message)).model_dump_json(exclude={"raw"}),
        [chunk.model_dump_json(exclude={"raw"}) for chunk in llm.stream_chat(message)],
        [chunk.model_dump_json(exclude={"raw"}) async for chunk in await llm.astream_complete("One, two,")],
        llm.chat(message).raw,
        llm.as_structured_llm(Person).complete("This is about Ann.").raw,
        embedding.get_text_embedding_batch(["a", "b"]),
        await embedding.aget_query_embedding("a"),
        rerank.postprocess_nodes(nodes, query_str=QUESTION),
        await rerank.apostprocess_nodes(nodes, query_str=QUESTION),
    ]
    with pytest.raises(Exception, match="temperature") as problem:
        llm.chat(message, temperature=9)
    return [*results, type(problem.value)]


async def test_a_recorded_session(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "session.yaml"
    with record(path):
        recorded = await session(emulator.base_url)
    count = len(emulator.requests)
    with replay(path, pace=0) as replayed:
        assert await session("http://127.0.0.1:9/v1") == recorded
    assert replayed.unused == []
    assert len(load(path)) == len(emulator.requests) == count


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent(emulator: Emulator, tmp_path: Path, streaming: bool) -> None:
    path = tmp_path / "agent.yaml"

    async def run(base_url: str) -> str:
        async with clients(base_url) as connect:
            llm = TogetherLLM(model=MODEL, **connect)
            agent = FunctionAgent(llm=llm, tools=[FunctionTool.from_defaults(weather)], streaming=streaming)
            result: Any = await agent.run(QUESTION)
            return str(result.model_dump_json(exclude={"raw"}))

    with record(path):
        recorded = await run(emulator.base_url)
    assert "Sunny in Rome." in recorded
    with replay(path):
        assert await run("http://127.0.0.1:9/v1") == recorded
