"""One test for each known defect of `langchain-together` 0.4.0, through public names alone.

`LANGCHAIN_PEER=langchain_together` runs the same tests on that package, where each of them fails.
"""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import Any

import pytest
from langchain_core import exceptions as core
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage, trim_messages
from pydantic import BaseModel

from tests.conftest import count_function_calls
from together_adapters.emulator import Emulator, Fault

package = import_module(os.environ.get("LANGCHAIN_PEER", "langchain_together_adapters"))
MODEL = "openai/gpt-oss-120b"
OVERFLOW = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens"


class Person(BaseModel):
    """A person."""

    name: str


@pytest.fixture
def chat(connect: dict[str, Any]) -> BaseChatModel:
    model: BaseChatModel = package.ChatTogether(model=MODEL, **connect)
    return model


def merge(chunks: list[Any]) -> Any:
    return chunks[0] + chunks[1:]


def test_1_no_credential_of_openai_is_sent(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-secret")
    with pytest.raises(Exception, match="TOGETHER_API_KEY"):
        package.ChatTogether(model=MODEL, base_url=emulator.base_url, max_retries=0).invoke("x")
    assert not [request for request in emulator.requests if "openai" in str(request.headers)]


def test_1_no_organization_of_openai_is_named(connect: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-openai")
    package.ChatTogether(model=MODEL, **connect).invoke("x")
    package.TogetherEmbeddings(model="BAAI/bge-base-en-v1.5", **connect).embed_query("x")
    assert len(emulator.requests) == 2
    assert not [request for request in emulator.requests if "org-of-openai" in str(request.headers)]


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_2_reasoning_is_preserved(field: str, chat: Any, emulator: Emulator) -> None:
    with emulator.behave(reasoning=field):
        messages = [chat.invoke("Why?"), merge(list(chat.stream("Why?")))]
    for message in messages:
        assert [block for block in message.content_blocks if block["type"] == "reasoning"]


def test_2_reasoning_can_be_sent_back(chat: Any, emulator: Emulator) -> None:
    with emulator.behave(reasoning="reasoning"):
        reply = chat.invoke("Why?")
    chat.invoke([HumanMessage("Why?"), reply, HumanMessage("And?")], replay_reasoning=True)
    assert emulator.requests[-1].json["messages"][1]["reasoning"]


def test_3_sampling_parameters_of_together(connect: Any, emulator: Emulator) -> None:
    params = {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "safety_model": "meta-llama/Llama-Guard-4-12B"}
    package.ChatTogether(model=MODEL, **connect, **params).invoke("x")
    package.ChatTogether(model=MODEL, **connect).bind(**params).invoke("x")
    for request in emulator.requests:
        assert {name: request.json[name] for name in params} == params


def test_4_embeddings_are_batched(connect: Any, emulator: Emulator) -> None:
    embedder = package.TogetherEmbeddings(model="BAAI/bge-base-en-v1.5", **connect)
    embedder.embed_documents([f"text {n}" for n in range(200)])
    assert len(emulator.requests) <= 4


async def test_4_requests_for_embeddings_overlap(connect: Any, emulator: Emulator) -> None:
    embedder = package.TogetherEmbeddings(model="BAAI/bge-base-en-v1.5", **connect)
    with emulator.behave(delay=0.05):
        await embedder.aembed_documents([f"text {n}" for n in range(500)])
    assert emulator.most_in_flight >= 4


def test_4_empty_texts_can_be_skipped(connect: Any, emulator: Emulator) -> None:
    embedder = package.TogetherEmbeddings(model="BAAI/bge-base-en-v1.5", skip_empty=True, **connect)
    assert len(embedder.embed_documents(["a", "", "b"])) == 3
    assert emulator.requests[-1].json["input"] == ["a", "b"]


def test_5_streams_request_usage(chat: Any, emulator: Emulator) -> None:
    with emulator.behave(usage="asked"):
        assert merge(list(chat.stream("x"))).usage_metadata


def test_6_streamed_logprobs(chat: Any, emulator: Emulator) -> None:
    with emulator.behave(logprobs="together", reasoning="none"):
        single = chat.invoke("Say hello.", logprobs=True).response_metadata["logprobs"]
        logprobs = merge(list(chat.stream("Say hello.", logprobs=True))).response_metadata["logprobs"]
    assert logprobs["token_logprobs"] == single["token_logprobs"]


def test_7_counting_tokens_stays_offline(chat: Any) -> None:
    assert chat.get_num_tokens("Hello there") > 0
    assert chat.get_num_tokens_from_messages([HumanMessage("Hello")]) > 0
    assert trim_messages([HumanMessage("a"), HumanMessage("b")], max_tokens=50, token_counter=chat)


def test_8_there_is_a_profile(chat: Any) -> None:
    assert chat.profile
    assert chat.profile["max_input_tokens"]


def test_8_summaries_know_how_much_the_model_reads(chat: Any) -> None:
    from langchain.agents.middleware import SummarizationMiddleware

    assert SummarizationMiddleware(chat, trigger=("fraction", 0.8), keep=("fraction", 0.3))


def test_9_structured_output_sends_no_switch_of_openai(chat: Any, emulator: Emulator) -> None:
    chat.with_structured_output(Person, method="function_calling").invoke("Ann")
    assert "parallel_tool_calls" not in emulator.requests[-1].json
    chat.with_structured_output("(yes|no)", method="regex").invoke("Is it?")
    assert emulator.requests[-1].json["response_format"]["type"] == "regex"


def test_10_video(connect: Any, emulator: Emulator) -> None:
    package.ChatTogether(model="Qwen/Qwen3.5-9B", **connect).invoke(
        [HumanMessage([{"type": "video", "url": "https://example.com/a.mp4"}])]
    )
    assert emulator.requests[-1].json["messages"][0]["content"][0]["type"] == "video_url"


def test_11_flat_cached_tokens(chat: Any, emulator: Emulator) -> None:
    with emulator.behave(cached_tokens="flat"):
        assert "cache_read" in chat.invoke("x").usage_metadata["input_token_details"]


def test_12_the_completion_model(connect: Any, emulator: Emulator) -> None:
    address = connect["base_url"] + "/completions"
    llm = package.Together(model=MODEL, together_api_key=connect["api_key"], base_url=address, max_tokens=50)
    assert len(list(llm.stream("Say hello."))) > 1
    result = llm.generate(["Say hello."])
    assert result.llm_output["token_usage"]["total_tokens"]


def test_12_the_completion_model_sends_logprobs_and_min_p(connect: Any, emulator: Emulator) -> None:
    params = {"logprobs": 1, "min_p": 0.1}
    package.Together(
        model=MODEL, together_api_key=connect["api_key"], base_url=connect["base_url"] + "/completions", **params
    ).invoke("x")
    assert {name: emulator.requests[-1].json.get(name) for name in params} == params


def test_12_the_completion_model_reads_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_BASE", emulator.base_url)
    assert package.Together(model=MODEL, together_api_key="k").invoke("Say hello.")
    assert len(emulator.requests) == 1


async def test_12_the_completion_model_fails_as_others_do(connect: Any, emulator: Emulator) -> None:
    llm = package.Together(model=MODEL, together_api_key=connect["api_key"], base_url=connect["base_url"] + "/completions")
    emulator.inject(Fault("503", retry_after=0))
    assert llm.invoke("Say hello.")  # asked again
    emulator.inject("401", "401")
    with pytest.raises(core.ModelAuthenticationError):
        llm.invoke("x")
    with pytest.raises(core.ModelAuthenticationError):
        await llm.ainvoke("x")


def test_13_construction_is_cheap(connect: Any) -> None:
    package.ChatTogether(model=MODEL, **connect)
    assert count_function_calls(lambda: package.ChatTogether(model=MODEL, **connect)) < 500


def test_14_serialization_and_cache_key(chat: Any, connect: Any) -> None:
    assert dumpd(chat)["type"] == "constructor"
    elsewhere = package.ChatTogether(model=MODEL, api_key="k", base_url="http://127.0.0.1:9/v1")
    assert chat._get_llm_string() != elsewhere._get_llm_string()
    assert chat.invoke("x").response_metadata["model_provider"] == "together"


def test_15_sockets_can_be_closed(chat: Any) -> None:
    chat.invoke("x")
    chat.close()
    asyncio.run(chat.aclose())


def test_16_two_loops(chat: Any) -> None:
    for _ in range(2):
        asyncio.run(chat.ainvoke("x"))


def test_17_text_before_a_tool_call_is_a_separate_block(connect: Any, emulator: Emulator) -> None:
    def weather(city: str) -> str:
        """Get the weather of a city."""
        return city

    llm = package.ChatTogether(model=MODEL, output_version="v1", **connect).bind_tools([weather])
    for style in ("reasoning", "tags"):  # tags are text to a package that does not know them
        with emulator.behave(reasoning=style):
            merged = merge(list(llm.stream("What is the weather in Paris?")))
        assert [block["type"] for block in merged.content] == ["reasoning", "tool_call"]


def test_17_text_and_the_tool_call_after_it_are_two_blocks(connect: Any, emulator: Emulator) -> None:
    def weather(city: str) -> str:
        """Get the weather of a city."""
        return city

    llm = package.ChatTogether(model=MODEL, output_version="v1", **connect).bind_tools([weather])
    with emulator.behave(reasoning="tags"):  # which a client that does not know them takes for text
        merged = merge(list(llm.stream("What is the weather in Paris?")))
    assert len(merged.content) == 2
    assert merged.content[-1] == {"type": "tool_call", **merged.content[-1], "name": "weather", "args": {"city": "Paris"}}
    assert "args" not in merged.content[0]


def test_18_an_error_inside_a_stream_is_a_model_error(chat: Any, emulator: Emulator) -> None:
    emulator.inject("stream-error")
    with pytest.raises(core.ModelAPIError):
        list(chat.stream("x"))


def test_18_context_overflow_in_the_message_of_together(chat: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("422", message=OVERFLOW))
    with pytest.raises(core.ContextOverflowError):
        chat.invoke("x")
