"""Refusals on every path: whole and streamed, completions, structured output, tools, and the history."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from llama_index_together_adapters import TogetherLLM
from llama_index_together_adapters.refusals import RefusedError
from pydantic import BaseModel

from tests.llama_index.conformance.wire import Handler, Reply, Request, WireServer, call, message_reply, stream_reply, text_reply
from together_adapters import APIError

REFUSAL = "I cannot help with that."
QUESTION = [ChatMessage(role="user", content="Hi")]
PROMPT = PromptTemplate("Describe {thing}.")
WAYS = ["sync", "async", "stream", "astream"]


class Ball(BaseModel):
    """A ball."""

    title: str


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


def refusing(text: str | None = None, *, finish: str = "stop", refusal: str | None = REFUSAL, late_text: bool = False) -> Handler:
    """Return a handler that refuses, beside a text, which a stream sends before the refusal or after it."""

    def handle(request: Request) -> Reply:
        if not request.streams:
            return message_reply({"content": text, "refusal": refusal}, finish=finish)
        refusals = [{"refusal": (refusal or "")[at : at + 4]} for at in range(0, len(refusal or ""), 4)]
        texts = [{"content": text}] if text else []
        return stream_reply([*refusals, *texts] if late_text else [*texts, *refusals], finish=finish)

    return handle


@pytest.fixture
def wire() -> Any:
    with WireServer() as server:
        server.chat(refusing())
        yield server


@pytest.fixture
def connect(wire: WireServer) -> Callable[..., TogetherLLM]:
    return lambda **options: TogetherLLM(**{"api_key": "k", "api_base": wire.url, "max_retries": 0, **options})


async def responses_of(llm: Any, way: str, value: Any, method: str = "chat", **kwargs: Any) -> list[Any]:
    """Return the response in one of four ways; the items of a stream."""
    prefix = {"sync": "", "async": "a", "stream": "stream_", "astream": "astream_"}[way]
    function = getattr(llm, prefix + method)
    if way == "sync":
        return [function(value, **kwargs)]
    if way == "async":
        return [await function(value, **kwargs)]
    return list(function(value, **kwargs)) if way == "stream" else [item async for item in await function(value, **kwargs)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("text", "late_text"), [(None, False), ("", False), ("Well.", False), ("Well.", True)])
async def test_a_message_keeps_its_refusal(connect: Any, wire: WireServer, way: str, text: str | None, late_text: bool) -> None:
    wire.chat(refusing(text, late_text=late_text))
    responses = await responses_of(connect(), way, QUESTION)
    message = responses[-1].message
    assert message.additional_kwargs == {"refusal": REFUSAL}
    assert message.content == (text or REFUSAL)
    assert responses[-1].additional_kwargs["finish_reason"] == "stop"
    assert responses[-1].additional_kwargs["total_tokens"]
    if "stream" in way:
        assert "".join(response.delta or "" for response in responses) == message.content


@pytest.mark.parametrize("way", WAYS)
async def test_a_completion_keeps_its_refusal(connect: Any, way: str) -> None:
    response = (await responses_of(connect(), way, "Hi", "complete"))[-1]
    assert (response.text, response.additional_kwargs["refusal"]) == (REFUSAL, REFUSAL)


@pytest.mark.parametrize("way", WAYS)
async def test_a_message_without_a_refusal_has_no_field_for_one(connect: Any, wire: WireServer, way: str) -> None:
    wire.chat(refusing("Hello", refusal=None))
    message = (await responses_of(connect(), way, QUESTION))[-1].message
    assert (message.content, message.additional_kwargs) == ("Hello", {})


@pytest.mark.parametrize("text", [None, "Well."])
async def test_the_history_tells_a_refusal_once(connect: Any, wire: WireServer, text: str | None) -> None:
    wire.chat(refusing(text))
    llm = connect()
    for way in WAYS:
        reply = (await responses_of(llm, way, QUESTION))[-1].message
        llm.chat([*QUESTION, reply, *QUESTION])
        sent = wire.bodies[-1]["messages"][1]
        assert sent == {"role": "assistant", "content": f"{text}\n{REFUSAL}" if text else REFUSAL}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [None, PydanticProgramMode.FUNCTION, PydanticProgramMode.LLM])
@pytest.mark.parametrize("structured", ["predict", "llm"])
async def test_structured_output_quotes_the_refusal(connect: Any, wire: WireServer, structured: str, mode: Any, way: str) -> None:
    llm = connect(validation_retries=2, **({"pydantic_program_mode": mode} if mode else {}))
    with pytest.raises(RefusedError, match="the model refused: 'I cannot help with that.'") as caught:
        if structured == "llm":
            await responses_of(llm.as_structured_llm(Ball), way, QUESTION)
        else:
            await predict(llm, way)
    assert len(wire.requests) == 1
    error = caught.value
    assert isinstance(error, APIError)
    assert isinstance(error, ValueError)
    assert isinstance(error.chat_response, ChatResponse)
    assert error.chat_response.message.additional_kwargs["refusal"] == REFUSAL
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def predict(llm: TogetherLLM, way: str) -> Any:
    if way == "sync":
        return llm.structured_predict(Ball, PROMPT, thing="a ball")
    if way == "async":
        return await llm.astructured_predict(Ball, PROMPT, thing="a ball")
    if way == "stream":
        return list(llm.stream_structured_predict(Ball, PROMPT, thing="a ball"))
    return [item async for item in await llm.astream_structured_predict(Ball, PROMPT, thing="a ball")]


@pytest.mark.parametrize("way", WAYS)
async def test_structured_output_tells_a_content_filter(connect: Any, wire: WireServer, way: str) -> None:
    wire.chat(refusing('{"tit', finish="content_filter", refusal=None))
    with pytest.raises(RefusedError, match="a content filter has stopped the response"):
        await predict(connect(), way)


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_of_a_request_with_tools_is_not_followed_by_another(connect: Any, wire: WireServer, way: str) -> None:
    tools = [TOOL.metadata.to_openai_tool()]
    with pytest.raises(RefusedError, match=REFUSAL):
        await responses_of(connect().as_structured_llm(Ball), way, QUESTION, tools=tools)
    assert len(wire.requests) == 1


async def test_a_required_tool_call_that_is_refused(connect: Any, wire: WireServer) -> None:
    llm = connect()
    for response in (llm.chat_with_tools([TOOL], "Hi"), await llm.achat_with_tools([TOOL], "Hi")):
        assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
        with pytest.raises(RefusedError, match=REFUSAL):
            llm.get_tool_calls_from_response(response)
    wire.chat(lambda request: text_reply(request, "", calls=[call("add", '{"a": 1, "b": 2}')]))
    assert llm.get_tool_calls_from_response(llm.chat_with_tools([TOOL], "Hi"))[0].tool_kwargs == {"a": 1, "b": 2}
