"""Reasoning goes back in the field in which it came, unchanged, also through dumps, stores, checkpoints and agents; its switches; usage."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, messages_from_dict, messages_to_dict
from langchain_core.messages.utils import message_chunk_to_message
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.messages import wire_messages
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from together_adapters.emulator import Emulator

from .test_agents import FLAVOURS, QUESTION_STATE, run, time, weather

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")

MODEL = "openai/gpt-oss-120b"
FIELDS = ["reasoning", "reasoning_content"]
QUESTION = ("user", "Why is 2+2 4?")


def reasoning_of(message: AIMessage) -> str:
    return "".join(block.get("reasoning", "") for block in message.content_blocks if block["type"] == "reasoning")


async def answer(llm: ChatTogether, flavour: str, mode: str) -> AIMessage:
    if mode == "whole":
        return await run(llm, [QUESTION], flavour)
    if mode == "stream":
        chunks: list[AIMessageChunk]
        chunks = list(llm.stream([QUESTION])) if flavour == "sync" else [chunk async for chunk in llm.astream([QUESTION])]
        merged = message_chunk_to_message(chunks[0] + chunks[1:])
        assert isinstance(merged, AIMessage)
        return merged
    if flavour == "sync":
        return llm.stream_events([QUESTION], version="v3").output
    return await (await llm.astream_events([QUESTION], version="v3")).output


def copies(message: AIMessage) -> list[Any]:
    """The message as stores, checkpoints and other processes return it."""
    serializer = JsonPlusSerializer()
    return [
        message,
        message.model_copy(),
        load(json.loads(json.dumps(dumpd(message))), allowed_objects="messages"),
        messages_from_dict(json.loads(json.dumps(messages_to_dict([message]))))[0],
        pickle.loads(pickle.dumps(message)),
        serializer.loads_typed(serializer.dumps_typed(message)),
    ]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("mode", ["whole", "stream", "events"])
@pytest.mark.parametrize("output_version", ["v0", "v1"])
@pytest.mark.parametrize("field", FIELDS)
async def test_the_field_is_kept(
    field: str, output_version: str, mode: str, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    llm = ChatTogether(model=MODEL, replay_reasoning=True, output_version=output_version, **connect)
    with emulator.behave(reasoning=field):
        message = await answer(llm, flavour, mode)
    assert reasoning_of(message)
    for copy in copies(message):
        llm.invoke([QUESTION, copy, ("user", "And?")])
        wire = emulator.requests[-1].json["messages"][1]
        assert wire == {"role": "assistant", "content": message.text, field: reasoning_of(message)}
    llm.invoke([QUESTION, message, ("user", "And?")], replay_reasoning=False)
    assert emulator.requests[-1].json["messages"][1] == {"role": "assistant", "content": message.text}


FOREIGN: list[tuple[AIMessage, str | None]] = [
    (AIMessage("4", additional_kwargs={"reasoning_content": "Hm."}), None),
    (AIMessage([{"type": "thinking", "thinking": "Hm.", "signature": "s"}, {"type": "text", "text": "4"}]), None),
    (AIMessage("4", additional_kwargs={"reasoning": {"summary": [{"type": "summary_text", "text": "Hm."}]}}), None),
    (AIMessage("4", additional_kwargs={"reasoning_content": "Hm."}, response_metadata={"reasoning_field": "other"}), None),
    (AIMessage("4", additional_kwargs={"reasoning": "Hm."}), "reasoning"),
    (
        AIMessage(
            "4", additional_kwargs={"reasoning_content": "Hm."}, response_metadata={"reasoning_field": "reasoning_content"}
        ),
        "reasoning_content",
    ),
]
"""Messages of other providers and of users, and the field in which their reasoning came, if that is known."""


@pytest.mark.parametrize("style", ["reasoning", "reasoning_content", "tags", None])
def test_reasoning_without_a_field_goes_where_the_model_has_its_own(style: Any) -> None:
    for message, field in FOREIGN:
        [wire] = wire_messages([message], replay_reasoning=True, reasoning_style=style)
        assert wire == {"role": "assistant", "content": "4", field or (style if style in FIELDS else "reasoning"): "Hm."}
        assert wire_messages([message], reasoning_style=style) == [{"role": "assistant", "content": "4"}]


def test_the_model_of_the_call_decides(connect: dict[str, Any], emulator: Emulator) -> None:
    llm = ChatTogether(model=MODEL, replay_reasoning=True, **connect)
    for name, field in ((MODEL, "reasoning"), ("moonshotai/Kimi-K3", "reasoning_content")):
        llm.invoke([QUESTION, FOREIGN[0][0], QUESTION], model=name)
        assert emulator.requests[-1].json["messages"][1][field] == "Hm."


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("field", FIELDS)
async def test_agents_send_the_reasoning_of_every_turn(
    field: str, streaming: bool, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    llm = ChatTogether(model=MODEL, replay_reasoning=True, streaming=streaming, **connect)
    agent = create_agent(llm, [weather, time], checkpointer=InMemorySaver()).with_config({"configurable": {"thread_id": "1"}})
    with emulator.behave(reasoning=field):
        await run(agent, QUESTION_STATE, flavour)
        done = await run(agent, {"messages": [("user", "And the weather in Oslo?")]}, flavour)
    messages = [message for message in done["messages"] if isinstance(message, AIMessage)]
    wire = [message for message in emulator.requests[-1].json["messages"] if message["role"] == "assistant"]
    assert len(wire) == 3
    assert [message[field] for message in wire] == [reasoning_of(message) for message in messages[:3]]


SWITCHES: list[dict[str, Any]] = [
    {"reasoning": {"enabled": False}},
    {"reasoning": {"enabled": True}, "reasoning_effort": "max"},
    {"reasoning_effort": "xhigh"},
    {"chat_template_kwargs": {"clear_thinking": False}},
    {"chat_template_kwargs": {"medium_effort": True}},
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("how", ["constructor", "bind", "call"])
async def test_switches_are_sent_as_they_are(how: str, flavour: str, connect: dict[str, Any], emulator: Emulator) -> None:
    fields = {"model": "Qwen/Qwen3.5-9B", **connect}
    for switches in SWITCHES:
        llm: Any = ChatTogether(**fields, **(switches if how == "constructor" else {}))
        call = llm.bind(**switches) if how == "bind" else llm
        kwargs = switches if how == "call" else {}
        if flavour == "sync":
            call.invoke("Hi", **kwargs)
            list(call.stream("Hi", **kwargs))
        else:
            await call.ainvoke("Hi", **kwargs)
            [chunk async for chunk in call.astream("Hi", **kwargs)]
        for request in emulator.requests[-2:]:
            assert {name: request.json.get(name) for name in switches} == switches


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("mode", ["whole", "stream", "events"])
@pytest.mark.parametrize("cached", ["flat", "nested"])
@pytest.mark.parametrize("place", ["finish", "asked-separate"])
async def test_usage_of_either_shape(
    place: str, cached: str, mode: str, flavour: str, connect: dict[str, Any], emulator: Emulator
) -> None:
    llm = ChatTogether(model=MODEL, **connect)
    with emulator.behave(reasoning="reasoning", cached_tokens=cached, usage=place):
        usage: Any = (await answer(llm, flavour, mode)).usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert "cache_read" in usage["input_token_details"]
    assert usage["output_token_details"]["reasoning"] > 0
