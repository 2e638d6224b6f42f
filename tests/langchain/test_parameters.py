"""Fields, bound parameters and parameters of a call: which are sent, and which never are."""

from __future__ import annotations

import warnings
from typing import Any

import httpx
import langchain_together_adapters
import pytest
from langchain_core.messages import HumanMessage
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank
from pydantic import BaseModel, ValidationError

import together_adapters
from tests.conftest import count_function_calls
from together_adapters.emulator import Emulator

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"

EVERY: dict[str, Any] = {
    "temperature": 0.5, "max_tokens": 9, "stop": ["END"], "n": 2, "top_p": 0.9, "top_k": 5, "min_p": 0.1,
    "repetition_penalty": 1.1, "presence_penalty": 0.2, "frequency_penalty": 0.3, "logit_bias": {"42": -1.0}, "seed": 2**63 + 11,
    "logprobs": 1, "top_logprobs": 2, "echo": True, "safety_model": "meta-llama/Llama-Guard-4-12B",
    "response_format": {"type": "json_object"}, "context_length_exceeded_behavior": "truncate", "compliance": "hipaa",
}  # fmt: skip
CHAT_ONLY: dict[str, Any] = {
    "reasoning": {"enabled": False}, "reasoning_effort": "low", "chat_template_kwargs": {"thinking": False},
    "parallel_tool_calls": True,
}  # fmt: skip


def last(emulator: Emulator) -> dict[str, Any]:
    body: dict[str, Any] = emulator.requests[-1].json
    return body


@pytest.mark.parametrize("how", ["constructor", "bound", "call", "model_kwargs"])
@pytest.mark.parametrize("kind", [ChatTogether, Together])
def test_every_parameter_reaches_the_wire(kind: Any, how: str, connect: Any, emulator: Emulator) -> None:
    params = EVERY | (CHAT_ONLY if kind is ChatTogether else {})
    if how == "constructor":
        kind(model=MODEL, **connect, **params).invoke("x")
    elif how == "bound":
        kind(model=MODEL, **connect).bind(**params).invoke("x")
    elif how == "call":
        kind(model=MODEL, **connect).invoke("x", **params)
    else:
        kind(model=MODEL, **connect, model_kwargs=params).invoke("x")
    body = last(emulator)
    assert {name: body[name] for name in params} == params
    assert set(body) == {*params, "model", "messages" if kind is ChatTogether else "prompt"}


@pytest.mark.parametrize("kind", [ChatTogether, Together])
def test_none_is_not_sent(kind: Any, connect: Any, emulator: Emulator) -> None:
    llm = kind(model=MODEL, temperature=0.5, **connect)
    llm.invoke("x", temperature=None)
    assert set(last(emulator)) == {"model", "messages" if kind is ChatTogether else "prompt"}


def test_the_call_wins(connect: Any, emulator: Emulator) -> None:
    llm = ChatTogether(model=MODEL, temperature=0.5, stop=["A"], extra_body={"top_k": 3, "new_switch": 1}, **connect)
    llm.bind(temperature=0.4).invoke("x", temperature=0.3, stop=["B"], top_k=7, model="openai/gpt-oss-120b")
    body = last(emulator)
    assert (body["temperature"], body["stop"], body["top_k"], body["model"]) == (0.3, ["B"], 7, "openai/gpt-oss-120b")
    assert body["new_switch"] == 1
    llm.invoke(
        "x", stop_sequences=["C"], model_name="openai/gpt-oss-120b", extra_body={"new_switch": 2}, extra_headers={"x-a": "b"}
    )
    assert (last(emulator)["stop"], last(emulator)["model"], last(emulator)["new_switch"]) == (["C"], "openai/gpt-oss-120b", 2)
    assert emulator.requests[-1].headers["x-a"] == "b"


def test_names_that_the_library_does_not_know(connect: Any, emulator: Emulator) -> None:
    with pytest.warns(UserWarning, match="novel_switch.*model_kwargs"):
        llm = ChatTogether(model=MODEL, novel_switch=3, **connect)
    assert llm.model_kwargs == {"novel_switch": 3}
    llm.invoke("x", other_switch=4)
    assert (last(emulator)["novel_switch"], last(emulator)["other_switch"]) == (3, 4)


def test_settings_of_another_client_are_not_sent(connect: Any, emulator: Emulator) -> None:
    """`langchain-together` is built on OpenAI's client and takes its settings, a key among them."""
    with pytest.warns(UserWarning, match="ChatTogether has no field") as error_info:
        llm = ChatTogether(**connect, openai_api_key="sk-of-another-house", disabled_params={"n": None}, verbosity="low")
    assert [str(warning.message) for warning in error_info] == [
        "ChatTogether has no field disabled_params, openai_api_key, which has no effect here",
        "ChatTogether has no field verbosity: sent with every request, as model_kwargs",
    ]
    llm.invoke("x")
    assert emulator.requests[-1].json["verbosity"] == "low"
    assert "another-house" not in f"{emulator.requests[-1].headers}{emulator.requests[-1].body!r}{llm!r}"
    assert "disabled_params" not in emulator.requests[-1].json


