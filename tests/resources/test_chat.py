"""Chat completions: no field is lost, missing and new fields are read, and a stream equals the unary response."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any, get_args

import httpx
import pytest

from tests.resources.response_variants import find_unreadable
from tests.resources.stream_joiner import join, single, without_ids
from together_adapters import APIResponseValidationError, NotFoundError
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.behaviour import ToolDeltas
from together_adapters.types.chat import ChatCompletion
from together_adapters.types.logprobs import content_logprobs
from together_adapters.types.response import ResponseModel

NEW = {"nobody": {"knows": ["this", 1, 2.5, None, True]}}
RESPONSE: dict[str, Any] = {
    "id": "oXXXXXX-YYYYYY-9f391a08f8af75e1",
    "object": "chat.completion",
    "created": 1_777_411_129,
    "model": "acme/brand-new",
    "prompt": [{"text": "Hi", "logprobs": {"tokens": ["Hi"], "token_logprobs": [None]}}],
    "system_fingerprint": "fp_1",
    "warnings": [{"message": "soon gone"}],
    "metadata": {"weight_version": "default"},
    "choices": [
        {
            "index": 0,
            "finish_reason": "paused_for_thought",
            "seed": 15_924_764_223_251_450_000,
            "text": "mirror",
            "logprobs": {
                "tokens": ["He", "llo"],
                "token_logprobs": [-0.25, -3.5e-06],
                "token_ids": [1, 2],
                "top_logprobs": [{"He": -0.25, "he": -13.5}, {"llo": -3.5e-06}],
                **NEW,
            },
            "message": {
                "role": "oracle",
                "content": "Hello",
                "reasoning": "first think",
                "reasoning_content": "then speak",
                "tool_calls": [
                    {"id": "call_1", "type": "wish", "index": 0, "function": {"name": "f", "arguments": '{"a": 1}', **NEW}, **NEW}
                ],
                "annotations": [{"url": "https://example.com"}],
                **NEW,
            },
            **NEW,
        }
    ],
    "usage": {
        "prompt_tokens": 45,
        "completion_tokens": 3,
        "total_tokens": 48,
        "cached_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 16, **NEW},
        "completion_tokens_details": {"reasoning_tokens": 2, **NEW},
        **NEW,
    },
    **NEW,
}
CHUNK: dict[str, Any] = {
    "id": "oXXXXXX",
    "object": "chat.completion.chunk",
    "created": 1_777_411_129,
    "model": "acme/brand-new",
    "choices": [
        {
            "index": 0,
            "text": "He",
            "logprobs": -2.5e-06,
            "top_logprobs": {"He": -2.5e-06},
            "finish_reason": "paused_for_thought",
            "seed": 15_924_764_223_251_450_000,
            "delta": {
                "token_id": 9906,
                "role": "oracle",
                "content": "He",
                "reasoning": "hm",
                "reasoning_content": "hm hm",
                "tool_calls": [{"index": 0, "id": "c", "type": "wish", "function": {"name": "f", "arguments": "{"}, **NEW}],
                **NEW,
            },
            **NEW,
        }
    ],
    "usage": {"prompt_tokens": 45, "completion_tokens": 3, "total_tokens": 48, **NEW},
    "warnings": [{"message": "soon gone"}],
    **NEW,
}
LAST = {"id": "oXXXXXX", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TWO_CALLS = {
    "model": "deepseek-ai/DeepSeek-V4.1-Flash",
    "messages": [{"role": "user", "content": "What is the weather in Paris and in Zürich?"}],
    "tools": [WEATHER],
}


def create(flavour: Any, client: Any = None, **parameters: Any) -> Any:
    return flavour.run((client or flavour.client()).chat.completions.create(**parameters))


def chunks_of(flavour: Any, client: Any = None, **parameters: Any) -> list[Any]:
    return list(flavour.iterate(create(flavour, client, stream=True, **parameters)))


def test_every_field_is_kept(flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    client, _ = stub_client(RESPONSE)
    answer = create(flavour, client, **question)
    assert answer.model_dump(exclude_unset=True) == RESPONSE
    assert json.loads(answer.model_dump_json(exclude_unset=True)) == RESPONSE
    assert ChatCompletion.model_validate(answer.model_dump()) == answer


def test_every_field_is_reachable(flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    client, _ = stub_client(RESPONSE)
    answer = create(flavour, client, **question)
    choice = answer.choices[0]
    assert (choice.seed, type(choice.seed)) == (15_924_764_223_251_450_000, int)
    assert (choice.finish_reason, choice.message.role) == ("paused_for_thought", "oracle")
    assert choice.message.tool_calls[0].function.arguments == '{"a": 1}'
    assert choice.message.tool_calls[0].type == "wish"
    assert choice.logprobs.top_logprobs[1] == {"llo": -3.5e-06}
    assert answer.usage.prompt_tokens_details.cached_tokens == answer.usage.cached_tokens == 16
    assert answer.usage.completion_tokens_details.reasoning_tokens == answer.usage.reasoning_tokens == 2
    assert answer.usage.to_dict() == RESPONSE["usage"]
    assert answer.metadata == {"weight_version": "default"}
    assert answer.nobody == choice.nobody == choice.message.nobody == answer.usage.nobody == NEW["nobody"]


def test_any_field_may_be_null_or_missing(flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = sample
        return create(flavour, client, **question).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read, but=("choices",)) == {}


def test_any_field_of_a_chunk_may_be_null_or_missing(
    flavour: Any, stub_client: Any, event_stream: Any, question: dict[str, Any]
) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = event_stream(sample, LAST)
        first, last = chunks_of(flavour, client, **question)
        assert last.choices[0].finish_reason == "stop"
        return first.model_dump(exclude_unset=True)

    assert find_unreadable(CHUNK, read) == {}


def test_every_field_of_a_chunk_is_kept(flavour: Any, stub_client: Any, event_stream: Any, question: dict[str, Any]) -> None:
    client, _ = stub_client(event_stream(CHUNK, LAST))
    first, last = chunks_of(flavour, client, **question)
    assert [first.model_dump(exclude_unset=True), last.model_dump(exclude_unset=True)] == [CHUNK, LAST]
    assert type(first.choices[0].seed) is int
    assert first.choices[0].delta.nobody == NEW["nobody"]


@pytest.mark.every_transport
def test_stream_that_an_http_client_has_read_already(
    flavour: Any, stub_client: Any, event_stream: Any, question: dict[str, Any]
) -> None:
    """Transports for tests (httpx's own, respx) and caches return bodies that are already complete."""
    body = event_stream(CHUNK, LAST).read()
    client, _ = stub_client(httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body))
    assert [chunk.model_dump(exclude_unset=True) for chunk in chunks_of(flavour, client, **question)] == [CHUNK, LAST]


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, {"choices": [None]}, {"choices": [{}]}])
def test_a_response_without_an_answer_is_invalid(
    body: dict[str, Any], flavour: Any, stub_client: Any, question: dict[str, Any]
) -> None:
    client, _ = stub_client(body)
    with pytest.raises(APIResponseValidationError, match="choices"):
        create(flavour, client, **question)


