"""Programs written for `langchain-together`, which send the same here when nothing but the import is changed.

`LANGCHAIN_PEER=langchain_together` runs them on that package, where they pass as well. What differs on purpose is struck out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel

from together_adapters.emulator import Emulator

package = import_module(os.environ.get("LANGCHAIN_PEER", "langchain_together_adapters"))
KEY = "sk-of-a-mover-0123456789"
MODEL = "moonshotai/Kimi-K3"
BGE = "BAAI/bge-base-en-v1.5"
IGNORED_FIELDS = ("stream_options", "parallel_tool_calls", "encoding_format")
"""Streams request usage; undocumented switches are not sent; vectors are requested as numbers."""


class Person(BaseModel):
    """A person."""

    name: str


def weather(city: str) -> str:
    """Get the weather of a city."""
    return city


CITY = {"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Get the weather of a city.", "parameters": CITY}}
NAME = {"properties": {"name": {"type": "string"}}, "required": ["name"], "type": "object"}
PERSON = {"type": "function", "function": {"name": "Person", "description": "A person.", "parameters": NAME}}
HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Rain?", name="ann"),
    AIMessage("", tool_calls=[{"name": "weather", "args": {"city": "Paris"}, "id": "1"}]),
    ToolMessage("Yes.", tool_call_id="1"),
    HumanMessage([{"type": "text", "text": "And here?"}, {"type": "image", "base64": "aGk=", "mime_type": "image/png"}]),
]
CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
CASES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Rain?", "name": "ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "Yes.", "tool_call_id": "1"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "And here?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        ],
    },
]
FIELDS: dict[str, Any] = {
    "temperature": 0.5, "max_tokens": 9, "top_p": 0.9, "stop": ["END"], "seed": 3, "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
}  # fmt: skip
LLM_FIELDS: dict[str, Any] = {"temperature": 0.5, "max_tokens": 9, "top_p": 0.9, "top_k": 5, "repetition_penalty": 1.1}


def chat(url: str, **fields: Any) -> Any:
    return package.ChatTogether(model=MODEL, together_api_key=KEY, together_api_base=url, **fields)


def user_messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


PROGRAMS: dict[str, tuple[Callable[[str], Any], dict[str, Any]]] = {
    "fields": (
        lambda url: chat(url, **FIELDS, extra_body={"top_k": 4}).invoke("Hi"),
        {"messages": user_messages("Hi"), **FIELDS, "top_k": 4},
    ),
    "aliases": (
        lambda url: package.ChatTogether(
            model_name=MODEL, api_key=KEY, base_url=url, timeout=5, max_retries=1, stop_sequences=["A"]
        ).invoke("Hi"),
        {"messages": user_messages("Hi"), "stop": ["A"]},
    ),
    "conversation": (lambda url: chat(url).invoke(HISTORY), {"messages": CASES}),
    "stream": (
        lambda url: list(chat(url).stream("Hi", stop=["B"])),
        {"messages": user_messages("Hi"), "stop": ["B"], "stream": True},
    ),
    "tools": (lambda url: chat(url).bind_tools([weather]).invoke("Hi"), {"messages": user_messages("Hi"), "tools": [WEATHER]}),
    "any tool": (
        lambda url: chat(url).bind_tools([weather], tool_choice="any").invoke("Hi"),
        {"messages": user_messages("Hi"), "tools": [WEATHER], "tool_choice": "required"},
    ),
    "one tool": (
        lambda url: chat(url).bind_tools([weather], tool_choice="weather").invoke("Hi"),
        {
            "messages": user_messages("Hi"),
            "tools": [WEATHER],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
        },
    ),
    "form": (
        lambda url: chat(url).with_structured_output(Person, method="function_calling").invoke("Ann"),
        {
            "messages": user_messages("Ann"),
            "tools": [PERSON],
            "tool_choice": {"type": "function", "function": {"name": "Person"}},
        },
    ),
    "json": (
        lambda url: chat(url).with_structured_output(None, method="json_mode").invoke("Ann as JSON"),
        {"messages": user_messages("Ann as JSON"), "response_format": {"type": "json_object"}},
    ),
    "embedding": (
        lambda url: package.TogetherEmbeddings(
            model=BGE, together_api_key=KEY, together_api_base=url, request_timeout=3, chunk_size=7, show_progress_bar=False
        ).embed_query("Hi"),
        {"model": BGE, "input": ["Hi"]},
    ),
    "completion": (
        lambda url: package.Together(model=MODEL, together_api_key=KEY, base_url=f"{url}/completions", **LLM_FIELDS).invoke(
            "Hi", stop=["C"]
        ),
        {"prompt": "Hi", "stop": ["C"], **LLM_FIELDS},
    ),
}


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """A body without the ignored fields, and with a single text as a list."""
    fields = {
        name: value for name, value in body.items() if name not in IGNORED_FIELDS and not (name == "stream" and value is False)
    }
    return {name: [value] if name in ("stop", "input") and isinstance(value, str) else value for name, value in fields.items()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_is_sent(name: str, emulator: Emulator) -> None:
    program, expected = PROGRAMS[name]
    assert program(emulator.base_url)
    [request] = emulator.requests
    assert comparable(request.json) == {"model": MODEL, **expected}
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_the_environment_has_the_same_effect(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_API_BASE", emulator.base_url)
    assert package.ChatTogether(model=MODEL).invoke("Hi").content
    assert package.TogetherEmbeddings(model=BGE).embed_query("Hi")
    assert [request.path for request in emulator.requests] == ["/v1/chat/completions", "/v1/embeddings"]
    assert {request.headers["authorization"] for request in emulator.requests} == {f"Bearer {KEY}"}


def test_responses_have_the_same_parts(emulator: Emulator) -> None:
    message = chat(emulator.base_url).invoke("Say hello.")
    assert message.content == "Hello."
    assert {"input_tokens", "output_tokens", "total_tokens"} <= message.usage_metadata.keys()
    assert {"token_usage", "model_name", "finish_reason", "id"} <= message.response_metadata.keys()
    message = chat(emulator.base_url).bind_tools([weather], tool_choice="any").invoke("What is the weather in Paris?")
    [call] = message.tool_calls
    assert (call["name"], call["args"], call["type"]) == ("weather", {"city": "Paris"}, "tool_call")
    assert message.response_metadata["finish_reason"] == "tool_calls"
