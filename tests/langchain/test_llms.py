"""The completion model: LangChain has no standard suite for it, so this is one."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseLLM
from langchain_together_adapters import Together

from together_adapters.emulator import Emulator

PROMPT = "Say hello to Ann."


def test_it_is_a_base_llm(completer: Together) -> None:
    assert isinstance(completer, BaseLLM)
    assert completer._llm_type == "together"


async def test_streamed_as_single(completer: Together) -> None:
    text = completer.invoke(PROMPT)
    assert text
    assert await completer.ainvoke(PROMPT) == text
    assert "".join(completer.stream(PROMPT)) == text
    assert "".join([token async for token in completer.astream(PROMPT)]) == text
    assert len(list(completer.stream(PROMPT))) > 2


async def test_batches(completer: Together, emulator: Emulator) -> None:
    prompts = [f"Say {n}." for n in range(5)]
    single = [completer.invoke(prompt) for prompt in prompts]
    assert completer.batch(prompts) == single
    assert await completer.abatch(prompts) == single
    assert completer.batch(prompts, config={"max_concurrency": 2}) == single
    assert completer.generate([]).generations == []


async def test_metadata_of_a_completion(completer: Together, emulator: Emulator) -> None:
    with emulator.behave(finish="eos"):
        single = completer.generate([PROMPT]).generations[0][0]
        chunks = list(completer._stream(PROMPT))
        merged_chunk = chunks[0]
        for chunk in chunks[1:]:
            merged_chunk += chunk
        merged = completer.bind(stream=True).bound.generate([PROMPT], stream=True).generations[0][0]
        again = (await completer.agenerate([PROMPT], stream=True)).generations[0][0]
    assert single.generation_info is not None
    assert single.generation_info["finish_reason"] == "stop"
    assert single.generation_info["token_usage"]["total_tokens"] > 0
    for other in (merged_chunk, merged, again):
        assert other.text == single.text
        assert other.generation_info is not None
        same = {name: other.generation_info.get(name) for name in ("finish_reason", "token_usage", "model_name", "seed")}
        assert same == {name: single.generation_info.get(name) for name in same}


@pytest.mark.parametrize("usage", ["finish", "separate", "asked", "asked-separate", "none"])
def test_usage_wherever_it_stands(usage: str, connect: Any, emulator: Emulator) -> None:
    with emulator.behave(usage=usage):
        result = Together(**connect, streaming=True).generate([PROMPT, PROMPT])
    assert result.llm_output is not None
    assert bool(result.llm_output["token_usage"]) == (usage != "none")
    assert emulator.requests[-1].json["stream_options"] == {"include_usage": True}


def test_logprobs(completer: Together, emulator: Emulator) -> None:
    with emulator.behave(logprobs="together"):
        single = completer.generate([PROMPT], logprobs=1).generations[0][0].generation_info
        chunks = list(completer._stream(PROMPT, logprobs=1))
    merged = chunks[0]
    for chunk in chunks[1:]:
        merged += chunk
    assert single is not None
    assert merged.generation_info is not None
    assert single["logprobs"]["token_logprobs"]
    assert merged.generation_info["logprobs"]["content"] == single["logprobs"]["content"]
    assert merged.generation_info["logprobs"]["token_logprobs"] == single["logprobs"]["token_logprobs"]


def test_several_choices_and_echo(completer: Together) -> None:
    result = completer.generate([PROMPT], n=2, echo=True)
    assert len(result.generations[0]) == 2
    info = result.generations[0][0].generation_info
    assert info is not None
    assert info["prompt"][0]["text"] == PROMPT


def test_stop(completer: Together, emulator: Emulator) -> None:
    single = completer.invoke(PROMPT)
    stop = single.split()[1]
    assert stop not in completer.invoke(PROMPT, stop=[stop])
    assert emulator.requests[-1].json["stop"] == [stop]


async def test_tokens_are_announced_once(completer: Together) -> None:
    class Watch(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    class AsyncWatch(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        async def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    watch, other = Watch(), AsyncWatch()
    text = "".join(completer.stream(PROMPT, config={"callbacks": [watch]}))
    assert "".join(watch.tokens) == text
    async for _ in completer.astream(PROMPT, config={"callbacks": [other]}):
        pass
    assert "".join(other.tokens) == text


def test_counting(completer: Together, emulator: Emulator) -> None:
    assert 1 <= completer.get_num_tokens("Hello there") <= 6
    assert emulator.requests == []
