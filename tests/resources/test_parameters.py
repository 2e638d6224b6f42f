"""Parameters are sent unchanged, and nothing else is sent."""

from __future__ import annotations

import inspect
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from tests.conftest import HANG, NEVER
from together_adapters import APITimeoutError
from together_adapters.emulator import Emulator, Fault
from together_adapters.resources import embeddings, rerank
from together_adapters.types.chat import ChatParams
from together_adapters.types.completions import CompletionParams
from together_adapters.types.requests import RequestOptions

OPTIONS = set(RequestOptions.__annotations__)
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
SAMPLING: dict[str, Any] = {
    "max_tokens": 7,
    "stop": ["\n\n", "END"],
    "temperature": 0.1,
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "presence_penalty": -0.5,
    "frequency_penalty": 0.25,
    "logit_bias": {"128": -100.0, "7": 2.5},
    "seed": 15_924_764_223_251_450_000,
    "n": 2,
    "stream_options": {"include_usage": True},
    "logprobs": 1,
    "top_logprobs": 3,
    "echo": True,
    "safety_model": "meta-llama/Llama-Guard-4-12B",
    "response_format": {"type": "regex", "pattern": "(yes|no)"},
    "tools": [TOOL],
    "tool_choice": "auto",
}


LOCAL = {
    "batch_size",
    "max_concurrency",
    "long_texts",
    "method",
    "max_documents",
    "score_threshold",
}  # parameters that are not sent


