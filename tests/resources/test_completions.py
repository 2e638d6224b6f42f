"""Completions of a prompt: no field is lost, and a stream equals the unary response."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resources.response_variants import find_unreadable
from together_adapters.emulator import Emulator
from together_adapters.types.logprobs import content_logprobs

NEW = {"nobody": {"knows": 1}}
LOGPROBS = {"tokens": [" a"], "token_logprobs": [-0.5], "token_ids": [7], "top_logprobs": [{" a": -0.5}], **NEW}
RESPONSE: dict[str, Any] = {
    "id": "88fa66988e400e83-MXP",
    "object": "text.completion",
    "created": 1_717_697_868,
    "model": "acme/base",
    "prompt": [{"text": "Once", "logprobs": LOGPROBS}],
    "choices": [
        {"index": 0, "text": " a", "finish_reason": "bored", "logprobs": LOGPROBS, "seed": 15_924_764_223_251_450_000, **NEW}
    ],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12, **NEW},
    **NEW,
}
CHUNK: dict[str, Any] = {
    "id": "X",
    "object": "completion.chunk",
    "created": 1_758_038_918,
    "model": "acme/base",
    "choices": [
        {
            "index": 0,
            "text": "__",
            "logprobs": -0.25,
            "finish_reason": "bored",
            "seed": 15_924_764_223_251_450_000,
            "delta": {"token_id": 2179, "role": "assistant", "content": "__", **NEW},
            **NEW,
        }
    ],
    "token": {"id": 2179, "text": "__", "logprob": -0.25, "special": False},
    "finish_reason": "bored",
    "seed": 3,
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    **NEW,
}
LAST = {"id": "X", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
PROMPT = {"model": "mistralai/Mixtral-8x7B-v0.1", "prompt": "Once upon a time", "max_tokens": 24}


def go_on(flavour: Any, client: Any = None, **changes: Any) -> Any:
    return flavour.run((client or flavour.client()).completions.create(**{**PROMPT, **changes}))


def chunks_of(flavour: Any, client: Any = None, **changes: Any) -> list[Any]:
    return list(flavour.iterate(go_on(flavour, client, stream=True, **changes)))


def test_every_field_is_kept(flavour: Any, stub_client: Any, event_stream: Any) -> None:
    client, _ = stub_client(RESPONSE)
    assert go_on(flavour, client).model_dump(exclude_unset=True) == RESPONSE
    client, _ = stub_client(event_stream(CHUNK, LAST))
    assert [chunk.model_dump(exclude_unset=True) for chunk in chunks_of(flavour, client)] == [CHUNK, LAST]


def test_any_field_may_be_null_or_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = sample
        return go_on(flavour, client).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read, but=("choices",)) == {}


def test_any_field_of_a_chunk_may_be_null_or_missing(flavour: Any, stub_client: Any, event_stream: Any) -> None:
    client, service = stub_client(None)

    def read(sample: Any) -> Any:
        service.reply = event_stream(sample, LAST)
        first, last = chunks_of(flavour, client)
        assert last.choices[0].finish_reason == "stop"
        return first.model_dump(exclude_unset=True)

    assert find_unreadable(CHUNK, read) == {}


@pytest.mark.parametrize("behaviour", [{}, {"usage": "separate"}, {"pieces": 1}, {"finish": "eos", "chunk_tokens": 4}], ids=str)
@pytest.mark.parametrize("limit", [3, 500])
def test_joined_stream_is_the_unary_response(behaviour: dict[str, Any], limit: int, flavour: Any, emulator: Emulator) -> None:
    with emulator.behave(**behaviour):
        response = go_on(flavour, max_tokens=limit)
        chunks = chunks_of(flavour, max_tokens=limit)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.text for choice in choices) == response.choices[0].text != ""
    assert "".join(choice.delta.content for choice in choices) == response.choices[0].text
    assert choices[-1].finish_reason == response.choices[0].finish_reason
    assert choices[-1].seed == response.choices[0].seed
    assert [chunk.usage for chunk in chunks if chunk.usage] == [response.usage]
    assert (response.object, {chunk.object for chunk in chunks}) == ("text.completion", {"completion.chunk"})


@pytest.mark.parametrize("shape", ["together", "openai"])
def test_log_probabilities(shape: str, flavour: Any, emulator: Emulator) -> None:
    with emulator.behave(logprobs=shape):
        response = go_on(flavour, logprobs=2, echo=True)
        chunks = chunks_of(flavour, logprobs=2)
    with_logprobs = content_logprobs(response.choices[0].logprobs.model_dump())
    assert "".join(entry["token"] for entry in with_logprobs) == response.choices[0].text
    parts = [choice for chunk in chunks for choice in chunk.choices]
    assert with_logprobs == [
        entry
        for part in parts
        for entry in content_logprobs(part.logprobs, token=part.text, top=getattr(part, "top_logprobs", None))
    ]
    assert response.prompt[0]["text"] == PROMPT["prompt"]


def test_several_responses(flavour: Any) -> None:
    assert [choice.index for choice in go_on(flavour, n=2).choices] == [0, 1]
