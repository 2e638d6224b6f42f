"""Live calls become rows, whichever way they are made; those that come to nothing are counted."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.finetuning import FinetuneRecorder
from pydantic import BaseModel

from tests.conftest import KEY, Flavour
from together_adapters.emulator import Emulator
from together_adapters.finetune import check_jsonl, check_row
from together_adapters.finetune.records import Example


@tool
def weather(city: str) -> str:
    """Say how the weather is."""
    return f"sunny in {city}"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture
def recorder(tmp_path: Path) -> FinetuneRecorder:
    return FinetuneRecorder(tmp_path / "calls.jsonl")


@pytest.fixture
def config(recorder: FinetuneRecorder) -> dict[str, Any]:
    return {"callbacks": [recorder]}


@pytest.fixture(autouse=True)
def _valid_file(tmp_path: Path) -> Iterator[None]:
    """What a recorder leaves behind is a file that trains, without a key."""
    yield
    file = tmp_path / "calls.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY not in file.read_text()
    if file.stat().st_size:
        assert check_jsonl(file).ok


def roles(recorder: FinetuneRecorder) -> list[list[str]]:
    return [[one["role"] for one in row["messages"]] for row in recorder.data()]


def test_a_call(llm: ChatTogether, flavour: Flavour, recorder: FinetuneRecorder, config: Any) -> None:
    answer = flavour.run(llm.ainvoke("Hi", config) if flavour.is_async else llm.invoke("Hi", config))
    [row] = recorder.data()
    assert row == {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer.content}]}
    assert recorder.counts == {"written": 1}


def test_a_stream(llm: ChatTogether, flavour: Flavour, recorder: FinetuneRecorder, config: Any) -> None:
    stream = llm.astream("Hi", config) if flavour.is_async else llm.stream("Hi", config)
    text = "".join(chunk.content for chunk in flavour.iterate(stream))
    [row] = recorder.data()
    assert row["messages"][-1] == {"role": "assistant", "content": text}


def test_an_agents_run_is_one_conversation(llm: ChatTogether, flavour: Flavour, recorder: FinetuneRecorder, config: Any) -> None:
    from langchain.agents import create_agent

    agent = create_agent(llm, [weather], system_prompt="You help.", name="helper")
    question: Any = {"messages": [("user", "What is the weather in Rome?")]}
    flavour.run(agent.ainvoke(question, config) if flavour.is_async else agent.invoke(question, config))
    assert recorder.counts == {"written": 2}
    assert roles(recorder) == [["system", "user", "assistant", "tool", "assistant"]]
    [row] = recorder.data()
    assert [one["function"]["name"] for one in row["tools"]] == ["weather"]
    assert len(list(recorder.data(collapse_prefixes=False))) == 2


def test_turns_of_a_thread_belong_together(llm: ChatTogether, recorder: FinetuneRecorder) -> None:
    from langchain.agents import create_agent
    from langgraph.checkpoint.memory import InMemorySaver

    agent = create_agent(llm, [weather], checkpointer=InMemorySaver())
    config: Any = {"callbacks": [recorder], "configurable": {"thread_id": "t7"}}
    for city in ("Rome", "Oslo"):
        agent.invoke({"messages": [("user", f"What is the weather in {city}?")]}, config)
    [record] = [one for one in recorder.data().records() if isinstance(one, Example)]
    assert record.group == "t7"
    assert len(record.row["messages"]) == 8


def test_structured_output(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    for method in ("function_calling", "json_schema"):
        assert llm.with_structured_output(Person, method=method).invoke("Ann is 3 years old.", config)
    call_row, json_row = recorder.data()
    assert call_row["messages"][1]["tool_calls"][0]["function"]["name"] == call_row["tools"][0]["function"]["name"] == "Person"
    assert Person.model_validate_json(json_row["messages"][1]["content"])


def test_threads_share_a_recorder(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: llm.invoke(f"Say {number}.", config), range(40)))
    assert recorder.counts == {"written": 40}
    assert {row["messages"][0]["content"] for row in recorder.data()} == {f"Say {number}." for number in range(40)}


def test_a_batch_makes_a_row_for_each(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    llm.batch(["one", "two", "three"], config)
    assert len(list(recorder.data())) == 3


def test_failed_calls_are_counted(llm: ChatTogether, emulator: Emulator, recorder: FinetuneRecorder, config: Any) -> None:
    emulator.inject("401")
    with pytest.raises(Exception, match="401"):
        llm.invoke("Hi", config)
    assert recorder.counts == {"failed": 1}


def test_streams_that_are_left_are_counted(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    stream: Any = llm.stream("Hi", config)
    next(stream)
    stream.close()
    assert recorder.counts == {"cancelled": 1}


async def test_cancelled_streams_are_counted(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    async def read() -> None:
        async for _ in llm.astream("Hi", config):
            await asyncio.sleep(60)

    task = asyncio.create_task(read())
    while not recorder.counts["open"]:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not recorder.counts["written"]


def test_answers_that_were_cut_off_are_counted(llm: ChatTogether, recorder: FinetuneRecorder, config: Any) -> None:
    llm.bind(max_tokens=1).invoke("Tell a long story about a cat.", config)
    assert recorder.counts == {"unfinished": 1}


def test_what_no_row_can_hold_is_refused_and_the_program_goes_on(recorder: FinetuneRecorder, config: Any) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("A voice."), AIMessage("Yes.")]))
    model.invoke([HumanMessage([{"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}])], config)
    model.invoke("Hi", config)
    assert recorder.counts == {"refused": 1, "written": 1}
    assert recorder.refusals[0].code == "content_part_unsupported"


def test_any_model_is_recorded(recorder: FinetuneRecorder, config: Any) -> None:
    answer = AIMessage(
        "",
        additional_kwargs={"reasoning_content": "Hm."},
        tool_calls=[{"name": "weather", "args": {"city": "Rome"}, "id": None}] * 2,
    )
    GenericFakeChatModel(messages=iter([answer])).bind(
        tools=[{"name": "weather", "input_schema": {"type": "object"}, "description": "d"}]
    ).invoke("Hi", config)
    [row] = recorder.data()
    assert row["messages"][1]["reasoning"] == "Hm."
    assert [one["id"] for one in row["messages"][1]["tool_calls"]] == ["call_1_0", "call_1_1"]
    parameters = {"type": "object", "properties": {}}
    assert row["tools"][0]["function"] == {"name": "weather", "description": "d", "parameters": parameters}
    assert not [issue for issue in check_row(row) if issue.severity == "error"]


def test_a_file_is_continued_where_that_is_wanted(
    llm: ChatTogether, flavour: Flavour, recorder: FinetuneRecorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.jsonl"
    llm.invoke("Hi", {"callbacks": [recorder]})
    with pytest.raises(FileExistsError, match=r'calls\.jsonl exists \(1 row\): name another file, or pass mode="a"'):
        FinetuneRecorder(path)
    with caplog.at_level("INFO", "together_adapters"):
        second = FinetuneRecorder(path, mode="a")
    assert caplog.messages == [f"{path} exists (1 row): calls are added to it"]
    config: Any = {"callbacks": [second]}
    flavour.run(llm.ainvoke("Bye", config) if flavour.is_async else llm.invoke("Bye", config))
    assert (recorder.existing_rows, second.existing_rows, second.counts) == (0, 1, {"written": 1})
    assert [row["messages"][0]["content"] for row in second.data()] == ["Hi", "Bye"]
