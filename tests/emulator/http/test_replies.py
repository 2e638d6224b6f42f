"""Replies that a test sets: their forms, order, conditions and counts, whole and streamed, for each kind of request."""

from __future__ import annotations

import math
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters import (
    APIStatusError,
    BadRequestError,
    IncompleteStreamError,
    RateLimitError,
    ServiceUnavailableError,
    Together,
)
from together_adapters.emulator import Emulator, Fault, Limits
from together_adapters.emulator.store.catalogue import prices_of
from together_adapters.types.capabilities import capabilities
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
    options: Any = {"logprobs": True, "top_logprobs": 2}
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


def joined(chunks: list[Any]) -> dict[str, Any]:
    """Joins a stream: its text, reasoning, calls, finish reason and usage."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    calls: dict[int, list[str]] = {}
    for part in (part for choice in choices for part in choice.delta.tool_calls or ()):
        call = calls.setdefault(part.index, ["", ""])
        call[0] += part.function.name or ""
        call[1] += part.function.arguments or ""
    return {
        "text": "".join(choice.delta.content or "" for choice in choices),
        "reasoning": "".join(choice.delta.reasoning or "" for choice in choices),
        "calls": list(map(tuple, calls.values())),
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "usage": next(chunk.usage for chunk in reversed(chunks) if chunk.usage),
    }


def both_ways(flavour: Any, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the same reply, whole and streamed."""
    whole = ask(flavour, **body)
    (choice,) = whole.choices
    message = {
        "text": choice.message.content or "",
        "reasoning": choice.message.reasoning or "",
        "calls": [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()],
        "finish": [choice.finish_reason],
        "usage": whole.usage,
    }
    return message, joined(list(flavour.iterate(ask(flavour, stream=True, **body))))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ({"tool_calls": [("weather", {"city": "Rome"})]}, {"calls": [("weather", '{"city":"Rome"}')], "finish": ["tool_calls"]}),
        ({"tool_calls": ["now", ("add", '{"a": 1', "id-7")]}, {"calls": [("now", "{}"), ("add", '{"a": 1')]}),
        ({"content": "Ro", "finish_reason": "length"}, {"text": "Ro", "finish": ["length"]}),
        ({"content": "It is.", "reasoning": "Is it?"}, {"text": "It is.", "reasoning": "Is it?", "finish": ["stop"]}),
        ({"chunks": ["Pa", "ris"]}, {"text": "Paris", "finish": ["stop"]}),
        ({"output": {"city": "Rome"}}, {"text": '{"city":"Rome"}', "finish": ["stop"]}),
        (
            {"chunks": [{"reasoning": "Hm"}, "Pa", {"choices": [{"index": 0, "delta": {"content": "ris"}}]}, {"choices": []}]},
            {"text": "Paris", "reasoning": "Hm"},
        ),
        (
            {
                "chunks": [
                    {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "add", "arguments": '{"a"'}}]},
                    {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
                ]
            },
            {"calls": [("add", '{"a": 1}')], "finish": ["tool_calls"]},
        ),
    ],
    ids=["call", "calls", "finish", "reasoning", "chunks", "output", "deltas", "call deltas"],
)
def test_whole_and_streamed_replies_are_equal(flavour: Any, emulator: Emulator, reply: Any, expected: dict[str, Any]) -> None:
    emulator.reply(times=2, **reply) if "content" not in reply else emulator.reply(reply, times=2)
    whole, streamed = both_ways(flavour)
    assert whole == streamed
    assert {name: whole[name] for name in expected} == expected
    assert emulator.unused == []


