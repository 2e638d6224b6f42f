"""The vendor's SDKs and OpenAI's work with the emulator: chats, completions, embeddings, rerank."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

COMMON = """
import asyncio, json, os
CHAT, THINKS, EMBEDS, RANKS = ("deepseek-ai/DeepSeek-V4.1-Flash", "deepseek-ai/DeepSeek-R1",
                               "BAAI/bge-large-en-v1.5", "Salesforce/Llama-Rank-V1")
HELLO = [{"role": "user", "content": "Say hello to Ann."}]
WEATHER = [{"role": "user", "content": "What is the weather in Oslo?"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Get the weather in a city.",
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
ABOUT = [{"role": "user", "content": "Ann is 30 years old. Give her name and age as JSON."}]

def answered(tool_calls, messages=WEATHER):
    call = tool_calls[0]
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Oslo"}, call
    said = {"role": "assistant", "content": None, "tool_calls": [{"id": call.id, "type": "function", "index": 0,
            "function": {"name": call.function.name, "arguments": call.function.arguments}}]}
    return [*messages, said, {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"celsius": 4})}]

def joined(chunks):
    text, calls, finish, usage = "", {}, None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for part in getattr(choice.delta, "tool_calls", None) or []:
                part = part if isinstance(part, dict) else part.model_dump()
                known = calls.setdefault(part["index"], {"name": "", "arguments": ""})
                known["name"] += (part.get("function") or {}).get("name") or ""
                known["arguments"] += (part.get("function") or {}).get("arguments") or ""
    return text, calls, getattr(finish, "value", finish), usage

def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")
"""

TOGETHER_3 = (
    COMMON
    + """
from together import AsyncTogether, AuthenticationError, NotFoundError, BadRequestError, RateLimitError, Together
client = Together(api_key="k", base_url=os.environ["ROOT"])
chat = client.chat.completions

one = chat.create(model=CHAT, messages=HELLO, max_tokens=50, temperature=0, seed=1, stop=["zzz"], logprobs=1, echo=True)
assert one.choices[0].message.content == "Hello to Ann." and one.choices[0].finish_reason == "stop"
assert one.usage.total_tokens == one.usage.prompt_tokens + one.usage.completion_tokens and one.prompt[0].text
assert one.choices[0].logprobs.tokens and len(chat.create(model=CHAT, messages=HELLO, n=3).choices) == 3
text, _, finish, usage = joined(chat.create(model=CHAT, messages=HELLO, stream=True))
assert (text, finish) == ("Hello to Ann.", "stop") and usage.total_tokens
asked = chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, tool_choice="auto")
assert asked.choices[0].finish_reason == "tool_calls"
assert "4" in chat.create(model=CHAT, messages=answered(asked.choices[0].message.tool_calls), tools=TOOLS).choices[0].message.content
_, calls, finish, _ = joined(chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, stream=True))
assert finish == "tool_calls" and calls[0]["name"] == "get_weather" and json.loads(calls[0]["arguments"]) == {"city": "Oslo"}
assert json.loads(chat.create(model=CHAT, messages=ABOUT, response_format=FORMAT).choices[0].message.content) == {"name": "Ann", "age": 30}
assert json.loads(chat.create(model=CHAT, messages=ABOUT, response_format={"type": "json_object"}).choices[0].message.content)
thought = chat.create(model=THINKS, messages=HELLO).choices[0].message
assert thought.content

written = client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8, logprobs=1, echo=True)
assert written.choices[0].text and written.prompt[0].text == "One, two,"
parts = [chunk.choices[0].delta.content if chunk.choices[0].delta else chunk.choices[0].text
         for chunk in client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8, stream=True)]
assert "".join(part or "" for part in parts) == written.choices[0].text

made = client.embeddings.create(model=EMBEDS, input=["a cat", "a dog"])
assert [one.index for one in made.data] == [0, 1] and len(made.data[0].embedding) == 1024
ranked = client.rerank.create(model=RANKS, query="camels in Peru", documents=[{"title": "Panda", "text": "China"},
    {"title": "Llama", "text": "camels of Peru"}], top_n=1, return_documents=True, rank_fields=["title", "text"])
assert ranked.results[0].index == 1 and json.loads(ranked.results[0].document.text)["title"] == "Llama"

