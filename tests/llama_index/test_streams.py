"""A stream equals the single response, for each behaviour of the emulator."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM

from together_adapters import APIError, IncompleteStreamError
from together_adapters.emulator import Emulator, Fault

QUESTION = [ChatMessage(role="user", content="Hello there, Ann")]


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two integers."""
    return a * b


TOOLS: list[Any] = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(multiply)]


@pytest.fixture
def llm(emulator: Emulator) -> TogetherLLM:
    return TogetherLLM(api_key="k", base_url=emulator.base_url, max_retries=0)


def summary_of(response: Any) -> Any:
    blocks = response.message.blocks
    reasoning = "".join(block.content or "" for block in blocks if isinstance(block, ThinkingBlock))
    calls = [(block.tool_name, block.tool_kwargs) for block in blocks if isinstance(block, ToolCallBlock)]
    return response.message.content, reasoning, calls, response.additional_kwargs["finish_reason"]


async def both_streams(llm: TogetherLLM, messages: Any, **kwargs: Any) -> list[Any]:
    sync = list(llm.stream_chat(messages, **kwargs))
    items = [item async for item in await llm.astream_chat(messages, **kwargs)]
    assert [item.delta for item in sync] == [item.delta for item in items]
    return sync


@pytest.mark.parametrize("usage", ["finish", "separate", "asked", "asked-separate", "none"])
async def test_usage_wherever_it_is(llm: TogetherLLM, emulator: Emulator, usage: str) -> None:
    with emulator.behave(usage=usage):
        items = await both_streams(llm, QUESTION)
        single = llm.chat(QUESTION)
    assert summary_of(items[-1]) == summary_of(single)
    assert (items[-1].raw.get("usage") or {}) == ({} if usage == "none" else single.raw["usage"])
    assert ("total_tokens" in items[-1].additional_kwargs) is (usage != "none")


@pytest.mark.parametrize("style", ["reasoning", "reasoning_content", "tags"])
@pytest.mark.parametrize("chunk_size", [1, 3, None])
async def test_reasoning(llm: TogetherLLM, emulator: Emulator, style: str, chunk_size: int | None) -> None:
    with emulator.behave(reasoning=style, pieces=chunk_size):
        items = await both_streams(llm, QUESTION)
        single = llm.chat(QUESTION)
    assert summary_of(items[-1]) == summary_of(single)
    assert summary_of(single)[1]
    assert "".join(item.additional_kwargs.get("thinking_delta") or "" for item in items) == summary_of(single)[1]


@pytest.mark.parametrize("shape", ["pieces", "whole", "one-chunk", "interleaved", "no-index", "same-index", "repeat-finish"])
async def test_tool_calls(llm: TogetherLLM, emulator: Emulator, shape: str) -> None:
    options: Any = llm._prepare_chat_with_tools(
        TOOLS, "add 2 and 3, and multiply 4 and 5", tool_required=True, allow_parallel_tool_calls=True
    )
    messages = options.pop("messages")
    with emulator.behave(tool_deltas=shape, null_content=True):
        items = await both_streams(llm, messages, **options)
        single = llm.chat(messages, **options)
    assert summary_of(items[-1]) == summary_of(single)
    assert summary_of(single)[2]


@pytest.mark.parametrize("shape", ["together", "openai"])
async def test_logprobs(llm: TogetherLLM, emulator: Emulator, shape: str) -> None:
    with emulator.behave(logprobs=shape):
        items = await both_streams(llm, QUESTION, logprobs=2)
        single = llm.chat(QUESTION, logprobs=2)
    assert [token for item in items for token in item.logprobs or ()] == single.logprobs
    assert single.logprobs


def test_eos_is_stop(llm: TogetherLLM, emulator: Emulator) -> None:
    with emulator.behave(finish="eos"):
        assert llm.chat(QUESTION).additional_kwargs["finish_reason"] == "stop"


@pytest.mark.parametrize("fault", ["stream-error", "stream-error-event"])
async def test_an_error_inside_raises(llm: TogetherLLM, emulator: Emulator, fault: str) -> None:
    emulator.inject(Fault(fault), Fault(fault))
    with pytest.raises(APIError):
        list(llm.stream_chat(QUESTION))
    with pytest.raises(APIError):
        [item async for item in await llm.astream_chat(QUESTION)]


def test_a_cut_stream_raises(llm: TogetherLLM, emulator: Emulator) -> None:
    emulator.inject(Fault("cut", path="chat"))
    with pytest.raises(IncompleteStreamError):
        list(llm.stream_chat(QUESTION))


def test_a_base_model(emulator: Emulator) -> None:
    base = TogetherLLM("meta-llama/Llama-2-70b-hf", api_key="k", base_url=emulator.base_url)
    assert list(base.stream_complete("Once"))[-1].text == base.complete("Once").text
    assert list(base.stream_chat(QUESTION))[-1].message.content == base.chat(QUESTION).message.content
    assert {request.path for request in emulator.requests} == {"/v1/completions"}


def test_unknown_parameters_are_sent(llm: TogetherLLM, emulator: Emulator) -> None:
    llm.additional_kwargs = {"top_k": 3, "brand_new": 1}
    llm.extra_body = {"other": 2}
    llm.chat(QUESTION, brand_newer=4, top_k=9, extra_body={"third": 3})
    body = emulator.requests[-1].json
    assert (body["top_k"], body["brand_new"], body["other"], body["brand_newer"], body["third"]) == (9, 1, 2, 4, 3)
    llm.chat(QUESTION, top_k=None)
    assert "top_k" not in emulator.requests[-1].json