def keys_of(builder: Callable[..., Any]) -> set[str]:
    named = (p for p in inspect.signature(builder).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY)
    return {parameter.name for parameter in named} - LOCAL


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its method, the required parameters, and a value for each other parameter."""

    path: str
    method: Callable[[Any], Callable[..., Any]]
    needed: dict[str, Any]
    keys: set[str]
    values: dict[str, Any]


ENDPOINTS = {
    "chat": Endpoint(
        "/v1/chat/completions",
        lambda client: client.chat.completions.create,
        {"model": "deepseek-ai/DeepSeek-V4.1-Flash", "messages": [{"role": "user", "content": "Grüße \u2028 NaN 🦙"}]},
        set(ChatParams.__annotations__) - OPTIONS,
        SAMPLING
        | {
            "parallel_tool_calls": False,
            "function_call": {"name": "clock"},
            "reasoning": {"enabled": False},
            "reasoning_effort": "high",
            "chat_template_kwargs": {"thinking": True, "nested": {"deep": [1, None, 2.5]}},
            "context_length_exceeded_behavior": "truncate",
            "compliance": "hipaa",
        },
    ),
    "completions": Endpoint(
        "/v1/completions",
        lambda client: client.completions.create,
        {"model": "mistralai/Mixtral-8x7B-v0.1", "prompt": "Once upon a time "},
        set(CompletionParams.__annotations__) - OPTIONS,
        SAMPLING | {"suffix": " and they lived happily ever after."},
    ),
    "embeddings": Endpoint(
        "/v1/embeddings",
        lambda client: client.embeddings.create,
        {"model": "BAAI/bge-base-en-v1.5", "input": ["one\ntwo ", ""]},
        keys_of(embeddings.create),
        {"dimensions": 16, "encoding_format": "base64"},
    ),
    "rerank": Endpoint(
        "/v1/rerank",
        lambda client: client.rerank.create,
        {"model": "acme/ranker", "query": "camelids", "documents": [{"title": "Llama", "text": "It hums."}]},
        keys_of(rerank.create),
        {"top_n": 1, "return_documents": False, "rank_fields": ["title", "text"]},
    ),
}
PARAMETERS = [(name, key) for name, endpoint in ENDPOINTS.items() for key in endpoint.values]
STREAMING = ("chat", "completions")
every_endpoint = pytest.mark.parametrize("name", ENDPOINTS)


def call(flavour: Any, endpoint: Endpoint, **parameters: Any) -> Any:
    with_needed = {**endpoint.needed, **parameters}
    return flavour.run(endpoint.method(flavour.client(max_retries=0))(**with_needed))


@every_endpoint
def test_no_parameter_is_without_a_test(name: str) -> None:
    endpoint = ENDPOINTS[name]
    assert set(endpoint.values) | set(endpoint.needed) == endpoint.keys


@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_a_parameter_is_sent_unchanged(name: str, key: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    with emulator.behave(dimensions=True):
        call(flavour, endpoint, **{key: endpoint.values[key]})
    (request,) = emulator.requests
    assert (request.method, request.path) == ("POST", endpoint.path)
    assert request.json == {**endpoint.needed, key: endpoint.values[key]}
    assert type(request.json[key]) is type(endpoint.values[key])


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, key in PARAMETERS if name in STREAMING and key != "n"])
def test_a_parameter_is_sent_in_a_stream(name: str, key: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    list(flavour.iterate(call(flavour, endpoint, stream=True, **{key: endpoint.values[key]})))
    (request,) = emulator.requests
    assert request.json == {**endpoint.needed, key: endpoint.values[key], "stream": True}


@every_endpoint
def test_none_is_not_sent(name: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    call(flavour, endpoint, **dict.fromkeys(endpoint.values))
    assert emulator.requests[0].json == endpoint.needed


def test_none_inside_a_message_is_sent(flavour: Any, emulator: Emulator) -> None:
    messages = [
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "clock", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "noon"},
    ]
    call(flavour, ENDPOINTS["chat"], messages=messages)
    assert emulator.requests[0].json["messages"] == messages


@pytest.mark.parametrize("name", STREAMING)
def test_stream_is_sent_only_when_asked_for(name: str, flavour: Any, emulator: Emulator) -> None:
    call(flavour, ENDPOINTS[name], stream=False)
    assert emulator.requests[0].json.get("stream") in (None, False)
    assert emulator.requests[0].headers["accept"] == "application/json"


@every_endpoint
def test_extra_body_adds_and_replaces(name: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    if name == "rerank":
        call(flavour, endpoint, top_n=1, extra_body={"top_n": 2})
        assert emulator.requests[0].json == {**endpoint.needed, "top_n": 2}
        return
    call(flavour, endpoint, extra_body={"model": "acme/other", "brand_new": {"a": [1]}, "nothing": None})
    assert emulator.requests[0].json == {**endpoint.needed, "model": "acme/other", "brand_new": {"a": [1]}, "nothing": None}


@every_endpoint
def test_extra_headers_and_query_go_with_this_call_alone(name: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    client = flavour.client(default_headers={"x-all": "client"}, default_query={"every": "call"})
    send = endpoint.method(client)
    flavour.run(send(**endpoint.needed, extra_headers={"X-One": "1", "X-All": "call"}, extra_query={"debug": "a b"}))
    flavour.run(send(**endpoint.needed))
    first, second = emulator.requests
    assert (first.headers["x-one"], first.headers["x-all"]) == ("1", "call")
    assert sorted(first.query.split("&")) in (["debug=a%20b", "every=call"], ["debug=a+b", "every=call"])
    assert "x-one" not in second.headers
    assert (second.headers["x-all"], second.query) == ("client", "every=call")
    assert first.json == second.json == endpoint.needed


@every_endpoint
def test_timeout_of_one_call(name: str, flavour: Any, emulator: Emulator) -> None:
    emulator.inject(Fault("slow", seconds=NEVER))
    with pytest.raises(APITimeoutError):
        call(flavour, ENDPOINTS[name], timeout=httpx.Timeout(HANG, read=0.1))
    call(flavour, ENDPOINTS[name])
    assert [request.json for request in emulator.requests] == [ENDPOINTS[name].needed] * 2


@every_endpoint
def test_unknown_parameter_is_refused_and_pointed_to_extra_body(name: str, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match=r"'temprature'.*extra_body"):
        call(flavour, ENDPOINTS[name], temprature=1)
    assert emulator.requests == []


@pytest.mark.parametrize(("name", "missing"), [(name, key) for name, endpoint in ENDPOINTS.items() for key in endpoint.needed])
def test_missing_parameter_is_refused(name: str, missing: str, flavour: Any, emulator: Emulator) -> None:
    endpoint = ENDPOINTS[name]
    kwargs = {key: value for key, value in endpoint.needed.items() if key != missing}
    with pytest.raises(TypeError, match=f"'{missing}'"):
        flavour.run(endpoint.method(flavour.client())(**kwargs))
    assert emulator.requests == []


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("requests", [{"n": 2}, {"extra_body": {"n": 3}}])
def test_several_responses_are_not_streamed(name: str, requests: dict[str, Any], flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="n > 1"):
        call(flavour, ENDPOINTS[name], stream=True, **requests)
    assert emulator.requests == []


@pytest.mark.parametrize("name", STREAMING)
def test_one_response_is_streamed(name: str, flavour: Any, emulator: Emulator) -> None:
    assert list(flavour.iterate(call(flavour, ENDPOINTS[name], stream=True, n=1)))


def test_sequences_and_mappings_of_any_kind(flavour: Any, emulator: Emulator) -> None:
    message = MappingProxyType({"role": "user", "content": ({"type": "text", "text": "Hi"},)})
    call(flavour, ENDPOINTS["chat"], messages=(message,), stop=("a", "b"), logit_bias=UserDict({"1": 2}))
    request_body = emulator.requests[0].json
    assert request_body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert (request_body["stop"], request_body["logit_bias"]) == (["a", "b"], {"1": 2})


@pytest.mark.parametrize("content", ["\ud800", float("nan"), float("-inf"), object()], ids=["surrogate", "nan", "inf", "object"])
def test_what_json_cannot_say_is_refused_before_sending(content: Any, flavour: Any, emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="JSON"):
        call(flavour, ENDPOINTS["chat"], messages=[{"role": "user", "content": content}])
    assert emulator.requests == []


def test_models_takes_the_options_too(flavour: Any, emulator: Emulator) -> None:
    flavour.run(flavour.client().models.list(extra_headers={"x-one": "1"}, extra_query={"debug": "1"}))
    (request,) = emulator.requests
    assert (request.method, request.path, request.query, request.body) == ("GET", "/v1/models", "debug=1", b"")
    assert request.headers["x-one"] == "1"
    with pytest.raises(TypeError, match=r"'owner'.*extra_body"):
        flavour.run(flavour.client().models.list(owner="acme"))