raises(AuthenticationError, lambda: Together(api_key="bad", base_url=os.environ["ROOT"]).models.list_supported())
error = raises(NotFoundError, lambda: chat.create(model="does-not-exist", messages=HELLO))
assert error.body["error"]["code"] == "model_not_available" if "error" in error.body else error.body["code"] == "model_not_available"
raises(BadRequestError, lambda: chat.create(model=CHAT, messages=[], max_tokens=5))
raises(BadRequestError, lambda: client.rerank.create(model=RANKS, query="q", documents=[]))
fault = {"x-emulator-fault": "429"}
raises(RateLimitError, lambda: client.with_options(max_retries=0).chat.completions.create(model=CHAT, messages=HELLO, extra_headers=fault))

async def later():
    async with AsyncTogether(api_key="k", base_url=os.environ["ROOT"]) as client:
        assert (await client.chat.completions.create(model=CHAT, messages=HELLO)).choices[0].message.content == "Hello to Ann."
        stream = await client.chat.completions.create(model=CHAT, messages=HELLO, stream=True)
        assert joined([chunk async for chunk in stream])[0] == "Hello to Ann."
        assert (await client.completions.create(model=CHAT, prompt="One, two,")).choices[0].text
        assert len((await client.embeddings.create(model=EMBEDS, input="a cat")).data) == 1
        assert len((await client.rerank.create(model=RANKS, query="q", documents=["a", "q"])).results) == 2
asyncio.run(later())
"""
)

TOGETHER_1 = (
    COMMON
    + """
from together import AsyncTogether, Together, error
client = Together(api_key="k", base_url=os.environ["BASE"])
chat = client.chat.completions

one = chat.create(model=CHAT, messages=HELLO, max_tokens=50, temperature=0, seed=1, stop=["zzz"], logprobs=1, echo=True)
assert one.choices[0].message.content == "Hello to Ann." and one.choices[0].finish_reason.value == "stop"
assert one.usage.total_tokens and one.prompt[0].text and one.choices[0].logprobs.tokens
assert len(chat.create(model=CHAT, messages=HELLO, n=3).choices) == 3
text, _, finish, usage = joined(chat.create(model=CHAT, messages=HELLO, stream=True))
assert (text, finish) == ("Hello to Ann.", "stop") and usage.total_tokens
asked = chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, tool_choice="auto")
assert asked.choices[0].finish_reason.value == "tool_calls"
assert "4" in chat.create(model=CHAT, messages=answered(asked.choices[0].message.tool_calls), tools=TOOLS).choices[0].message.content
_, calls, finish, _ = joined(chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, stream=True))
assert finish == "tool_calls" and calls[0]["name"] == "get_weather" and json.loads(calls[0]["arguments"]) == {"city": "Oslo"}
for format in (FORMAT, {"type": "json_schema", "schema": SCHEMA}, {"type": "json_object", "schema": SCHEMA}):
    assert json.loads(chat.create(model=CHAT, messages=ABOUT, response_format=format).choices[0].message.content) == {"name": "Ann", "age": 30}
assert chat.create(model=THINKS, messages=HELLO).choices[0].message.content

written = client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8, logprobs=1, echo=True)
assert written.choices[0].text and written.prompt[0].text == "One, two,"
parts = [chunk.choices[0].delta.content for chunk in client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8, stream=True)]
assert "".join(parts) == written.choices[0].text
made = client.embeddings.create(model=EMBEDS, input=["a cat", "a dog"])
assert [one.index for one in made.data] == [0, 1] and len(made.data[0].embedding) == 1024
ranked = client.rerank.create(model=RANKS, query="camels in Peru", documents=[{"title": "Panda", "text": "China"},
    {"title": "Llama", "text": "camels of Peru"}], top_n=1, return_documents=True, rank_fields=["title", "text"])
assert ranked.results[0].index == 1 and json.loads(ranked.results[0].document["text"])["title"] == "Llama"

raises(error.AuthenticationError, lambda: Together(api_key="bad", base_url=os.environ["BASE"]).models.list())
raises(error.InvalidRequestError, lambda: chat.create(model="does-not-exist", messages=HELLO))
raises(error.InvalidRequestError, lambda: client.rerank.create(model=RANKS, query="q", documents=[]))

async def later():
    client = AsyncTogether(api_key="k", base_url=os.environ["BASE"])
    assert (await client.chat.completions.create(model=CHAT, messages=HELLO)).choices[0].message.content == "Hello to Ann."
    stream = await client.chat.completions.create(model=CHAT, messages=HELLO, stream=True)
    assert joined([chunk async for chunk in stream])[0] == "Hello to Ann."
    assert (await client.completions.create(model=CHAT, prompt="One, two,")).choices[0].text
    assert len((await client.embeddings.create(model=EMBEDS, input="a cat")).data) == 1
    assert len((await client.rerank.create(model=RANKS, query="q", documents=["a", "q"])).results) == 2
