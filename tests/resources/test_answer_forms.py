"""What is repaired in an answer, what is refused by name, and what ends no stream: the same for models and for parsed JSON."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from together_adapters import APIError, APIResponseValidationError, IncompleteStreamError
from together_adapters.transport.model_parser import ModelParser
from together_adapters.transport.surrogates import join_halves, lenient_json
from together_adapters.types.chat import ChatCompletion, ChatCompletionChunk, is_plain_chunk

QUESTION: Any = {"model": "acme/chat", "messages": [{"role": "user", "content": "Hi"}]}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **fields}}]}


def read(body: Any) -> ChatCompletion:
    """Reads an answer as a model, and checks that parsed JSON agrees."""
    parser = ModelParser(ChatCompletion)
    data = json.dumps(body).encode()
    model = parser.parse(data)
    assert ChatCompletion.model_validate(parser.parse_dict(data)).model_dump() == model.model_dump()
    return model


@pytest.mark.parametrize(
    ("fields", "content", "reasoning"),
    [
        ({"content": [{"type": "text", "text": "a"}, None, {"type": "text", "text": "b"}]}, "ab", None),
        ({"content": ["a", "b"]}, "ab", None),
        ({"content": {"text": "a"}}, "a", None),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"type": "text", "text": "a"}]},
            "a",
            "t",
        ),
        ({"content": "a", "reasoning": {"text": "t"}}, "a", "t"),
        ({"content": "a", "reasoning_content": [{"type": "summary_text", "text": "t"}]}, "a", "t"),
        ({"content": []}, None, None),
        ({"content": 5}, "5", None),
    ],
)
def test_a_text_in_parts_is_joined(fields: dict[str, Any], content: str | None, reasoning: str | None) -> None:
    answer = read(message(**fields)).choices[0].message
    assert answer is not None
    assert (answer.content, answer.thinking) == (content, reasoning)


def test_what_loses_nothing_is_skipped() -> None:
    body = {**message(content="a", tool_calls=[None, CALL]), "usage": [], "created": 1.5}
    body["choices"].append(None)  # type: ignore[attr-defined]
    answer = read(body)
    assert len(answer.choices) == 1
    assert answer.usage is None
    assert answer.created == 1
    assert [call.id for call in answer.choices[0].message.tool_calls or ()] == ["c"]  # type: ignore[union-attr]


def test_arguments_that_are_an_object_become_text() -> None:
    call = {**CALL, "function": {"name": "f", "arguments": {"a": "é"}}}
    answer = read(message(content=None, tool_calls=[call])).choices[0].message
    assert answer is not None
    assert answer.tool_calls is not None
    assert answer.tool_calls[0].function is not None
    assert answer.tool_calls[0].function.arguments == '{"a": "é"}'


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**message(content="a"), "usage": "x"}, "usage"),
        (message(content=[{"type": "image_url", "image_url": {"url": "u"}}]), "content"),
        (message(content="a", tool_calls="x"), "tool_calls"),
        ({"choices": [{"index": "x", "message": {"content": "a"}}]}, "index"),
        ({"choices": []}, "choices"),
        ({"choices": [{}]}, "message"),
        ([], "ChatCompletion"),
    ],
)
def test_what_is_unclear_is_refused_by_name(body: Any, field: str) -> None:
    for parse in (ModelParser(ChatCompletion).parse, ModelParser(ChatCompletion).parse_dict):
        with pytest.raises(ValueError, match=field):
            parse(json.dumps(body).encode())


@pytest.mark.parametrize(
    "error", [{"message": "No capacity", "code": 503}, "No capacity", {"error": {"message": "No capacity"}}], ids=str
)
@pytest.mark.parametrize("field", ["body", "choice"])
def test_an_error_with_status_200_is_an_error(error: Any, field: str, flavour: Any, stub_client: Any) -> None:
    body = {"error": error} if field == "body" else {"choices": [{"message": {"content": "half"}, "error": error}]}
    client, service = stub_client(body)
    calls = [
        lambda: client.chat.completions.create(**QUESTION),
        lambda: client.embeddings.create(model="m", input=["a"]),
        lambda: client.rerank.create(model="m", query="q", documents=["a"]),
        lambda: client.models.list(),
        lambda: client.fine_tuning.retrieve("ft-1"),
    ]
    for call in calls if field == "body" else calls[:1]:
        with pytest.raises(APIError, match="No capacity"):
            flavour.run(call())
    assert len(service.requests) == len(calls if field == "body" else calls[:1]), "an answer is not asked for again"


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([{"index": -1, "relevance_score": 0.5}], "index"),
        ([{"index": 2, "relevance_score": 0.5}], "index"),
        ([{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.25}], "twice"),
        ([{"index": 0, "relevance_score": float("nan")}], "relevance_score"),
        ([{"index": 0, "relevance_score": None}], "relevance_score"),
        ([{"index": True, "relevance_score": 0.5}], "index"),
        ([None], "results"),
        ([], "no document"),
        (None, "results"),
    ],
)
def test_a_ranking_that_is_none(results: Any, problem: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(with_nan({"results": results}))
    with pytest.raises(APIResponseValidationError, match=problem):
        flavour.run(client.rerank.create(model="m", query="q", documents=["a", "b"]))


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ([[0.5], [float("nan")]], "input 1"),
        ([[0.5], [float("inf")]], "input 1"),
        ([[0.5, 0.5], [0.5]], "input 1"),
        ([[], []], "input 0"),
        ([[0.5], ["x"]], "embedding"),
    ],
)
def test_vectors_that_are_none(vectors: Any, problem: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(with_nan({"data": [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]}))
    with pytest.raises(APIResponseValidationError, match=problem):
        flavour.run(client.embeddings.create(model="m", input=["a", "b"]))


def with_nan(body: Any) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})


def chunk(text: str) -> str:
    """Returns an event; halves of surrogate pairs are escaped."""
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]})


LAST = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})


def sse(*data: str) -> httpx.Response:
    content = "".join(f"data: {one}\n\n" for one in data).encode()
    return httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})


def text_of(flavour: Any, client: Any) -> str:
    chunks = flavour.iterate(flavour.run(client.chat.completions.create(stream=True, **QUESTION)))
    return "".join(part.choices[0].delta.content or "" for part in chunks if part.choices)


@pytest.mark.parametrize("keepalive", ["", " ", "ping", ": keepalive", "\nevent: ping"])
def test_a_keepalive_does_not_end_a_stream(keepalive: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(sse(chunk("a"), keepalive, chunk("b"), LAST, "[DONE]"))
    assert text_of(flavour, client) == "ab"


@settings(max_examples=200)
@given(text=st.text(st.sampled_from("aé😀🦙"), max_size=8), data=st.data())
def test_a_character_cut_between_events_is_whole(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(units) // 2), max_size=4)))
    parts = [
        units[2 * a : 2 * b].decode("utf-16-le", "surrogatepass")
        for a, b in zip([0, *cuts], [*cuts, len(units) // 2], strict=True)
    ]
    read = [json.dumps(part).encode() for part in parts if part]
    for index in range(len(read) - 1):
        read[index], read[index + 1] = join_halves(read[index], read[index + 1])
    result = "".join(json.loads(lenient_json(part)) for part in read)
    assert result == text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["\ud83d", "\ude00\ud83e", "\udd99"], "😀🦙"),
        (["a\ud83d", "b"], "a�b"),
        (["a\ud83d"], "a�"),
        (["\ude00b"], "�b"),
        (["a\ud83db"], "a�b"),
    ],
)
def test_halves_of_characters_in_a_stream(parts: list[str], text: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(sse(*map(chunk, parts), LAST, "[DONE]"))
    assert text_of(flavour, client) == text
    client, _ = stub_client(sse(LAST, *map(chunk, parts)))
    assert text_of(flavour, client) == text


def test_a_half_in_a_whole_answer(flavour: Any, stub_client: Any) -> None:
    body = b'\xef\xbb\xbf{"choices": [{"message": {"content": "a\\ud83d \\\\ud83d \\ud83d\\ude00"}}]}'
    client, _ = stub_client(httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    assert flavour.run(client.chat.completions.create(**QUESTION)).choices[0].message.content == "a� \\ud83d 😀"


def test_a_stream_without_an_answer_is_incomplete(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(sse("[DONE]"))
    with pytest.raises(IncompleteStreamError, match="without an answer"):
        text_of(flavour, client)


def test_plain_chunks_have_the_types_of_the_model() -> None:
    """The cheap test accepts nothing that the model refuses or changes."""
    from tests.adapters.test_mutated_answers import CHUNKS, mutations

    parser = ModelParser(ChatCompletionChunk)
    plain = [json.dumps(answer) for sample in CHUNKS for answer in mutations(sample) if is_plain_chunk(answer)]
    plain = [text for text in plain if "\\ud" not in text]
    assert len(plain) > 80
    for text in plain:
        chunk, answer = parser.parse(text.encode()), json.loads(text)
        (choice,) = answer["choices"]
        assert (chunk.id, chunk.model, chunk.choices[0].index) == (answer["id"], answer["model"], choice["index"])
        delta = choice["delta"]
        assert chunk.choices[0].delta.content == delta["content"]
        assert chunk.choices[0].delta.thinking == delta.get("reasoning", delta.get("reasoning_content"))
