"""The adapters inside LangChain: `create_agent`, and the retriever that compresses the documents of another one."""

from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolArg, tool
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
        base_compressor=TogetherRerank(model="acme/ranker", **connect, top_n=2),
        base_retriever=store.as_retriever(search_kwargs={"k": 4}),
    )
    emulator.clear()
    query = "Where do llamas live?"
    documents = retriever.invoke(query) if flavour == "sync" else await retriever.ainvoke(query)
    assert [document.page_content for document in documents] == ["Llamas live in Peru.", "Peru has llamas and alpacas."]
    assert [set(document.metadata) for document in documents] == [{"at", "relevance_score"}] * 2
    assert [request.path for request in emulator.requests] == ["/v1/embeddings", "/v1/rerank"]
    assert emulator.requests[-1].json["top_n"] == 2
    assert len(emulator.requests[-1].json["documents"]) == 4


PNG = "iVBORw0KGgo="
MCP_RESULTS: list[tuple[Any, str]] = [
    ([{"type": "text", "text": "It rains in Paris."}], "It rains in Paris."),
    ([{"type": "text", "text": "It rains"}, {"type": "text", "text": "in Paris."}], "It rains\nin Paris."),
    ([{"type": "image", "base64": PNG, "mime_type": "image/png"}], "[image, image/png]"),
    ([{"type": "image", "url": "https://x/a.png", "mime_type": "image/png"}], "[image, https://x/a.png]"),
    ([{"type": "file", "url": "https://x/a.pdf", "mime_type": "application/pdf"}], "https://x/a.pdf"),
    ([{"type": "file", "url": "https://x/a"}], "[file, https://x/a]"),
    ([{"type": "file", "base64": "JVBE", "mime_type": "application/pdf"}], "[file, application/pdf]"),
    ([{"type": "file", "base64": "SXQgcmFpbnM=", "mime_type": "text/plain"}], "It rains"),
    ([], '{"rain": true}'),
]
"""What tools of MCP return in LangChain, and what the model reads."""


@pytest.mark.filterwarnings("ignore::together_adapters.errors.HistoryWarning")
@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_no_result_of_a_tool_ends_an_agent(flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    for result, told in MCP_RESULTS:

        @tool(response_format="content_and_artifact")
        def weather(city: str, result: Annotated[Any, InjectedToolArg] = result) -> Any:
            """Get the weather in a city."""
            return result, {"structured_content": {"rain": True}}

        state = {"messages": [("user", "What is the weather in Paris?")]}
        done = await run(create_agent(llm, [weather]), state, flavour)
        assert isinstance(done["messages"][-1], AIMessage)
        [sent] = [message for message in emulator.requests[-1].json["messages"] if message["role"] == "tool"]
        assert told in sent["content"]


class Elsewhere(GenericFakeChatModel):
    """A model of another provider, which uses tools of its own, and then fails."""

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(message, AIMessage) for message in messages):
            raise ConnectionError("overloaded")
        return super()._generate(messages, *args, **kwargs)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_fallback_continues_the_conversation_of_another_model(
    flavour: str, llm: ChatTogether, emulator: Emulator
) -> None:
    answer = AIMessage(
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "Paris"}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"title": "Paris", "encrypted_content": "x"}]},
            {"type": "text", "text": "I look at the weather.", "citations": [{"url": "https://x"}]},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        ],
        tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": "toolu_1"}],
    )
    agent = create_agent(Elsewhere(messages=iter([answer])), [weather], middleware=[ModelFallbackMiddleware(llm)])
    done = await run(agent, {"messages": [("user", "What is the weather in Paris?")]}, flavour)
    assert "It rains in Paris." in done["messages"][-1].text
    _, assistant, result = emulator.requests[-1].json["messages"]
    assert assistant["content"] == "[server_tool_use web_search]\ninput:\n  query: Paris\n" + (
        "[web_search_tool_result]\ncontent:\n  - title: Paris\nI look at the weather."
    )
    assert [call["id"] for call in assistant["tool_calls"]] == ["toolu_1"]
    assert result == {"role": "tool", "content": "It rains in Paris.", "tool_call_id": "toolu_1", "name": "weather"}
    chain = Elsewhere(messages=iter([])).with_fallbacks([llm])
    assert await run(chain, [("user", "Hi"), answer, *done["messages"][2:3], ("user", "And now?")], flavour)