@pytest.mark.parametrize("seed", [0, -1, 2**53 + 1, 2**63, 2**64 - 1, 10**30])
def test_seeds_are_exact(seed: int, flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    response_body = deepcopy(RESPONSE)
    response_body["choices"][0]["seed"] = seed
    client, _ = stub_client(response_body)
    result = create(flavour, client, **question).choices[0].seed
    assert (result, type(result)) == (seed, int)


def test_seed_comes_back_from_the_service(flavour: Any, emulator: Emulator, question: dict[str, Any]) -> None:
    with emulator.behave(seed_above_int64=True):
        response = create(flavour, **question)
        event_stream = chunks_of(flavour, **question)
    assert response.choices[0].seed == event_stream[-1].choices[0].seed > 2**63
    assert create(flavour, **question, seed=2**62 + 1).choices[0].seed == 2**62 + 1


def test_several_responses(flavour: Any, question: dict[str, Any]) -> None:
    answer = create(flavour, **question, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert all(choice.message.content for choice in answer.choices)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"text"', b"null", b"", b'{"choices": [{"message": {"content": {"no": 1}}}]}'])
def test_what_is_no_response_is_reported(body: bytes, flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    client, _ = stub_client(
        httpx.Response(200, content=body, headers={"x-request-id": "req-1", "content-type": "application/json"})
    )
    with pytest.raises(APIResponseValidationError) as error_info:
        create(flavour, client, **question)
    assert (error_info.value.request_id, error_info.value.status_code) == ("req-1", 200)


def test_raw_response_shows_the_http_side(flavour: Any, question: dict[str, Any]) -> None:
    raw = flavour.run(flavour.client().chat.completions.with_raw_response.create(**question))
    assert raw.status_code == 200
    assert raw.request_id == raw.headers["x-request-id"]
    assert raw.parse() is raw.parsed
    assert raw.parsed.choices[0].message.content == "Hello to Ann."
    stream = flavour.run(flavour.client().chat.with_raw_response.completions.create(**question, stream=True))
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert join([chunk.model_dump() for chunk in flavour.iterate(stream.parse())])["choices"][0]["content"] == "Hello to Ann."


@pytest.mark.parametrize("spelling", ["reasoning", "reasoning_content"])
def test_reasoning_in_both_spellings(spelling: str, flavour: Any, emulator: Emulator, question: dict[str, Any]) -> None:
    with emulator.behave(reasoning=spelling):
        message = create(flavour, **question).choices[0].message
        chunks = chunks_of(flavour, **question)
    assert message.thinking == getattr(message, spelling) != ""
    assert message.content == "Hello to Ann."
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.thinking or "" for delta in deltas) == message.thinking


def test_reasoning_that_is_empty_is_kept(flavour: Any, stub_client: Any, question: dict[str, Any]) -> None:
    client, _ = stub_client(
        {"choices": [{"message": {"reasoning": "", "reasoning_content": "other"}}, {"message": {"content": "x"}}]}
    )
    first, second = create(flavour, client, **question).choices
    assert (first.message.thinking, second.message.thinking) == ("", None)


@pytest.mark.parametrize("mode", get_args(ToolDeltas))
@pytest.mark.parametrize("null_content", [False, True])
def test_streamed_tool_calls_in_every_format(mode: str, null_content: bool, flavour: Any, emulator: Emulator) -> None:
    response = create(flavour, **TWO_CALLS).model_dump(exclude_unset=True)
    with emulator.behave(tool_deltas=mode, null_content=null_content):
        chunks = [chunk.model_dump(exclude_unset=True) for chunk in chunks_of(flavour, **TWO_CALLS)]
    joined_message = without_ids(join(chunks))
    assert joined_message == without_ids(single(response))
    calls = joined_message["choices"][0]["calls"]
    assert [(name, json.loads(arguments)) for name, arguments in calls] == [
        ("get_weather", {"city": "Paris"}),
        ("get_weather", {"city": "Zürich"}),
    ]
    assert joined_message["choices"][0]["finish_reason"] == "tool_calls"


BEHAVIOURS = [
    {},
    {"reasoning": "reasoning"},
    {"reasoning": "reasoning_content", "null_content": True},
    {"reasoning": "tags", "pieces": 1},
    {"usage": "separate"},
    {"usage": "separate", "cached_tokens": "nested", "role_every_chunk": False},
    {"finish": "eos", "chunk_tokens": 3, "echo_ids": False},
    {"seed_above_int64": False, "pieces": 5, "null_content": True, "role_every_chunk": False},
]


@pytest.mark.every_transport
@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda changes: "-".join(map(str, changes.values())) or "usual")
def test_joined_stream_is_the_unary_response(
    behaviour: dict[str, Any], flavour: Any, emulator: Emulator, question: dict[str, Any]
) -> None:
    with emulator.behave(**behaviour):
        response = create(flavour, **question).model_dump(exclude_unset=True)
        chunks = [chunk.model_dump(exclude_unset=True) for chunk in chunks_of(flavour, **question)]
    assert len(chunks) > 1
    assert join(chunks) == single(response)


@pytest.mark.parametrize("index", ["asked", "asked-separate"])
def test_usage_of_a_stream_that_must_be_asked_for(index: str, flavour: Any, emulator: Emulator, question: dict[str, Any]) -> None:
    with emulator.behave(usage=index):
        silent = chunks_of(flavour, **question)
        requests = chunks_of(flavour, **question, stream_options={"include_usage": True})
        response = create(flavour, **question)
    assert not any(chunk.usage for chunk in silent)
    assert requests[-1].usage == response.usage
    assert requests[-1].usage.total_tokens == requests[-1].usage.prompt_tokens + requests[-1].usage.completion_tokens


@pytest.mark.parametrize("shape", ["together", "openai"])
def test_log_probabilities_in_both_formats_say_the_same(
    shape: str, flavour: Any, emulator: Emulator, question: dict[str, Any]
) -> None:
    with emulator.behave(logprobs="together"):
        expected = _logprobs(create(flavour, **question, logprobs=True, top_logprobs=3))
    with emulator.behave(logprobs=shape):
        response = create(flavour, **question, logprobs=True, top_logprobs=3)
        chunks = chunks_of(flavour, **question, logprobs=True, top_logprobs=3)
    assert _logprobs(response) == expected
    assert "".join(entry["token"] for entry in expected) == response.choices[0].message.content
    assert all(entry["bytes"] == list(entry["token"].encode()) for entry in expected)
    assert all(len(entry["top_logprobs"]) == 3 for entry in expected)
    parts = [choice for chunk in chunks for choice in chunk.choices]
    assert [
        entry
        for part in parts
        for entry in content_logprobs(part.logprobs, token=part.delta.content, top=getattr(part, "top_logprobs", None))
    ] == expected


def _logprobs(answer: Any) -> list[dict[str, Any]]:
    return content_logprobs(answer.choices[0].logprobs.model_dump())


def test_a_number_is_kept_a_number(flavour: Any, emulator: Emulator, question: dict[str, Any]) -> None:
    with emulator.behave(logprobs="together"):
        chunks = chunks_of(flavour, **question, logprobs=1)
    result = [choice.logprobs for chunk in chunks for choice in chunk.choices]
    assert all(isinstance(value, float) for value in result[:-1])
    assert result[-1] is None


def test_echo_brings_the_prompt(flavour: Any, question: dict[str, Any]) -> None:
    (prompt,) = create(flavour, **question, echo=True, logprobs=1).prompt
    assert "Say hello to Ann." in prompt["text"]
    assert prompt["logprobs"]["token_logprobs"][0] is None
    assert content_logprobs(prompt["logprobs"])[0]["logprob"] is None


def test_an_unknown_model_is_an_error_on_both_ways(flavour: Any, emulator: Emulator, question: dict[str, Any]) -> None:
    for stream in (False, True):
        with emulator.behave(any_model=False), pytest.raises(NotFoundError, match="does-not-exist"):
            create(flavour, **{**question, "model": "acme/does-not-exist"}, stream=stream)


def test_a_part_of_a_response_is_sent_back(flavour: Any, emulator: Emulator) -> None:
    class Message(ResponseModel):
        role: str
        content: str

    class Choice(ResponseModel):
        message: Message

    part = Choice.model_validate({"message": {"role": "user", "content": "Hi"}}).message
    flavour.run(
        flavour.client().chat.completions.create(model="acme/chat", messages=[part], extra_body={"kept": {"parts": [part]}})
    )
    sent = emulator.requests[-1].json
    assert sent["messages"] == sent["kept"]["parts"] == [{"role": "user", "content": "Hi"}]
