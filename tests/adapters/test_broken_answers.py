"""Tool calls that share an id or are cut off, and reasoning whose opening tag is missing: the same in both adapters, whole or streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM
from pydantic import BaseModel

from tests.adapters.test_mutated_answers import HEAD, MODEL, QUESTION, RANKED, Service, of_langchain, of_llama_index
from together_adapters import APIError

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


FOREIGN_CALLS: dict[str, Any] = {
    "no function": {"id": "c", "name": "weather", "arguments": {"city": "Rome"}},
    "parameters": {"id": "c", "function": {"name": "weather", "parameters": {"city": "Rome"}}},
    "input": {"id": "c", "function": {"name": "weather", "input": '{"city": "Rome"}'}},
    "encoded twice": call(0, json.dumps('{"city": "Rome"}')),
}


@pytest.mark.parametrize("case", FOREIGN_CALLS)
def test_a_call_in_another_format_keeps_its_arguments(case: str) -> None:
    models = Models()
    langchain, llama_index = models.read({"content": None, "tool_calls": [{"index": 0, **FOREIGN_CALLS[case]}]})
    for message in langchain:
        assert [(each["name"], each["args"]) for each in message.tool_calls] == [("weather", {"city": "Rome"})]
    for response in llama_index:
        (selection,) = models.llm.get_tool_calls_from_response(response)
        assert (selection.tool_name, selection.tool_kwargs) == ("weather", {"city": "Rome"})


def test_a_call_without_a_name_is_not_lost() -> None:
    models = Models()
    nameless = {"index": 0, "id": "c", "function": {"arguments": '{"city": "Rome"}'}}
    langchain, llama_index = models.read({"content": None, "tool_calls": [nameless]})
    assert [message.tool_calls[0]["args"] for message in langchain] == [{"city": "Rome"}] * 2
    for response in llama_index:
        assert models.llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"city": "Rome"}


def test_reasoning_under_its_second_name_beside_an_empty_first() -> None:
    langchain, llama_index = Models().read({"content": "Hi", "reasoning": "", "reasoning_content": "Hm"})
    assert [of_langchain(message) for message in langchain] == [("Hi", "Hm", [])] * 2
    assert [of_llama_index(response) for response in llama_index] == [("Hi", "Hm", [])] * 2


def test_events_with_a_message_in_place_of_a_delta() -> None:
    models = Models()
    models.service.stream([whole({"content": "Hi"})])
    first, *others = models.chat.stream("Hi")
    assert of_langchain(first + others)[0] == "Hi"
    assert list(models.llm.stream_chat([ChatMessage("Hi")]))[-1].message.content == "Hi"
    chunks = models.service.sync.chat.completions.create(**QUESTION, stream=True)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hi"]


def test_an_error_in_the_format_of_vllm_ends_a_stream() -> None:
    models = Models()
    chunk = {**HEAD, "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    models.service.stream([chunk, {"object": "error", "message": "engine died", "code": 500}])
    for read in (
        lambda: list(models.service.sync.chat.completions.create(**QUESTION, stream=True)),
        lambda: list(models.chat.stream("Hi")),
        lambda: list(models.llm.stream_chat([ChatMessage("Hi")])),
    ):
        with pytest.raises(APIError, match="engine died"):
            read()


def test_rankings_in_the_format_of_other_engines() -> None:
    service = Service()
    service.answer({"data": [{"index": 1, "score": 0.5}, {"index": 0, "score": 0.9}]})
    ranking = service.sync.rerank.create(**RANKED)
    assert [(result.index, result.relevance_score) for result in ranking.results] == [(0, 0.9), (1, 0.5)]


class Trip(BaseModel):
    city: str
    days: int


@pytest.mark.parametrize(("name", "arguments"), [("Trip", '{"city": "Rome", "days": 1'), ("Trip", "[1]"), ("Flight", "{}")])
def test_a_broken_call_is_an_error_of_structured_output(name: str, arguments: str) -> None:
    models = Models()
    models.service.answer(
        whole({"content": None, "tool_calls": [{"id": "c", "function": {"name": name, "arguments": arguments}}]})
    )
    for schema in (Trip, Trip.model_json_schema()):
        with pytest.raises(OutputParserException):
            models.chat.with_structured_output(schema, method="function_calling").invoke("Hi")


def test_an_object_that_is_cut_off_is_no_structured_output() -> None:
    models = Models()
    models.service.answer(whole({"content": '{"city": "Rome", "days": 1'}))
    for schema in (Trip, Trip.model_json_schema()):
        with pytest.raises(OutputParserException, match="no complete JSON"):
            models.chat.with_structured_output(schema, method="json_schema").invoke("Hi")


def test_a_raw_line_break_in_an_object_is_read() -> None:
    models = Models()
    models.service.answer(whole({"content": '{"city": "Ro\nme", "days": 1}'}))
    expected = Trip(city="Ro\nme", days=1)
    assert models.chat.with_structured_output(Trip, method="json_schema").invoke("Hi") == expected
    assert models.llm.structured_predict(Trip, PromptTemplate("Hi")) == expected
