"""Structured output by every method and of every kind of schema, and tools."""

from __future__ import annotations

import re
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableBinding
from langchain_core.tools import tool
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.errors import RefusedError
from langchain_together_adapters.structured_output import _message_parser
from pydantic import BaseModel, Field

from together_adapters import BadRequestError
from together_adapters.emulator import Emulator, Fault

QUESTION = "Ann is 30 years old. Answer in JSON with the keys 'name' and 'city'."


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The name")
    city: str


class PersonDict(TypedDict):
    """A person."""

    name: str
    city: str


SCHEMA = {"title": "Person", "description": "A person.", **{k: v for k, v in Person.model_json_schema().items() if k != "title"}}
TOOL = {"type": "function", "function": {"name": "Person", "description": "A person.", "parameters": Person.model_json_schema()}}
SCHEMA_WITHOUT_TITLE = {k: v for k, v in SCHEMA.items() if k != "title"}
METHODS: list[Any] = ["function_calling", "json_schema", "json_mode"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Person, PersonDict, SCHEMA, TOOL], ids=["pydantic", "typeddict", "schema", "tool"])
async def test_types(method: Any, schema: Any, llm: ChatTogether) -> None:
    runnable = llm.with_structured_output(schema, method=method)
    kind = Person if schema is Person else dict
    for results in (runnable.invoke(QUESTION), await runnable.ainvoke(QUESTION), list(runnable.stream(QUESTION))[-1]):
        assert type(results) is kind
        assert set(dict(results)) == {"name", "city"}


@pytest.mark.parametrize("method", METHODS)
def test_raw(method: Any, llm: ChatTogether) -> None:
    runnable = llm.with_structured_output(Person, method=method, include_raw=True)
    results = runnable.invoke(QUESTION)
    assert set(results) == {"raw", "parsed", "parsing_error"}
    assert isinstance(results["raw"], AIMessage)
    assert isinstance(results["parsed"], Person)
    assert results["parsing_error"] is None


def test_raw_when_parsing_fails(llm: ChatTogether) -> None:
    runnable = llm.with_structured_output(Person, method="json_mode", include_raw=True)
    results = runnable.invoke("Answer in JSON with the key 'mood'.")
    assert results["parsed"] is None
    assert isinstance(results["parsing_error"], OutputParserException)
    assert results["raw"].content


class Note(BaseModel):
    """A note."""

    text: str


@pytest.mark.parametrize("schema", [Note, Note.model_json_schema()], ids=["pydantic", "schema"])
@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_a_truncated_object_is_an_error(method: Any, schema: Any, connect: Any) -> None:
    """langchain-core completes an object that `max_tokens` has truncated, and returns half a value."""
    request = "Reply as JSON with the key 'text': 'All of this belongs to the note.'"
    full = ChatTogether(**connect).with_structured_output(schema, method=method, include_raw=True).invoke(request)
    token_count = full["raw"].usage_metadata["output_tokens"]
    for limit in range(1, token_count):
        cut = (
            ChatTogether(**connect, max_tokens=limit)
            .with_structured_output(schema, method=method, include_raw=True)
            .invoke(request)
        )
        assert cut["parsed"] is None
        assert "the response is truncated" in str(cut["parsing_error"])
    exact = ChatTogether(**connect, max_tokens=token_count).with_structured_output(schema, method=method).invoke(request)
    assert exact == full["parsed"] is not None


def test_wire(llm: ChatTogether, emulator: Emulator) -> None:
    llm.with_structured_output(Person, method="json_schema").invoke(QUESTION)
    expected = emulator.requests[-1].json["response_format"]
    assert expected["type"] == "json_schema"
    assert expected["json_schema"]["name"] == "Person"
    assert expected["json_schema"]["schema"]["required"] == ["name", "city"]
    assert "strict" not in expected["json_schema"]
    llm.with_structured_output(Person, method="json_schema", strict=True).invoke(QUESTION)
    strict = emulator.requests[-1].json["response_format"]["json_schema"]
    assert strict["strict"] is True
    assert strict["schema"]["additionalProperties"] is False
    llm.with_structured_output(Person, method="function_calling").invoke(QUESTION)
    assert emulator.requests[-1].json["tool_choice"] == {"type": "function", "function": {"name": "Person"}}
    llm.with_structured_output(Person, method="json_mode").invoke(QUESTION)
    assert emulator.requests[-1].json["response_format"] == {"type": "json_object"}
    llm.with_structured_output(SCHEMA_WITHOUT_TITLE, method="json_schema").invoke(QUESTION)
    assert emulator.requests[-1].json["response_format"]["json_schema"]["name"] == "answer"


def test_the_method_suits_the_model(connect: Any, emulator: Emulator) -> None:
    ChatTogether(model="openai/gpt-oss-120b", **connect).with_structured_output(Person).invoke(QUESTION)
    assert emulator.requests[-1].json["response_format"]["type"] == "json_schema"
    ChatTogether(model="someone/anything", **connect).with_structured_output(Person)
    unknown: Any = ChatTogether(model="someone/anything", **connect).with_structured_output(Person)
    assert unknown.first.kwargs["tool_choice"]["function"]["name"] == "Person"
    weak: Any = ChatTogether(**connect, profile={"tool_calling": False}).with_structured_output(Person)
    assert weak.first.kwargs["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("pattern", ["(yes|no)", re.compile("(yes|no)")], ids=["text", "compiled"])
def test_regex(pattern: Any, llm: ChatTogether, emulator: Emulator) -> None:
    assert llm.with_structured_output(pattern, method="regex").invoke("Is it?") in ("yes", "no")
    assert emulator.requests[-1].json["response_format"] == {"type": "regex", "pattern": "(yes|no)"}
    with pytest.raises(OutputParserException, match="does not match"):
        (llm.with_structured_output("[0-9]+", method="regex")).steps[-1].invoke(AIMessage("none"))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="pattern"):
        llm.with_structured_output(Person, method="regex")


