"""Live calls become rows, whichever way they are made; those that come to nothing are counted."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import AudioBlock, ChatMessage
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.dispatcher import instrument_tags
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.finetuning import FinetuneRecorder

from tests.conftest import KEY, Flavour
from together_adapters.emulator import Emulator
from together_adapters.finetune import check_jsonl
from together_adapters.finetune.records import Example


def weather(city: str) -> str:
    """Say how the weather is."""
    return f"sunny in {city}"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[FinetuneRecorder]:
    """What a recorder leaves behind is a file that trains, without a key."""
    file = tmp_path / "calls.jsonl"
    with FinetuneRecorder(file) as attached:
        yield attached
    assert attached not in get_dispatcher().event_handlers
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY not in file.read_text()
    if file.stat().st_size:
        assert check_jsonl(file).ok


@pytest.fixture
def llm(emulator: Emulator) -> TogetherLLM:
    return TogetherLLM(model="deepseek-ai/DeepSeek-V4.1-Flash", api_key=KEY, api_base=emulator.base_url, max_retries=0)


HI = [ChatMessage("Hi")]


def test_a_call(llm: TogetherLLM, flavour: Flavour, recorder: FinetuneRecorder) -> None:
    answer = flavour.run(llm.achat(HI) if flavour.is_async else llm.chat(HI))
    [row] = recorder.data()
    assert row == {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer.message.content}]}
    assert recorder.counts == {"written": 1}


def test_a_stream(llm: TogetherLLM, flavour: Flavour, recorder: FinetuneRecorder) -> None:
    stream = flavour.run(llm.astream_chat(HI)) if flavour.is_async else llm.stream_chat(HI)
    text = "".join(chunk.delta or "" for chunk in flavour.iterate(stream))
    [row] = recorder.data()
    assert row["messages"][-1] == {"role": "assistant", "content": text}


@pytest.mark.parametrize("streaming", [True, False])
async def test_an_agents_run_is_one_conversation(llm: TogetherLLM, recorder: FinetuneRecorder, streaming: bool) -> None:
    agent = FunctionAgent(llm=llm, tools=[FunctionTool.from_defaults(weather)], system_prompt="You help.", streaming=streaming)
    await agent.run("What is the weather in Rome?")
    assert recorder.counts == {"written": 2}
    [record] = [one for one in recorder.data().records() if isinstance(one, Example)]
    assert [one["role"] for one in record.row["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert [one["function"]["name"] for one in record.row["tools"]] == ["weather"]
    assert record.group
    assert record.group.startswith("FunctionAgent.run")


def test_tagged_calls_belong_together(llm: TogetherLLM, recorder: FinetuneRecorder) -> None:
    history = [*HI]
    with instrument_tags({"session_id": "s1"}):
        history.append(llm.chat(history).message)
        history.append(ChatMessage("Bye"))
        llm.chat(history)
    [record] = [one for one in recorder.data().records() if isinstance(one, Example)]
    assert (record.group, len(record.row["messages"])) == ("s1", 4)


def test_threads_share_a_recorder(llm: TogetherLLM, recorder: FinetuneRecorder) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: llm.chat([ChatMessage(f"Say {number}.")]), range(40)))
    assert recorder.counts == {"written": 40}
    assert {row["messages"][0]["content"] for row in recorder.data()} == {f"Say {number}." for number in range(40)}


def test_failed_calls_are_counted(llm: TogetherLLM, flavour: Flavour, emulator: Emulator, recorder: FinetuneRecorder) -> None:
    emulator.inject("401")
    with pytest.raises(Exception, match="401"):
        flavour.run(llm.achat(HI) if flavour.is_async else llm.chat(HI))
    assert recorder.counts == {"failed": 1}


def test_streams_that_are_left_are_counted(llm: TogetherLLM, recorder: FinetuneRecorder) -> None:
    stream: Any = llm.stream_chat(HI)
    next(stream)
    stream.close()
    assert recorder.counts == {"cancelled": 1}


async def test_cancelled_calls_are_counted(llm: TogetherLLM, emulator: Emulator, recorder: FinetuneRecorder) -> None:
    task = asyncio.create_task(llm.achat(HI))
    while not recorder.counts["open"]:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.counts == {"cancelled": 1}


def test_answers_that_were_cut_off_are_counted(llm: TogetherLLM, recorder: FinetuneRecorder) -> None:
    llm.chat([ChatMessage("Tell a long story about a cat.")], max_tokens=1)
    assert recorder.counts == {"unfinished": 1}


def test_any_model_is_recorded_and_what_no_row_can_hold_is_refused(recorder: FinetuneRecorder) -> None:
    model = MockLLM()
    model.chat(HI)
    model.chat([ChatMessage(role="user", blocks=[AudioBlock(audio=b"RIFF")])])
    assert recorder.counts == {"written": 1, "refused": 1}
    assert recorder.refusals[0].code == "content_part_unsupported"


def test_a_detached_recorder_is_deaf(llm: TogetherLLM, tmp_path: Path) -> None:
    recorder = FinetuneRecorder(tmp_path / "calls.jsonl")
    recorder.attach()
    recorder.attach()
    llm.chat(HI)
    recorder.detach()
    llm.chat(HI)
    assert recorder.counts == {"written": 1}


def test_a_file_is_continued_where_that_is_wanted(
    llm: TogetherLLM, flavour: Flavour, recorder: FinetuneRecorder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calls.jsonl"
    llm.chat(HI)
    recorder.detach()
    with pytest.raises(FileExistsError, match=r'calls\.jsonl exists \(1 row\): name another file, or pass mode="a"'):
        FinetuneRecorder(path)
    with caplog.at_level("INFO", "together_adapters"), FinetuneRecorder(path, mode="a") as second:
        flavour.run(llm.achat([ChatMessage("Bye")]) if flavour.is_async else llm.chat([ChatMessage("Bye")]))
    assert f"{path} exists (1 row): calls are added to it" in caplog.messages
    assert (recorder.existing_rows, second.existing_rows, second.counts) == (0, 1, {"written": 1})
    assert [row["messages"][0]["content"] for row in second.data()] == ["Hi", "Bye"]
