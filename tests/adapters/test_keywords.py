"""A mistyped keyword of a call is sent, with a warning at the user's line, in both frameworks and both flavours."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_together_adapters import ChatTogether, Together
from llama_index.core.llms import ChatMessage
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from together_adapters.adapters import keywords
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
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


def calls(url: str) -> dict[str, Callable[..., Any]]:
    connection: dict[str, Any] = {"model": MODEL, "api_key": "any", "base_url": url}
    chat, completer = ChatTogether(**connection), Together(**connection)
    llm = TogetherLLM(MODEL, api_key="any", api_base=url)
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


@pytest.mark.parametrize("kind", [ChatTogether, Together, TogetherLLM])
def test_fields_of_constructors(kind: Any) -> None:
    with pytest.warns(UserWarning, match=r"has no field temprature \(do you mean 'temperature'\?\)") as seen:
        kind(model=MODEL, api_key="any", temprature=0)
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.parametrize("kind", [TogetherEmbedding, TogetherRerank, TogetherLLM])
def test_names_that_constructors_take_beside_their_fields(kind: Any) -> None:
    with pytest.warns(UserWarning, match=r"has no field base_ulr \(do you mean 'base_url'\?\), modell \(do you mean 'model'\?\)"):
        kind(modell=MODEL, api_key="any", base_ulr="http://127.0.0.1:9")
