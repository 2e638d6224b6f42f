"""Tool calls: which tools are called, and with which arguments."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import ADD, INTEGER, MULTIPLY, STRING, WEATHER, Chat, tool

UNIT = {"type": "string", "enum": ["celsius", "fahrenheit"]}
TODAY = tool("get_current_weather", "Get the current weather in a given location", ["location"], location=STRING, unit=UNIT)
TOMORROW = tool("get_tomorrow_weather", "Get tomorrow's weather in a given location", ["location"], location=STRING, unit=UNIT)
MAGIC = tool("magic_function", "Apply a magic function to an input.", input={"type": "integer", "exclusiveMinimum": -1000})
HANDOFF = tool(
    "handoff",
    "Useful for handing off to another agent.\n\nCurrently available agents:\n"
    "{'MathAgent': 'Does arithmetic: adds and multiplies', 'WriterAgent': 'Writes reports'}",
    to_agent=STRING,
    reason=STRING,
)


@pytest.mark.parametrize(
    ("prompt", "tools", "expected"),
    [
        ("What is the value of magic_function(3)? Use the tool.", [MAGIC], [("magic_function", {"input": 3})]),
        ("What's the weather in San Francisco, CA?", [WEATHER], [("get_weather", {"location": "San Francisco, CA"})]),
        (
            "weather in Tokyo, in fahrenheit please",
            [TODAY],
            [("get_current_weather", {"location": "Tokyo", "unit": "fahrenheit"})],
        ),
        ("What is 12 * 7?", [WEATHER, ADD, MULTIPLY], [("multiply", {"a": 12, "b": 7})]),
        ("add 2 and 3", [WEATHER, ADD, MULTIPLY], [("add", {"a": 2, "b": 3})]),
        ("Add 2 and 3 and multiply 4 by 5", [ADD, MULTIPLY], [("add", {"a": 2, "b": 3}), ("multiply", {"a": 4, "b": 5})]),
        (
            "What's the weather today in Boston and what will the weather be tomorrow in Chicago?",
            [TODAY, TOMORROW],
            [("get_current_weather", {"location": "Boston"}), ("get_tomorrow_weather", {"location": "Chicago"})],
        ),
        ("Check the weather. I need the weather in Oslo.", [WEATHER], [("get_weather", {"location": "Oslo"})]),
        ("What time is it?", [tool("current_time", "Tell the time")], [("current_time", {})]),
        (
            "Please add 2 and 3",
            [WEATHER, HANDOFF],
            [("handoff", {"to_agent": "MathAgent", "reason": "Please add 2 and 3"})],
        ),
        ("Hello!", [WEATHER, ADD, MAGIC], []),
        ("Tell me a story", [WEATHER, ADD, MAGIC, HANDOFF], []),
    ],
)
def test_which_tools_are_called(chat: Chat, prompt: str, tools: list[Any], expected: list[Any]) -> None:
    assert chat.calls(prompt, tools=tools) == expected


STOCK = tool("stock", "How many of an item are in stock", item=STRING)
PRICE = tool("price", "The price of an item", ["item"], item=STRING, quantity={"type": "integer", "default": 1})
SEARCH = tool("find_events", "Find events", ["topic"], topic=STRING, limit={"type": "integer", "default": 5})


@pytest.mark.parametrize(
    ("prompt", "called", "arguments"),
    [
        ("How many bolts are in stock?", STOCK, {"item": "bolts"}),
        ("Is the item Bolt in stock?", STOCK, {"item": "Bolt"}),
        ("Can you tell me how many hex nuts we have in stock?", STOCK, {"item": "hex nuts"}),
        ("How many 'wing nuts' are in stock?", STOCK, {"item": "wing nuts"}),
        ("What is the price of 3 bolts?", PRICE, {"item": "bolts", "quantity": 3}),
        ("What is the price of a bolt?", PRICE, {"item": "bolt"}),
        ("I want the price of 7 bolts of the item M6.", PRICE, {"item": "M6", "quantity": 7}),
        ("Find events on gardening in 1984", SEARCH, {"topic": "Find events on gardening in 1984"}),
    ],
)
def test_words_that_ask_are_no_arguments(chat: Chat, prompt: str, called: Any, arguments: dict[str, Any]) -> None:
    assert chat.calls(prompt, tools=[called]) == [(called["function"]["name"], arguments)]


CONVERT = tool("convert", "Convert an amount of money", amount={"type": "number"}, currency=STRING)
CHANGE = tool("convert", "Convert an amount of money", amount={"type": "number"}, from_currency=STRING, to_currency=STRING)


@pytest.mark.parametrize("prompt", ["Convert 20 euros to USD.", "Convert 20 EUR to USD", "convert 20 EUR into USD please"])
def test_name_in_capitals_is_an_argument_before_other_words(chat: Chat, prompt: str) -> None:
    assert chat.calls(prompt, tools=[CONVERT]) == [("convert", {"amount": 20, "currency": "USD"})]


def test_both_names_of_a_conversion(chat: Chat) -> None:
    arguments = {"amount": 20, "from_currency": "EUR", "to_currency": "USD"}
    assert chat.calls("Convert 20 EUR to USD", tools=[CHANGE]) == [("convert", arguments)]


def test_answer_says_that_no_tool_fits(chat: Chat) -> None:
    story = "Tell me a story"
    assert "The tool offered does not share enough words with the request" in chat.text(story, tools=[WEATHER])
    assert "None of the 2 tools offered shares enough words" in chat.text(story, tools=[WEATHER, ADD])
    assert "tool" not in chat.text(story)
    assert "tool" not in chat.text(story, tools=[WEATHER], tool_choice="none")


def test_tool_choice(chat: Chat) -> None:
    named = {"type": "function", "function": {"name": "add"}}
    assert [name for name, _ in chat.calls("Hello!", tools=[WEATHER, ADD], tool_choice=named)] == ["add"]
    assert len(chat.calls("Hello!", tools=[WEATHER, ADD], tool_choice="required")) == 1
    assert chat.calls("weather in Oslo", tools=[WEATHER], tool_choice="none") == []
    for wrong in ({"type": "function", "function": {"name": "other"}}, "sometimes"):
        assert chat.post("hi", tools=[WEATHER], tool_choice=wrong).status_code in (400, 422)


def test_parallel_tool_calls(chat: Chat) -> None:
    assert len(chat.calls("weather in Oslo and in Rome", tools=[WEATHER])) == 2
    assert len(chat.calls("weather in Oslo and in Rome", tools=[WEATHER], parallel_tool_calls=False)) == 1


def test_arguments_keep_non_ascii_text(chat: Chat) -> None:
    customer = tool("create_customer", "Create a customer", customer_name=STRING)
    body = chat.whole("Create a customer named '你好啊集团' (Hello Group).", tools=[customer], tool_choice="required")
    assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"customer_name":"你好啊集团"}'


def test_required_string_is_not_empty(chat: Chat) -> None:
    greeting = tool("greeting", "Generate a greeting in a particular style.", answer_style=STRING)
    assert all(arguments["answer_style"] for _, arguments in chat.calls("hi", tools=[greeting], tool_choice="required"))


def test_tool_results_are_quoted_and_no_tool_is_called_twice(chat: Chat) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "weather in Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Oslo"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "Rain, 7 degrees"},
    ]  # fmt: skip
    assert chat.text(messages, tools=[WEATHER]) == "get_weather says: Rain, 7 degrees."
    assert chat.calls(
        [*messages, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": "and the weather in Rome?"}],
        tools=[WEATHER],
    ) == [("get_weather", {"location": "Rome"})]


def test_integers_stay_integers(chat: Chat) -> None:
    book = tool("book_table", "Book a table in a restaurant", restaurant=STRING, people=INTEGER, outside={"type": "boolean"})
    assert chat.calls("Book a table at 'Chez Nous' for 4 people, not outside", tools=[book]) == [
        ("book_table", {"restaurant": "Chez Nous", "people": 4, "outside": False})
    ]
