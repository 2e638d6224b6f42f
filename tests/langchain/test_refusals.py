"""Refusals on every path: whole and streamed messages, structured output, parsers, agents and fallbacks.

What is expected is what langchain-openai 1.7 gives for the same response, and where it loses a refusal (streams of chat completions, and
`output_version="v1"`) what it gives for a whole message.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputToolsParser, PydanticToolsParser
from langchain_core.runnables import RunnableLambda
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.errors import RefusedError
from langchain_together_adapters.refusals import HAS_BLOCKS
from pydantic import BaseModel

from together_adapters import APIError
from together_adapters.emulator import Emulator

from .conftest import MODEL, REASONER
from .test_agents import FLAVOURS, run

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")

REFUSAL = "I cannot help with that."
BLOCK = {"type": "refusal", "refusal": REFUSAL}
needs_blocks = pytest.mark.skipif(not HAS_BLOCKS, reason="this langchain-core knows no refusal blocks")


class Answer(BaseModel):
    """An answer."""

    text: str


SCHEMAS = [pytest.param(Answer, id="class"), pytest.param(Answer.model_json_schema(), id="schema")]
METHODS = ["json_schema", "function_calling", "json_mode"]
WAYS = ["invoke", "stream"]


@pytest.fixture(autouse=True)
def refuse(emulator: Emulator) -> None:
    emulator.reply(lambda _: {"refusal": REFUSAL})


async def collect(runnable: Any, flavour: str, way: str = "invoke", value: Any = "Hi") -> list[Any]:
    """What a runnable returns, or streams."""
    if way == "invoke":
        return [runnable.invoke(value) if flavour == "sync" else await runnable.ainvoke(value)]
    return list(runnable.stream(value)) if flavour == "sync" else [item async for item in runnable.astream(value)]


async def message(llm: ChatTogether, flavour: str, way: str) -> AIMessage:
    first, *others = await collect(llm, flavour, way)
    merged: AIMessage = first + others if others else first
    return merged


def content_blocks(message: AIMessage) -> list[Any]:
    return [{name: value for name, value in block.items() if name != "index"} for block in message.content_blocks]


@needs_blocks
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [None, "v1"])
async def test_messages_have_a_block(version: str | None, way: str, flavour: str, connect: dict[str, Any]) -> None:
    response = await message(ChatTogether(model=MODEL, output_version=version, **connect), flavour, way)
    assert response.additional_kwargs == {"refusal": REFUSAL}
    assert content_blocks(response) == [BLOCK]
    assert response.text == ""


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [None, "v1"])
async def test_a_refusal_comes_beside_text_and_reasoning(
    version: str | None, way: str, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    emulator.reset()
    emulator.reply({"content": "Sorry. ", "reasoning": "Hm.", "refusal": REFUSAL})
    response = await message(ChatTogether(model=REASONER, output_version=version, **connect), flavour, way)
    assert response.additional_kwargs["refusal"] == REFUSAL
    expected = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Sorry. "}, *([BLOCK] if HAS_BLOCKS else [])]
    assert content_blocks(response) == expected


CALL = {"id": "call_1", "type": "function", "function": {"name": "Answer", "arguments": "{}"}}
COMPANY = [{}, {"content": "Sorry. "}, {"reasoning": "Hm."}, {"tool_calls": [CALL]}, {"reasoning": "Hm.", "content": "Sorry. "}]


@needs_blocks
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("company", COMPANY, ids=lambda company: "-".join(company) or "alone")
async def test_events_of_the_protocol(company: dict[str, Any], flavour: str, connect: dict[str, Any], emulator: Emulator) -> None:
    """langchain-core leaves blocks out of the message whose type it does not expect, and does not expect refusals."""
    llm = ChatTogether(model=REASONER, **connect)
    emulator.reset()
    emulator.reply({**company, "refusal": REFUSAL}, times=2)
    whole = content_blocks(llm.invoke("Hi"))
    stream: Any = llm.stream_events("Hi", version="v3") if flavour == "sync" else await llm.astream_events("Hi", version="v3")
    events = list(stream) if flavour == "sync" else [event async for event in stream]
    response = stream.output if flavour == "sync" else await stream.output
    assert_valid_event_stream(events)
    assert response.additional_kwargs == {"refusal": REFUSAL}
    blocks = content_blocks(response)
    assert [_kind_and_text(block) for block in blocks] == [_kind_and_text(block) for block in whole]
    assert blocks[-1] == BLOCK


def _kind_and_text(block: dict[str, Any]) -> tuple[Any, ...]:
    return block["type"], block.get("text"), block.get("reasoning"), block.get("refusal"), block.get("name")


@needs_blocks
@pytest.mark.parametrize("company", COMPANY, ids=lambda company: "-".join(company) or "alone")
def test_middleware_sees_refusals_in_events_of_agents(
    company: dict[str, Any], connect: dict[str, Any], emulator: Emulator
) -> None:
    emulator.reset()
    emulator.reply({**company, "refusal": REFUSAL})
    agent = create_agent(ChatTogether(model=REASONER, **connect), middleware=[middleware()])
    with pytest.raises(core.ModelRefusalError, match=REFUSAL):
        _ = agent.stream_events({"messages": [("user", "Hi")]}, version="v3").output


@needs_blocks
async def test_a_message_without_refusal_is_left_to_core(llm: ChatTogether, emulator: Emulator) -> None:
    emulator.reset()
    emulator.reply({"content": "Hi", "refusal": ""})
    assert llm.invoke("Hi").content_blocks == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
async def test_structured_output_raises(method: Any, schema: Any, way: str, flavour: str, llm: ChatTogether) -> None:
    with pytest.raises(RefusedError) as raised:
        await collect(llm.with_structured_output(schema, method=method), flavour, way)
    error = raised.value
    assert isinstance(error, getattr(core, "ModelRefusalError", core.ModelError))
    assert isinstance(error, APIError)
    assert str(error) == REFUSAL
    assert isinstance(error.raw_message, AIMessage if way == "invoke" else AIMessageChunk)
    assert error.raw_message.additional_kwargs["refusal"] == REFUSAL


@pytest.mark.parametrize("way", WAYS)
async def test_patterns_raise(way: str, llm: ChatTogether) -> None:
    with pytest.raises(RefusedError, match=REFUSAL):
        await collect(llm.with_structured_output(r"\d+", method="regex"), "sync", way)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
async def test_include_raw_returns_the_error(method: Any, schema: Any, flavour: str, llm: ChatTogether) -> None:
    [result] = await collect(llm.with_structured_output(schema, method=method, include_raw=True), flavour)
    assert (result["raw"].additional_kwargs, result["parsed"]) == ({"refusal": REFUSAL}, None)
    assert isinstance(result["parsing_error"], RefusedError)
    assert result["parsing_error"].raw_message is result["raw"]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS)
def test_a_content_filter_is_a_refusal(method: Any, schema: Any, llm: ChatTogether) -> None:
    """As in langchain-openai: what a filter has cut off is no value, even where it can be parsed."""
    parser = llm.with_structured_output(schema, method=method).steps[-1]  # type: ignore[attr-defined]
    cut = AIMessage('{"text": "a"}', response_metadata={"finish_reason": "content_filter"})
    with pytest.raises(RefusedError, match="content filter"):
        parser.invoke(cut)


@needs_blocks
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "parser",
    [
        JsonOutputParser(),
        PydanticOutputParser(pydantic_object=Answer),
        PydanticToolsParser(tools=[Answer]),
        JsonOutputToolsParser(),
    ],
    ids=lambda parser: type(parser).__name__,
)
async def test_parsers_of_core_raise_with_the_whole_text(parser: Any, way: str, flavour: str, llm: ChatTogether) -> None:
    with pytest.raises(core.ModelRefusalError, match=REFUSAL):
        await collect(llm | parser, flavour, way)


def middleware() -> Any:
    middlewares = pytest.importorskip("langchain.agents.middleware")
    if not hasattr(middlewares, "ModelRefusalMiddleware"):
        pytest.skip("this langchain has no ModelRefusalMiddleware")
    return middlewares.ModelRefusalMiddleware()


@needs_blocks
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("response_format", [None, Answer])
async def test_middleware_of_agents_raises(response_format: Any, flavour: str, llm: ChatTogether) -> None:
    agent = create_agent(llm, middleware=[middleware()], response_format=response_format)
    with pytest.raises(core.ModelRefusalError, match=REFUSAL):
        await run(agent, {"messages": [("user", "Hi")]}, flavour)


@needs_blocks
@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_another_model_answers_where_one_refuses(
    flavour: str, llm: ChatTogether, connect: dict[str, Any], emulator: Emulator
) -> None:
    emulator.reset()
    emulator.reply({"refusal": REFUSAL}, when=MODEL)
    emulator.reply("Gladly.", when=REASONER)
    fallback = ModelFallbackMiddleware(ChatTogether(model=REASONER, **connect))
    agent = create_agent(llm, middleware=[fallback, middleware()])
    done = await run(agent, {"messages": [("user", "Hi")]}, flavour)
    assert done["messages"][-1].text == "Gladly."


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_fallbacks_of_runnables(flavour: str, llm: ChatTogether) -> None:
    other = RunnableLambda(lambda _: "another model")
    chain = llm.with_structured_output(Answer).with_fallbacks([other], exceptions_to_handle=(RefusedError,))
    assert await collect(chain, flavour) == ["another model"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [None, "v1"])
async def test_a_refusal_is_part_of_the_history(
    version: str | None, way: str, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    llm = ChatTogether(model=MODEL, output_version=version, **connect)
    refusal = await message(llm, flavour, way)
    await collect(llm, flavour, value=[HumanMessage("Hi"), refusal, HumanMessage("Why?")])
    assert emulator.requests[-1].json["messages"][1] == {"role": "assistant", "content": REFUSAL}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_answers_a_request_with_tools_and_a_format(
    way: str, flavour: str, llm: ChatTogether, emulator: Emulator
) -> None:
    """The model is not asked again, with the format alone, what it has refused."""

    def look_up(word: str) -> str:
        """Look up a word."""
        return word

    first, *others = await collect(llm.bind_tools([look_up], response_format=Answer), flavour, way)
    response = first + others if others else first
    assert response.additional_kwargs == {"refusal": REFUSAL}
    assert len(emulator.requests) == 1


def test_errors_can_be_pickled(llm: ChatTogether) -> None:
    with pytest.raises(RefusedError) as raised:
        llm.with_structured_output(Answer).invoke("Hi")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert (type(copy), copy.raw_message) == (type(raised.value), raised.value.raw_message)
