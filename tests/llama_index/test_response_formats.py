"""Tools and a response format: the service refuses both in one request, and every way to an object still ends with one."""

from __future__ import annotations

import datetime
import inspect
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated, Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM
from packaging.version import Version
from pydantic import BaseModel, Field

from tests.conftest import KEY
from tests.llama_index.conformance.wire import Request, WireServer, call, text_reply
from together_adapters.emulator import Emulator


class Report(BaseModel):
    """A weather report."""

    city: str
    summary: str


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


FORMAT = {"type": "json_schema", "json_schema": {"name": "Report", "schema": Report.model_json_schema()}}
REQUEST = "What is the weather in Paris?"
TOOL = FunctionTool.from_defaults(weather)
OPTIONS: list[dict[str, Any]] = [
    {},
    {"response_format": FORMAT},
    {"additional_kwargs": {"response_format": FORMAT}},
    {"extra_body": {"response_format": FORMAT}},
    {"should_use_structured_outputs": False},
    {"should_use_structured_outputs": False, "response_format": FORMAT},
]


takes_reasoning = pytest.mark.skipif(
    "text_block" not in inspect.getsource(ReActAgent.finalize), reason="ReActAgent of this LlamaIndex fails on reasoning"
)


@pytest.fixture(autouse=True)
def strict(emulator: Emulator) -> Iterator[None]:
    with emulator.behave(strict=True):
        yield
    assert not [body for body in bodies(emulator) if body.get("tools") and body.get("response_format")]


def bodies(emulator: Emulator) -> list[dict[str, Any]]:
    return [request.json for request in emulator.requests]


@pytest.fixture
def new_llm(emulator: Emulator) -> Callable[..., TogetherLLM]:
    return lambda **options: TogetherLLM("openai/gpt-oss-120b", api_key=KEY, api_base=emulator.base_url, **options)


Chat = Callable[..., Any]


@pytest.fixture(params=["chat", "achat", "stream_chat", "astream_chat"])
def chat(request: pytest.FixtureRequest) -> Chat:
    """Return the last response of a method of an LLM, with or without `_with_tools`."""

    async def last(llm: Any, *args: Any, suffix: str = "", **kwargs: Any) -> Any:
        result = getattr(llm, request.param + suffix)(*args, **kwargs)
        if hasattr(result, "__await__"):
            result = await result
        if hasattr(result, "__aiter__"):
            return [item async for item in result][-1]
        return list(result)[-1] if request.param == "stream_chat" else result

    return last


def history_of(response: Any) -> list[ChatMessage]:
    """Return the history up to the results of a response's calls."""
    [block] = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    result = ChatMessage(role="tool", content=weather("Paris"), additional_kwargs={"tool_call_id": block.tool_call_id})
    return [ChatMessage(REQUEST), response.message, result]


@pytest.mark.parametrize(
    ("kind", "options", "streaming"),
    [
        *((FunctionAgent, options, bool(number % 2)) for number, options in enumerate(OPTIONS)),
        (FunctionAgent, OPTIONS[1], False),
        # Streamed, older versions of core fail on the reasoning of any model; the oldest fail in any case.
        pytest.param(ReActAgent, {}, False, marks=takes_reasoning),
        (ReActAgent, OPTIONS[-1], False),
    ],
)
async def test_agents_with_an_output_class(
    new_llm: Any, emulator: Emulator, kind: Any, options: dict[str, Any], streaming: bool
) -> None:
    if kind is ReActAgent and not options and Version(version("llama-index-core")) < Version("0.14.8"):
        pytest.skip("ReActAgent of llama-index-core before 0.14.8 cannot take the answer out of a message with reasoning")
    agent = kind(llm=new_llm(**options), tools=[weather], output_cls=Report, streaming=streaming)
    for runner in (agent, AgentWorkflow(agents=[kind(llm=agent.llm, tools=[weather])], output_cls=Report)):
        answer = await runner.run(REQUEST)
        assert answer.get_pydantic_model(Report).city == "Paris"
    if kind is FunctionAgent:
        assert [result.tool_name for result in answer.tool_calls] == ["weather"]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("options", OPTIONS[1:4])
async def test_an_agent_whose_model_has_a_format(new_llm: Any, emulator: Emulator, options: Any, streaming: bool) -> None:
    answer = await FunctionAgent(llm=new_llm(**options), tools=[weather], streaming=streaming).run(REQUEST)
    assert Report.model_validate_json(str(answer)) == Report(city="Paris", summary="weather says: It rains in Paris.")
    assert ["tools" in body for body in bodies(emulator)] == [True, True, False]


