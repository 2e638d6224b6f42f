"""A recorded session is replayed without a server: every class, both ways of calling, and an agent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank
from pydantic import BaseModel

import together_adapters
from together_adapters.emulator import Emulator
from together_adapters.testing import record, replay
from together_adapters.testing.recording_file import load

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
QUESTION = "What is the weather in Rome?"


class Person(BaseModel):
    """A person."""

    name: str


@tool
def weather(city: str) -> str:
    """Returns the weather of a city."""
    return f"Sunny in {city}."


def plain(message: BaseMessage) -> str:
    """A message as JSON, without the id that langchain-core invents for a run."""
    return message.model_dump_json(exclude={"id"} if (message.id or "").startswith(("run-", "lc_run-")) else None)


async def session(base_url: str) -> list[Any]:
    """Uses every class, synchronously and asynchronously, and returns all that came."""
    options: dict[str, Any] = {"base_url": base_url, "api_key": "any"}
    with together_adapters.Together(**options) as client:
        async with together_adapters.AsyncTogether(**options) as async_client:
            return await use({"client": client, "async_client": async_client})


async def use(connect: dict[str, Any]) -> list[Any]:
    """Uses every class with these clients."""
    chat = ChatTogether(model=MODEL, include_response_headers=True, **connect)
    texts = Together(model=MODEL, max_tokens=5, **connect)
    embeddings = TogetherEmbeddings(model="acme/embed", **connect)
    rerank = TogetherRerank(model="acme/rerank", **connect)
    documents = [Document("A cat."), Document("The weather.")]
    structured = chat.with_structured_output(Person)
    results: list[Any] = [
        plain(chat.invoke(QUESTION)),
        plain(await chat.ainvoke(QUESTION)),
        [plain(chunk) for chunk in chat.stream(QUESTION)],
        [plain(chunk) async for chunk in chat.bind_tools([weather]).astream(QUESTION)],
        [plain(message) for message in await chat.abatch(["Say hello to Ann.", "Say hello to Bob."])],
        structured.invoke("This is about Ann."),
        texts.invoke("One, two,"),
        [chunk async for chunk in texts.astream("One, two,")],
        embeddings.embed_documents(["a", "b"]),
        await embeddings.aembed_query("a"),
        list(rerank.compress_documents(documents, QUESTION)),
        list(await rerank.acompress_documents(documents, QUESTION)),
    ]
    with pytest.raises(Exception, match="temperature") as problem:
        chat.bind(temperature=9).invoke(QUESTION)
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


@pytest.mark.parametrize(
    "invoke", [lambda agent, state: agent.invoke(state), lambda agent, state: asyncio.run(agent.ainvoke(state))]
)
def test_an_agent(emulator: Emulator, tmp_path: Path, invoke: Callable[[Any, Any], Any]) -> None:
    create_agent = pytest.importorskip("langchain.agents").create_agent
    path = tmp_path / "agent.yaml"

    def run(base_url: str) -> list[str]:
        connect: dict[str, Any] = {"base_url": base_url, "api_key": "any"}
        agent = create_agent(ChatTogether(model=MODEL, **connect), [weather])
        messages = invoke(agent, {"messages": [("user", QUESTION)]})["messages"]
        return [message.model_dump_json(exclude={"id"}) for message in messages]

    with record(path):
        recorded = run(emulator.base_url)
    assert any("Sunny in Rome." in message for message in recorded)
    with replay(path):
        assert run("http://127.0.0.1:9/v1") == recorded
