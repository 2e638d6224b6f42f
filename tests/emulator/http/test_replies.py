"""Replies that a test sets: their order, conditions and log-probabilities, whole and streamed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from together_adapters import BadRequestError
from together_adapters.emulator import Emulator
from together_adapters.types.logprobs import content_logprobs

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"


def ask(flavour: Any, text: str = "Hello", **changes: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return flavour.run(flavour.client(max_retries=0).chat.completions.create(**{"model": MODEL, "messages": messages, **changes}))


def text_of(completion: Any) -> str:
    text: str = completion.choices[0].message.content
    return text


def test_replies_come_in_their_order(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("One.")
    emulator.reply("Two.", times=2)
    emulator.reply("Never.", when="purple")
    assert [text_of(ask(flavour)) for _ in range(3)] == ["One.", "Two.", "Two."]
    assert "emulator" not in text_of(ask(flavour, "Say: blue"))  # its own answer
    assert [reply.content for reply in emulator.unused] == ["Never."]
    emulator.clear()
    assert emulator.unused == []


def test_conditions(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("By word.", when="größte")
    emulator.reply("By model.", when="Qwen/Qwen3.5-9B")
    emulator.reply("By function.", when=lambda request: request.get("seed") == 7)
    emulator.reply(lambda request: {"content": request["messages"][-1]["content"].upper()})
    assert text_of(ask(flavour, "Which is the größte?")) == "By word."
    assert text_of(ask(flavour, model="Qwen/Qwen3.5-9B")) == "By model."
    assert text_of(ask(flavour, seed=7)) == "By function."
    assert [text_of(ask(flavour, text)) for text in ("a", "b")] == ["A", "B"]


def test_a_message_with_reasoning_and_tool_calls(flavour: Any, emulator: Emulator) -> None:
    call = {"function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
    emulator.reply({"content": None, "reasoning": "Rome it is.", "tool_calls": [call]}, times=2)
    message = ask(flavour, model="openai/gpt-oss-120b").choices[0].message
    assert (message.reasoning, message.tool_calls[0].function.name) == ("Rome it is.", "weather")
    chunks = list(flavour.iterate(ask(flavour, model="openai/gpt-oss-120b", stream=True)))
    assert "".join(c.delta.reasoning or "" for chunk in chunks for c in chunk.choices) == "Rome it is."


def test_text_and_a_refusal_come_with_tool_calls(flavour: Any, emulator: Emulator) -> None:
    call = {"function": {"name": "weather", "arguments": "{}"}}
    emulator.reply({"content": "I look.", "refusal": "I must not.", "tool_calls": [call]}, times=2)
    whole = ask(flavour).choices[0]
    assert (whole.message.content, whole.message.refusal, len(whole.message.tool_calls)) == ("I look.", "I must not.", 1)
    deltas = [choice.delta for chunk in flavour.iterate(ask(flavour, stream=True)) for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "I look."
    assert "".join(getattr(delta, "refusal", None) or "" for delta in deltas) == "I must not."
    assert [entry.function.name for delta in deltas for entry in delta.tool_calls or () if entry.function.name] == ["weather"]


@pytest.mark.parametrize("layout", ["together", "openai"])
def test_log_probabilities(layout: str, flavour: Any, emulator: Emulator) -> None:
    top = {"yes": math.log(0.7), "no": math.log(0.2), "so": math.log(0.1)}
    emulator.reply("yes, yes", logprobs=top, times=2)
    options = {"logprobs": True, "top_logprobs": 2}
    with emulator.behave(logprobs=layout):
        whole = content_logprobs(ask(flavour, **options).choices[0].logprobs.model_dump())
        chunks = [
            chunk.choices[0] for chunk in flavour.iterate(ask(flavour, stream=True, **options)) if chunk.choices[0].logprobs
        ]
    streamed = [entry for c in chunks for entry in content_logprobs(c.logprobs, token=c.delta.content or "", top=c.top_logprobs)]
    assert streamed == whole
    assert {entry["token"]: entry["logprob"] for entry in whole[0]["top_logprobs"]} == {"yes": top["yes"], "no": top["no"]}
    assert len(whole) == 3
    assert whole[2]["logprob"] != top["yes"]


def test_a_function_that_fails_is_an_error_of_the_emulator(flavour: Any, emulator: Emulator) -> None:
    emulator.reply(lambda request: request["nothing"])
    with pytest.raises(BadRequestError):
        ask(flavour)
    assert "KeyError" in emulator.errors[0]
    emulator.clear()
