"""Structured output by every method and of every kind of schema, and tools."""

from __future__ import annotations

import json
import re
from enum import Enum, IntEnum
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


OPTIONAL = {"type": "object", "properties": {"name": {"type": "string"}}}
STRICT = {**OPTIONAL, "required": ["name"], "additionalProperties": False}
FUNCTION = {"name": "Person", "parameters": OPTIONAL}


@pytest.mark.parametrize(
    ("schema", "strict", "expected"),
    [
        *((schema, True, (STRICT, True)) for schema in (OPTIONAL, FUNCTION, {"type": "function", "function": FUNCTION})),
        *((schema, None, (OPTIONAL, None)) for schema in (OPTIONAL, FUNCTION)),
        ({"name": "Person", "strict": True, "schema": OPTIONAL}, None, (OPTIONAL, True)),
        ({"name": "Person", "strict": True, "schema": OPTIONAL}, False, (OPTIONAL, False)),
        ({"type": "function", "function": {**FUNCTION, "strict": True}}, None, (OPTIONAL, True)),
    ],
)
def test_strict_formats_of_every_form(schema: Any, strict: bool | None, expected: Any, llm: ChatTogether) -> None:
    """As in langchain-openai: `strict` is applied to the schema, and what a schema says of itself is kept."""
    kwargs = llm.with_structured_output(schema, method="json_schema", strict=strict).first.kwargs  # type: ignore[attr-defined]
    sent = kwargs["response_format"]["json_schema"]
    assert (sent["schema"], sent.get("strict")) == expected


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


class Color(Enum):
    """The color of a thing."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


UNTITLED = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
REFERENCE = {"$ref": "#/$defs/Town", "$defs": {"Town": {**UNTITLED, "title": "A town", "description": "A town."}}}
BRANCHES = {"anyOf": [UNTITLED, {"type": "object", "properties": {"zip": {"type": "string"}}}]}


class TestEnumerations:
    @pytest.mark.parametrize("flavour", ["sync", "async"])
    @pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
    @pytest.mark.parametrize(("schema", "value"), [(Color, "blue"), (Level, 2)])
    async def test_the_value_is_a_member(
        self, schema: Any, value: Any, method: Any, flavour: str, llm: ChatTogether, emulator: Emulator
    ) -> None:
        arguments = json.dumps({"value": value})
        calls = [{"function": {"name": schema.__name__, "arguments": arguments}}]
        emulator.reply({"tool_calls": calls} if method == "function_calling" else arguments, times=3)
        chain = llm.with_structured_output(schema, method=method)
        assert (chain.invoke("x") if flavour == "sync" else await chain.ainvoke("x")) is schema(value)
        *_, last = chain.stream("x") if flavour == "sync" else [item async for item in chain.astream("x")]
        assert last is schema(value)
        raw = llm.with_structured_output(schema, method=method, include_raw=True).invoke("x")
        assert (raw["parsed"], raw["parsing_error"]) == (schema(value), None)

    def test_the_model_chooses_one_of_the_values(self, llm: ChatTogether, emulator: Emulator) -> None:
        assert llm.with_structured_output(Color).invoke("Is the sky blue or green?") in Color
        sent = emulator.requests[-1].json["response_format"]["json_schema"]
        assert (sent["name"], sent["description"]) == ("Color", "The color of a thing.")
        assert sent["schema"]["properties"]["value"]["enum"] == ["red", "blue"]

    def test_what_is_no_member_is_an_error(self, llm: ChatTogether, emulator: Emulator) -> None:
        emulator.reply('{"value": "green"}')
        with pytest.raises(OutputParserException, match="green"):
            llm.with_structured_output(Color, method="json_schema").invoke("x")

    def test_tools(self, llm: ChatTogether) -> None:
        bound: Any = llm.bind_tools([Color, Level], tool_choice="Color")
        values = {
            tool["function"]["name"]: tool["function"]["parameters"]["properties"]["value"] for tool in bound.kwargs["tools"]
        }
        assert {name: value["enum"] for name, value in values.items()} == {"Color": ["red", "blue"], "Level": [1, 2]}


class TestSchemasWithoutTitle:
    @pytest.mark.parametrize(("schema", "name"), [(UNTITLED, "answer"), (REFERENCE, "A_town"), (BRANCHES, "answer")])
    def test_they_get_a_name(self, schema: dict[str, Any], name: str, llm: ChatTogether) -> None:
        bound: Any = llm.bind_tools([schema], tool_choice=name)
        function = bound.kwargs["tools"][0]["function"]
        assert (function["name"], function["parameters"]["type"]) == (name, "object")
        assert function.get("description") == ("A town." if schema is REFERENCE else None)
        assert function["parameters"].get("anyOf") == schema.get("anyOf")
        params: Any = llm.with_structured_output(schema, method="json_schema", strict=True).steps[0].kwargs  # type: ignore[attr-defined]
        answer = params["response_format"]["json_schema"]
        assert (answer["name"], answer["strict"]) == (name, True)
        assert schema is BRANCHES or answer["schema"]["additionalProperties"] is False

    @pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
    def test_values(self, method: Any, llm: ChatTogether, emulator: Emulator) -> None:
        arguments = '{"city": "Oslo"}'
        calls = [{"function": {"name": "answer", "arguments": arguments}}]
        emulator.reply({"tool_calls": calls} if method == "function_calling" else arguments)
        assert llm.with_structured_output(UNTITLED, method=method).invoke("x") == {"city": "Oslo"}

    def test_a_schema_keeps_all_that_it_says(self, llm: ChatTogether) -> None:
        """langchain-core drops the parameters of a schema with a title where it has no properties."""
        bound: Any = llm.bind_tools([{"title": "Place", **BRANCHES}])
        assert bound.kwargs["tools"][0]["function"]["parameters"]["anyOf"] == BRANCHES["anyOf"]

    def test_two_of_them_are_refused(self, llm: ChatTogether) -> None:
        with pytest.raises(ValueError, match="give each a 'title'"):
            llm.bind_tools([UNTITLED, BRANCHES])

    @pytest.mark.parametrize("schema", [{"enum": ["a"]}, {"type": "array", "items": UNTITLED}])
    def test_only_objects_are_parameters(self, schema: dict[str, Any], llm: ChatTogether) -> None:
        with pytest.raises(ValueError, match="must be an object"):
            llm.bind_tools([schema])


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