def test_a_refused_tool_choice_is_dropped(llm: ChatTogether, emulator: Emulator) -> None:
    runnable = llm.with_structured_output(Person, method="function_calling")
    for call in (runnable.invoke, lambda question: list(runnable.stream(question))[-1]):
        emulator.clear()
        emulator.inject(Fault("400", message="tool_choice 'required' is not supported by this model"))
        assert isinstance(call(QUESTION), Person | None)
        assert [request.json["tool_choice"] for request in emulator.requests][1] == "auto"
        assert len(emulator.requests) == 2


async def test_a_refused_tool_choice_is_dropped_asynchronously(llm: ChatTogether, emulator: Emulator) -> None:
    emulator.inject(Fault("422", message="grammar is not supported"))
    await llm.with_structured_output(Person, method="function_calling").ainvoke(QUESTION)
    assert len(emulator.requests) == 2


def test_an_explicit_tool_choice_is_not_dropped(llm: ChatTogether, emulator: Emulator) -> None:
    emulator.inject(Fault("400", message="tool_choice is not supported"))
    with pytest.raises(BadRequestError):
        llm.bind_tools([Person], tool_choice="any").invoke("x")
    emulator.inject(Fault("400", message="something else"))
    with pytest.raises(BadRequestError):
        llm.with_structured_output(Person, method="function_calling").invoke("x")


def test_bad_plans(llm: ChatTogether) -> None:
    with pytest.raises(ValueError, match="unknown method"):
        llm.with_structured_output(Person, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a schema"):
        llm.with_structured_output(None, method="json_schema")
    assert llm.with_structured_output(None, method="json_mode").invoke(QUESTION)


@pytest.mark.parametrize("schema", [Person, SCHEMA], ids=["pydantic", "schema"])
def test_refusals_raise(schema: Any) -> None:
    with pytest.raises(RefusedError, match="I will not"):
        _message_parser(schema).invoke(AIMessage("", additional_kwargs={"refusal": "I will not"}))


def test_only_objects_are_objects() -> None:
    with pytest.raises(OutputParserException, match="object"):
        _message_parser(SCHEMA).invoke(AIMessage("[1, 2]"))


class TestBindTools:
    @pytest.mark.parametrize(
        ("choice", "wire"),
        [
            ("any", "required"), ("required", "required"), (True, "required"), ("auto", "auto"), ("none", "none"),
            (None, None), (False, None), ("Person", {"type": "function", "function": {"name": "Person"}}),
            ({"type": "function", "function": {"name": "Person"}}, {"type": "function", "function": {"name": "Person"}}),
        ],
    )  # fmt: skip
    def test_choices(self, choice: Any, wire: Any, llm: ChatTogether) -> None:
        bound = llm.bind_tools([Person], tool_choice=choice)
        assert isinstance(bound, RunnableBinding)
        assert bound.kwargs.get("tool_choice") == wire

    def test_a_name_that_is_none(self, llm: ChatTogether) -> None:
        with pytest.raises(ValueError, match="none of the tools: Person"):
            llm.bind_tools([Person], tool_choice="Robot")

    def test_tools_of_every_kind(self, llm: ChatTogether, emulator: Emulator) -> None:
        @tool
        def weather(city: str) -> str:
            """Get the weather."""
            return city

        def clock(zone: str) -> str:
            """Get the time."""
            return zone

        anthropic = {"name": "pick", "description": "Pick.", "input_schema": {"type": "object", "properties": {}}}
        llm.bind_tools([weather, clock, Person, SCHEMA, TOOL, anthropic]).invoke("x")
        names = [each["function"]["name"] for each in emulator.requests[-1].json["tools"]]
        assert names == ["weather", "clock", "Person", "Person", "Person", "pick"]
        llm.invoke("x", tools=[weather, clock], tool_choice="any")
        assert emulator.requests[-1].json["tool_choice"] == "required"

    def test_agents_pass_a_response_format(self, llm: ChatTogether, emulator: Emulator) -> None:
        llm.bind_tools([], response_format=Person).invoke(QUESTION)
        request = emulator.requests[-1].json["response_format"]["json_schema"]
        assert (request["name"], request["strict"]) == ("Person", True)
        native = {"type": "json_schema", "json_schema": {"name": "P", "schema": SCHEMA}}
        llm.bind_tools([], response_format=native).invoke(QUESTION)
        request = emulator.requests[-1].json["response_format"]["json_schema"]
        assert request["name"] == "P"

    def test_strict_tools(self, llm: ChatTogether) -> None:
        bound: Any = llm.bind_tools([Person], strict=True)
        assert bound.kwargs["tools"][0]["function"]["strict"] is True
