"""A mistyped keyword of a call is sent, with a warning at the user's line, in both frameworks and both flavours."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage, ImageBlock
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from together_adapters import ModelRemovedWarning, TogetherError
from together_adapters.adapters import keywords, prefixes
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
GONE = "openai/gpt-oss-20b"  # models-check: ignore
OF_OTHER_SERVERS = dict.fromkeys(
    "min_tokens prompt_logprobs stop_token_ids ignore_eos top_a store repeat_penalty n_predict user max_completion_tokens "
    "length_penalty chat_template guided_json".split(),
    1,
)


async def _last(stream: Any) -> Any:
    return [item async for item in stream]


def _asynchronous(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **kwargs: asyncio.run(_awaited(call, kwargs))


async def _awaited(call: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
    return await call(**kwargs)


def _of(url: str, model: str) -> dict[str, Any]:
    return {"model": model, "api_key": "any", "base_url": url}


def calls(url: str, model: str = MODEL) -> dict[str, Callable[..., Any]]:
    connection = _of(url, model)
    chat, completer = ChatTogether(**connection), Together(**connection)
    llm = TogetherLLM(model, api_key="any", api_base=url)
    messages = [ChatMessage("hi")]
    return {
        "invoke": lambda **kwargs: chat.invoke("hi", **kwargs),
        "bind": lambda **kwargs: (RunnableLambda(str) | chat.bind(**kwargs)).invoke("hi"),
        "stream": lambda **kwargs: list(chat.stream("hi", **kwargs)),
        "ainvoke": _asynchronous(lambda **kwargs: chat.ainvoke("hi", **kwargs)),
        "astream": _asynchronous(lambda **kwargs: _last(chat.astream("hi", **kwargs))),
        "text": lambda **kwargs: completer.invoke("hi", **kwargs),
        "chat": lambda **kwargs: llm.chat(messages, **kwargs),
        "complete": lambda **kwargs: llm.complete("hi", **kwargs),
        "stream_chat": lambda **kwargs: list(llm.stream_chat(messages, **kwargs)),
        "achat": _asynchronous(lambda **kwargs: llm.achat(messages, **kwargs)),
    }


@pytest.mark.parametrize("name", list(calls("http://127.0.0.1:9")))
def test_one_warning_at_the_line_of_the_user(name: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keywords, "_past_warnings", set())
    call = calls(emulator.base_url)[name]
    with pytest.warns(UserWarning, match="temprature") as seen:  # noqa: PT031
        call(temprature=0)
        call(temprature=0)
    assert [(warning.filename, str(warning.message)) for warning in seen] == [
        (__file__, "unknown parameter 'temprature' (do you mean 'temperature'?); it is sent unchanged")
    ]
    assert [request.json["temprature"] for request in emulator.requests] == [0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(**OF_OTHER_SERVERS)
    assert emulator.requests[-1].json.items() >= OF_OTHER_SERVERS.items()


@pytest.mark.parametrize("name", list(calls("http://127.0.0.1:9")))
def test_other_warnings_of_calls_are_there_too(name: str, emulator: Emulator) -> None:
    call = calls(emulator.base_url, GONE)[name]
    with pytest.warns(ModelRemovedWarning) as seen, suppress(TogetherError):
        call()
    assert [warning.filename for warning in seen] == [__file__]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aaaa"}}
UNKNOWN = "acme/unheard-of"


@pytest.mark.parametrize(
    "call",
    [
        lambda url: ChatTogether(**_of(url, MODEL)).invoke([AIMessage([IMAGE]), HumanMessage("hi")]),
        lambda url: TogetherLLM(MODEL, api_key="any", api_base=url).chat(
            [ChatMessage(blocks=[ImageBlock(url="https://acme.example/a.png")], role="assistant"), ChatMessage("hi")]
        ),
        lambda url: TogetherEmbeddings(**_of(url, UNKNOWN), query_prefix="auto").embed_query("hi"),
        lambda url: TogetherEmbedding(UNKNOWN, api_key="any", api_base=url, query_instruction="auto").get_query_embedding("hi"),
        lambda url: TogetherLLM(UNKNOWN, api_key="any", api_base=url).predict(PromptTemplate("hi")),
    ],
    ids=["history", "LlamaIndex history", "prefix", "LlamaIndex prefix", "context window"],
)
def test_other_warnings_of_adapters_are_there_too(call: Callable[[str], Any], emulator: Emulator) -> None:
    prefixes._warn_unknown.cache_clear()
    with pytest.warns(UserWarning, match="acme|image") as seen, suppress(TogetherError):
        call(emulator.base_url)
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherLLM])
@pytest.mark.parametrize(
    ("name", "hint"),
    [("temprature", "temperature"), ("modle", "model"), ("modek", "model"), ("clinet", "client"), ("max_tokesn", "max_tokens")],
)
def test_fields_of_constructors(kind: Any, name: str, hint: str) -> None:
    with pytest.warns(UserWarning, match=rf"has no field {name} \(do you mean '{hint}'\?\)") as seen:
        kind(api_key="any", **{"model": MODEL, name: None})
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherLLM])
@pytest.mark.parametrize("name", ["verbosity", "min_tokens", "prompt_logprobs", "top_a", "template"])
def test_fields_of_others_have_no_hint(kind: Any, name: str) -> None:
    with pytest.warns(UserWarning, match=rf"has no field {name}[:;]"):
        kind(api_key="any", **{"model": MODEL, name: None})


@pytest.mark.parametrize("kind", [TogetherEmbedding, TogetherRerank, TogetherLLM])
def test_names_that_constructors_take_beside_their_fields(kind: Any) -> None:
    with pytest.warns(UserWarning, match=r"has no field base_ulr \(do you mean 'base_url'\?\), modell \(do you mean 'model'\?\)"):
        kind(modell=MODEL, api_key="any", base_ulr="http://127.0.0.1:9")
