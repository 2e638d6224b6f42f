"""A response format beside tools, against a server that refuses both in one request: agents, bound models, structured output."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import (
    AutoStrategy,
    ProviderStrategy,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_together_adapters import ChatTogether, init_together_model
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field, field_validator

from together_adapters import BadRequestError, Together
from together_adapters.emulator import Emulator
from together_adapters.types.response import Usage

from .conftest import KEY, MODEL, REASONER
from .test_agents import FLAVOURS, QUESTION_STATE, run, stream, time, weather

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


class Report(BaseModel):
    """The weather."""

    city: str
    rain: bool


JSON = '{"city": "Paris", "rain": true}'
WEATHER_QUESTION = "What is the weather in Paris?"
STRATEGIES = [Report, Report.model_json_schema(), AutoStrategy(Report), ProviderStrategy(Report), ToolStrategy(Report)]


@pytest.fixture(autouse=True)
def strict(emulator: Emulator) -> Iterator[None]:
    """The emulator refuses tools with a response format, as the service does; and no request had both, whatever the server says."""
    with emulator.behave(strict=True):
        yield
    assert not any(is_mixed(request.json) for request in emulator.requests)


def is_mixed(body: dict[str, Any]) -> bool:
    return bool(body.get("tools")) and bool(body.get("response_format"))


def keys(emulator: Emulator) -> list[str]:
    """What each request had of both."""
    return [" ".join(sorted(request.json.keys() & {"tools", "response_format"})) for request in emulator.requests]


def usage_of(emulator: Emulator, bodies: list[dict[str, Any]]) -> tuple[int, int]:
    """The tokens that requests cost, which are sent again."""
    client = Together(api_key=KEY, base_url=emulator.base_url)
    plain = [{name: value for name, value in body.items() if not name.startswith("stream")} for body in bodies]
    usages = [client.chat.completions.create(**body).usage or Usage() for body in plain]
    return sum(usage.prompt_tokens or 0 for usage in usages), sum(usage.completion_tokens or 0 for usage in usages)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("model", [MODEL, REASONER, "Prism-ML/Ternary-Bonsai-27B"])
@pytest.mark.parametrize("expected", STRATEGIES, ids=lambda expected: type(expected).__name__)
async def test_an_agent_ends_with_an_object(
    expected: Any, model: str, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    agent = create_agent(ChatTogether(model=model, **connect), [weather, time], response_format=expected)
    done = await run(agent, QUESTION_STATE, flavour)
    assert dict(done["structured_response"]) == {"city": "Paris", "rain": True}
    calls = [call["name"] for message in done["messages"] if isinstance(message, AIMessage) for call in message.tool_calls]
    assert calls[:2] == ["weather", "time"]
    by_tool = isinstance(expected, ToolStrategy) or (
        model == "Prism-ML/Ternary-Bonsai-27B" and not isinstance(expected, ProviderStrategy)
    )
    assert keys(emulator) == ["tools", "tools", *([] if by_tool else ["response_format"])]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_the_last_message_is_that_of_the_last_request(flavour: str, connect: Any, emulator: Emulator) -> None:
    llm = ChatTogether(model=REASONER, **connect)
    handler = UsageMetadataCallbackHandler()
    agent = create_agent(llm, [weather, time], response_format=ProviderStrategy(Report)).with_config(callbacks=[handler])
    done = await run(agent, QUESTION_STATE, flavour)
    bodies = [request.json for request in emulator.requests]
    last = done["messages"][-1]
    assert (last.content, last.tool_calls) == (JSON, [])
    assert (last.usage_metadata["input_tokens"], last.usage_metadata["output_tokens"]) == usage_of(emulator, bodies[1:])
    total = handler.usage_metadata[last.response_metadata["model_name"]]
    assert (total["input_tokens"], total["output_tokens"]) == usage_of(emulator, bodies)
    assert bodies[1]["messages"] == bodies[2]["messages"]
    assert not bodies[2].keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("deltas", "usage"), [("pieces", "finish"), ("interleaved", "separate"), ("one-chunk", "none")])
async def test_a_stream_equals_the_whole(deltas: str, usage: str, flavour: str, connect: Any, emulator: Emulator) -> None:
    agent = create_agent(ChatTogether(model=REASONER, **connect), [weather, time], response_format=ProviderStrategy(Report))
    whole = (await run(agent, QUESTION_STATE, flavour))["messages"]
    emulator.clear()
    with emulator.behave(tool_deltas=deltas, usage=usage):
        news = await stream(agent, QUESTION_STATE, flavour, "messages")
    messages: dict[Any, Any] = {}
    for message, _ in news:
        if isinstance(message, AIMessageChunk):
            messages[message.id] = messages[message.id] + message if message.id in messages else message
    assert len(messages) == 2
    for streamed, message in zip(messages.values(), (whole[1], whole[-1]), strict=True):
        assert streamed.content == message.content
        assert streamed.additional_kwargs == message.additional_kwargs
        assert [call["args"] for call in streamed.tool_calls] == [call["args"] for call in message.tool_calls]
        assert streamed.usage_metadata == (None if usage == "none" else message.usage_metadata)
    assert all(request.json["stream"] for request in emulator.requests)


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_events_of_blocks(flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    bound: Any = llm.bind_tools([weather], response_format=Report)
    for question, has_calls in ((WEATHER_QUESTION, True), ("Paris: it rains there", False)):
        if flavour == "sync":
            message = bound.stream_events(question, version="v3").output
        else:
            events = await bound.astream_events(question, version="v3")
            message = await events.output
        assert bool(message.tool_calls) == has_calls
        assert message.text == ("" if has_calls else JSON)
    assert keys(emulator) == ["tools", "tools", "response_format"]


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_conversation_goes_on_after_an_object(flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    agent = create_agent(llm, [weather, time], response_format=ProviderStrategy(Report), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    agent = agent.with_config(config)
    await run(agent, QUESTION_STATE, flavour)
    emulator.clear()
    done = await run(agent, {"messages": [("user", "And what is the weather in Oslo?")]}, flavour)
    assert done["structured_response"].city == "Oslo"
    assert keys(emulator) == ["tools", "tools", "response_format"]
    sent = emulator.requests[0].json["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "assistant", "user"]
    assert sent[-2] == {"role": "assistant", "content": JSON}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ["tools", "response_format"]), ("auto", ["tools", "response_format"]), ("none", ["response_format"]),
        ("any", ["tools"]), ("weather", ["tools"]),
    ],
)  # fmt: skip
def test_tool_choices(choice: Any, expected: list[str], llm: ChatTogether, emulator: Emulator) -> None:
    message = llm.bind_tools([weather], tool_choice=choice, response_format=Report).invoke("Paris: it rains there")
    assert keys(emulator) == expected
    assert bool(message.tool_calls) == (expected == ["tools"])
    assert message.tool_calls or message.content == JSON


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_wherever_tools_and_format_come_from(flavour: str, connect: dict[str, Any], emulator: Emulator) -> None:
    llm = ChatTogether(model=MODEL, **connect)
    wire: Any = llm.bind_tools([weather])
    tools, native = wire.kwargs["tools"], {"type": "json_object"}
    models: list[Any] = [
        llm.bind_tools([weather]).bind(response_format=Report),
        llm.bind(response_format=Report).bind(tools=[weather]),
        llm.bind_tools([weather]).bind(extra_body={"response_format": native}),
        llm.bind(response_format=native, extra_body={"tools": tools}),
        ChatTogether(model=MODEL, response_format=native, **connect).bind_tools([weather]),
        ChatTogether(model=MODEL, model_kwargs={"response_format": native}, **connect).bind_tools([weather]),
        ChatTogether(model=MODEL, extra_body={"response_format": native}, **connect).bind_tools([weather]),
        ChatTogether(model=MODEL, streaming=True, **connect).bind_tools([weather], response_format=Report),
        init_together_model(f"together:{MODEL}", **connect).bind_tools([weather], response_format=Report),
    ]
    for model in models:
        emulator.clear()
        question = "Answer in JSON with the key 'city'. Paris: it is dry there"
        message = model.invoke(question) if flavour == "sync" else await model.ainvoke(question)
        assert message.content.startswith("{")
        assert keys(emulator) == ["tools", "response_format"]
    emulator.clear()
    text: Any = llm.bind_tools([weather], response_format={"type": "text"})
    assert text.invoke("Hello").content
    assert keys(emulator) == ["tools"]


@pytest.mark.parametrize("method", [None, "json_schema", "json_mode"])
def test_structured_output_with_tools(method: Any, llm: ChatTogether, emulator: Emulator) -> None:
    runnable = llm.with_structured_output(Report, method=method, include_raw=True, tools=[weather])
    result = runnable.invoke(WEATHER_QUESTION)
    assert (result["parsed"], result["parsing_error"]) == (None, None)
    assert result["raw"].tool_calls[0]["args"] == {"city": "Paris"}
    question = "Paris: it is wet there. Answer in JSON with the keys 'city' and 'rain'."
    if method != "json_mode":
        assert isinstance(llm.with_structured_output(Report, method=method, tools=[weather]).invoke(question), Report)
    assert llm.with_structured_output(Report.model_json_schema(), method=method, tools=[weather]).invoke(WEATHER_QUESTION) is None
    with pytest.raises(ValueError, match="does not go with tools"):
        llm.with_structured_output(Report, method="function_calling", tools=[weather])


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_an_object_that_is_cut_off_is_an_error(flavour: str, connect: dict[str, Any], emulator: Emulator) -> None:
    """Where `max_tokens` ends the calls and the object early: LangChain's own error, after the same requests."""
    llm = ChatTogether(model=MODEL, max_tokens=3, **connect)
    state = {"messages": [("user", "Paris: it is dry there")]}
    with pytest.raises(StructuredOutputValidationError):
        await run(create_agent(llm, [weather], response_format=ProviderStrategy(Report)), state, flavour)
    assert keys(emulator) == ["tools", "response_format"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_object_that_is_refused(strategy: Any, flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    """LangChain has the tool strategy try again; an object by a format is constrained, and its error is raised."""
    refusals = iter(["too wet"])

    class Picky(Report):
        @field_validator("rain")
        @classmethod
        def refuse(cls, value: bool) -> bool:
            if refusal := next(refusals, None):
                raise ValueError(refusal)
            return value

    agent = create_agent(llm, [weather], response_format=strategy(Picky))
    state = {"messages": [("user", WEATHER_QUESTION)]}
    if strategy is ProviderStrategy:
        with pytest.raises(StructuredOutputValidationError, match="too wet"):
            await run(agent, state, flavour)
        return
    done = await run(agent, state, flavour)
    assert done["structured_response"] == Picky(city="Paris", rain=True)
    assert any("too wet" in str(message["content"]) for message in emulator.requests[-1].json["messages"])


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_answer_that_follows_the_format_already(
    streaming: bool, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    for text, requests in ((JSON, 2), ('{"city": "Paris"}', 3)):
        emulator.clear()
        emulator.reply(text, when=lambda body: body["messages"][-1]["role"] == "tool")
        llm = ChatTogether(model=MODEL, streaming=streaming, **connect)
        agent = create_agent(llm, [weather], response_format=ProviderStrategy(Report))
        done = await run(agent, {"messages": [("user", WEATHER_QUESTION)]}, flavour)
        assert done["structured_response"] == Report(city="Paris", rain=True)
        assert len(emulator.requests) == requests


class Offer(BaseModel):
    """An offer, in the kinds of constraints that a schema has."""

    euros: Annotated[float, Field(ge=0)]
    code: Annotated[str, Field(pattern="^[A-Z]+$", max_length=3)]
    until: datetime.date
    range: tuple[int, int]
    tags: Annotated[list[str], Field(min_length=1)]


OFFER = {"euros": 3, "code": "ABC", "until": "2026-10-07", "range": [1, 2], "tags": ["new"]}
BREACHES: list[dict[str, Any]] = [
    {}, {"euros": -1}, {"code": "abc"}, {"code": "ABCD"}, {"until": "soon"}, {"range": [1, 2, 3]}, {"tags": []},
]  # fmt: skip


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("by", ["class", "strategy", "bind_tools"])
async def test_an_answer_within_constraints_is_taken(by: str, flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    for breach in BREACHES:
        emulator.clear()
        emulator.reply(json.dumps({**OFFER, **breach}))
        emulator.reply(output=OFFER)
        if by == "bind_tools":
            bound: Any = llm.bind_tools([weather], response_format=Offer)
            message = await bound.ainvoke("An offer?") if flavour == "async" else bound.invoke("An offer?")
            answer: Any = Offer.model_validate_json(message.content)
        else:
            format: Any = Offer if by == "class" else ProviderStrategy(Offer)
            agent = create_agent(llm, [weather], response_format=format)
            answer = (await run(agent, {"messages": [("user", "An offer?")]}, flavour))["structured_response"]
        assert answer == Offer.model_validate(OFFER)
        assert keys(emulator) == (["tools", "response_format"] if breach else ["tools"])


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_scripted_object_is_the_call_of_its_tool(flavour: str, llm: ChatTogether, emulator: Emulator) -> None:
    state = {"messages": [("user", "An offer?")]}
    agent = create_agent(llm, [weather], response_format=ToolStrategy(Offer | Report))
    emulator.reply(output=OFFER)
    assert (await run(agent, state, flavour))["structured_response"] == Offer.model_validate(OFFER)
    emulator.reply(output={**OFFER, "euros": -1})
    with pytest.raises(
        BadRequestError, match="one of the tools weather, Offer, Report, and the output .* fits the parameters of none"
    ):
        await run(agent, state, flavour)
