"""Streamed tool calls: joined chunks equal the single message, in both adapters and both flavours, however an engine streams them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")

from langchain_together_adapters import ChatTogether
from langchain_together_adapters.chat_stream import EventWriter
from langchain_together_adapters.responses import ParseOptions
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index_together_adapters import TogetherLLM

from together_adapters import AsyncTogether, Together
from together_adapters.adapters.tool_call_deltas import ToolCallAssembler, parse_arguments

pytestmark = pytest.mark.long

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
VALUES = st.none() | st.booleans() | st.integers(-99, 99) | TEXTS | st.lists(st.integers(0, 9), max_size=2)
ARGUMENTS = st.dictionaries(TEXTS, VALUES, max_size=3)

Delta = dict[str, Any]
Call = tuple[str, str, dict[str, Any]]
"""Id, name and arguments; the id is empty where the engine sends none."""


@dataclass(frozen=True)
class Engine:
    """How an engine streams tool calls.

    Attributes:
        index: The index on each delta: the position of the call, always 0, or none.
        id: Which deltas of a call carry its id; `late` is the last one, `fresh` another id on each further delta.
        names: Whether the name comes whole on the first delta, on each delta, or in fragments before the arguments.
        size: Characters of arguments in one delta; None for all of them.
        interleaved: Whether the deltas of all calls alternate.
        chunk_size: Deltas in one chunk.
    """

    index: str
    id: str
    names: str
    size: int | None
    is_interleaved: bool
    chunk_size: int

    def is_decodable(self, calls: list[Call]) -> bool:
        """Whether the deltas determine to which call they belong."""
        has_index, has_id = self.index == "position", self.id in ("first", "each", "fresh")
        if self.is_interleaved and not (has_index or self.id == "each"):
            return False
        if self.names == "fragments" and not (has_index or has_id):
            return False
        return has_index or self.id not in ("late", "fresh")

    def deltas(self, calls: list[Call]) -> list[Delta]:
        """Return the deltas of a message."""
        series = [self._series(position, call) for position, call in enumerate(calls)]
        if not self.is_interleaved:
            return [delta for deltas in series for delta in deltas]
        length = max(map(len, series), default=0)
        return [deltas[step] for step in range(length) for deltas in series if step < len(deltas)]

    def _series(self, position: int, call: Call) -> list[Delta]:
        call_id, name, arguments = call
        text = json.dumps(arguments, ensure_ascii=False)
        size = self.size or len(text)
        parts = [text[start : start + size] for start in range(0, len(text), size)]
        functions: list[dict[str, Any]]
        if self.names == "fragments":
            middle = (len(name) + 1) // 2
            functions = [{"name": part, "arguments": ""} for part in (name[:middle], name[middle:]) if part]
            functions += [{"arguments": part} for part in parts]
        elif self.names == "each":
            functions = [{"name": name, "arguments": part} for part in parts]
        else:
            functions = [{"name": name, "arguments": parts[0]}, *({"arguments": part} for part in parts[1:])]
        deltas: list[Delta] = [{"function": function} for function in functions]
        for number, delta in enumerate(deltas):
            if self.index != "none":
                delta["index"] = position if self.index == "position" else 0
            if call_id and (self.id == "each" or (number == 0 and self.id in ("first", "fresh"))):
                delta |= {"id": call_id, "type": "function"}
            elif self.id == "fresh" and "name" not in delta["function"]:
                delta["id"] = f"{call_id}-{number}"
        if self.id == "late" and call_id:
            deltas[-1]["id"] = call_id
        return deltas


ENGINES = st.builds(
    Engine,
    index=st.sampled_from(["position", "zero", "none"]),
    id=st.sampled_from(["first", "each", "late", "fresh", "none"]),
    names=st.sampled_from(["first", "each", "fragments"]),
    size=st.none() | st.integers(1, 9),
    is_interleaved=st.booleans(),
    chunk_size=st.integers(1, 4),
)


@st.composite
def messages(draw: st.DrawFn) -> tuple[Engine, list[Call]]:
    engine = draw(ENGINES)
    bodies = draw(st.lists(st.tuples(NAMES, ARGUMENTS), min_size=1, max_size=3))
    calls = [(f"call_{n}" if engine.id != "none" else "", name, arguments) for n, (name, arguments) in enumerate(bodies)]
    assume(engine.is_decodable(calls))
    if engine.names == "fragments":  # a fragment that equals the start of the name reads as its repetition
        assume(all(name[: (len(name) + 1) // 2] != name[(len(name) + 1) // 2 :] for _, name, _ in calls))
    return engine, calls


def single(calls: list[Call]) -> dict[str, Any]:
    wire = [
        {"id": call_id or None, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for call_id, name, arguments in calls
    ]
    return response({"message": {"role": "assistant", "content": None, "tool_calls": wire}, "finish_reason": "tool_calls"})


def chunks(deltas: list[Delta], size: int) -> list[dict[str, Any]]:
    parts = [deltas[start : start + size] for start in range(0, len(deltas), size)]
    choices: list[dict[str, Any]] = [{"delta": {"tool_calls": part}, "finish_reason": None} for part in parts]
    return [response(choice) for choice in (*choices, {"delta": {}, "finish_reason": "tool_calls"})]


def response(choice: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "object": "chat.completion", "model": MODEL, "choices": [{"index": 0, **choice}]}


class Service:
    """Both adapters, over a transport whose response is one message: streamed or single."""

    def __init__(self) -> None:
        self.single: dict[str, Any] = {}
        self.chunks: list[dict[str, Any]] = []
        transport = httpx.MockTransport(self._handle)
        sync, asynchronous = httpx.Client(transport=transport), httpx.AsyncClient(transport=transport)
        self.langchain = ChatTogether(model=MODEL, api_key="k", http_client=sync, http_async_client=asynchronous)
        self.llama_index = TogetherLLM(
            MODEL,
            client=Together(api_key="k", http_client=sync),
            async_client=AsyncTogether(api_key="k", http_client=asynchronous),
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        if not json.loads(request.content).get("stream"):
            return httpx.Response(200, json=self.single)
        body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in self.chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=body)


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


def of_langchain(message: Any) -> list[Any]:
    assert message.invalid_tool_calls == []
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls]


def of_llama_index(answer: Any) -> list[Any]:
    blocks = [block for block in answer.message.blocks if isinstance(block, ToolCallBlock)]
    return [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]


def without_generated_ids(calls: list[Any]) -> list[Any]:
    assert all(call_id for call_id, _, _ in calls)
    assert len({call_id for call_id, _, _ in calls}) == len(calls)
    return [(call_id if not call_id.startswith("call_") or len(call_id) < 20 else "", *rest) for call_id, *rest in calls]


@settings(max_examples=150)
@given(message=messages())
async def test_joined_chunks_equal_the_single_message(service: Service, message: tuple[Engine, list[Call]]) -> None:
    engine, calls = message
    service.single, service.chunks = single(calls), chunks(engine.deltas(calls), engine.chunk_size)
    conversation = [ChatMessage("Hi")]
    first, *others = list(service.langchain.stream("Hi"))
    results = [
        of_langchain(first + others),
        of_langchain(service.langchain.invoke("Hi")),
        of_llama_index(list(service.llama_index.stream_chat(conversation))[-1]),
        of_llama_index(service.llama_index.chat(conversation)),
    ]
    first, *others = [chunk async for chunk in service.langchain.astream("Hi")]
    results += [
        of_langchain(first + others),
        of_llama_index([item async for item in await service.llama_index.astream_chat(conversation)][-1]),
    ]
    for result in results:
        assert without_generated_ids(result) == calls


FRAGMENTS = st.sampled_from(["", "{", "}", '{"a": 1}', '"b": 2', "null", " ", "f", None])
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, None]),
        "id": st.sampled_from(["a", "b", "", None]),
        "function": st.none()
        | st.fixed_dictionaries({}, optional={"name": st.sampled_from(["f", "g", "", None]), "arguments": FRAGMENTS}),
    },
)


@settings(max_examples=300)
@given(deltas=st.lists(DELTAS, max_size=8), chunk_size=st.integers(1, 3))
def test_both_adapters_agree_on_any_stream(service: Service, deltas: list[Delta], chunk_size: int) -> None:
    service.chunks = chunks(deltas, chunk_size)
    assembler = ToolCallAssembler()
    assembler.add(deltas)
    expected = [(None if call.id_is_taken else call.service_id, call.name, call.arguments) for call in assembler.calls]
    first, *others = list(service.langchain.stream("Hi"))
    merged = [(chunk["id"], chunk["name"] or "", chunk["args"]) for chunk in (first + others).tool_call_chunks]
    answer = list(service.llama_index.stream_chat([ChatMessage("Hi")]))[-1]
    wire = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in answer.message.additional_kwargs.get("tool_calls", ())
    ]
    # LangChain completes arguments that are cut off, unless a bracket follows that fits nothing.
    ends = [text.removeprefix(whole[2]) for (_, _, text), whole in zip(merged, expected, strict=True)]
    assert all(len(end) < 4 for end in ends)
    assert [(name, text) for _, name, text in expected] == [
        (name, text.removesuffix(end)) for (_, name, text), end in zip(merged, ends, strict=True)
    ]
    complete = [parse_arguments(text) for _, _, text in expected]
    assert [call["args"] for call in (first + others).tool_calls] == [value for value in complete if value is not None]
    assert [call for call in expected if call[1] or call[2]] == [
        (call_id if call_id in ("a", "b") else None, name, text) for call_id, name, text in wire
    ]
    assert [call_id for call_id, _, _ in expected] == [id_ if id_ in ("a", "b") else None for id_, _, _ in merged]


@settings(max_examples=100)
@given(message=messages())
def test_events_of_langchain_hold_the_same_calls(message: tuple[Engine, list[Call]]) -> None:
    engine, calls = message
    writer = EventWriter(ParseOptions(None, content_blocks=False), "run")
    events = [event for chunk in chunks(engine.deltas(calls), engine.chunk_size) for event in writer.feed(chunk)]
    events += writer.end()
    blocks = [event["content"] for event in events if event["event"] == "content-block-finish"]
    assert without_generated_ids([(block["id"], block["name"], block["args"]) for block in blocks]) == calls