@pytest.mark.parametrize("options", [{}, *OPTIONS[4:], {"is_function_calling_model": True, "pydantic_program_mode": "llm"}])
@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agent_on_a_structured_llm(new_llm: Any, emulator: Emulator, options: Any, streaming: bool) -> None:
    structured = new_llm(**options).as_structured_llm(Report)
    assert isinstance(structured, StructuredLLM)
    agent = FunctionAgent(llm=structured, tools=[weather], output_cls=Report, streaming=streaming)
    answer = await agent.run(REQUEST)
    assert Report.model_validate_json(str(answer))
    assert answer.get_pydantic_model(Report)
    assert [result.tool_name for result in answer.tool_calls] == ["weather"]


async def test_handoffs(new_llm: Any, emulator: Emulator) -> None:
    llm = new_llm(response_format=FORMAT)
    first = FunctionAgent(name="first", description="Hands over.", llm=llm, can_handoff_to=["second"])
    second = FunctionAgent(name="second", description="Knows the weather.", llm=llm, tools=[weather])
    workflow = AgentWorkflow(agents=[first, second], root_agent="first", output_cls=Report)
    answer = await workflow.run("Hand off to the agent second: what is the weather in Paris?")
    assert Report.model_validate(answer.structured_response)
    assert Report.model_validate_json(str(answer))


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_function_that_makes_the_object(new_llm: Any, emulator: Emulator, asynchronous: bool) -> None:
    llm = new_llm()

    def make(messages: list[ChatMessage]) -> Any:
        return json.loads(llm.as_structured_llm(Report).chat(messages).message.content)

    async def amake(messages: list[ChatMessage]) -> Any:
        response = await llm.as_structured_llm(Report).achat(messages)
        return json.loads(response.message.content)

    agent = FunctionAgent(llm=llm, tools=[weather], structured_output_fn=amake if asynchronous else make)
    answer = await agent.run(REQUEST)
    assert answer.get_pydantic_model(Report) == Report(city="Paris", summary="weather says: It rains in Paris.")


async def test_chat_with_tools_and_a_format(new_llm: Any, emulator: Emulator, chat: Chat) -> None:
    llm = new_llm()
    first = await chat(llm, [TOOL], REQUEST, suffix="_with_tools", response_format=FORMAT)
    assert len(emulator.requests) == 1
    last = await chat(llm, [TOOL], chat_history=history_of(first), suffix="_with_tools", response_format=FORMAT)
    assert Report.model_validate_json(last.message.content).city == "Paris"
    with_tools, with_format = bodies(emulator)[1:]
    assert (with_tools.pop("tool_choice"), with_format.pop("response_format")) == ("auto", FORMAT)
    assert [tool["function"]["name"] for tool in with_tools.pop("tools")] == ["weather"]
    assert with_tools == with_format


async def test_usage_is_that_of_both_requests(new_llm: Any, emulator: Emulator, chat: Chat) -> None:
    llm = new_llm()
    messages = history_of(await chat(llm, [TOOL], REQUEST, suffix="_with_tools"))
    single = llm.chat(messages, response_format=FORMAT)
    with_tools = llm.chat_with_tools([TOOL], chat_history=messages)
    both = await chat(llm, [TOOL], chat_history=messages, suffix="_with_tools", response_format=FORMAT)
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        total = single.additional_kwargs[name] + with_tools.additional_kwargs[name]
        assert both.additional_kwargs[name] == both.raw["usage"][name] == total
    assert (both.message.content, both.additional_kwargs["finish_reason"]) == (single.message.content, "stop")


async def test_a_structured_llm_with_tools(new_llm: Any, emulator: Emulator, chat: Chat) -> None:
    structured = new_llm().as_structured_llm(Report)
    first = await chat(structured, [TOOL], REQUEST, suffix="_with_tools")
    assert [each.tool_name for each in structured.get_tool_calls_from_response(first)] == ["weather"]
    last = await chat(structured, [TOOL], chat_history=history_of(first), suffix="_with_tools")
    direct = await chat(structured, history_of(first), tools=[TOOL])
    alone = await chat(structured, history_of(first))
    assert Report.model_validate_json(last.message.content) == Report.model_validate_json(alone.message.content)
    assert direct.message.content == alone.message.content
    assert last.raw == Report(city="Paris", summary="weather says: It rains in Paris.")


@pytest.mark.parametrize("options", OPTIONS)
async def test_objects_need_no_tools(new_llm: Any, emulator: Emulator, options: dict[str, Any]) -> None:
    llm, prompt = new_llm(**options), PromptTemplate("The weather in {city}: it rains.")
    kwargs = {"tools": [TOOL], "tool_choice": "auto"}
    stream = await llm.astream_structured_predict(Report, prompt, llm_kwargs=kwargs, city="Paris")
    objects = [
        llm.structured_predict(Report, prompt, llm_kwargs=kwargs, city="Paris"),
        await llm.astructured_predict(Report, prompt, llm_kwargs=kwargs, city="Paris"),
        list(llm.stream_structured_predict(Report, prompt, llm_kwargs=kwargs, city="Paris"))[-1],
        [item async for item in stream][-1],
    ]
    assert objects == [objects[0]] * 4
    assert len(emulator.requests) == 4


