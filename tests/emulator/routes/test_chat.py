"""Chat and text completions: fields, limits, and streams that agree with single responses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.emulator.conftest import ADD, MODEL, MULTIPLY, WEATHER, Chat, events, joined
from together_adapters.emulator import Behaviour, Emulator
from together_adapters.emulator.http.behaviour import CHOICES

VISION = "Qwen/Qwen3.5-9B"

QUESTION = "Context:\nThe lamp is green. It was made in Oslo in 1931 by Ada Berg.\n\nQuestion: When was the lamp made?"
SEVERAL = "What's the weather in Paris and in London, and what is 2 plus 3?"
TOOLS = [WEATHER, ADD, MULTIPLY]


def without_ids(body: dict[str, Any]) -> Any:
    return [json.loads(json.dumps(choice).replace(body["id"][1:7].lower(), "")) for choice in body["choices"]]


def test_response_fields(chat: Chat) -> None:
    body = chat.whole("Say hello.")
    assert body["object"] == "chat.completion"
    assert (body["model"], body["prompt"]) == (MODEL, [])
    choice = body["choices"][0]
    assert choice["seed"] > 2**63
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert choice["message"] == {"role": "assistant", "content": "Hello.", "tool_calls": []}
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert chat.whole("hello", seed=2**70)["choices"][0]["seed"] == 2**70


@pytest.mark.parametrize(
    "parameters", [{"messages": QUESTION}, {"messages": SEVERAL, "tools": TOOLS}, {"messages": QUESTION, "logprobs": 2}]
)
def test_the_same_request_has_the_same_response(chat: Chat, parameters: dict[str, Any]) -> None:
    first, second = chat.whole(**parameters), chat.whole(**parameters)
    assert first["id"] != second["id"]
    assert without_ids(first) == without_ids(second)


@pytest.mark.parametrize("reasoning", CHOICES["reasoning"])
@pytest.mark.parametrize("parameters", [{"messages": QUESTION}, {"messages": SEVERAL, "tools": TOOLS}])
@pytest.mark.parametrize(
    "extra", ["", "; pieces=1", "; chunk_tokens=3; null_content=true; role_every_chunk=false; echo_ids=false"]
)
def test_streams_and_single_responses_agree(chat: Chat, parameters: dict[str, Any], reasoning: str, extra: str) -> None:
    headers = {"x-emulator-behaviour": f"reasoning={reasoning}{extra}"}
    streamed_text = joined(chat.chunks(headers=headers, **parameters))
    body = chat.whole(headers=headers, **parameters)
    message = body["choices"][0]["message"]
    assert streamed_text["text"] == (message["content"] or "")
    assert streamed_text["reasoning"] == (message.get("reasoning") or message.get("reasoning_content") or "")
    assert [(call["name"], call["arguments"]) for call in streamed_text["calls"]] == [
        (call["function"]["name"], call["function"]["arguments"]) for call in message["tool_calls"]
    ]
    assert streamed_text["finish"] == body["choices"][0]["finish_reason"]
    assert streamed_text["usage"] == body["usage"]


@pytest.mark.parametrize("mode", [mode for mode in CHOICES["tool_deltas"] if mode not in ("no-index", "same-index")])
def test_tool_calls_in_every_mode(chat: Chat, mode: str) -> None:
    chunks = chat.chunks(SEVERAL, tools=TOOLS, headers={"x-emulator-behaviour": f"tool_deltas={mode}"})
    calls = joined(chunks)["calls"]
    assert [(call["name"], json.loads(call["arguments"])) for call in calls] == [
        ("get_weather", {"location": "Paris"}),
        ("get_weather", {"location": "London"}),
        ("add", {"a": 2, "b": 3}),
    ]
    assert len({call["id"] for call in calls}) == 3
    parts = [part for chunk in chunks for choice in chunk["choices"] for part in choice["delta"].get("tool_calls") or []]
    continuations = [part for part in parts if "id" not in part]
    assert all(set(part) == {"index", "function"} and set(part["function"]) == {"arguments"} for part in continuations)
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert reasons[-1] == "tool_calls"
    assert reasons.count("tool_calls") == (4 if mode == "repeat-finish" else 1)
    count = max(len(choice["delta"].get("tool_calls") or []) for chunk in chunks for choice in chunk["choices"])
    assert count == (3 if mode == "one-chunk" else 1)
    if mode == "interleaved":
        order = [part["index"] for part in parts]
        assert order != sorted(order)


@pytest.mark.parametrize(("mode", "index"), [("no-index", None), ("same-index", 0)])
def test_tool_calls_without_a_usable_index(chat: Chat, mode: str, index: int | None) -> None:
    chunks = chat.chunks(SEVERAL, tools=TOOLS, headers={"x-emulator-behaviour": f"tool_deltas={mode}"})
    parts = [part for chunk in chunks for choice in chunk["choices"] for part in choice["delta"].get("tool_calls") or []]
    assert {part.get("index") for part in parts} == {index}
    assert len({part["id"] for part in parts if "id" in part}) == 3


@pytest.mark.parametrize(
    ("position", "include_usage", "on_finish", "separate"),
    [
        ("finish", False, True, False), ("separate", False, False, True), ("asked", False, False, False), ("asked", True, True, False),
        ("asked-separate", False, False, False), ("asked-separate", True, False, True), ("none", True, False, False),
    ],
)  # fmt: skip
def test_position_of_usage(chat: Chat, position: str, include_usage: bool, on_finish: bool, separate: bool) -> None:
    chunks = chat.chunks(
        "hi", headers={"x-emulator-behaviour": f"usage={position}"}, stream_options={"include_usage": include_usage}
    )
    finishing = next(chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["finish_reason"])
    assert bool(finishing["usage"]) is on_finish
    assert (chunks[-1]["choices"] == [] and bool(chunks[-1]["usage"])) is separate


@pytest.mark.parametrize(
    ("model", "body", "field"),
    [
        ("deepseek-ai/DeepSeek-R1", {}, "tags"), ("Qwen/Qwen3.5-9B", {}, "reasoning"), ("moonshotai/Kimi-K3", {}, "reasoning_content"),
        ("Qwen/Qwen3.5-9B", {"reasoning": {"enabled": False}}, None), ("Qwen/Qwen3.5-9B", {"chat_template_kwargs": {"enable_thinking": False}}, None),
        ("Qwen/Qwen3.5-9B", {"reasoning": {"enabled": True}}, "reasoning"), (MODEL, {}, None),
        ("Qwen/Qwen3.5-9B", {"reasoning_effort": "none"}, None), ("moonshotai/Kimi-K3", {"reasoning": {"enabled": False}}, None),
        ("openai/gpt-oss-120b", {}, "reasoning"), ("openai/gpt-oss-120b", {"reasoning": {"enabled": False}}, "reasoning"),
        ("deepseek-ai/DeepSeek-V4-Pro-0813", {}, "reasoning_content"), ("zai-org/GLM-5.2", {}, "reasoning_content"),
        ("kimi-latest", {"reasoning_effort": "max"}, "reasoning_content"),
    ],
)  # fmt: skip
def test_reasoning_follows_the_model(chat: Chat, model: str, body: dict[str, Any], field: str | None) -> None:
    answer = chat.whole(QUESTION, model=model, **body)
    message = answer["choices"][0]["message"]
    reply = {name for name in ("reasoning", "reasoning_content") if message.get(name)}
    assert reply == ({field} if field in ("reasoning", "reasoning_content") else set())
    assert message["content"].startswith("<think>\n") is (field == "tags")
    details = answer["usage"].get("completion_tokens_details", {})
    assert (0 < details.get("reasoning_tokens", 0) < answer["usage"]["completion_tokens"]) is (field is not None)


def test_effort_changes_the_length_of_reasoning(chat: Chat) -> None:
    sizes = [
        len(chat.whole(QUESTION, model="openai/gpt-oss-120b", reasoning_effort=effort)["choices"][0]["message"]["reasoning"])
        for effort in ("low", "medium", "high")
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("model", ["openai/gpt-oss-120b", "Qwen/Qwen3.5-9B", "moonshotai/Kimi-K3"])
def test_reasoning_is_short_and_streams_before_the_text(chat: Chat, model: str) -> None:
    body = chat.whole(QUESTION, model=model)
    message, used = body["choices"][0]["message"], body["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert used <= 20
    chunks = chat.chunks(QUESTION, model=model)
    streamed = joined(chunks)
    assert streamed["reasoning"] == message.get("reasoning", message.get("reasoning_content"))
    assert (streamed["text"], streamed["usage"]) == (message["content"], body["usage"])
    kinds = ["text" if chunk["choices"][0]["delta"]["content"] else "reasoning" for chunk in chunks[:-1]]
    assert kinds == sorted(kinds)  # all reasoning comes first
    assert kinds.count("reasoning") == used


@pytest.mark.parametrize("parameters", [{"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}])
def test_log_probabilities(chat: Chat, parameters: dict[str, Any]) -> None:
    arrays = chat.whole("hi", **parameters)["choices"][0]
    content = arrays["message"]["content"]
    assert "".join(arrays["logprobs"]["tokens"]) == content
    assert all(score < 0 for score in arrays["logprobs"]["token_logprobs"])
    assert all(
        len(top) == 3 and token in top
        for token, top in zip(arrays["logprobs"]["tokens"], arrays["logprobs"]["top_logprobs"], strict=True)
    )
    bare = joined(chat.chunks("hi", **parameters))
    assert bare["logprobs"] == arrays["logprobs"]["token_logprobs"]
    openai = chat.whole("hi", headers={"x-emulator-behaviour": "logprobs=openai"}, **parameters)["choices"][0]["logprobs"][
        "content"
    ]
    assert "".join(entry["token"] for entry in openai) == content
    assert all(bytes(entry["bytes"]).decode() == entry["token"] and len(entry["top_logprobs"]) == 3 for entry in openai)
    stream_logprobs = joined(chat.chunks("hi", headers={"x-emulator-behaviour": "logprobs=openai"}, **parameters))["logprobs"]
    assert [entry for chunk_logprobs in stream_logprobs for entry in chunk_logprobs["content"]] == openai
    newer = chat.whole("hi", model="openai/gpt-oss-120b", **parameters)["choices"][0]["logprobs"]
    assert "content" in newer


def test_stop_and_max_tokens(chat: Chat) -> None:
    full = chat.text("Count from 1 to 50")
    for stop in (", 7", [", 7", ", 9"]):
        first_choice = chat.whole("Count from 1 to 50", stop=stop)["choices"][0]
        assert (first_choice["message"]["content"], first_choice["finish_reason"]) == ("1, 2, 3, 4, 5, 6", "stop")
    cut = chat.whole("Count from 1 to 50", max_tokens=9)
    assert cut["choices"][0]["finish_reason"] == "length"
    assert full.startswith(cut["choices"][0]["message"]["content"])
    assert cut["usage"]["completion_tokens"] == 9


def test_multiple_choices(chat: Chat) -> None:
    texts = [choice["message"]["content"] for choice in chat.whole(QUESTION, n=8)["choices"]]
    assert len(set(texts)) == 8
    assert all("1931" in text for text in texts)
    assert chat.post("hi", n=2, stream=True).status_code == 400


def test_echo(chat: Chat) -> None:
    echo_entry = chat.whole("hi there", echo=True, logprobs=1)["prompt"][0]
    assert echo_entry["text"] == "hi there"
    assert echo_entry["logprobs"]["token_logprobs"][0] is None


def test_context_length(chat: Chat) -> None:
    small = "meta-llama/Meta-Llama-3-8B-Instruct-Lite"
    too_long = chat.post("word " * 9_000, model=small)
    assert too_long.status_code == 400
    assert too_long.json()["error"]["type"] == "invalid_request_error"
    assert "8192" in too_long.json()["error"]["message"]
    assert chat.post("hi", model=small, max_tokens=9_000).status_code == 400
    assert chat.post("hi", model=small, max_tokens=9_000, context_length_exceeded_behavior="truncate").status_code == 200


@pytest.mark.parametrize("model", ["nothing", "org/unknown-1", "org/does-not-exist"])
def test_missing_models(chat: Chat, model: str) -> None:
    answer = chat.post("hi", model=model)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_available")


def test_unlisted_models_and_models_of_another_type(chat: Chat) -> None:
    assert chat.whole("hi", {"x-emulator-behaviour": "any-model"}, model="someone/new-model")["model"] == "someone/new-model"
    assert chat.post("hi", model="BAAI/bge-base-en-v1.5").status_code == 400


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"odd": 1}, "odd"), ({"parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0]"),
    ],
)  # fmt: skip
def test_strict_mode(chat: Chat, body: dict[str, Any], param: str) -> None:
    parameters = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **body}
    assert chat.http.post("/chat/completions", json=parameters).status_code == 200
    answer = chat.http.post("/chat/completions", json=parameters, headers={"x-emulator-behaviour": "strict"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


@pytest.mark.parametrize(
    ("body", "is_refused"),
    [
        ({"tools": [WEATHER], "response_format": {"type": "json_object"}}, True),
        ({"tools": [WEATHER], "tool_choice": "none", "response_format": {"type": "regex", "pattern": "a"}, "stream": True}, True),
        ({"tools": [WEATHER], "response_format": {"type": "text"}}, False),
        ({"tools": [WEATHER], "response_format": None}, False),
        ({"tools": [], "response_format": {"type": "json_object"}}, False),
        ({"tools": None, "response_format": {"type": "json_object"}}, False),
    ],
)
def test_strict_mode_refuses_tools_with_a_response_format(chat: Chat, body: dict[str, Any], is_refused: bool) -> None:
    assert chat.post("hi", **body).status_code == 200
    answer = chat.post("hi", {"x-emulator-behaviour": "strict"}, **body)
    assert answer.status_code == (400 if is_refused else 200)
    if is_refused:
        error = answer.json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", "response_format")
        assert "tools and response_format" in error["message"]


def test_media_are_mentioned(chat: Chat) -> None:
    parts = [
        {"type": "text", "text": "Describe this"},
        *({"type": kind, kind: {"url": "data:,x"}} for kind in ("image_url", "image_url", "video_url")),
    ]
    assert chat.text([{"role": "user", "content": parts}], model=VISION).startswith("I received 2 images and a video.")
    conversation = [
        {"role": "user", "content": "Take a picture"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "snap", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "done"}, {"type": "image_url", "image_url": {"url": "data:,x"}}]},
    ]  # fmt: skip
    assert chat.text(conversation, model=VISION) == "I received an image. snap says: done."


def test_every_behaviour_can_be_set_by_header(emulator: Emulator) -> None:
    for name, options in CHOICES.items():
        for option in options:
            assert getattr(Behaviour().changed_by(f"{name}={option}"), name) == option
    new_behaviour = Behaviour().changed_by("pieces=4; delay=0.5; shuffle-embeddings; seed_above_int64=false")
    assert (new_behaviour.pieces, new_behaviour.delay, new_behaviour.shuffle_embeddings, new_behaviour.seed_above_int64) == (
        4,
        0.5,
        True,
        False,
    )


def test_completions(http: httpx.Client) -> None:
    parameters = {"model": "mistralai/Mixtral-8x7B-v0.1", "prompt": "Count to 9 please", "logprobs": 2, "echo": True}
    body = http.post("/completions", json=parameters).json()
    assert body["object"] == "text.completion"
    assert body["prompt"][0]["text"] == parameters["prompt"]
    text = body["choices"][0]["text"]
    assert text == " 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert "".join(body["choices"][0]["logprobs"]["tokens"]) == text
    chunks = events(http.post("/completions", json={**parameters, "stream": True}).content)
    assert {chunk["object"] for chunk in chunks} == {"completion.chunk"}
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == text
    assert all(chunk["choices"][0]["text"] == chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert chunks[-1]["usage"] == body["usage"]
    several = http.post("/completions", json={**parameters, "n": 3, "max_tokens": 4}).json()["choices"]
    assert [choice["finish_reason"] for choice in several] == ["length"] * 3
    assert len({choice["text"] for choice in several}) == 3
