"""Tools and tool choices in the layouts of other providers, in both frameworks."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_core.tools import Tool, tool
from langchain_together_adapters import ChatTogether
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index_together_adapters import TogetherLLM

from tests.conftest import KEY
from together_adapters.adapters.tool_definitions import complete_schema
from together_adapters.emulator import Emulator

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": "Get the weather.", "parameters": CITY}
TEXTS = {"name": "weather", "description": "Get the weather."}


@cache
def langchain_model(url: str) -> Any:
    return ChatTogether(api_key=KEY, base_url=url)  # type: ignore[arg-type]


@cache
def llama_index_model(url: str) -> Any:
    return TogetherLLM(api_key=KEY, api_base=url)


def langchain(emulator: Emulator, tools: Any, choice: Any = None) -> Any:
    langchain_model(emulator.base_url).bind_tools(tools, tool_choice=choice).invoke("What is the weather in Paris?")
    return emulator.requests[-1].json


def llama_index(emulator: Emulator, tools: Any, choice: Any = None) -> Any:
    llama_index_model(emulator.base_url).chat_with_tools(tools, "What is the weather in Paris?", tool_choice=choice)
    return emulator.requests[-1].json


def llama_index_chat(emulator: Emulator, tools: Any, choice: Any = None) -> Any:
    llama_index_model(emulator.base_url).chat([ChatMessage("The weather?")], tools=tools, tool_choice=choice)
    return emulator.requests[-1].json


every_framework = pytest.mark.parametrize("send", [langchain, llama_index, llama_index_chat])

LAYOUTS: list[Any] = [
    {"type": "function", "function": FUNCTION},
    {"type": "function", **FUNCTION, "strict": None},
    FUNCTION,
    {**TEXTS, "input_schema": CITY, "cache_control": {"type": "ephemeral"}},
    {"type": "custom", **TEXTS, "input_schema": CITY},
    {"toolSpec": {**TEXTS, "inputSchema": {"json": CITY}}},
    {"function_declarations": [FUNCTION]},
    {"functionDeclarations": [{**TEXTS, "parametersJsonSchema": CITY}]},
    {"function_declarations": [{**TEXTS, "parameters": {**CITY, "type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]},
    {**TEXTS, "inputSchema": CITY, "title": "Weather", "annotations": {"readOnlyHint": True}},
    SimpleNamespace(**TEXTS, inputSchema=CITY, annotations=None),
]


@every_framework
def test_layouts_of_tools(send: Any, emulator: Emulator) -> None:
    for layout in LAYOUTS:
        assert send(emulator, [layout])["tools"] == [{"type": "function", "function": FUNCTION}], layout


@every_framework
def test_several_tools_in_one_declaration(send: Any, emulator: Emulator) -> None:
    tools = [{"function_declarations": [FUNCTION, {"name": "time"}]}, {"cachePoint": {"type": "default"}}]
    sent = send(emulator, tools)["tools"]
    assert [one["function"]["name"] for one in sent] == ["weather", "time"]
    assert sent[1]["function"]["parameters"] == {"type": "object", "properties": {}}


BUILT_IN: list[tuple[Any, str]] = [
    ({"type": "web_search_20250305", "name": "web_search"}, "web_search_20250305"),
    ({"type": "bash_20250124", "name": "bash"}, "bash_20250124"),
    ({"type": "web_search_preview"}, "web_search_preview"),
    ({"type": "file_search", "vector_store_ids": ["v"]}, "file_search"),
    ({"type": "mcp", "server_label": "s", "server_url": "https://x"}, "mcp"),
    ({"type": "custom", "name": "sql", "format": {"type": "grammar"}}, "custom"),
    ({"google_search": {}}, "google_search"),
    ({"code_execution": {}}, "code_execution"),
    ({"systemTool": {"name": "nova_grounding"}}, "systemTool"),
    ({"function_declarations": [FUNCTION, {"google_search": {}}]}, "google_search"),
]


@every_framework
def test_tools_that_another_provider_runs(send: Any, emulator: Emulator) -> None:
    for built_in, name in BUILT_IN:
        with pytest.raises(ValueError, match=f"the tool '{name}' is a built-in tool"):
            send(emulator, [FUNCTION, built_in])
    assert emulator.requests == []


@every_framework
def test_without_tools_nothing_is_sent(send: Any, emulator: Emulator) -> None:
    for choice in (None, "auto", "any", True, "none"):
        assert not {"tools", "tool_choice"} & send(emulator, [], choice).keys()


def test_parallel_calls_without_tools(emulator: Emulator) -> None:
    langchain_model(emulator.base_url).bind_tools([], parallel_tool_calls=False).invoke("Hi")
    assert "parallel_tool_calls" not in emulator.requests[-1].json


NAMED = {"type": "function", "function": {"name": "weather"}}


CHOICES: list[tuple[Any, Any]] = [
    ("auto", "auto"),
    ("none", "none"),
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    ("weather", NAMED),
    (NAMED, NAMED),
    ({"type": "function", "name": "weather"}, NAMED),
    ({"type": "tool", "name": "weather"}, NAMED),
    ({"name": "weather"}, NAMED),
    ({"tool": {"name": "weather"}}, NAMED),
    ({"type": "any"}, "required"),
    ({"type": "auto"}, "auto"),
    ({"any": {}}, "required"),
    ({"auto": {}}, "auto"),
    ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}, NAMED),
    ({"function_calling_config": {"mode": "ANY", "allowed_function_names": ["weather"]}}, NAMED),
    ({"functionCallingConfig": {"mode": "NONE"}}, "none"),
]


@every_framework
def test_layouts_of_choices(send: Any, emulator: Emulator) -> None:
    for choice, sent in CHOICES:
        request = send(emulator, [FUNCTION, {"name": "time"}], choice)
        assert request["tool_choice"] == sent, choice
        assert len(request["tools"]) == 2


@every_framework
def test_allowed_tools_are_the_tools_that_are_sent(send: Any, emulator: Emulator) -> None:
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]}
    request = send(emulator, [FUNCTION, {"name": "time"}], {"type": "allowed_tools", "allowed_tools": allowed})
    assert (request["tool_choice"], [one["function"]["name"] for one in request["tools"]]) == ("auto", ["weather"])
    two = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": name} for name in ("weather", "time")],
    }
    request = send(emulator, [FUNCTION, {"name": "time"}, {"name": "news"}], two)
    assert (request["tool_choice"], [one["function"]["name"] for one in request["tools"]]) == ("required", ["weather", "time"])


@every_framework
def test_choices_that_cannot_be_expressed(send: Any, emulator: Emulator) -> None:
    for choice in [
        "news",
        {"type": "tool", "name": "news"},
        {"type": "web_search_preview"},
        {"type": "mcp", "server_label": "s"},
        7,
    ]:
        with pytest.raises(ValueError, match="tool_choice"):
            send(emulator, [FUNCTION], choice)
    assert emulator.requests == []


@every_framework
def test_one_call_at_a_time(send: Any, emulator: Emulator) -> None:
    request = send(emulator, [FUNCTION], {"type": "auto", "disable_parallel_tool_use": True})
    assert (request["tool_choice"], request["parallel_tool_calls"]) == ("auto", False)


class Node(BaseModel):
    """A tree."""

    name: str
    children: list[Node] = []


EMPTY = {"type": "object", "properties": {}}
SCHEMAS: list[tuple[Any, Any]] = [
    (None, EMPTY),
    ({}, EMPTY),
    ({"type": "object"}, EMPTY),
    ({"type": None, "properties": None, "required": None}, EMPTY),
    ({"properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"a": {"type": "string"}}}),
    ({"type": ["object", "null"], "properties": {"a": None, "b": True}}, {"type": "object", "properties": {"a": {}, "b": {}}}),
    (
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
    ),
    ({"$ref": "#/$defs/Missing"}, EMPTY),
    ({"$ref": "#"}, EMPTY),
]


@every_framework
def test_schemas_are_completed(send: Any, emulator: Emulator) -> None:
    for schema, sent in SCHEMAS:
        function = {"name": "f", "parameters": schema}
        for layout in (function, {"type": "function", "function": function}):
            assert send(emulator, [layout])["tools"][0]["function"]["parameters"] == sent, schema


def test_a_schema_that_refers_to_itself(emulator: Emulator) -> None:
    def plant(tree: Node) -> str:
        """Plant a tree."""
        return tree.name

    sent = llama_index(emulator, [FunctionTool.from_defaults(plant, fn_schema=Node)])["tools"][0]["function"]["parameters"]
    assert sent["properties"].keys() == {"name", "children"}
    assert "Node" in sent["$defs"]
    for described in (Node, tool(args_schema=Node)(plant)):
        sent = langchain(emulator, [described])["tools"][0]["function"]["parameters"]
        assert sent["properties"].keys() == {"name", "children"}


@pytest.mark.parametrize("schema", [{"type": "string"}, "text", [1]], ids=str)
def test_parameters_that_are_no_object(schema: Any) -> None:
    with pytest.raises(ValueError, match="the tool 'f'"):
        complete_schema(schema, "f")


def test_a_tool_without_a_name(emulator: Emulator) -> None:
    for send in (langchain, llama_index):
        with pytest.raises(ValueError, match="no name"):
            send(emulator, [{"type": "function", "function": {"parameters": CITY}}])
    custom = Tool(name="sql", func=str, description="d", metadata={"type": "custom_tool"})
    with pytest.raises(ValueError, match="'custom' is a built-in tool"):
        langchain(emulator, [custom])


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output_of_a_tool(method: Any, emulator: Emulator) -> None:
    model = langchain_model(emulator.base_url)
    for layout in LAYOUTS[1:6]:
        value = model.with_structured_output(layout, method=method).invoke("The city is Paris.")
        assert value.keys() == {"city"}
        request = emulator.requests[-1].json
        sent = request["tools"][0]["function"] if method == "function_calling" else request["response_format"]["json_schema"]
        assert sent["name"] == "weather"