def test_chunks_are_sent_as_they_are(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("Paris", chunks=["Pa", "r", "is"], times=2)
    texts = [c.delta.content for chunk in flavour.iterate(ask(flavour, stream=True)) for c in chunk.choices]
    assert texts == ["Pa", "r", "is", ""]
    assert text_of(ask(flavour, max_tokens=2)) == "Par"


def test_a_call_has_the_id_that_it_was_given(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("I look.", tool_calls=[("add", {"a": 1}, "call-1"), ("add", {"a": 2})])
    first, second = ask(flavour).choices[0].message.tool_calls
    assert first.id == "call-1"
    assert second.id.startswith("call_")


def test_usage_is_billed(flavour: Any, emulator: Emulator) -> None:
    usage = {"prompt_tokens": 1_000, "cached_tokens": 400, "completion_tokens": 70, "reasoning_tokens": 30}
    emulator.reply("Paris.", usage=usage, times=2)
    whole, streamed = both_ways(flavour, model="openai/gpt-oss-120b")
    assert whole["usage"] == streamed["usage"]
    assert whole["usage"].total_tokens == 1_070
    for row in emulator.bill.rows():
        assert (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens) == (1_000, 400, 70, 30)
    prices = prices_of(capabilities("openai/gpt-oss-120b"))
    cost = (600 * prices["input"] + 400 * prices["cached_input"] + 70 * prices["output"]) / 1e6
    assert emulator.bill.total().cost == pytest.approx(2 * cost)


def test_usage_counts_against_limits(flavour: Any, emulator: Emulator) -> None:
    emulator.limits = Limits(tokens_per_minute=6_000, window=60)
    try:
        emulator.reply("Paris.", usage={"prompt_tokens": 5_000, "completion_tokens": 2_000})
        ask(flavour)
        with pytest.raises(RateLimitError):
            ask(flavour)
    finally:
        emulator.limits = None


def test_completions(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("Only for chats.", reasoning="Hm.")
    emulator.reply(" once upon a time", times=2, usage={"completion_tokens": 9}, logprobs={" once": -0.5, " twice": -1.5})
    create = flavour.client().completions.create
    whole = flavour.run(create(model=MODEL, prompt="Tell", logprobs=1))
    chunks = list(flavour.iterate(flavour.run(create(model=MODEL, prompt="Tell", stream=True))))
    assert whole.choices[0].text == "".join(choice.text for chunk in chunks for choice in chunk.choices) == " once upon a time"
    assert whole.choices[0].logprobs.token_logprobs[0] == -0.5
    assert whole.usage.completion_tokens == 9
    assert len(emulator.unused) == 1


def test_embeddings(flavour: Any, emulator: Emulator) -> None:
    def embed(*texts: str, **body: Any) -> Any:
        return flavour.run(
            flavour.client(max_retries=0).embeddings.create(model="Alibaba-NLP/gte-modernbert-base", input=list(texts), **body)
        )

    emulator.reply(embedding=[0.123456789, 1], when="first")
    emulator.reply(embedding=[[1, 0], [0, 1]], usage={"prompt_tokens": 77})
    emulator.reply(embedding=lambda text: [len(text), 0.5])
    assert [item.embedding for item in embed("first", "second", encoding_format="float").data] == [[0.123456789, 1.0]] * 2
    two = embed("a", "b")
    assert ([list(item.embedding) for item in two.data], two.usage.prompt_tokens) == ([[1, 0], [0, 1]], 77)
    assert [list(item.embedding) for item in embed("abc", "de").data] == [[3, 0.5], [2, 0.5]]
    emulator.reply(embedding=[[1, 0]])
    with pytest.raises(BadRequestError, match="the embedding of the reply has 1 entries, and the request has 2 texts"):
        embed("a", "b")
    emulator.clear()


@pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")
def test_rerank(flavour: Any, emulator: Emulator) -> None:
    def rank() -> list[tuple[int, float]]:
        result = flavour.run(
            flavour.client().rerank.create(
                model="Salesforce/Llama-Rank-V1", query="pears", documents=["apple", "pear"], method="rerank"
            )
        )
        return [(item.index, item.relevance_score) for item in result.results]

    emulator.reply(scores=[0.2, 0.7], when="apple")
    emulator.reply(scores=lambda query, document: 0.9 if document in query else 0.1)
    assert rank() == [(1, 0.7), (0, 0.2)]
    assert rank() == [(1, 0.9), (0, 0.1)]


def test_images_and_transcripts(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    emulator.reply(image=b"\x89PNG first", when="blue")
    emulator.reply(image=lambda request: [request["prompt"].encode()] * request["n"])
    emulator.reply(transcript="Good morning.", when="call.wav")
    emulator.reply(transcript=lambda form: form["language"])
    image = flavour.run(
        client.images.generate(model="black-forest-labs/FLUX.1-schnell", prompt="a blue pixel", response_format="base64")
    )
    assert b64decode(image.data[0].b64_json) == b"\x89PNG first"
    two = flavour.run(client.images.generate(model="black-forest-labs/FLUX.1-schnell", prompt="red", n=2))
    assert [httpx.get(item.url, trust_env=False).content for item in two.data] == [b"red", b"red"]
    texts = [
        flavour.run(client.audio.transcriptions.create(file=(name, b"RIFF"), model="openai/whisper-large-v3", language="de")).text
        for name in ("call.wav", "other.wav")
    ]
    assert texts == ["Good morning.", "de"]
    assert emulator.unused == []


def test_an_output_follows_the_request(flavour: Any, emulator: Emulator) -> None:
    tools = [
        new_tool("weather", {"properties": {"city": {"type": "string"}}, "required": ["city"]}),
        new_tool(
            "Report", {"properties": {"city": {"type": "string"}, "rain": {"type": "boolean"}}, "required": ["city", "rain"]}
        ),
        new_tool(
            "Refusal", {"$ref": "#/$defs/R", "$defs": {"R": {"type": "object", "properties": {"reason": {"minLength": 1}}}}}
        ),
        new_tool("now", {}),
    ]

    def calls(output: Any, tools: Any = None, tool_choice: Any = None) -> list[str]:
        emulator.reply(output=output)
        return [
            call.function.name for call in ask(flavour, tools=tools, tool_choice=tool_choice).choices[0].message.tool_calls or ()
        ]

    assert calls({"city": "Rome"}) == []
    assert calls({"city": "Rome"}, tools, "auto") == []
    assert calls({"degrees": 20}, tools[1:2], "required") == ["Report"]
    assert calls({"degrees": 20}, tools, {"type": "function", "function": {"name": "Report"}}) == ["Report"]
    assert calls({"city": "Rome"}, tools, "required") == ["weather"]
    assert calls({"city": "Rome", "rain": True}, tools, "required") == ["Report"]
    assert calls({"reason": "secret"}, tools, "any") == ["Refusal"]
    for output, names in (
        ({"city": 1}, "none"),
        ({"city": "Rome", "degrees": 20}, "none"),
        ({}, "Refusal and now"),
        ([1], "none"),
    ):
        emulator.reply(output=output)
        with pytest.raises(
            BadRequestError, match=rf"one of the tools weather, Report, Refusal, now.* of {names}; .*tool_calls=\["
        ):
            ask(flavour, tools=tools, tool_choice="required")
    emulator.clear()


def new_tool(name: str, parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def test_a_default_answers_what_no_other_reply_does(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("Old default.", times=math.inf)
    emulator.reply("Default.", times=math.inf)
    emulator.reply("Once.")
    assert [text_of(ask(flavour)) for _ in range(3)] == ["Once.", "Default.", "Default."]
    assert [reply.content for reply in emulator.unused] == ["Old default."]


def test_what_no_reply_fits_is_refused_on_demand(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("Once.")
    with emulator.behave(unscripted="refuse"):
        ask(flavour)
        with pytest.raises(BadRequestError, match="No reply was set for this request to chat"):
            ask(flavour)
    assert "Hello" in text_of(ask(flavour))


def test_faults_and_limits_go_first(flavour: Any, emulator: Emulator) -> None:
    emulator.reply("Paris.")
    emulator.inject("503")
    with pytest.raises(ServiceUnavailableError):
        ask(flavour)
    assert text_of(ask(flavour)) == "Paris."
    emulator.reply(chunks=["Pa", "ris", "."])
    emulator.inject(Fault("cut", after=2))
    with pytest.raises(IncompleteStreamError):
        list(flavour.iterate(ask(flavour, stream=True)))


def test_functions_may_wait_for_other_requests(emulator: Emulator) -> None:
    barrier = Barrier(8, timeout=HANG)

    def together(request: dict[str, Any]) -> str:
        barrier.wait()
        return "Together."

    emulator.reply(together)
    with Together(base_url=emulator.base_url, api_key="k") as client, ThreadPoolExecutor(8) as threads:
        messages: Any = [{"role": "user", "content": "Hello"}]
        answers = list(threads.map(lambda _: client.chat.completions.create(model=MODEL, messages=messages), range(8)))
    assert [text_of(answer) for answer in answers] == ["Together."] * 8
    assert emulator.most_in_flight == 8


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a reply needs a text, or one of reasoning"),
        ({"content": 7}, "a reply is a text or a dict"),
        ({"content": {"text": "x"}}, "a reply has no 'text': it has reasoning"),
        ({"content": {"content": 7}}, "content of a reply is a text, not 7"),
        ({"content": {"reasoning": "a"}, "reasoning": "b"}, "the reasoning of a reply is given twice"),
        ({"content": str, "usage": {}}, "the function that makes a reply returns its usage too"),
        ({"tool_calls": ("weather", {})}, r'tool_calls of a reply is a list such as \[\("weather"'),
        ({"tool_calls": [7]}, "a tool call of a reply is a name and its arguments"),
        ({"tool_calls": [("weather", 7)]}, "the arguments of the tool call 'weather' are a dict or a text, not 7"),
        ({"tool_calls": [("weather", {"at": object})]}, "the arguments of the tool call 'weather' are no JSON"),
        ({"chunks": "Paris"}, "chunks of a reply is a list of texts"),
        ({"chunks": [7]}, "a chunk of a reply is a text, a delta or a chunk with choices, not 7"),
        ({"content": "Rome", "chunks": ["Pa", "ris"]}, "the chunks of a reply join to 'Paris', which is not its text 'Rome'"),
        ({"chunks": [{"content": "x"}], "reasoning": "y"}, "chunks that are dicts have all of a stream"),
        ({"content": "x", "output": {}}, "a reply has a text or an output, not both"),
        ({"output": object()}, "the output of a reply"),
        ({"content": "x", "logprobs": -0.5}, "logprobs of a reply is a dict such as"),
        ({"content": "x", "usage": 7}, "usage of a reply is a dict"),
        ({"content": "x", "usage": {"tokens": 7}}, "usage of a reply has no 'tokens'"),
        ({"content": "x", "usage": {"prompt_tokens": -1}}, "prompt_tokens of a reply is a whole number from 0"),
        ({"content": "x", "embedding": [1.0]}, "one reply answers one kind of request, and content and embedding belong to two"),
        ({"embedding": [1.0], "scores": [1.0]}, "embedding and scores belong to two"),
        ({"embedding": ["a"]}, "an embedding of a reply is a list of numbers"),
        ({"scores": 0.5}, "scores of a reply are a list of numbers"),
        ({"image": "x.png"}, "an image of a reply is the bytes of a file"),
        ({"image": b"x", "usage": {"prompt_tokens": 7}}, "a reply with image has no usage"),
        ({"transcript": 7}, "a transcript of a reply is a text"),
        ({"content": "x", "times": 0}, "times=0 of a reply is a whole number from 1"),
        ({"content": "x", "when": 7}, "when=7 of a reply is a model, a word of the prompt"),
    ],
)
def test_wrong_use_is_one_sentence(fields: dict[str, Any], message: str, emulator: Emulator) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as problem:
        emulator.reply(**fields)
    assert "\n" not in str(problem.value)
    assert emulator.unused == []


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda request: request["nothing"], "The reply of the test failed: KeyError: 'nothing'"),
        (lambda request: None, "a reply is a text or a dict of .*, not None"),
        (lambda request: {"embedding": [1.0]}, "the function returned what answers embeddings, for a request to chat"),
    ],
)
def test_a_function_that_fails_is_an_error_of_the_emulator(function: Any, message: str, flavour: Any, emulator: Emulator) -> None:
    emulator.reply(function)
    with pytest.raises(BadRequestError, match=message):
        ask(flavour)
    assert len(emulator.errors) == 1
    emulator.clear()


def test_replies_say_what_they_are(emulator: Emulator) -> None:
    emulator.reply("Paris.", when="France")
    emulator.reply(tool_calls=[("weather", {"city": "Rome"})], times=2)
    emulator.reply(lambda request: "x")
    assert list(map(repr, emulator.unused)) == [
        "reply('Paris.', when='France')",
        "reply(tool_calls=[('weather', {'city': 'Rome'})]), 0 of 2 times",
        "reply(test_replies_say_what_they_are.<locals>.<lambda>)",
    ]


def test_a_dict_as_a_response_is_sent_as_json(flavour: Any, emulator: Emulator) -> None:
    emulator.inject(
        Fault("response", body=[{"id": "acme/only"}]), Fault("response", body={"error": {"message": "Tea."}}, status=418)
    )
    client = flavour.client(max_retries=0)
    assert [model.id for model in flavour.run(client.models.list())] == ["acme/only"]
    with pytest.raises(APIStatusError, match="Tea"):
        flavour.run(client.models.list())
    with pytest.raises(TypeError, match="the body of a fault is bytes, a text, or JSON"):
        Fault("response", body={"a": object()})
