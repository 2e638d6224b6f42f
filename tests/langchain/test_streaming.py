"""Streams: every way in which engines split tool calls, place usage and mix reasoning with text; merged, they equal the single response."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from langchain_together_adapters import ChatTogether
from langchain_together_adapters.chat_stream import ChunkWriter, EventWriter
from langchain_together_adapters.responses import ParseOptions, chat_result

from together_adapters.emulator import Emulator

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"
TEXT = ParseOptions(("<think>", "</think>"), content_blocks=False)
BLOCKS = ParseOptions(("<think>", "</think>"), content_blocks=True)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return city


def now() -> str:
    """Get the time."""
    return "noon"


def merge(chunks: list[Any]) -> AIMessageChunk:
    return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]


def event(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "o1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def merged(events: list[dict[str, Any]], options: ParseOptions = TEXT) -> AIMessageChunk:
    """Join the chunks of some events."""
    writer = ChunkWriter(options)
    chunks = [chunk.message for each in events for chunk in writer.feed(each)]
    return merge([*chunks, *(chunk.message for chunk in writer.end())])


def protocol(events: list[dict[str, Any]]) -> list[Any]:
    writer = EventWriter(TEXT, "run")
    return [*(items for each in events for items in writer.feed(each)), *writer.end()]


def delta_of(arguments: str | None = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


CALLS = [("a", "get_weather", {"city": "Oslo"}), ("b", "get_weather", {"city": "Bern"})]
CUTS = {
    "fragmented": [
        [delta_of("", "get_weather", index=0, id="a")],
        [delta_of('{"city":', index=0)],
        [delta_of(' "Oslo"}', index=0)],
        [delta_of("", "get_weather", index=1, id="b")],
        [delta_of('{"city": "Bern"}', index=1)],
    ],
    "whole": [
        [delta_of('{"city": "Oslo"}', "get_weather", index=0, id="a")],
        [delta_of('{"city": "Bern"}', "get_weather", index=1, id="b")],
    ],
    "one chunk": [
        [
            delta_of('{"city": "Oslo"}', "get_weather", index=0, id="a"),
            delta_of('{"city": "Bern"}', "get_weather", index=1, id="b"),
        ]
    ],
    "one chunk without index": [
        [delta_of('{"city": "Oslo"}', "get_weather", id="a"), delta_of('{"city": "Bern"}', "get_weather", id="b")],
    ],
    "interleaved": [
        [delta_of("", "get_weather", index=0, id="a"), delta_of("", "get_weather", index=1, id="b")],
        [delta_of('{"city": ', index=0), delta_of('{"city": ', index=1)],
        [delta_of('"Bern"}', index=1)],
        [delta_of('"Oslo"}', index=0)],
    ],
    "without index": [
        [delta_of('{"city', "get_weather", id="a")],
        [delta_of('": "Oslo"}')],
        [delta_of('{"city', "get_weather", id="b")],
        [delta_of('": "Bern"}')],
    ],
    "same index": [
        [delta_of('{"city', "get_weather", index=0, id="a")],
        [delta_of('": "Oslo"}', index=0)],
        [delta_of('{"city', "get_weather", index=0, id="b")],
        [delta_of('": "Bern"}', index=0)],
    ],
    "same index, id on each, interleaved": [
        [delta_of('{"city', "get_weather", index=0, id="a"), delta_of('{"city', "get_weather", index=0, id="b")],
        [delta_of('": "Oslo"}', index=0, id="a")],
        [delta_of('": "Bern"}', index=0, id="b")],
    ],
    "id and name on each": [
        [delta_of('{"city', "get_weather", index=0, id="a")],
        [delta_of('": "Oslo"}', "get_weather", index=0, id="a")],
        [delta_of('{"city": "Bern"}', "get_weather", index=1, id="b")],
    ],
    "empty ids on later pieces": [
        [delta_of('{"city', "get_weather", index=0, id="a")],
        [delta_of('": "Oslo"}', "", index=0, id="")],
        [delta_of('{"city": "Bern"}', "get_weather", index=1, id="b")],
    ],
    "arguments as objects": [
        [{"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}],
        [{"index": 1, "id": "b", "function": {"name": "get_weather", "arguments": {"city": "Bern"}}}],
    ],
    "name in pieces": [
        [delta_of("", "get_", index=0, id="a")],
        [delta_of('{"city": "Oslo"}', "weather", index=0)],
        [delta_of('{"city": "Bern"}', "get_weather", index=1, id="b")],
    ],
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("options", [TEXT, BLOCKS], ids=["text", "blocks"])
def test_tool_calls_survive_every_cut(cut: str, options: ParseOptions) -> None:
    message = merged([event({"tool_calls": deltas}) for deltas in CUTS[cut]] + [event({}, "tool_calls")], options)
    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == CALLS
    assert message.invalid_tool_calls == []


@pytest.mark.parametrize("cut", CUTS)
def test_tool_calls_survive_every_cut_as_events(cut: str) -> None:
    events = protocol([event({"tool_calls": deltas}) for deltas in CUTS[cut]] + [event({}, "tool_calls")])
    assert_valid_event_stream(events)
    finished = [items["content"] for items in events if items["event"] == "content-block-finish"]
    assert [(block["id"], block["name"], block["args"]) for block in finished] == CALLS


def test_calls_without_id_get_one_each() -> None:
    deltas = [delta_of('{"city": "Oslo"}', "get_weather"), delta_of('{"city": "Bern"}', "get_weather")]
    calls = merged([event({"tool_calls": deltas}, "tool_calls")]).tool_calls
    assert [call["args"] for call in calls] == [{"city": "Oslo"}, {"city": "Bern"}]
    assert len({call["id"] for call in calls}) == 2
    assert all(call["id"] for call in calls)


def test_a_repeated_finish_reason_is_reported_once() -> None:
    message = merged(
        [
            event({"tool_calls": [delta_of('{"city": "Oslo"}', "get_weather", index=0, id="a")]}, "tool_calls"),
            event({"tool_calls": [delta_of("", "get_weather", index=1, id="b")]}),
            event({"tool_calls": [delta_of('{"city": "Bern"}', index=1)]}, "tool_calls"),
            event({}, "tool_calls", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
        ]
    )
    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == CALLS
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


@pytest.mark.parametrize(("arguments", "read"), [("", {}), ("{}", {}), ("null", {}), (None, {})])
def test_a_tool_without_parameters(arguments: str | None, read: dict[str, Any]) -> None:
    call = {"id": "a", "type": "function", "index": 0, "function": {"name": "now", "arguments": arguments}}
    assert merged([event({"tool_calls": [call]}, "tool_calls")]).tool_calls[0]["args"] == read
    assert single_message({"content": None, "tool_calls": [call]}).tool_calls[0]["args"] == read


@pytest.mark.parametrize("arguments", ['{"city": nope}', "[1]", "Oslo", '"text"', "[" * 100_000])
def test_malformed_arguments_are_no_exception(arguments: str) -> None:
    call = {"id": "a", "type": "function", "index": 0, "function": {"name": "get_weather", "arguments": arguments}}
    message = single_message({"content": None, "tool_calls": [call]})
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == arguments
    if len(arguments) < 100:
        stream_message = merged([event({"tool_calls": [call]}, "tool_calls")])
        assert stream_message.tool_calls == []
        assert stream_message.invalid_tool_calls[0]["args"] == arguments


def single_message(message: dict[str, Any], options: ParseOptions = TEXT, **more: Any) -> AIMessage:
    answer = {"id": "o1", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message, **more}]}
    items = chat_result(answer, options).generations[0].message
    assert isinstance(items, AIMessage)
    return items


@pytest.mark.parametrize("none", [[], None])
def test_no_tool_calls_in_any_spelling(none: Any) -> None:
    assert single_message({"content": "x", "tool_calls": none}).tool_calls == []
    assert merged([event({"content": "x", "tool_calls": none}, "stop")]).tool_calls == []


def test_one_delta_with_reasoning_and_text() -> None:
    events = [event({"reasoning": "hm", "content": "h"}), event({"reasoning": "m", "content": "i"}, "stop")]
    message = merged(events)
    assert (message.content, message.additional_kwargs["reasoning_content"]) == ("hi", "hmm")
    blocks = merged(events, BLOCKS).content
    assert [(b["type"], b.get("text") or b.get("reasoning")) for b in blocks] == [("reasoning", "hmm"), ("text", "hi")]  # type: ignore[union-attr,index]
    items = protocol(events)
    assert_valid_event_stream(items)
    finished = [each["content"] for each in items if each["event"] == "content-block-finish"]
    assert finished == [{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "hi"}]


def test_both_names_of_reasoning_and_an_empty_one() -> None:
    assert merged([event({"reasoning_content": "hm"}), event({"content": "x"}, "stop")]).additional_kwargs == {
        "reasoning_content": "hm"
    }
    assert single_message({"content": "x", "reasoning": "", "reasoning_content": None}).additional_kwargs == {
        "reasoning_content": ""
    }
    assert single_message({"content": "x", "reasoning_content": "hm"}).additional_kwargs == {"reasoning_content": "hm"}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_think_tags_in_chunks_of_any_size(size: int) -> None:
    text = "<think>2+2 < 5</think>\n\n4 </think> <think>"
    deltas = [text[start : start + size] for start in range(0, len(text), size)]
    message = merged([event({"content": each}) for each in deltas] + [event({}, "stop")])
    assert message.additional_kwargs == {"reasoning_content": "2+2 < 5"}
    assert message.content == "4 </think> <think>"
    single = single_message({"content": text})
    assert (single.content, single.additional_kwargs) == (message.content, message.additional_kwargs)


def test_think_tags_can_stay() -> None:
    unsplit = ParseOptions(None, content_blocks=False)
    assert merged([event({"content": "<think>a</think>b"}, "stop")], unsplit).content == "<think>a</think>b"
    assert single_message({"content": "<think>a</think>b"}, unsplit).content == "<think>a</think>b"


def test_role_on_each_delta_is_not_joined() -> None:
    message = merged([event({"role": "assistant", "content": each}) for each in "abc"])
    assert message.content == "abc"
    assert "role" not in message.additional_kwargs


def test_text_is_flushed_before_tools() -> None:
    message = merged([event({"content": "  "}), event({"tool_calls": [delta_of("{}", "now", index=0, id="a")]}, "tool_calls")])
    assert (message.content, len(message.tool_calls)) == ("  ", 1)


def test_refusals_are_preserved() -> None:
    assert single_message({"content": None, "refusal": "no"}).additional_kwargs == {"refusal": "no"}
    stream_message = merged([event({"refusal": "n"}), event({"refusal": "o"}, "stop")])
    assert stream_message.additional_kwargs == {"refusal": "no"}


class TestLogprobs:
    def test_bare_numbers_merge_to_those_of_the_single_response(self) -> None:
        events = [event({"content": token, "token_id": number}) | {} for token, number in (("Hel", 1), ("lo", 2))]
        for each, (value, top) in zip(events, ((-0.5, {"Hel": -0.5, "Hi": -2}), (-0.25, {"lo": -0.25, "p": 0})), strict=True):
            each["choices"][0] |= {"logprobs": value, "top_logprobs": top}
        single = {
            "tokens": ["Hel", "lo"],
            "token_logprobs": [-0.5, -0.25],
            "token_ids": [1, 2],
            "top_logprobs": [{"Hel": -0.5, "Hi": -2}, {"lo": -0.25, "p": 0}],
        }
        writer = ChunkWriter(TEXT)
        chunks = [chunk for each in [*events, event({}, "stop")] for chunk in writer.feed(each)]
        chunks += list(writer.end())
        info = (chunks[0] + chunks[1:]).generation_info
        assert info is not None
        expected = single_message({"content": "Hello"}, logprobs=single).response_metadata["logprobs"]
        assert info["logprobs"] == expected
        assert [entry["token"] for entry in expected["content"]] == ["Hel", "lo"]

    @pytest.mark.parametrize("shape", ["together", "openai"])
    async def test_streamed_as_single(self, shape: str, llm: ChatTogether, emulator: Emulator) -> None:
        with emulator.behave(logprobs=shape, seed_above_int64=True):
            params: dict[str, Any] = {"logprobs": True, "top_logprobs": 2, "seed": 7}
            single = llm.invoke("Say hello.", **params)
            stream_message = merge(list(llm.stream("Say hello.", **params)))
            again = merge([chunk async for chunk in llm.astream("Say hello.", **params)])
        content = single.response_metadata["logprobs"]["content"]
        assert "".join(entry["token"] for entry in content) == single.content
        for message in (stream_message, again):
            assert message.response_metadata["logprobs"]["content"] == content


VARIANTS: list[dict[str, Any]] = [
    {},
    {"usage": "separate"},
    {"usage": "asked"},
    {"usage": "asked-separate"},
    {"usage": "none"},
    {"finish": "eos"},
    {"null_content": True, "role_every_chunk": False},
    {"reasoning": "reasoning"},
    {"reasoning": "reasoning_content"},
    {"reasoning": "tags", "pieces": 3},
    {"cached_tokens": "nested"},
    *({"tool_deltas": how} for how in ("pieces", "whole", "one-chunk", "interleaved", "no-index", "same-index", "repeat-finish")),
    {"reasoning": "reasoning", "tool_deltas": "interleaved"},
]


def same(message: Any) -> dict[str, Any]:
    """The parts that must agree; ids and times differ between requests."""
    metadata = {
        name: value for name, value in message.response_metadata.items() if name not in ("id", "created", "output_version")
    }
    return {
        "text": message.text,
        "reasoning": message.additional_kwargs,
        "calls": [(call["name"], call["args"]) for call in message.tool_calls],
        "usage": message.usage_metadata,
        "metadata": metadata,
    }


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("version", ["v0", "v1"])
async def test_merged_stream_equals_single_response(
    variant: dict[str, Any], version: str, connect: Any, emulator: Emulator
) -> None:
    llm = ChatTogether(model=MODEL, output_version=version, **connect)
    tools = llm.bind_tools([get_weather, now]) if "tool_deltas" in variant else llm
    question = "What is the weather in Paris and in Oslo?"
    with emulator.behave(**variant):
        single = tools.invoke(question)
        chunks = list(tools.stream(question))
        stream_message = merge(chunks)
        asynchronous = merge([chunk async for chunk in tools.astream(question)])
    if "tool_deltas" in variant:
        assert len(single.tool_calls) == 2
    assert same(stream_message) == same(single)
    assert same(asynchronous) == same(single)
    assert [block["type"] for block in stream_message.content_blocks] == [block["type"] for block in single.content_blocks]
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == (variant.get("usage") != "none")
    assert sum("model_name" in chunk.response_metadata for chunk in chunks) == 1
    assert sum("finish_reason" in chunk.response_metadata for chunk in chunks) == 1
    assert chunks[-1].chunk_position == "last"
    assert single.response_metadata["model_provider"] == "together"


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
async def test_events_equal_single_response(variant: dict[str, Any], connect: Any, emulator: Emulator) -> None:
    llm = ChatTogether(model=MODEL, **connect)
    tools = llm.bind_tools([get_weather]) if "tool_deltas" in variant else llm
    question = "What is the weather in Paris and in Oslo?"
    with emulator.behave(**variant):
        single = tools.invoke(question)
        stream: Any = tools.stream_events(question, version="v3")
        assert_valid_event_stream(stream)
        other: Any = await tools.astream_events(question, version="v3")
        asynchronous = await other.output
    reasoning = single.additional_kwargs.get("reasoning_content", "")
    for message in (stream.output, asynchronous):
        assert message.text == single.text
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            (call["name"], call["args"]) for call in single.tool_calls
        ]
        assert message.usage_metadata == single.usage_metadata
        assert "".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning") == reasoning
        expected = {
            name: single.response_metadata.get(name) for name in ("finish_reason", "model_name", "model_provider", "token_usage")
        }
        assert {name: message.response_metadata.get(name) for name in expected} == expected
    assert str(stream.reasoning) == reasoning


def test_v1_text_and_parallel_tools_are_separate_blocks() -> None:
    message = merged(
        [
            event({"reasoning": "think"}),
            event({"content": "let me "}),
            event({"content": "see"}),
            *(event({"tool_calls": deltas}) for deltas in CUTS["interleaved"]),
            event({}, "tool_calls"),
        ],
        BLOCKS,
    )
    assert [call["id"] for call in message.tool_calls] == ["a", "b"]
    assert message.content == [
        {"type": "reasoning", "reasoning": "think", "index": "lc_rs_0"},
        {"type": "text", "text": "let me see", "index": "lc_txt_0"},
    ]


def test_pages_of_json_stay_cheap() -> None:
    """A hostile stream of many tiny calls is read in time that grows with its length."""
    deltas = [delta_of("{}", "now", id=str(number)) for number in range(500)]
    message = merged([event({"tool_calls": [each]}) for each in deltas] + [event({}, "tool_calls")])
    assert len(message.tool_calls) == 500
    assert json.dumps(message.tool_calls)