async def test_tools_are_called_whatever_the_format(new_llm: Any, emulator: Emulator) -> None:
    llm = new_llm(response_format=FORMAT)
    assert llm.predict_and_call([TOOL], REQUEST).response == "It rains in Paris."
    assert (await llm.apredict_and_call([TOOL], REQUEST, response_format=FORMAT)).response == "It rains in Paris."
    assert llm.as_structured_llm(Report).predict_and_call([TOOL], REQUEST).response == "It rains in Paris."
    program = FunctionCallingProgram.from_defaults(Report, "The weather in {city}: it rains.", llm=llm)
    assert program(city="Paris").city == (await program.acall(city="Paris")).city == "Paris"
    assert len(emulator.requests) == 5


@pytest.mark.parametrize(
    ("kwargs", "names"),
    [
        ({"tool_choice": "none", "response_format": FORMAT}, ["response_format"]),
        ({"response_format": {"type": "text"}}, ["tools", "tool_choice"]),
        ({"response_format": None}, ["tools", "tool_choice"]),
    ],
)
def test_one_request_where_one_will_do(new_llm: Any, emulator: Emulator, kwargs: dict[str, Any], names: list[str]) -> None:
    new_llm().chat_with_tools([TOOL], "Hello there, Ann", **kwargs)
    [body] = bodies(emulator)
    assert [name for name in ("tools", "tool_choice", "response_format") if name in body] == names


def test_a_class_is_a_format(new_llm: Any, emulator: Emulator) -> None:
    format = {"response_format": Report}
    for options, kwargs in (({}, format), (format, {}), ({"additional_kwargs": format}, {})):
        response = new_llm(**options).chat([ChatMessage("The weather in Paris: it rains.")], **kwargs)
        assert Report.model_validate_json(response.message.content)
        assert bodies(emulator)[-1]["response_format"] == FORMAT


class Offer(BaseModel):
    euros: Annotated[float, Field(ge=0)]
    until: datetime.date


@pytest.mark.parametrize("euros", [3, -1])
async def test_an_answer_within_constraints_is_taken(new_llm: Any, emulator: Emulator, chat: Chat, euros: int) -> None:
    emulator.reply(json.dumps({"euros": euros, "until": "2026-10-07"}))
    emulator.reply(output={"euros": 3, "until": "2026-10-07"})
    response = await chat(new_llm(), [TOOL], "An offer?", suffix="_with_tools", response_format=Offer)
    assert Offer.model_validate_json(response.message.content).euros == 3
    assert len(emulator.requests) == (1 if euros > 0 else 2)


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        yield server


@pytest.mark.parametrize("format", [{"type": "json_object"}, {"type": "regex", "pattern": "a+"}])
async def test_what_stands_instead_of_a_call_is_no_answer(wire: WireServer, chat: Chat, format: dict[str, Any]) -> None:
    def reply(request: Request) -> Any:
        assert not ("tools" in request.json and "response_format" in request.json)
        return text_reply(request, "a long draft" if "tools" in request.json else "aaa", reasoning="Hm.")

    wire.chat(reply)
    llm = TogetherLLM(api_key="k", api_base=wire.url, max_retries=0)
    response = await chat(llm, [TOOL], REQUEST, suffix="_with_tools", response_format=format)
    await llm.asynchronous_client.aclose()
    assert (response.message.content, len(wire.bodies)) == ("aaa", 2)
    assert response.message.blocks[0].content == "Hm."


async def test_a_stream_of_calls_is_passed_on_from_its_first_chunk(wire: WireServer) -> None:
    wire.chat(lambda request: text_reply(request, "I look.", calls=[call("weather", '{"city": "Paris"}')]))
    llm = TogetherLLM(api_key="k", api_base=wire.url, max_retries=0)
    for model in (llm, llm.as_structured_llm(Report)):
        items = list(model.stream_chat_with_tools([TOOL], REQUEST, response_format=FORMAT))
        assert "".join(item.delta for item in items) == items[-1].message.content == "I look."
        assert llm.get_tool_calls_from_response(items[-1])[0].tool_kwargs == {"city": "Paris"}
    assert len(wire.bodies) == 2


async def test_a_scripted_object_is_the_call_of_its_tool(new_llm: Any, emulator: Emulator, chat: Chat) -> None:
    emulator.reply(output={"euros": 3, "until": "2026-10-07"})
    tools = [TOOL, FunctionTool.from_defaults(lambda euros, until: "", name="offer", fn_schema=Offer)]
    response = await chat(new_llm(), tools, "An offer?", suffix="_with_tools", tool_required=True)
    assert [block.tool_name for block in response.message.blocks if isinstance(block, ToolCallBlock)] == ["offer"]
