"""Spans of calls: how they begin, what they hold, and that each ends once, whatever ends the call."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from tests.conftest import KEY, NEVER, Flavour, eventually_async
from tests.telemetry.conftest import Recording
from together_adapters import APIError, AsyncTogether, RateLimitError, TogetherError, telemetry
from together_adapters.emulator import Emulator, Fault
from together_adapters.telemetry.responses import ResponseReader

LONG = {"model": "deepseek-ai/DeepSeek-V4.1-Flash", "messages": [{"role": "user", "content": "Count to 40, please."}]}
CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions")
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def statuses(span: Any) -> list[Any]:
    return [event.attributes.get("http.response.status_code", event.attributes.get("error.type")) for event in span.events]


def drain(flavour: Flavour, stream: Any) -> list[Any]:
    return list(flavour.iterate(flavour.run(stream)))


def test_a_span_hangs_under_the_one_that_is_current(recording: Recording, flavour: Flavour, question: dict[str, Any]) -> None:
    client = flavour.client()
    with recording.tracer_provider.get_tracer("test").start_as_current_span("mine") as mine:
        flavour.run(client.chat.completions.create(**question))
        stream = flavour.run(client.chat.completions.create(stream=True, **question))
        flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=list("abcde"), batch_size=1))
    list(flavour.iterate(stream))
    parents = [span.parent.span_id for span in recording.spans if span.name != "mine"]
    assert parents == [mine.context.span_id] * 3


@pytest.mark.parametrize("streams", [False, True])
def test_a_retried_call_is_one_span_with_its_attempts(
    recording: Recording, flavour: Flavour, emulator: Emulator, question: dict[str, Any], streams: bool
) -> None:
    emulator.inject(Fault("drop"), Fault("503", retry_after_ms=0))
    result = flavour.client().chat.completions.create(**question, stream=streams)
    flavour.run(result) if not streams else drain(flavour, result)
    span = recording.only_span()
    assert statuses(span) == ["connection", 503, 200]
    assert [event.attributes["http.request.resend_count"] for event in span.events] == [0, 1, 2]
    assert [("together.retry_delay" in event.attributes) for event in span.events] == [True, True, False]
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("streams", [False, True])
def test_an_error_ends_the_span(
    recording: Recording, flavour: Flavour, emulator: Emulator, question: dict[str, Any], streams: bool
) -> None:
    emulator.inject(Fault("429", message="too many of Ann's requests", times=None))
    with pytest.raises(RateLimitError) as exc_info:
        flavour.run(flavour.client(max_retries=0).chat.completions.create(**question, stream=streams))
    span = recording.only_span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "RateLimitError"
    assert span.attributes["together.request_id"] == exc_info.value.request_id
    assert statuses(span) == [429]
    assert "Ann" not in span.to_json()
    recording.clear()
    recording.instrument(capture_content=True)
    with pytest.raises(RateLimitError):
        flavour.run(flavour.client(max_retries=0).chat.completions.create(**question, stream=streams))
    assert "too many of Ann's requests" in recording.only_span().status.description


@pytest.mark.parametrize("kind", ["stream-error", "bad-json", "cut"])
def test_an_error_in_a_stream_ends_the_span(recording: Recording, flavour: Flavour, emulator: Emulator, kind: str) -> None:
    emulator.inject(Fault(kind, after=3))
    with pytest.raises(TogetherError) as exc_info:
        drain(flavour, flavour.client().chat.completions.create(stream=True, **LONG))
    span = recording.only_span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == type(exc_info.value).__name__
    assert span.attributes["gen_ai.response.model"] == LONG["model"]


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_left_early_ends_its_span_with_what_was_seen(
    recording_content: Recording, flavour: Flavour, emulator: Emulator, way: str
) -> None:
    stream = flavour.run(flavour.client().chat.completions.create(stream=True, **LONG))
    events = flavour.iterate(stream)
    chunk = next(events)
    assert recording_content.spans == []
    if way == "close":
        flavour.run(stream.close())
    del stream, events
    gc.collect()
    span = recording_content.only_span()
    assert span.attributes["gen_ai.response.finish_reasons"] == ("error",)
    ((output,)) = json.loads(span.attributes["gen_ai.output.messages"])
    assert "".join(part["content"] for part in output["parts"]) == chunk.choices[0].delta.content
    assert span.status.status_code is StatusCode.UNSET


async def test_a_cancelled_task_ends_its_span(recording: Recording, emulator: Emulator) -> None:
    emulator.behave(delay=NEVER)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
        first_chunk = asyncio.Event()
        stream = await client.chat.completions.create(stream=True, **LONG)

        async def consume() -> None:
            async for _ in stream:
                first_chunk.set()

        task = asyncio.create_task(consume())
        await first_chunk.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        emulator.behave(delay=0.0)
        emulator.inject(Fault("slow", seconds=NEVER))
        task = asyncio.create_task(client.chat.completions.create(**LONG))
        assert await eventually_async(lambda: emulator.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [span.attributes["error.type"] for span in recording.spans] == ["CancelledError"] * 2
    assert {span.status.status_code for span in recording.spans} == {StatusCode.ERROR}


def test_instrumenting_twice_is_once_and_can_be_undone(recording: Recording, flavour: Flavour, question: dict[str, Any]) -> None:
    recording.instrument()
    client = flavour.client()
    stream = flavour.run(client.chat.completions.create(stream=True, **question))
    telemetry.uninstrument()
    telemetry.uninstrument()
    flavour.run(client.chat.completions.create(**question))
    assert recording.spans == []
    list(flavour.iterate(stream))
    recording.only_span()


def test_content_is_recorded_only_on_request_and_never_the_key(
    recording: Recording, flavour: Flavour, question: dict[str, Any]
) -> None:
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Say hello to Ann. My key is {KEY}."}]
    params = {**question, "messages": history, "tools": [TOOL]}
    client = flavour.client()
    flavour.run(client.chat.completions.create(**params))
    span = recording.only_span()
    assert not span.attributes.keys() & set(CONTENT)
    assert "Ann" not in span.to_json()
    recording.clear()
    recording.instrument(capture_content=True)
    flavour.run(client.chat.completions.create(**params))
    drain(flavour, client.chat.completions.create(**params, stream=True))
    for span in recording.spans:
        assert KEY not in span.to_json()
        system, user = json.loads(span.attributes["gen_ai.input.messages"])
        assert system == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
        assert "My key is [redacted]." in user["parts"][0]["content"]
        assert json.loads(span.attributes["gen_ai.tool.definitions"]) == [{"type": "function", **TOOL["function"]}]


def test_tool_calls_and_media_have_the_form_of_the_conventions(
    recording_content: Recording, flavour: Flavour, emulator: Emulator, question: dict[str, Any]
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    content = [
        {"type": "text", "text": "And this one?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        {"type": "video_url", "video_url": {"url": "https://a.example/v.mp4"}},
    ]
    history = [
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "Look it up."},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "user", "content": content},
    ]
    emulator.reply({"content": None, "tool_calls": [call], "reasoning": "Again."}, times=2)
    client = flavour.client()
    messages = [*question["messages"], *history]
    params = {"model": "Qwen/Qwen3.5-9B", "messages": messages, "tools": [TOOL]}
    flavour.run(client.chat.completions.create(**params))
    drain(flavour, client.chat.completions.create(**params, stream=True))
    for span in recording_content.spans:
        _, assistant, tool, user = json.loads(span.attributes["gen_ai.input.messages"])
        wire = {"type": "tool_call", "name": "get_weather", "arguments": {"city": "Rome"}}
        assert assistant["parts"] == [{"type": "reasoning", "content": "Look it up."}, {**wire, "id": "call_1"}]
        assert tool["parts"] == [{"type": "tool_call_response", "id": "call_1", "response": "sunny"}]
        assert user["parts"] == [
            {"type": "text", "content": "And this one?"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBORw0KGgo="},
            {"type": "uri", "modality": "video", "uri": "https://a.example/v.mp4"},
        ]
        (output,) = json.loads(span.attributes["gen_ai.output.messages"])
        output["parts"][1].pop("id")
        assert output["parts"] == [{"type": "reasoning", "content": "Again."}, wire]
        assert output["finish_reason"] == "tool_calls"


PARAMETERS = {
    "temperature": 0, "top_p": 0.5, "top_k": 3, "frequency_penalty": 0.1, "presence_penalty": 0.2, "seed": 7, "n": 2,
    "stop": "END", "reasoning_effort": "low", "response_format": {"type": "json_object"},
}  # fmt: skip


def test_the_parameters_of_a_request(recording: Recording, flavour: Flavour, question: dict[str, Any]) -> None:
    flavour.run(flavour.client().chat.completions.create(**question, **PARAMETERS))
    attributes = recording.only_span().attributes
    request = {name.removeprefix("gen_ai.request."): value for name, value in attributes.items() if ".request." in name}
    assert request == {
        "model": question["model"], "temperature": 0.0, "top_p": 0.5, "top_k": 3, "frequency_penalty": 0.1, "presence_penalty": 0.2,
        "seed": 7, "choice.count": 2, "stop_sequences": ("END",), "reasoning.level": "low",
    }  # fmt: skip
    assert attributes["gen_ai.output.type"] == "json"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop", "stop")


OTHER_OPERATIONS = {
    "text_completion acme/any": lambda client: client.completions.create(model="acme/any", prompt="Say hello to Ann."),
    "image_generation acme/any": lambda client: client.images.generate(model="acme/any", prompt="A llama."),
    "video_generation acme/any": lambda client: client.videos.create(model="acme/any", prompt="A llama."),
    "speech acme/any": lambda client: client.audio.speech.create(model="acme/any", input="A llama.", voice="ann"),
    "transcription acme/any": lambda client: client.audio.transcriptions.create(model="acme/any", file=b"RIFF"),
    "translation acme/any": lambda client: client.audio.translations.create(model="acme/any", file=b"RIFF"),
}


@pytest.mark.parametrize("name", OTHER_OPERATIONS)
def test_other_operations_have_spans(recording: Recording, flavour: Flavour, name: str) -> None:
    flavour.run(OTHER_OPERATIONS[name](flavour.client()))
    span = recording.only_span()
    assert span.name == name
    assert span.attributes["gen_ai.request.model"] == "acme/any"
    assert statuses(span) == [200]


@pytest.mark.parametrize("response_format", ["raw", "mp3"])
def test_streamed_speech_has_a_span(recording: Recording, flavour: Flavour, response_format: str) -> None:
    options = {"model": "acme/any", "input": "A llama.", "voice": "ann", "response_format": response_format}
    assert drain(flavour, flavour.client().audio.speech.create(stream=True, **options))
    span = recording.only_span()
    assert span.name == "speech acme/any"
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert span.status.status_code is StatusCode.UNSET


def test_calls_that_ask_no_model_have_no_span(recording: Recording, flavour: Flavour) -> None:
    client = flavour.client()
    flavour.run(client.models.list())
    flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=[]))
    flavour.run(client.rerank.create(model="acme/ranker", query="q", documents=[]))
    assert recording.spans == []


def test_an_operation_of_several_requests_is_one_span(recording: Recording, flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client()
    response = flavour.run(
        client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=[f"a b{number}" for number in range(40)], batch_size=5)
    )
    span = recording.only_span()
    assert statuses(span) == [200] * 8 == [200] * len(emulator.requests)
    assert span.attributes["gen_ai.usage.input_tokens"] == response.usage.prompt_tokens
    recording.clear()
    emulator.inject(Fault("400"))
    with pytest.raises(APIError):
        flavour.run(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=list("abcd"), batch_size=1))
    assert recording.only_span().attributes["error.type"] == "BadRequestError"


def test_calls_in_threads_and_tasks_are_children(recording: Recording, flavour: Flavour, emulator: Emulator) -> None:
    emulator.behave(delay=0.01)
    documents = [f"llama number {number}" for number in range(12)]
    params = {"model": "openai/gpt-oss-120b", "query": "llama 3", "documents": documents, "method": "pointwise"}
    ranking = flavour.run(flavour.client().rerank.create(**params, max_concurrency=3))
    *chats, rerank = recording.spans
    assert [chat.parent.span_id for chat in chats] == [rerank.context.span_id] * 12
    assert sum(chat.attributes["gen_ai.usage.input_tokens"] for chat in chats) == ranking.usage.prompt_tokens


def test_tokens_of_an_answer_that_is_an_error_count(recording: Recording, flavour: Flavour, emulator: Emulator) -> None:
    emulator.reply("maybe", times=2)
    params = {"model": "openai/gpt-oss-120b", "query": "q", "documents": ["a"], "method": "pointwise"}
    with pytest.raises(TogetherError):
        flavour.run(flavour.client().rerank.create(**params))
    chat, rerank = recording.spans
    assert chat.attributes["gen_ai.usage.input_tokens"] > 0
    assert chat.attributes["error.type"] == rerank.attributes["error.type"]


def test_what_is_no_list_is_left_to_the_request(
    recording_content: Recording, flavour: Flavour, emulator: Emulator, question: dict[str, Any]
) -> None:
    params = {**question, "messages": (message for message in question["messages"]), "stop": (text for text in ["END"])}
    flavour.run(flavour.client().chat.completions.create(**params))
    assert emulator.requests[-1].json["messages"] == question["messages"]
    assert emulator.requests[-1].json["stop"] == ["END"]
    assert recording_content.only_span().attributes["gen_ai.response.finish_reasons"] == ("stop",)


def test_raw_responses_have_spans(recording: Recording, flavour: Flavour, question: dict[str, Any]) -> None:
    raw = flavour.run(flavour.client().chat.completions.with_raw_response.create(**question))
    assert recording.only_span().attributes["together.request_id"] == raw.request_id


@pytest.mark.parametrize("streams", [False, True])
def test_the_service_s_trace_id(recording: Recording, flavour: Flavour, question: dict[str, Any], streams: bool) -> None:
    params = {**question, "extra_headers": {"x-together-debug": "1"}, "stream": streams}
    raw = flavour.run(flavour.client().chat.completions.with_raw_response.create(**params))
    if streams:
        list(flavour.iterate(raw.parse()))
    assert recording.only_span().attributes["together.trace_id"] == raw.headers["x-together-traceid"]


def test_metrics(recording: Recording, flavour: Flavour, emulator: Emulator, question: dict[str, Any]) -> None:
    client = flavour.client(max_retries=0)
    flavour.run(client.chat.completions.create(**question))
    drain(flavour, client.chat.completions.create(**question, stream=True))
    emulator.inject("500")
    with pytest.raises(APIError):
        flavour.run(client.chat.completions.create(**question))
    usage = [span.attributes.get("gen_ai.usage.output_tokens") for span in recording.spans]
    tokens = {point.attributes["gen_ai.token.type"]: point for point in recording.points("gen_ai.client.token.usage")}
    assert tokens.keys() == {"input", "output"}
    assert (tokens["output"].count, tokens["output"].sum) == (2, usage[0] + usage[1])
    assert tokens["output"].explicit_bounds[:4] == (1, 4, 16, 64)
    durations = recording.points("gen_ai.client.operation.duration")
    assert {point.attributes.get("error.type"): point.count for point in durations} == {None: 2, "InternalServerError": 1}
    assert durations[0].explicit_bounds[:3] == pytest.approx((0.01, 0.02, 0.04))
    (first_chunk,) = recording.points("gen_ai.client.operation.time_to_first_chunk")
    assert first_chunk.count == 1
    assert first_chunk.attributes.keys() == {
        "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port",
    }  # fmt: skip


@pytest.mark.parametrize("streams", [False, True])
def test_a_failure_of_telemetry_does_not_break_the_call(
    recording: Recording,
    flavour: Flavour,
    question: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    streams: bool,
) -> None:
    def fail(*args: Any) -> None:
        raise LookupError("Ann")

    monkeypatch.setattr(ResponseReader, "add_chunk", fail)
    with caplog.at_level(logging.WARNING):
        result = flavour.client().chat.completions.create(**question, stream=streams)
        assert drain(flavour, result) if streams else flavour.run(result).choices
    assert statuses(recording.only_span()) == [200]
    assert "telemetry: LookupError" in caplog.text
    assert "Ann" not in caplog.text


def test_half_a_surrogate_pair_is_replaced(recording_content: Recording, flavour: Flavour, emulator: Emulator) -> None:
    emulator.reply("half a pair: \ud83d")
    flavour.run(flavour.client().chat.completions.create(**LONG))
    recording_content.only_span().to_json().encode()
