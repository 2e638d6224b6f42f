"""An emulator with an engine: what it sends to it, how the answers look, and what failures become."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG, KEY
from tests.emulator.remote.conftest import HELLO, MODEL, USAGE, ScriptedEngine, chunk, completion
from together_adapters import APIError, Together
from together_adapters.emulator import Behaviour, Emulator, Engine, Fault, serve


@contextmanager
def behind(engine: Any, **options: Any) -> Iterator[tuple[Emulator, Any]]:
    """An emulator with an engine, and a client of it."""
    with serve(engine=engine.url if isinstance(engine, ScriptedEngine) else engine, **options) as emulator:
        with Together(base_url=emulator.base_url, api_key=KEY, max_retries=0) as client:
            yield emulator, client
        assert emulator.errors == []


def events(emulator: Emulator, **body: Any) -> list[Any]:
    """The events of a stream, as they are sent."""
    url = f"{emulator.base_url}/chat/completions"
    request = {"model": MODEL, "messages": HELLO, "stream": True, **body}
    with httpx.stream("POST", url, json=request, headers={"authorization": f"Bearer {KEY}"}, timeout=HANG) as response:
        assert response.status_code == 200
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def test_an_answer_has_the_form_of_the_service(engine: ScriptedEngine) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    engine.answer(completion(reasoning_content="Hm.", tool_calls=[call]))
    with behind(engine) as (emulator, client):
        response = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, logprobs=1)
        answer = response.parse()
        (row,) = emulator.bill.rows()
    (choice,) = answer.choices
    assert answer.id == response.request_id and answer.model == MODEL
    assert choice.message.reasoning == "Hm." and choice.finish_reason == "tool_calls" and choice.seed is not None
    (sent,) = choice.message.tool_calls
    assert sent.id and sent.function.arguments == '{"city": "Rome"}'
    assert (row.input_tokens, row.output_tokens, row.status) == (11, 2, 200)
    assert response.headers["x-emulator-engine"] == f"tiny at {engine.url}"


def test_the_key_of_the_client_stays_here(engine: ScriptedEngine) -> None:
    engine.answer(completion())
    with behind(engine) as (_, client):
        client.chat.completions.create(model=MODEL, messages=HELLO)
    with behind(Engine(engine.url, key="for-the-engine")) as (_, client):
        client.chat.completions.create(model=MODEL, messages=HELLO)
    first, second = (headers for _, headers, _ in engine.requests)
    assert "authorization" not in first and second["authorization"] == "Bearer for-the-engine"
    assert KEY not in json.dumps([first, second])
    assert "for-the-engine" not in repr(Engine(engine.url, key="for-the-engine"))


def test_parameters_are_those_of_the_engine(engine: ScriptedEngine) -> None:
    engine.answer(completion())
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    options: dict[str, Any] = {"response_format": {"type": "json_schema", "schema": schema}, "repetition_penalty": 1.1}
    with behind(engine) as (_, client):
        client.chat.completions.create(
            model=MODEL, messages=HELLO, logprobs=3, echo=True, reasoning={"enabled": False}, **options
        )
    _, _, body = engine.requests[0]
    assert body == {
        "model": "tiny",
        "messages": HELLO,
        "logprobs": True,
        "top_logprobs": 3,
        "repeat_penalty": 1.1,
        "chat_template_kwargs": {"enable_thinking": False},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    }


def test_an_optional_parameter_that_is_refused_is_left_out_and_named(engine: ScriptedEngine) -> None:
    engine.answer({"error": {"message": "Unrecognized request argument supplied: top_k", "param": None}}, status=400)
    engine.answer(completion())
    with behind(engine) as (_, client):
        raw = client.chat.completions.with_raw_response
        first, second = (raw.create(model=MODEL, messages=HELLO, top_k=3, temperature=0.0) for _ in range(2))
    assert [("top_k" in body, body["temperature"]) for _, _, body in engine.requests] == [(True, 0.0), (False, 0.0), (False, 0.0)]
    assert first.headers["x-emulator-engine"] == second.headers["x-emulator-engine"] == f"tiny at {engine.url}; without top_k"


def test_choices_that_an_engine_does_not_make_at_once_are_asked_for_again(engine: ScriptedEngine) -> None:
    engine.answer(completion("One."), completion("Two."), completion("Three."))
    with behind(engine) as (_, client):
        answer = client.chat.completions.create(model=MODEL, messages=HELLO, n=3, seed=5)
    assert [choice.message.content for choice in answer.choices] == ["One.", "Two.", "Three."]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert [body["seed"] for _, _, body in engine.requests] == [5, 6, 7]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 6)


def test_a_stream_is_the_whole_answer_in_chunks(engine: ScriptedEngine) -> None:
    begin = {"index": 0, "function": {"name": "weather", "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": text}} for text in ('{"city":', '"Rome"}')]
    deltas = [chunk(role="assistant", content=None), chunk(reasoning_content="Hm."), chunk(content="Hel"), chunk(content="lo.")]
    calls = [chunk(tool_calls=[call]) for call in (begin, *parts)]
    engine.answer([": ping", *deltas, *calls, chunk("stop"), {"choices": [], "usage": USAGE}, "data: [DONE]"])
    with behind(engine) as (emulator, client):
        sent = events(emulator)
        assert sent[-1] == "[DONE]" and sent[-2]["usage"]["completion_tokens"] == 2
        assert {event["object"] for event in sent[:-1]} == {"chat.completion.chunk"}
        assert sent[-2]["choices"][0]["finish_reason"] == "tool_calls"
        stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert "".join(event.choices[0].delta.content or "" for event in stream) == "Hello."
        assert [row.output_tokens for row in emulator.bill.rows()] == [2, 2]
    assert engine.requests[0][2]["stream_options"] == {"include_usage": True}
    delta_calls = [event["choices"][0]["delta"].get("tool_calls") for event in sent[:-1]]
    first, *others = [calls[0] for calls in delta_calls if calls]
    assert first["id"] and first["type"] == "function" and all("id" not in call for call in others)


@pytest.mark.parametrize("place", ["finish", "separate", "none"])
def test_behaviour_says_where_the_usage_is(place: Any, engine: ScriptedEngine) -> None:
    engine.answer([chunk(content="Hi"), chunk("stop"), "data: [DONE]"])  # the engine does not count, so it is an estimate
    with behind(engine, behaviour=Behaviour(usage=place, role_every_chunk=False)) as (emulator, _):
        sent = events(emulator)[:-1]
    counted = [bool(event["usage"]) for event in sent]
    assert counted == {"finish": [False, True], "separate": [False, False, True], "none": [False, False]}[place]
    assert [bool(choice["delta"].get("role")) for event in sent for choice in event["choices"]] == [True, False]


def test_a_stream_that_the_engine_cuts_ends_with_an_error(engine: ScriptedEngine) -> None:
    engine.answer([chunk(content="Hel")])
    with behind(engine) as (emulator, client):
        stream = client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        with pytest.raises(APIError, match="ended its answer before it was complete"):
            list(stream)
        assert "[DONE]" not in events(emulator)
        assert [row.is_complete for row in emulator.bill.rows()] == [False, False]


def test_an_error_in_a_stream_is_told(engine: ScriptedEngine) -> None:
    engine.answer([chunk(content="Hel"), 'error: {"code": 500, "message": "out of memory"}'])
    with behind(engine) as (_, client), pytest.raises(APIError, match="out of memory"):
        list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))


def test_a_client_that_leaves_ends_the_exchange_with_the_engine(engine: ScriptedEngine) -> None:
    engine.answer([chunk(content="Hel"), ...])
    with behind(engine) as (emulator, client):
        with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
            next(iter(stream))
        assert engine.closed.wait(HANG)
        until = time.monotonic() + HANG
        while emulator.in_flight and time.monotonic() < until:
            time.sleep(0.005)
        (row,) = emulator.bill.rows()
        assert not row.is_complete and row.output_tokens == 1


def test_an_answer_that_is_no_stream_becomes_one(engine: ScriptedEngine) -> None:
    engine.answer(completion())
    with behind(engine) as (emulator, _):
        first, last, done = events(emulator)
    assert first["choices"][0]["delta"]["content"] == "Hello." and done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "stop" and last["usage"]["prompt_tokens"] == 11


def test_completions_and_embeddings(engine: ScriptedEngine) -> None:
    text = {
        "choices": [
            {"index": 0, "text": " three", "finish_reason": "length", "logprobs": {"tokens": [" three"], "text_offset": [8]}}
        ]
    }
    vectors = {
        "data": [{"index": 1, "embedding": [0.5, 1]}, {"index": 0, "embedding": [0.25, -1.0]}],
        "usage": {"prompt_tokens": 4},
    }
    engine.answer(text, vectors)
    with behind(engine) as (emulator, client):
        written = client.completions.create(model=MODEL, prompt="One, two,", echo=True, logprobs=1, max_tokens=1)
        embedded = client.embeddings.create(model="BAAI/bge-m3", input=["a", "b"])
        assert [(row.kind, row.input_tokens) for row in emulator.bill.rows()][1] == ("embeddings", 4)
    assert written.choices[0].text == " three" and written.prompt[0]["text"] == "One, two,"
    assert written.choices[0].logprobs.tokens == [" three"]
    assert [list(row.embedding) for row in embedded.data] == [[0.25, -1.0], [0.5, 1.0]]
    assert [path for path, _, _ in engine.requests] == ["/v1/completions", "/v1/embeddings"]


def test_the_emulator_gives_what_the_engine_lacks(engine: ScriptedEngine, tmp_path: Path) -> None:
    """Scripted replies, faults and batches go on; rerank is the emulator's."""
    engine.answer(completion("By the engine."))
    with behind(engine, job_seconds=0.0) as (emulator, client):
        chat = client.chat.completions
        emulator.reply("By the test.")
        assert chat.create(model=MODEL, messages=HELLO).choices[0].message.content == "By the test."
        emulator.inject(Fault("429"))
        with pytest.raises(APIError):
            chat.create(model=MODEL, messages=HELLO)
        assert engine.requests == []
        questions = tmp_path / "batch.jsonl"
        questions.write_text(json.dumps({"custom_id": "a", "body": {"model": MODEL, "messages": HELLO}}))
        file = client.files.upload(questions, purpose="batch-api")
        batch = client.batches.wait(client.batches.create(file.id, endpoint="/v1/chat/completions").id, poll_interval=0.01)
        (result,) = [json.loads(row) for row in client.files.content(batch.output_file_id).splitlines()]
        assert result["response"]["body"]["choices"][0]["message"]["content"] == "By the engine."
        assert client.rerank.create(model="acme/ranker", query="a", documents=["a", "b"]).results
    assert len(engine.requests) == 1


