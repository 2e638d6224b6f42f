"""Tool calls that share an id or are cut off, and reasoning whose opening tag is missing: the same in both adapters, whole or streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM

from tests.adapters.test_mutated_answers import HEAD, MODEL, Service, of_langchain, of_llama_index

CUT = ['{"city": "Ro', '{"city": "Rome", "days": 1', '{"city": nope', '{"a": [{"b": [1', '{"a": "x\\\\', '{"a": {"b": "]', "{"]


def call(index: int, arguments: str, call_id: str = "c") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "index": index, "function": {"name": "weather", "arguments": arguments}}


def whole(message: dict[str, Any]) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}]}


def streamed(message: dict[str, Any], size: int = 1000) -> list[Any]:
    content = message.get("content") or ""
    deltas = [{"content": content[start : start + size]} for start in range(0, len(content), size)]
    deltas += [{name: value} for name, value in message.items() if name != "content"]
    chunks = [{**HEAD, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return [*chunks, {**HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]


class Models:
    """The same answers, whole and streamed, as both frameworks read them."""

    def __init__(self, model: str = MODEL) -> None:
        self.service = Service()
        clients: Any = {"client": self.service.sync, "async_client": self.service.asynchronous}
        self.chat = ChatTogether(model=model, **clients)
        self.llm = TogetherLLM(model, **clients)

    def read(self, message: dict[str, Any], size: int = 1000) -> tuple[list[AIMessage], list[Any]]:
        self.service.answer(whole(message))
        langchain: list[Any] = [self.chat.invoke("Hi")]
        llama_index = [self.llm.chat([ChatMessage("Hi")])]
        self.service.stream(streamed(message, size))
        first, *others = self.chat.stream("Hi")
        return [*langchain, first + others], [*llama_index, list(self.llm.stream_chat([ChatMessage("Hi")]))[-1]]


@pytest.mark.parametrize("arguments", CUT)
def test_a_call_that_is_cut_off_is_no_call(arguments: str) -> None:
    models = Models()
    langchain, llama_index = models.read({"content": None, "tool_calls": [call(0, arguments)]})
    for message in langchain:
        assert message.tool_calls == []
        assert (message.invalid_tool_calls[0]["args"] or "").startswith(arguments)
    for response in llama_index:
        (selection,) = models.llm.get_tool_calls_from_response(response)
        assert selection.tool_kwargs == {"raw_arguments": arguments}


@pytest.mark.filterwarnings("ignore")  # of llama-index-core
@pytest.mark.parametrize("arguments", CUT)
async def test_a_tool_never_runs_with_other_arguments(arguments: str) -> None:
    ran: list[Any] = []

    def weather(city: str = "nowhere", days: int = 0) -> str:
        """Return the weather."""
        ran.append((city, days))
        return "sunny"

    models = Models()
    message = {"content": None, "tool_calls": [call(0, arguments)]}
    models.service.answer(whole(message))
    create_agent(models.chat, [tool(weather)]).invoke({"messages": [("user", "Hi")]})
    models.service.stream(streamed(message))
    list(create_agent(models.chat, [tool(weather)]).stream({"messages": [("user", "Hi")]}, stream_mode="messages"))
    agent = FunctionAgent(llm=models.llm, tools=[FunctionTool.from_defaults(weather)], streaming=True)
    with pytest.raises(Exception, match="(?i)iteration"):  # the model repeats its call
        await agent.run("Hi", max_iterations=2)
    assert ran == []


def test_a_raw_line_break_in_arguments_is_read() -> None:
    langchain, llama_index = Models().read({"content": None, "tool_calls": [call(0, '{"city": "a\nb"}')]})
    assert all(message.tool_calls[0]["args"] == {"city": "a\nb"} for message in langchain)
    assert all(response.message.blocks[-1].tool_kwargs == {"city": "a\nb"} for response in llama_index)


def test_two_calls_with_one_id_have_two() -> None:
    langchain, llama_index = Models().read({"content": None, "tool_calls": [call(0, "{}"), call(1, '{"city": "a"}')]})
    for message in langchain:
        assert [one["args"] for one in message.tool_calls] == [{}, {"city": "a"}]
        first, second = (one["id"] for one in message.tool_calls)
        assert first == "c" != second
    for response in llama_index:
        assert [block.tool_kwargs for block in response.message.blocks] == [{}, {"city": "a"}]
        assert len({block.tool_call_id for block in response.message.blocks}) == 2


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_reasoning_whose_opening_tag_the_template_wrote(size: int) -> None:
    langchain, llama_index = Models("deepseek-ai/DeepSeek-R1").read({"content": "2+2\n</think>\n\n4"}, size)
    assert {json.dumps(of_langchain(message)) for message in langchain} == {json.dumps(("4", "2+2\n", []))}
    assert {json.dumps(of_llama_index(response)) for response in llama_index} == {json.dumps(("4", "2+2\n", []))}


@pytest.mark.parametrize(
    ("model", "message", "expected"),
    [
        ("deepseek-ai/DeepSeek-R1", {"content": "no tag"}, ("no tag", "", [])),
        ("deepseek-ai/DeepSeek-R1", {"reasoning": "t", "content": "a </think> b"}, ("a </think> b", "t", [])),
        (MODEL, {"content": "a </think> b"}, ("a </think> b", "", [])),
    ],
)
def test_a_closing_tag_alone_means_nothing_elsewhere(model: str, message: dict[str, Any], expected: Any) -> None:
    models = Models(model)
    models.service.answer(whole(message))
    assert of_langchain(models.chat.invoke("Hi")) == expected
    assert of_llama_index(models.llm.chat([ChatMessage("Hi")])) == expected
    order = {"reasoning": message.get("reasoning"), "content": message["content"]}
    chunks = [{**HEAD, "choices": [{"index": 0, "delta": {name: text}}]} for name, text in order.items() if text]
    models.service.stream([*chunks, *streamed({})])
    first, *others = models.chat.stream("Hi")
    assert of_langchain(first + others) == expected
    assert of_llama_index(list(models.llm.stream_chat([ChatMessage("Hi")]))[-1]) == expected
