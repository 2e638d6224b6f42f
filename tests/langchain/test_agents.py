"""The adapters inside LangChain: `create_agent`, and the retriever that compresses the documents of another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank
from pydantic import BaseModel

from together_adapters.emulator import Emulator, Fault

FLAVOURS = ["sync", "async"]
QUESTION_STATE = {"messages": [("user", "What is the weather in Paris, and what time is it in Oslo?")]}
TEXTS = ["Pandas eat bamboo.", "Llamas live in Peru.", "Peru has llamas and alpacas.", "Paris is in France."]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


def time(city: str) -> str:
    """Get the time in a city."""
    return f"It is noon in {city}."


async def run(agent: Any, state: Any, flavour: str) -> Any:
    return agent.invoke(state) if flavour == "sync" else await agent.ainvoke(state)


async def stream(agent: Any, state: Any, flavour: str, mode: str) -> list[Any]:
    if flavour == "sync":
        return list(agent.stream(state, stream_mode=mode))
    return [news async for news in agent.astream(state, stream_mode=mode)]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_an_agent_calls_tools_in_one_turn(flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    done = await run(create_agent(llm, [weather, time]), QUESTION_STATE, flavour)
    call_message = next(message for message in done["messages"] if isinstance(message, AIMessage))
    assert [(call["name"], call["args"]) for call in call_message.tool_calls] == [
        ("weather", {"city": "Paris"}),
        ("time", {"city": "Oslo"}),
    ]
    assert "It rains in Paris." in done["messages"][-1].text
    assert "It is noon in Oslo." in done["messages"][-1].text
    first, second = (request.json for request in emulator.requests)
    assert "parallel_tool_calls" not in first
    [calls] = [message["tool_calls"] for message in second["messages"] if message.get("tool_calls")]
    assert [call["id"] for call in calls] == [
        message["tool_call_id"] for message in second["messages"] if message["role"] == "tool"
    ]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Paris"}, {"city": "Oslo"}]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("deltas", ["interleaved", "no-index", "same-index", "one-chunk"])
async def test_an_agent_that_streams(deltas: str, flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    with emulator.behave(tool_deltas=deltas):
        news = await stream(create_agent(llm, [weather, time]), QUESTION_STATE, flavour, "messages")
    results = {message.name: message.text for message, _ in news if isinstance(message, ToolMessage)}
    assert results == {"weather": "It rains in Paris.", "time": "It is noon in Oslo."}
    tokens = [message.text for message, metadata in news if metadata["langgraph_node"] == "model" and message.text]
    assert len(tokens) > 3
    assert "It is noon in Oslo." in "".join(tokens)
    assert all(request.json["stream"] for request in emulator.requests)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("expected", "key"),
    [(Person, "response_format"), (ProviderStrategy(Person), "response_format"), (ToolStrategy(Person), "tools")],
)
async def test_an_agent_with_a_response_format(
    expected: Any, key: str, flavour: str, llm: ChatTogether, emulator: Emulator
) -> None:
    """The profile has structured output, so that a bare class uses the JSON schema."""
    agent = create_agent(llm, response_format=expected)
    done = await run(agent, {"messages": [("user", "Ann is 41 years old.")]}, flavour)
    assert done["structured_response"] == Person(name="Ann", age=41)
    assert key in emulator.requests[0].json
    assert ("tool_choice" in emulator.requests[0].json) == (key == "tools")


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_retry_of_the_middleware_knows_our_errors(flavour: str, connect: Any, emulator: Emulator) -> None:
    from langchain.agents.middleware import ModelRetryMiddleware

    llm = ChatTogether(**connect, max_retries=0)
    agent = create_agent(llm, middleware=[ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)])
    emulator.inject(Fault("503"))
    done = await run(agent, {"messages": [("user", "Hello")]}, flavour)
    assert done["messages"][-1].response_metadata["model_provider"] == "together"
    assert len(emulator.requests) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_retriever_that_reranks(flavour: str, embedder: TogetherEmbeddings, connect: Any, emulator: Emulator) -> None:
    store = InMemoryVectorStore(embedder)
    await store.aadd_documents([Document(text, metadata={"at": at}) for at, text in enumerate(TEXTS)])
    retriever = ContextualCompressionRetriever(
        base_compressor=TogetherRerank(**connect, top_n=2), base_retriever=store.as_retriever(search_kwargs={"k": 4})
    )
    emulator.clear()
    query = "Where do llamas live?"
    documents = retriever.invoke(query) if flavour == "sync" else await retriever.ainvoke(query)
    assert [document.page_content for document in documents] == ["Llamas live in Peru.", "Peru has llamas and alpacas."]
    assert [set(document.metadata) for document in documents] == [{"at", "relevance_score"}] * 2
    assert [request.path for request in emulator.requests] == ["/v1/embeddings", "/v1/rerank"]
    assert emulator.requests[-1].json["top_n"] == 2
    assert len(emulator.requests[-1].json["documents"]) == 4
