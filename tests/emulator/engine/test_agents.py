"""Agents with an output tool end: the emulator calls tools that it has not called yet, the output tool last."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import BaseModel

from tests.emulator.conftest import ADD, INTEGER, MODEL, STRING, WEATHER, Chat, tool
from together_adapters.emulator import Emulator

REPORT = tool("WeatherReport", "The weather report.", city=STRING, temperature=INTEGER)
QUESTION = "What is the temperature in Oslo? I need a weather report."


class WeatherReport(BaseModel):
    """The weather report."""

    city: str
    temperature: int


def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return f"{location}: rain, 7 degrees"


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def called_tools(chat: Chat, question: str, steps: int, **body: Any) -> list[str]:
    """The tools that are called when each call has the same result."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    names = []
    for step in range(steps):
        for name, arguments in chat.calls(messages, **body):
            names.append(name)
            function = {"name": name, "arguments": json.dumps(arguments)}
            messages += [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": f"c{step}", "type": "function", "function": function}],
                },
                {"role": "tool", "tool_call_id": f"c{step}", "content": "rain, 7 degrees"},
            ]
    return names


@pytest.mark.parametrize("question", [QUESTION, "Weather in Oslo?", "Hello!"])
@pytest.mark.parametrize("output", ["WeatherReport", "final_result"])
def test_required_tools_end_with_the_output_tool(chat: Chat, question: str, output: str) -> None:
    tools = [WEATHER, ADD, {"type": "function", "function": {**REPORT["function"], "name": output}}]
    names = called_tools(chat, question, 2, tools=tools, tool_choice="required")
    assert names[:-1] == ["get_weather"] * (question != "Hello!") or names[0] == output
    assert output in names


def test_required_tools_that_were_not_called_come_first(chat: Chat) -> None:
    names = called_tools(chat, "weather in Oslo", 3, tools=[WEATHER, ADD], tool_choice="required")
    assert names == ["get_weather", "add", "add"]


def test_a_named_tool_is_called_each_time(chat: Chat) -> None:
    choice = {"type": "function", "function": {"name": "add"}}
    assert called_tools(chat, "weather in Oslo", 3, tools=[WEATHER, ADD], tool_choice=choice) == ["add"] * 3


def test_output_has_values_from_tool_results(chat: Chat) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Oslo"}'}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain, 7 degrees"},
    ]
    expected = {"city": "Oslo", "temperature": 7}
    assert chat.calls(messages, tools=[WEATHER, REPORT], tool_choice="required") == [("WeatherReport", expected)]
    schema = REPORT["function"]["parameters"]
    assert json.loads(chat.text(messages, response_format={"type": "json_schema", "json_schema": {"schema": schema}})) == expected


def test_langchain_agent_with_an_output_tool(emulator: Emulator) -> None:
    agents = pytest.importorskip("langchain.agents")
    from langchain.agents.structured_output import ToolStrategy
    from langchain_together_adapters import ChatTogether

    model = ChatTogether(model=MODEL, base_url=emulator.base_url, api_key="k")  # type: ignore[call-arg]
    agent = agents.create_agent(model, tools=[get_weather, add], response_format=ToolStrategy(WeatherReport))
    state = agent.invoke({"messages": [("user", QUESTION)]}, {"recursion_limit": 8})
    assert state["structured_response"] == WeatherReport(city="Oslo", temperature=7)
    assert emulator.requests[-1].path == "/v1/chat/completions"


def test_pydantic_ai_agent_with_an_output_tool(emulator: Emulator) -> None:
    pydantic_ai = pytest.importorskip("pydantic_ai")
    openai_models = pytest.importorskip("pydantic_ai.models.openai")
    from pydantic_ai.providers.openai import OpenAIProvider

    async def run() -> Any:
        provider = OpenAIProvider(base_url=emulator.base_url, api_key="k")
        async with provider.client:
            model = openai_models.OpenAIChatModel(MODEL, provider=provider)
            agent = pydantic_ai.Agent(model, output_type=WeatherReport, tools=[get_weather, add])
            return (await agent.run(QUESTION)).output

    assert asyncio.run(run()) == WeatherReport(city="Oslo", temperature=7)


def test_langchain_selects_tools(emulator: Emulator) -> None:
    agents = pytest.importorskip("langchain.agents")
    from langchain.agents.middleware import LLMToolSelectorMiddleware
    from langchain_together_adapters import ChatTogether

    model = ChatTogether(model=MODEL, base_url=emulator.base_url, api_key="k")  # type: ignore[call-arg]
    agent = agents.create_agent(model, tools=[add, get_weather], middleware=[LLMToolSelectorMiddleware(max_tools=1)])
    state = agent.invoke({"messages": [("user", "What's the weather in Oslo?")]})
    assert [tool["function"]["name"] for tool in (emulator.requests[1].json or {})["tools"]] == ["get_weather"]
    assert "7 degrees" in state["messages"][-1].content


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")  # of the framework itself
def test_llama_index_agent_with_an_output_class(emulator: Emulator) -> None:
    workflow = pytest.importorskip("llama_index.core.agent.workflow")
    from llama_index_together_adapters import TogetherLLM

    async def run() -> Any:
        model = TogetherLLM(model=MODEL, base_url=emulator.base_url, api_key="k")
        return await workflow.FunctionAgent(tools=[get_weather, add], llm=model, output_cls=WeatherReport).run(QUESTION)

    assert asyncio.run(run()).structured_response == {"city": "Oslo", "temperature": 7}
