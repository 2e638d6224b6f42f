"""Which models are served: by the service of today, by an account with endpoints, and by an emulator that was told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from tests.emulator.conftest import KEY, MODEL, WEATHER
from together_adapters.emulator import Behaviour, Emulator, serve
from together_adapters.types.capabilities import MODELS

STRICT = {"x-emulator-behaviour": "strict"}
EMBEDDING, RERANK = "intfloat/multilingual-e5-large-instruct", "Salesforce/Llama-Rank-V1"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/chat/completions": HELLO, "/completions": {"prompt": "hello"}, "/embeddings": {"input": "hello"},
    "/rerank": {"query": "hello", "documents": ["hello", "bye"]},
    "/images/generations": {"prompt": "a cat"},
}  # fmt: skip
NOT_SERVED = [
    ("/embeddings", EMBEDDING, 404, "model_not_available", "removed embedding model"),
    ("/embeddings", "BAAI/bge-base-en-v1.5", 400, "model_not_available", "embedding model without a dedicated endpoint"),
    ("/embeddings", "acme/vectors", 404, "model_not_available", "unknown model"),
    ("/rerank", RERANK, 404, "model_not_available", "removed rerank model"),
    ("/chat/completions", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 404, "model_not_available", "removed chat model"),
    ("/completions", "openai/gpt-oss-20b", 404, "model_not_available", "removed chat model"),
    ("/chat/completions", "essentialai/rnj-1-instruct", 400, "model_not_available", "chat model without a dedicated endpoint"),
    ("/chat/completions", "acme/unheard", 404, "model_not_available", "unknown model"),
    *(
        ("/chat/completions", f"Qwen/{name}", 403, "third_party_data_sharing_blocked", "model of a third party")
        for name in ("Qwen3.6-Plus", "Qwen3.7-Plus", "Qwen3.7-Max", "Qwen3.8-Flash")
    ),
]


def ask(http: httpx.Client, path: str, model: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return http.post(path, json={"model": model, **BODIES[path], **more}, headers=headers)


def code(response: httpx.Response) -> tuple[int, str | None]:
    return response.status_code, None if response.is_success else response.json()["error"]["code"]


@pytest.fixture
def connect() -> Iterator[Any]:
    clients = []

    def connect(emulator: Emulator) -> httpx.Client:
        clients.append(httpx.Client(base_url=emulator.base_url, headers=KEY, timeout=HANG, verify=False))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


@pytest.mark.parametrize(("path", "model", "status", "reason", "grant"), NOT_SERVED)
def test_strict_mode_serves_what_the_service_serves_today(
    path: str, model: str, status: int, reason: str, grant: str, http: httpx.Client
) -> None:
    refused = ask(http, path, model, STRICT)
    assert code(refused) == (status, reason)
    assert model in refused.json()["error"]["message"]
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert ("non-serverless" in refused.text) == (reason == "model_not_available" and status == 400)
    granted = ask(http, path, model, {"x-emulator-behaviour": "any-model"})
    assert granted.status_code == 200
    assert granted.headers["x-emulator-grants"] == grant


def test_every_chat_model_that_no_source_says_gone_is_served(http: httpx.Client) -> None:
    served = [name for name, facts in MODELS.items() if facts.is_served and not facts.needs_data_sharing]
    assert {"openai/gpt-oss-120b", "Qwen/Qwen3.5-9B", "moonshotai/Kimi-K3"} <= set(served)
    for model in served:
        response = ask(http, "/chat/completions", model, STRICT)
        assert code(response) == (200, None)
        assert "x-emulator-grants" not in response.headers
        assert "x-emulator-grants" not in ask(http, "/chat/completions", model).headers


def test_an_alias_is_answered_by_its_model(http: httpx.Client) -> None:
    for headers in (STRICT, None):
        assert ask(http, "/chat/completions", "kimi-latest", headers).json()["model"] == "moonshotai/Kimi-K3"


@pytest.mark.parametrize("path", ["/embeddings", "/rerank"])
def test_a_chat_model_neither_embeds_nor_reranks(path: str, http: httpx.Client) -> None:
    for headers in (STRICT, None, {"x-emulator-behaviour": "any-model"}):
        assert code(ask(http, path, MODEL, headers)) == (400, None)


@pytest.mark.parametrize("headers", [STRICT, None], ids=["strict", "default"])
def test_a_model_of_another_type_does_not_chat(headers: dict[str, str] | None, connect: Any) -> None:
    with serve(models=[EMBEDDING, RERANK]) as emulator:
        http = connect(emulator)
        for path in ("/chat/completions", "/completions"):
            for model in (EMBEDDING, RERANK):
                assert code(ask(http, path, model, headers)) == (400, None)


@pytest.mark.parametrize("headers", [STRICT, None], ids=["strict", "default"])
@pytest.mark.parametrize(
    ("path", "model"), [("/embeddings", EMBEDDING), ("/rerank", RERANK), ("/chat/completions", "essentialai/rnj-1-instruct")]
)
def test_an_endpoint_makes_a_model_available(
    path: str, model: str, headers: dict[str, str] | None, http: httpx.Client, emulator: Emulator
) -> None:
    wish = {"model": model, "hardware": "1x_nvidia_h100_80gb_sxm", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}
    endpoint = http.post("/endpoints", json=wish, headers=headers).json()
    try:
        answer = code(ask(http, path, model, STRICT))
        if http.get(f"/endpoints/{endpoint['id']}").json()["state"] != "STARTED":  # else the machine is too busy to see it start
            assert answer == (400, "dedicated_endpoint_not_running")
        deadline = time.monotonic() + HANG
        while http.get(f"/endpoints/{endpoint['id']}").json()["state"] != "STARTED":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for name in (model, endpoint["name"]):
            response = ask(http, path, name, headers)
            assert (code(response), response.json()["model"]) == ((200, None), model)
            assert "x-emulator-grants" not in response.headers
        http.patch(f"/endpoints/{endpoint['id']}", json={"state": "STOPPED"})
        assert code(ask(http, path, model, STRICT)) == (400, "dedicated_endpoint_not_running")
    finally:
        emulator.reset()


def test_a_stopped_endpoint_does_not_hide_a_serverless_model(http: httpx.Client, emulator: Emulator) -> None:
    autoscaling = {"min_replicas": 1, "max_replicas": 1}
    wish = {"model": MODEL, "hardware": "1x_nvidia_h100_80gb_sxm", "autoscaling": autoscaling, "state": "STOPPED"}
    assert http.post("/endpoints", json=wish).is_success
    assert code(ask(http, "/chat/completions", MODEL, STRICT)) == (200, None)
    emulator.reset()


@pytest.mark.parametrize("strict", [False, True])
def test_named_models_are_the_only_ones(strict: bool, connect: Any) -> None:
    names = [EMBEDDING, "acme/chat", "acme/vectors=embedding", "acme/painter"]
    with serve(behaviour=Behaviour(strict=strict), models=names) as emulator:
        http = connect(emulator)
        assert [entry["id"] for entry in http.get("/models").json()] == [EMBEDDING, "acme/chat", "acme/vectors", "acme/painter"]
        assert {entry["name"] for entry in http.get("/endpoints").json()["data"]} >= {"acme/chat"}
        for path, model in (
            ("/embeddings", EMBEDDING), ("/embeddings", "acme/vectors"), ("/chat/completions", "acme/chat"),
            ("/images/generations", "acme/painter"),
        ):  # fmt: skip
            response = ask(http, path, model)
            assert code(response) == (200, None)
            assert "x-emulator-grants" not in response.headers
        for path, model in (
            ("/chat/completions", MODEL), ("/rerank", RERANK), ("/embeddings", "acme/other"), ("/images/generations", "acme/draw"),
        ):  # fmt: skip
            assert code(ask(http, path, model)) == (404, "model_not_available")
        for path, model in (("/embeddings", "acme/chat"), ("/chat/completions", "acme/vectors")):
            assert code(ask(http, path, model)) == (400, None)


def test_names_of_models_in_other_forms(connect: Any) -> None:
    with serve(models={"acme/ranker": "rerank", RERANK: None}) as emulator:
        http = connect(emulator)
        assert [code(ask(http, "/rerank", model)) for model in ("acme/ranker", RERANK)] == [(200, None)] * 2
    with serve(models=[]) as emulator:
        assert code(ask(connect(emulator), "/chat/completions", MODEL)) == (404, "model_not_available")


def test_what_is_said_of_models_that_the_table_does_not_have(connect: Any) -> None:
    facts = {"context_length": 100, "reasoning": "reasoning", "prices": {"input": 1.0, "output": 2.0, "cached_input": 0.5}}
    with serve(models=[{"id": "small", **facts}, {"id": "vectors", "type": "embedding", "dimensions": 8}, MODEL]) as emulator:
        http = connect(emulator)
        emulator.reply("Yes.", reasoning="Is it?", usage={"prompt_tokens": 10, "completion_tokens": 10})
        message = ask(http, "/chat/completions", "small").json()["choices"][0]["message"]
        assert (message["content"], message["reasoning"]) == ("Yes.", "Is it?")
        assert emulator.bill.total().cost == pytest.approx(30e-6)
        assert len(ask(http, "/embeddings", "vectors").json()["data"][0]["embedding"]) == 8
        assert code(http.post("/chat/completions", json={"model": "small", "messages": [], "max_tokens": 101})) == (400, None)
        assert [model["id"] for model in http.get("/models").json()] == ["small", "vectors", MODEL]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["acme/x=vectors"], "acme/x has the type 'vectors', which is none of chat, language, embedding, rerank"),
        ([{"id": "x", "context": 7}], "the model x has no 'context': known are type, context_length"),
        ({"x": {"type": "vectors"}}, "the model x has the type 'vectors'"),
        ([{"type": "chat"}], "a model is a name, or a dict with an id"),
    ],
)
def test_models_that_are_none(models: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message), serve(models=models):
        pass


def test_no_moderation_model_is_served(connect: Any) -> None:
    guard = "meta-llama/Llama-Guard-4-12B"
    with serve() as emulator:
        http = connect(emulator)
        for path in ("/chat/completions", "/completions"):
            refused = ask(http, path, MODEL, STRICT, safety_model=guard)
            assert code(refused) == (404, "model_not_available")
            assert refused.json()["error"]["param"] == "safety_model"
            assert ask(http, path, MODEL, safety_model=guard).headers["x-emulator-grants"] == "moderation model"
    with serve(models=[MODEL, guard]) as emulator:
        assert code(ask(connect(emulator), "/chat/completions", MODEL, STRICT, safety_model=guard)) == (200, None)


def test_all_grants_are_named_once(http: httpx.Client) -> None:
    more: dict[str, Any] = {
        "tools": [WEATHER],
        "response_format": {"type": "json_object"},
        "later": 1,
        "sooner": 2,
        "stream": True,
    }
    granted = ask(http, "/chat/completions", "acme/chat", {"x-emulator-behaviour": "any-model"}, **more)
    assert granted.headers["x-emulator-grants"].split("; ") == [
        "unknown model", "unknown parameters", "tools with a response format",
    ]  # fmt: skip
    assert "x-emulator-grants" not in ask(http, "/chat/completions", RERANK).headers


@pytest.mark.parametrize("headers", [STRICT, None], ids=["strict", "default"])
def test_the_catalogue_keeps_what_is_not_served(headers: dict[str, str] | None, http: httpx.Client) -> None:
    entries = {entry["id"]: entry for entry in http.get("/models", headers=headers).json()}
    assert set(entries) == set(MODELS)
    pricing = entries["openai/gpt-oss-120b"]["pricing"]
    facts = MODELS["openai/gpt-oss-120b"]
    assert (pricing["input"], pricing["output"]) == (facts.prices.input, facts.prices.output)
    assert entries["moonshotai/Kimi-K3"]["pricing"]["cached_input"] == MODELS["moonshotai/Kimi-K3"].prices.cached_input
    assert all(entry["pricing"]["input"] >= 0 for entry in entries.values())
    serverless = {
        entry["name"] for entry in http.get("/endpoints", params={"type": "serverless"}, headers=headers).json()["data"]
    }
    assert serverless == {name for name, facts in MODELS.items() if facts.is_served}


@pytest.mark.parametrize("model", ["openai/gpt-oss-120b", "Qwen/Qwen3.5-9B", "Qwen/Qwen3-8B", "moonshotai/Kimi-K2-Base"])
def test_a_fine_tune_is_not_bound_to_what_is_served(model: str, http: httpx.Client) -> None:
    for name in (model, "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"):
        response = http.get("/fine-tunes/models/limits", params={"model_name": name}, headers=STRICT)
        assert response.status_code == 200, response.text
