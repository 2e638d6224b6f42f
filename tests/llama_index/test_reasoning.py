"""Reasoning goes back in the field in which it came, unchanged, also through stores, memories and agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.requests import wire_messages

from tests.conftest import KEY
from together_adapters.emulator import Emulator

FIELDS = ["reasoning", "reasoning_content"]
QUESTION = ChatMessage("Why is 2+2 4?")


@pytest.fixture
def llm(emulator: Emulator) -> TogetherLLM:
    return TogetherLLM("openai/gpt-oss-120b", api_key=KEY, api_base=emulator.base_url, replay_reasoning=True)


@pytest.fixture
async def memory() -> Any:
    memory = Memory.from_defaults(session_id="a")
    yield memory
    await memory.sql_store._async_engine.dispose()


async def answers(llm: TogetherLLM, streamed: bool) -> list[ChatMessage]:
    """Return the answer of each flavour."""
    if not streamed:
        return [llm.chat([QUESTION]).message, (await llm.achat([QUESTION])).message]
    stream = [response async for response in await llm.astream_chat([QUESTION])]
    return [list(llm.stream_chat([QUESTION]))[-1].message, stream[-1].message]


def thinking(message: ChatMessage) -> str:
    return "".join(block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock))


def from_json(message: ChatMessage) -> ChatMessage:
    return ChatMessage.model_validate_json(message.model_dump_json())


def from_chat_store(message: ChatMessage) -> ChatMessage:
    """Return a message as a store that was persisted has it; core's own way to write it fails with the newest pydantic."""
    text = json.dumps({"store": {"a": [message.model_dump(mode="json")]}})
    return SimpleChatStore.model_validate_json(text).get_messages("a")[0]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("field", FIELDS)
async def test_the_field_is_kept(llm: TogetherLLM, emulator: Emulator, memory: Memory, field: str, streamed: bool) -> None:
    with emulator.behave(reasoning=field):
        messages = await answers(llm, streamed)
    for message in messages:
        await memory.aput(message)
        from_memory = (await memory.aget())[-1]
        for copy in (message, from_json(message), from_chat_store(message), from_memory):
            llm.chat([QUESTION, copy, ChatMessage("And?")])
            wire = emulator.requests[-1].json["messages"][1]
            assert wire == {"role": "assistant", "content": message.content, field: thinking(message)}
    llm.chat([QUESTION, messages[0], ChatMessage("And?")], replay_reasoning=False)
    assert emulator.requests[-1].json["messages"][1] == {"role": "assistant", "content": messages[0].content}


@pytest.mark.parametrize("style", ["reasoning", "reasoning_content", "tags", None])
def test_reasoning_without_a_field_goes_where_the_model_has_its_own(style: Any) -> None:
    foreign = ThinkingBlock(content="Hm.", additional_information={"signature": "c2ln"})
    message = ChatMessage(role="assistant", blocks=[foreign, TextBlock(text="4")])
    [wire] = wire_messages([message], replay_reasoning=True, reasoning_style=style)
    assert wire == {"role": "assistant", "content": "4", style if style in FIELDS else "reasoning": "Hm."}


@pytest.mark.parametrize("field", FIELDS)
def test_what_other_packages_keep_beside_the_blocks(field: str) -> None:
    message = ChatMessage(role="assistant", content="4", additional_kwargs={field: "Hm."})
    assert wire_messages([message], replay_reasoning=True)[0] == {"role": "assistant", "content": "4", field: "Hm."}
    assert wire_messages([message])[0] == {"role": "assistant", "content": "4"}


@pytest.mark.parametrize(("model", "field"), [("Qwen/Qwen3.5-9B", "reasoning"), ("moonshotai/Kimi-K3", "reasoning_content")])
def test_the_model_of_the_call_decides(llm: TogetherLLM, emulator: Emulator, model: str, field: str) -> None:
    foreign = ChatMessage(role="assistant", blocks=[ThinkingBlock(content="Hm."), TextBlock(text="4")])
    llm.chat([QUESTION, foreign, QUESTION], model=model)
    assert emulator.requests[-1].json["messages"][1] == {"role": "assistant", "content": "4", field: "Hm."}


def weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It rains in {city}."


def time(city: str) -> str:
    """Get the time in a city."""
    return f"It is noon in {city}."


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("runner", [lambda agent: agent, lambda agent: AgentWorkflow(agents=[agent])])
async def test_agents_send_the_reasoning_of_every_turn(
    llm: TogetherLLM, emulator: Emulator, memory: Memory, runner: Any, field: str, streaming: bool
) -> None:
    agent = runner(FunctionAgent(llm=llm, tools=[weather, time], streaming=streaming, allow_parallel_tool_calls=False))
    with emulator.behave(reasoning=field):
        await agent.run("What is the weather in Paris, and what time is it in Paris?", memory=memory)
        await agent.run("Thanks. And the weather in Oslo?", memory=memory)
    wire = [message for message in emulator.requests[-1].json["messages"] if message["role"] == "assistant"]
    stored = [message for message in await memory.aget() if message.role.value == "assistant"]
    assert len(wire) > 2
    assert all(message[field] for message in wire)
    assert [message[field] for message in wire] == [thinking(message) for message in stored[: len(wire)]]