def test_names_of_langchain_together(connect: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm = ChatTogether(
            model_name=MODEL, together_api_key="k", together_api_base=connect["base_url"], request_timeout=3, stop_sequences=["A"]
        )
    assert (llm.model, llm.model_name, llm.timeout, llm.stop) == (MODEL, MODEL, 3, ["A"])
    assert llm.together_api_key is not None
    assert llm.together_api_key.get_secret_value() == "k"
    assert Together(model=MODEL, api_key="k", base_url="https://api.together.xyz/v1/completions").together_api_base == (
        "https://api.together.xyz/v1"
    )
    TogetherEmbeddings(model_name="m", api_key="k", embedding_ctx_length=4096, show_progress_bar=False, skip_empty=False)


@pytest.mark.parametrize("name", ["TogetherDecisions", "TogetherEmbeddings", "TogetherRerank"])
def test_unknown_fields_are_refused_with_what_may_be_meant(name: str) -> None:
    if name not in langchain_together_adapters.__all__:
        pytest.skip(f"{name} needs a newer langchain-core")
    kind = getattr(langchain_together_adapters, name)
    with pytest.raises(ValidationError) as problem:
        kind(modell="m", base_ulr="x", xyz=1, api_kye="secret")
    assert [(error["type"], error["loc"], error["msg"]) for error in problem.value.errors()] == [
        ("extra_forbidden", (field,), f"{name} has no field {field}{hint}")
        for field, hint in (
            ("api_kye", " (do you mean 'api_key'?)"),
            ("base_ulr", " (do you mean 'base_url'?)"),
            ("modell", " (do you mean 'model'?)"),
            ("xyz", ""),
        )
    ]
    assert "secret" not in str(problem.value)


@pytest.mark.parametrize("kind", [ChatTogether, Together])
def test_several_choices_do_not_stream(kind: Any, connect: Any, emulator: Emulator) -> None:
    with pytest.raises(ValidationError, match="n > 1") as problem:
        kind(n=2, streaming=True, **{**connect, "api_key": "short-key"})
    assert "short-key" not in str(problem.value)
    with pytest.raises(ValueError, match="n > 1"):
        list(kind(n=2, **connect).stream("x"))
    with pytest.raises(ValueError, match="n > 1"):
        list(kind(**connect).stream("x", extra_body={"n": 2}))
    assert emulator.requests == []


def test_several_choices(connect: Any) -> None:
    result = ChatTogether(**connect, n=3).generate([[HumanMessage("x")]])
    generations = result.generations[0]
    assert len(generations) == 3
    assert [generation.message.usage_metadata is not None for generation in generations] == [True, False, False]  # type: ignore[attr-defined]
    assert all(generation.message.response_metadata["model_name"] for generation in generations)  # type: ignore[attr-defined]


def test_streams_request_usage(connect: Any, emulator: Emulator) -> None:
    list(ChatTogether(**connect).stream("x"))
    assert last(emulator)["stream_options"] == {"include_usage": True}
    list(ChatTogether(**connect).stream("x", stream_usage=False))
    assert "stream_options" not in last(emulator)
    list(ChatTogether(**connect, stream_usage=False).stream("x"))
    assert "stream_options" not in last(emulator)
    ChatTogether(**connect).invoke("x")
    assert "stream_options" not in last(emulator)
    assert "stream" not in last(emulator)


def test_parallel_tool_calls_only_when_set(connect: Any, emulator: Emulator) -> None:
    class Answer(BaseModel):
        """An answer."""

        text: str

    llm = ChatTogether(**connect)
    for method in ("function_calling", "json_schema", "json_mode"):
        llm.with_structured_output(Answer, method=method).invoke("Answer in JSON with the key 'text'.")  # type: ignore[arg-type]
        assert "parallel_tool_calls" not in last(emulator)
    llm.bind_tools([Answer], parallel_tool_calls=False).invoke("x")
    assert last(emulator)["parallel_tool_calls"] is False


class TestEnvironment:
    """Defect 1 of the peer: an OpenAI key sent to Together. Here nothing of OpenAI's is ever read."""

    @pytest.fixture(autouse=True)
    def _openai(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "OPENAI_API_KEY",
            "OPENAI_ORG_ID",
            "OPENAI_ORGANIZATION",
            "OPENAI_API_BASE",
            "OPENAI_BASE_URL",
            "OPENAI_PROXY",
        ):
            monkeypatch.setenv(name, "http://sk-openai-secret")

    def test_no_key(self) -> None:
        with pytest.raises(together_adapters.ConfigurationError) as error_info:
            ChatTogether()
        assert "TOGETHER_API_KEY" in str(error_info.value)
        assert "OPENAI" not in str(error_info.value)

    async def test_nothing_of_openai_is_sent(self, emulator: Emulator, connect: Any) -> None:
        ChatTogether(**connect).invoke("x")
        Together(**connect).invoke("x")
        TogetherEmbeddings(**connect).embed_query("x")
        TogetherRerank(model="acme/ranker", **connect).rerank(["x"], "x")
        await ChatTogether(**connect).ainvoke("x")
        assert len(emulator.requests) == 5
        for request in emulator.requests:
            assert request.headers["authorization"] == f"Bearer {connect['api_key']}"
            assert "openai" not in str(request.headers).lower()

    @pytest.mark.parametrize("variable", ["TOGETHER_BASE_URL", "TOGETHER_API_BASE"])
    @pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherEmbeddings, TogetherRerank])
    def test_addresses(self, kind: Any, variable: str, monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
        monkeypatch.setenv("TOGETHER_API_KEY", "from-environment")
        monkeypatch.setenv(variable, emulator.base_url)
        adapter = kind()
        assert adapter.together_api_base == emulator.base_url
        assert adapter.together_api_key.get_secret_value() == "from-environment"
        _use(adapter)
        assert emulator.requests[0].headers["authorization"] == "Bearer from-environment"

    def test_the_first_of_two_addresses_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOGETHER_BASE_URL", "https://a.example")
        monkeypatch.setenv("TOGETHER_API_BASE", "https://b.example")
        assert ChatTogether(api_key="k")._clients.config.base_url == "https://a.example/v1"
        assert ChatTogether(api_key="k", base_url="https://c.example")._clients.config.base_url == "https://c.example/v1"


def _use(adapter: Any) -> None:
    if isinstance(adapter, TogetherEmbeddings):
        adapter.embed_query("x")
    elif isinstance(adapter, TogetherRerank):
        adapter.rerank(["x", "y"], "x")
    else:
        adapter.invoke("x")


class TestClients:
    @pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherEmbeddings, TogetherRerank])
    def test_a_shared_client(self, kind: Any, connect: Any, emulator: Emulator) -> None:
        with together_adapters.Together(**connect, default_headers={"x-mine": "yes"}) as client:
            adapter = kind(client=client)
            assert adapter.together_api_key is None
            assert adapter.together_api_base == emulator.base_url
            _use(adapter)
            _use(kind(client=client, max_retries=0, timeout=5))
            adapter.close()
            _use(adapter)
        assert {request.headers["x-mine"] for request in emulator.requests} == {"yes"}
        assert len({request.connection for request in emulator.requests}) == 1

    async def test_a_shared_asynchronous_client(self, connect: Any, emulator: Emulator) -> None:
        async with together_adapters.AsyncTogether(**connect) as client:
            llm = ChatTogether(async_client=client)
            await llm.ainvoke("x")
            llm.invoke("x")
        assert len(emulator.requests) == 2

    def test_only_our_clients(self) -> None:
        with pytest.raises(TypeError, match="client must be a together_adapters.Together"):
            ChatTogether(client=httpx.Client())

    def test_headers_and_query(self, connect: Any, emulator: Emulator) -> None:
        ChatTogether(**connect, default_headers={"x-team": "a"}, default_query={"v": "2"}).invoke("x")
        assert emulator.requests[-1].headers["x-team"] == "a"
        assert emulator.requests[-1].query == "v=2"

    @pytest.mark.parametrize("timeout", [5, 5.0, (1, 5), httpx.Timeout(5)])
    def test_timeouts(self, timeout: Any, connect: Any) -> None:
        assert ChatTogether(**connect, timeout=timeout).invoke("x", timeout=4).content

    def test_retries_are_counted(self, connect: Any, emulator: Emulator) -> None:
        from together_adapters.emulator import Fault

        emulator.inject(Fault("429", times=None, retry_after_ms=1))
        with pytest.raises(together_adapters.RateLimitError):
            ChatTogether(**connect, max_retries=2).invoke("x")
        assert len(emulator.requests) == 3

    def test_a_copy_uses_its_own_base_url(self, connect: Any, emulator: Emulator) -> None:
        llm = ChatTogether(api_key="k", base_url="http://127.0.0.1:9")
        duplicate = llm.model_copy(update={"together_api_base": connect["base_url"]})
        assert duplicate.invoke("x").content
        assert llm._clients.config.base_url == "http://127.0.0.1:9/v1"

    def test_configurable_fields(self, connect: Any, emulator: Emulator) -> None:
        from langchain_core.runnables import ConfigurableField

        llm = ChatTogether(**connect).configurable_fields(temperature=ConfigurableField(id="t"))
        llm.with_config(configurable={"t": 0.25}).invoke("x")
        assert last(emulator)["temperature"] == 0.25

    def test_construction_is_cheap(self, connect: Any) -> None:
        ChatTogether(model=MODEL, **connect)
        assert count_function_calls(lambda: ChatTogether(model=MODEL, **connect)) < 240  # 17 variables are read
