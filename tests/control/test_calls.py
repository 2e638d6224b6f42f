"""Calls under a control: each has one row, whatever becomes of it, and leaves nothing in flight."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest

from tests.conftest import KEY, Flavour, eventually
from together_adapters import (
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AsyncTogether,
    ConfigurationError,
    Control,
    IncompleteStreamError,
    Together,
)
from together_adapters.emulator import Emulator, Fault

MODEL = "openai/gpt-oss-120b"
EMBEDDING = "BAAI/bge-base-en-v1.5"
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Name one prime number."}]}


def only_row(control: Control) -> Any:
    (row,) = control.ledger.rows()
    assert control.state().in_flight == 0
    return row


def test_a_chat_has_a_row(flavour: Flavour) -> None:
    control = Control()
    usage = flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION)).usage
    row = only_row(control)
    assert (row.kind, row.model, row.status, row.error, row.attempts) == ("chat", MODEL, 200, None, 1)
    assert (row.input_tokens, row.output_tokens) == (usage.prompt_tokens, usage.completion_tokens)
    assert row.reasoning_tokens == usage.completion_tokens_details.reasoning_tokens > 0
    assert row.cost == pytest.approx((usage.prompt_tokens * 0.15 + usage.completion_tokens * 0.60) / 1e6)
    assert not row.estimated
    assert not row.streamed
    assert row.request_id
    assert row.when.utcoffset() is not None


def test_a_cost_beyond_all_numbers_costs_no_answer(flavour: Flavour, caplog: pytest.LogCaptureFixture) -> None:
    control = Control(prices={MODEL: {"input": 1e308, "output": 1e308}})
    answer = flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    assert answer.choices[0].message.content
    assert (control.state().in_flight, control.ledger.rows()) == (0, [])
    assert "cost=inf is no number of dollars" in caplog.text


def test_a_whole_stream_counts_as_a_whole_response(flavour: Flavour) -> None:
    control = Control()
    client = flavour.client(control=control)
    flavour.run(client.chat.completions.create(**QUESTION))
    list(flavour.iterate(flavour.run(client.chat.completions.create(**QUESTION, stream=True))))
    whole, streamed = control.ledger.rows()
    assert streamed.streamed
    assert streamed.first_chunk_seconds > 0
    assert not streamed.estimated
    for name in ("input_tokens", "output_tokens", "reasoning_tokens", "cost", "status", "attempts"):
        assert getattr(streamed, name) == getattr(whole, name)


def test_a_stream_that_is_left_early_is_an_estimate(flavour: Flavour) -> None:
    control = Control()
    stream = flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION, stream=True))
    for _ in zip(range(5), flavour.iterate(stream), strict=False):
        assert control.state().in_flight == 1
    flavour.run(stream.close())
    row = only_row(control)
    assert row.estimated
    assert row.error is None
    assert row.input_tokens > 0
    assert 0 < row.output_tokens < 20


def test_a_stream_that_nobody_reads_is_collected(flavour: Flavour) -> None:
    control = Control(max_concurrency=1)
    client = flavour.client(control=control)
    stream = flavour.run(client.chat.completions.create(**QUESTION, stream=True))
    del stream
    gc.collect()
    assert only_row(control).estimated
    flavour.run(client.chat.completions.create(**QUESTION))  # its place is free


def test_a_stream_that_is_cut_is_counted_from_what_arrived(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    emulator.inject(Fault("cut", after=4))
    stream = flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION, stream=True))
    with pytest.raises(IncompleteStreamError):
        list(flavour.iterate(stream))
    row = only_row(control)
    assert (row.error, row.status, row.estimated) == ("IncompleteStreamError", 200, True)
    assert row.output_tokens > 0


def test_an_answer_that_cannot_be_read_is_an_estimate(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    for streams in (False, True):
        emulator.inject("bad-json" if not streams else Fault("bad-json", after=0))
        with pytest.raises(APIResponseValidationError):
            answer = flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION, stream=streams))
            list(flavour.iterate(answer))
    for row in control.ledger.rows():
        assert (row.status, row.error, row.estimated) == (200, "APIResponseValidationError", True)
        assert row.input_tokens > 0


def test_retries_are_attempts_of_one_call(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    emulator.inject(Fault("503", retry_after=0), Fault("429", retry_after=0))
    flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    row = only_row(control)
    assert (row.attempts, row.status, row.error) == (3, 200, None) == (len(emulator.requests), 200, None)


def test_an_error_has_a_row_that_costs_nothing(flavour: Flavour, emulator: Emulator) -> None:
    control = Control()
    emulator.inject("400")
    with pytest.raises(APIStatusError) as caught:
        flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    row = only_row(control)
    assert (row.status, row.error, row.cost, row.input_tokens) == (400, type(caught.value).__name__, 0, 0)
    assert row.request_id == caught.value.request_id


def test_raw_responses_and_copies_are_under_the_same_control(flavour: Flavour) -> None:
    control = Control()
    client = flavour.client(control=control)
    raw = flavour.run(client.chat.completions.with_raw_response.create(**QUESTION))
    assert only_row(control).request_id == raw.request_id
    flavour.run(client.with_options(max_retries=0).chat.completions.create(**QUESTION))
    assert control.ledger.total().requests == 2
    flavour.run(client.with_options(control=None).chat.completions.create(**QUESTION))
    assert control.ledger.total().requests == 2
    other = Control()
    flavour.run(client.with_options(control=other).chat.completions.create(**QUESTION))
    assert (control.ledger.total().requests, other.ledger.total().requests) == (2, 1)


def test_embeddings_are_one_call_of_many_requests(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(max_concurrency=3)
    texts = [f"Text {number}" for number in range(1000)]
    with control.tag(job="index"):
        answer = flavour.run(flavour.client(control=control).embeddings.create(model=EMBEDDING, input=texts))
    row = only_row(control)
    assert (row.kind, row.attempts, row.tags) == ("embeddings", len(emulator.requests), {"job": "index"})
    assert row.input_tokens == answer.usage.prompt_tokens
    assert row.cost == pytest.approx(row.input_tokens * 0.008 / 1e6)


@pytest.mark.parametrize("method", ["listwise", "pointwise"])
def test_ranking_by_a_chat_model_is_one_call(method: str, flavour: Flavour, emulator: Emulator) -> None:
    control = Control(budget=1)
    documents = [f"Text {number}" for number in range(30)]
    answer = flavour.run(
        flavour.client(control=control).rerank.create(model="Qwen/Qwen3.5-9B", query="Text", documents=documents, method=method)
    )
    row = only_row(control)
    assert (row.kind, row.attempts) == ("rerank", len(emulator.requests))
    assert (row.input_tokens, row.output_tokens) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


def test_lists_are_free(flavour: Flavour) -> None:
    control = Control(budget=0)
    flavour.run(flavour.client(control=control).models.list())
    assert control.ledger.rows() == []


def test_tags_nest_and_hold_in_threads_and_tasks(emulator: Emulator) -> None:
    control, other = Control(), Control()
    client = Together(api_key=KEY, base_url=emulator.base_url, control=control)

    async def ask() -> None:
        async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as aclient:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: aclient.chat.completions.create(**QUESTION))

    with client:
        with control.tag(job="nightly", user="ann"), other.tag(job="other"):
            with control.tag(user="ben", run=3):  # type: ignore[arg-type]
                client.chat.completions.create(**QUESTION)
            asyncio.run(ask())
        client.chat.completions.create(**QUESTION)
    assert [row.tags for row in control.ledger.rows()] == [
        {"job": "nightly", "user": "ben", "run": "3"},
        {"job": "nightly", "user": "ann"},
        {},
    ]


def test_a_tag_is_a_text() -> None:
    with pytest.raises(TypeError, match="the tag user must be a text, not NoneType"):
        Control().tag(user=None)  # type: ignore[arg-type]


def test_no_more_requests_run_than_the_limit_allows(emulator: Emulator) -> None:
    control = Control(max_concurrency=2)
    with (
        emulator.behave(delay=0.02),
        Together(api_key=KEY, base_url=emulator.base_url, control=control) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        for future in [pool.submit(client.chat.completions.create, **QUESTION) for _ in range(16)]:
            future.result()
    assert emulator.most_in_flight <= 4  # for the server, a request ends a moment after its response
    assert control.ledger.total().waited > 0


def test_the_wait_for_a_turn_counts_in_max_elapsed(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(max_concurrency=1)
    client = flavour.client(control=control)
    stream = flavour.run(client.chat.completions.create(**QUESTION, stream=True))
    with pytest.raises(APITimeoutError, match="while it waited for its turn under the control"):
        flavour.run(client.with_options(max_elapsed=0.05).chat.completions.create(**QUESTION))
    assert len(emulator.requests) == 1
    flavour.run(stream.close())
    rows = control.ledger.rows()
    assert [(row.attempts, row.error) for row in rows] == [(0, "APITimeoutError"), (1, None)]
    assert rows[0].waited >= 0.05
    assert (control.state().in_flight, control.state().waiting) == (0, 0)


async def test_a_task_that_is_cancelled_gives_its_place_back(emulator: Emulator) -> None:
    control = Control(max_concurrency=1)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as client:
        stream = await client.chat.completions.create(**QUESTION, stream=True)
        waiting = asyncio.create_task(client.chat.completions.create(**QUESTION))
        while not control.state().waiting:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert control.state().waiting == 0
        await stream.close()
        await client.chat.completions.create(**QUESTION)
    assert [row.error for row in control.ledger.rows()] == ["CancelledError", None, None]


async def test_a_request_that_is_cancelled_keeps_its_estimate(emulator: Emulator) -> None:
    control = Control()
    emulator.inject(Fault("slow", seconds=30))
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.chat.completions.create(**QUESTION, max_tokens=50)
    row = only_row(control)
    assert (row.error, row.status, row.attempts, row.estimated, row.output_tokens) == ("CancelledError", None, 1, True, 50)


def test_a_failed_batch_of_embeddings_leaves_nothing_behind(emulator: Emulator) -> None:
    control = Control(max_concurrency=2)
    emulator.inject(Fault("400"))
    with Together(api_key=KEY, base_url=emulator.base_url, control=control) as client, pytest.raises(APIStatusError):
        client.embeddings.create(model=EMBEDDING, input=[f"Text {number}" for number in range(2000)])
    assert control.ledger.total().requests == 1
    assert eventually(lambda: control.state().in_flight == control.state().waiting == 0)
    assert eventually(lambda: not any(thread.name == "together" for thread in threading.enumerate()))
    assert control.ledger.total().requests == 1


def test_a_pickle_holds_the_settings(tmp_path: Any) -> None:
    control = Control(budget=2.5, max_concurrency=3, prices={MODEL: {"input": 1, "output": 2}})
    client = pickle.loads(pickle.dumps(Together(api_key=KEY, control=control)))
    assert repr(client.config.control) == repr(control)
    assert client.config.control is not control
    assert client.to_async().config.control is client.config.control


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "max_concurrency"])
@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_a_limit_is_more_than_nothing(name: str, limit: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Control(**{name: limit})


def test_a_control_is_a_control() -> None:
    with pytest.raises(ConfigurationError, match=r"control must be a together_adapters\.Control, not dict"):
        Together(api_key=KEY, control={})  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [-5, 10**25])
def test_a_usage_that_cannot_be_true_is_replaced_by_an_estimate(count: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        message = {"role": "assistant", "content": "Two."}
        usage = {"prompt_tokens": count, "completion_tokens": 2, "total_tokens": 2}
        return httpx.Response(200, json={"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage})

    control = Control(budget=1)
    with httpx.Client(transport=httpx.MockTransport(answer)) as http_client:
        client = Together(api_key=KEY, http_client=http_client, control=control)
        client.chat.completions.create(**QUESTION)
        client.chat.completions.create(**QUESTION)
    for row in control.ledger.rows():
        assert row.estimated
        assert 0 < row.input_tokens < 100
