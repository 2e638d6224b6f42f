"""Classes as response formats and functions as tools of the plain client."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from tests.conftest import Flavour
from together_adapters.emulator import Emulator
from together_adapters.resources.python_types.schemas import response_format, tools_of

MODEL = "openai/gpt-oss-120b"
QUESTION = [{"role": "user", "content": "Ann is 34 years old."}]


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0)


@dataclass
class Place:
    city: str
    tags: list[str]


class Row(TypedDict):
    key: str
    value: float


class Search(BaseModel):
    """Searches the web."""

    query: str = Field(description="What to look for.")


def weather(city: str, unit: Literal["c", "f"] = "c", days: int | None = None) -> str:
    """Gets the weather.

    It knows every city.

    Args:
        city: The name of the city,
            as people call it.
        unit (str): The scale.

    Returns:
        A sentence.
    """
    return f"{city} {unit} {days}"


def ask(flavour: Flavour, **params: Any) -> Any:
    return flavour.run(flavour.client().chat.completions.create(model=MODEL, messages=QUESTION, **params))


@pytest.mark.parametrize(
    ("kind", "reply", "expected"),
    [
        (Person, {"name": "Ann", "age": 34}, Person(name="Ann", age=34)),
        (Place, {"city": "Rome", "tags": ["old"]}, Place("Rome", ["old"])),
        (Row, {"key": "a", "value": 1.5}, {"key": "a", "value": 1.5}),
        (list[Person], [{"name": "Ann", "age": 34}], [Person(name="Ann", age=34)]),
    ],
    ids=["model", "dataclass", "TypedDict", "list"],
)
def test_an_answer_is_an_object(kind: Any, reply: Any, expected: Any, flavour: Flavour, emulator: Emulator) -> None:
    emulator.reply({"content": json.dumps(reply)})
    answer = ask(flavour, response_format=kind)
    assert answer.parsed == expected and type(answer.parsed) is type(expected)
    sent = emulator.requests[-1].json["response_format"]
    assert sent == response_format(kind)
    assert sent["type"] == "json_schema" and set(sent["json_schema"]) == {"name", "schema"}
    assert answer.model_dump() == type(answer).model_validate_json(answer.model_dump_json()).model_dump()


def test_the_emulator_fills_the_class(flavour: Flavour) -> None:
    assert ask(flavour, response_format=Person).parsed == Person(name="Ann", age=34)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            {"content": '{"name": "Ann", "age": -1}'},
            "the answer is no Person: age: Input should be greater than or equal to 0; it is",
        ),
        ({"content": '{"name": "An', "finish_reason": "length"}, "the answer is no Person: Invalid JSON.*raise max_tokens"),
        ({"content": ""}, "the answer is no Person: Invalid JSON"),
        ({"refusal": "I may not."}, "the model refused: I may not."),
    ],
    ids=["invalid", "cut", "empty", "refused"],
)
def test_an_answer_that_is_no_object(reply: Any, message: str, flavour: Flavour, emulator: Emulator) -> None:
    emulator.reply(reply)
    answer = ask(flavour, response_format=Person)
    with pytest.raises(ValueError, match=message):
        _ = answer.parsed


def test_nothing_is_parsed_without_a_class(flavour: Flavour) -> None:
    assert ask(flavour).parsed is None
    assert ask(flavour, response_format={"type": "json_object"}).parsed is None


def test_functions_and_classes_are_tools(flavour: Flavour, emulator: Emulator) -> None:
    plain = {"type": "function", "function": {"name": "plain", "parameters": {"type": "object", "properties": {}}}}
    emulator.reply({"tool_calls": [("weather", {"city": "Rome"})]})
    message = ask(flavour, tools=[weather, Search, plain]).choices[0].message
    assert weather(**json.loads(message.tool_calls[0].function.arguments)) == "Rome c None"
    first, second, third = emulator.requests[-1].json["tools"]
    assert third == plain
    assert first["function"]["name"] == "weather"
    assert first["function"]["description"] == "Gets the weather.\n\nIt knows every city."
    parameters = first["function"]["parameters"]
    assert parameters["required"] == ["city"]
    assert parameters["properties"]["city"] == {
        "title": "City",
        "type": "string",
        "description": "The name of the city, as people call it.",
    }
    assert parameters["properties"]["unit"]["description"] == "The scale."
    assert parameters["properties"]["unit"]["enum"] == ["c", "f"]
    assert second["function"] == {
        "name": "Search",
        "description": "Searches the web.",
        "parameters": {
            "type": "object",
            "title": "Search",
            "properties": {"query": {"title": "Query", "type": "string", "description": "What to look for."}},
            "required": ["query"],
        },
    }


def test_a_declaration_is_not_changed_by_its_use() -> None:
    tools_of([weather])[0]["function"]["parameters"]["properties"].clear()
    assert tools_of([weather])[0]["function"]["parameters"]["properties"]


def test_a_method_is_a_tool_without_self() -> None:
    class Shop:
        def price(self, item: str) -> float:
            """Says a price."""
            return len(item)

    assert list(tools_of([Shop().price])[0]["function"]["parameters"]["properties"]) == ["item"]


def many(*args: int) -> None: ...


def opaque(value: Callable[[], object] | OSError) -> None: ...


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"response_format": 5}, "response_format= takes a dictionary or a class, not 5"),
        ({"response_format": OSError}, "response_format=<class 'OSError'> has no JSON schema"),
        ({"tools": [many]}, "the tool 'many' must have parameters with names"),
        ({"tools": [opaque]}, "the tool 'opaque' has no JSON schema"),
    ],
)
def test_what_has_no_schema_is_a_type_error(params: Any, message: str, flavour: Flavour, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match=message):
        ask(flavour, **params)
    assert emulator.requests == []