@pytest.mark.parametrize(
    ("status", "answer", "expected", "words"),
    [
        (401, {"error": "no key"}, 400, "--engine-key"),
        (404, {"error": {"message": "File Not Found"}}, 400, "--engine chat=URL"),
        (404, {"error": {"message": "model 'tiny' not found"}}, 404, "model 'tiny' not found"),
        (422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, 422, "messages: Field required"),
        (400, {"error": {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"}}, 400, "context"),
        (503, {"error": {"message": "Loading model"}}, 503, "Loading model"),
        (500, b"<html><body>oops</body></html>", 500, "oops"),
        (200, b"<html>Welcome</html>", 502, "OpenAI-compatible server"),
        (200, {"choices": []}, 502, "OpenAI-compatible server"),
    ],
)  # fmt: skip
def test_errors_of_an_engine_are_told_in_one(status: int, answer: Any, expected: int, words: str, engine: ScriptedEngine) -> None:
    engine.answer(answer, status=status)
    with behind(engine) as (emulator, _):
        url, headers = f"{emulator.base_url}/chat/completions", {"authorization": f"Bearer {KEY}"}
        for stream in (False, True):
            response = httpx.post(url, json={"model": MODEL, "messages": HELLO, "stream": stream}, headers=headers, timeout=HANG)
            error = response.json()["error"]
            assert response.status_code == expected and words in error["message"] and engine.url in error["message"]
            assert set(error) == {"message", "type", "param", "code"}
        assert emulator.bill.rows() == []


def test_an_engine_that_is_not_there_or_silent(engine: ScriptedEngine) -> None:
    engine.answer([...])
    with behind("http://127.0.0.1:1") as (_, client), pytest.raises(APIError, match="http://127.0.0.1:1/v1 cannot be reached"):
        client.chat.completions.create(model=MODEL, messages=HELLO)
    with behind(Engine(engine.url, timeout=0.05)) as (_, client), pytest.raises(APIError, match="sent nothing for 0.05 seconds"):
        list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))


def test_an_emulator_is_not_its_own_engine() -> None:
    with serve() as outer:
        loop = Engine(outer.base_url, key="any", model=MODEL)
        outer._state.remote = type(outer._state.remote)(loop)
        client = Together(base_url=outer.base_url, api_key=KEY, max_retries=0)
        with client, pytest.raises(APIError, match="is an emulator with an engine"):
            client.chat.completions.create(model=MODEL, messages=HELLO)