asyncio.run(later())
"""
)

OPENAI = (
    COMMON
    + """
from openai import AsyncOpenAI, AuthenticationError, BadRequestError, NotFoundError, OpenAI, RateLimitError
from pydantic import BaseModel
client = OpenAI(api_key="k", base_url=os.environ["BASE"])
chat = client.chat.completions

one = chat.create(model=CHAT, messages=HELLO, max_tokens=50, temperature=0, seed=1, stop="zzz")
assert one.choices[0].message.content == "Hello to Ann." and one.choices[0].finish_reason == "stop" and one.usage.total_tokens
assert len(chat.create(model=CHAT, messages=HELLO, n=3).choices) == 3
stream = chat.create(model=CHAT, messages=HELLO, stream=True, stream_options={"include_usage": True})
text, _, finish, usage = joined(stream)
assert (text, finish) == ("Hello to Ann.", "stop") and usage.total_tokens
asked = chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False)
assert asked.choices[0].finish_reason == "tool_calls"
assert "4" in chat.create(model=CHAT, messages=answered(asked.choices[0].message.tool_calls), tools=TOOLS).choices[0].message.content
_, calls, finish, _ = joined(chat.create(model=CHAT, messages=WEATHER, tools=TOOLS, stream=True))
assert finish == "tool_calls" and json.loads(calls[0]["arguments"]) == {"city": "Oslo"}
class Person(BaseModel):
    name: str
    age: int
assert chat.parse(model=CHAT, messages=ABOUT, response_format=Person).choices[0].message.parsed == Person(name="Ann", age=30)
with chat.stream(model=CHAT, messages=HELLO) as events:
    assert events.get_final_completion().choices[0].message.content == "Hello to Ann."
scored = chat.create(model="openai/gpt-oss-120b", messages=HELLO, logprobs=True, top_logprobs=2).choices[0].logprobs.content
assert scored[0].token and len(scored[0].top_logprobs) == 2

assert client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8).choices[0].text
assert "".join(part.choices[0].text for part in client.completions.create(model=CHAT, prompt="One, two,", max_tokens=8, stream=True))
made = client.embeddings.create(model=EMBEDS, input=["a cat", "a dog"])  # requests base64
plain = client.embeddings.create(model=EMBEDS, input=["a cat", "a dog"], encoding_format="float")
assert len(made.data[1].embedding) == 1024
assert max(abs(a - b) for a, b in zip(made.data[1].embedding, plain.data[1].embedding)) < 1e-6
# The list of models is a bare array, which this SDK cannot parse; the request succeeds all the same.
assert CHAT in [one["id"] for one in client.models.with_raw_response.list().http_response.json()]

raises(AuthenticationError, lambda: OpenAI(api_key="bad", base_url=os.environ["BASE"]).models.list())
assert raises(NotFoundError, lambda: chat.create(model="does-not-exist", messages=HELLO)).code == "model_not_available"
raises(BadRequestError, lambda: client.embeddings.create(model=EMBEDS, input=["a"], dimensions=5))
fault = {"x-emulator-fault": "429"}
raises(RateLimitError, lambda: client.with_options(max_retries=0).chat.completions.create(model=CHAT, messages=HELLO, extra_headers=fault))

async def later():
    async with AsyncOpenAI(api_key="k", base_url=os.environ["BASE"]) as client:
        assert (await client.chat.completions.create(model=CHAT, messages=HELLO)).choices[0].message.content == "Hello to Ann."
        stream = await client.chat.completions.create(model=CHAT, messages=HELLO, stream=True)
        assert joined([chunk async for chunk in stream])[0] == "Hello to Ann."
        assert len((await client.embeddings.create(model=EMBEDS, input="a cat")).data) == 1
asyncio.run(later())
"""
)


@pytest.fixture
def emulator(emulator: Emulator) -> Iterator[Emulator]:
    """The emulator as users have it: it refuses names that no model has."""
    with emulator.behave(any_model=False):
        yield emulator


def test_together_3(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("together", "3", "TOGETHER_SDK_PYTHON_3"), TOGETHER_3, emulator, tmp_path)


def test_together_1(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("together", "1", "TOGETHER_SDK_PYTHON_1"), TOGETHER_1, emulator, tmp_path)


def test_openai(emulator: Emulator, tmp_path: Path) -> None:
    drive(python_with("openai", "", "OPENAI_SDK_PYTHON"), OPENAI, emulator, tmp_path)
