"""The budget: no call starts that may break it, and it is not left with what no call needs."""

from __future__ import annotations

import asyncio
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KEY, Flavour
from together_adapters import (
    APIError,
    APIStatusError,
    AsyncTogether,
    BudgetExceededError,
    ConfigurationError,
    Control,
    Together,
    TogetherError,
)
from together_adapters.emulator import Emulator, Fault, serve

MODEL = "openai/gpt-oss-120b"
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Name one prime number."}], "max_tokens": 40}
DOLLAR_A_TOKEN = {MODEL: {"input": 0, "output": 1_000_000}}


def answer(request: Any) -> httpx.Response:
    """Answers with ten tokens."""
    usage = {"prompt_tokens": 1, "completion_tokens": 10, "total_tokens": 11}
    base = {"id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "usage": usage}
    if not json.loads(request.content).get("stream"):
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Two."}}
        return httpx.Response(200, json={**base, "choices": [choice]})
    chunk = {**base, "choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "Two."}}]}
    return httpx.Response(
        200, content=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), headers={"content-type": "text/event-stream"}
    )


def test_a_call_that_may_break_the_budget_is_not_sent(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(budget=39, prices=DOLLAR_A_TOKEN)
    client = flavour.client(control=control)
    for streams in (False, True):
        with pytest.raises(BudgetExceededError, match="Nothing was sent") as caught:
            flavour.run(client.chat.completions.create(**QUESTION, stream=streams))
        error = caught.value
        assert (error.budget, error.spent, error.reserved, error.estimate, error.model) == (39, 0, 0, 40, MODEL)
        assert pickle.loads(pickle.dumps(error)).estimate == 40
    assert emulator.requests == []
    assert control.ledger.rows() == []
    flavour.run(client.chat.completions.create(**{**QUESTION, "max_tokens": 39}))


def test_what_was_not_used_is_free_again(flavour: Flavour) -> None:
    control = Control(budget=60, prices=DOLLAR_A_TOKEN)
    client = flavour.client(control=control, http_client=flavour.mock_client(answer))
    for spent in (10, 20):
        flavour.run(client.chat.completions.create(**QUESTION))
        assert control.ledger.total().cost == spent
    list(flavour.iterate(flavour.run(client.chat.completions.create(**{**QUESTION, "max_tokens": 25}, stream=True))))
    assert control.ledger.total().cost == 30
    with pytest.raises(BudgetExceededError):
        flavour.run(client.chat.completions.create(**QUESTION))
    flavour.run(client.chat.completions.create(**{**QUESTION, "max_tokens": 30}))


def test_what_failed_is_free_again(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(budget=40, prices=DOLLAR_A_TOKEN)
    client = flavour.client(control=control, max_retries=0)
    for fault in ("400", "500", "502-html"):
        emulator.inject(fault)
        with pytest.raises(TogetherError):
            flavour.run(client.chat.completions.create(**QUESTION))
    flavour.run(client.chat.completions.create(**QUESTION))


def test_what_a_failed_request_says_it_has_used_is_counted(flavour: Flavour, emulator: Emulator) -> None:
    body = '{"error": {"message": "overloaded"}, "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}'
    emulator.inject(Fault("503", body=body, retry_after=0), Fault("503", body=body))
    control = Control(prices={MODEL: {"input": 1_000_000, "output": 1_000_000}})
    with pytest.raises(APIStatusError):
        flavour.run(flavour.client(control=control, max_retries=1).chat.completions.create(**QUESTION))
    (row,) = control.ledger.rows()
    assert (row.input_tokens, row.output_tokens, row.cost, row.attempts, row.estimated) == (14, 6, 20, 2, False)


def test_what_an_error_in_a_stream_says_it_has_used_is_counted(flavour: Flavour) -> None:
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    choice = {"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": "Two"}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    events = [{**chunk, "choices": [choice]}, {"error": {"message": "the engine died"}, "usage": usage}]
    content = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()

    def fail(request: Any) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"content-type": "text/event-stream"})

    control = Control(prices={MODEL: {"input": 1_000_000, "output": 1_000_000}})
    stream = flavour.run(
        flavour.client(control=control, http_client=flavour.mock_client(fail)).chat.completions.create(**QUESTION, stream=True)
    )
    with pytest.raises(APIError, match="the engine died"):
        list(flavour.iterate(stream))
    (row,) = control.ledger.rows()
    assert (row.input_tokens, row.output_tokens, row.cost, row.estimated, row.error) == (7, 3, 10, False, "APIError")


def test_calls_under_way_keep_their_reservation(flavour: Flavour) -> None:
    control = Control(budget=70, prices=DOLLAR_A_TOKEN)
    client = flavour.client(control=control)
    stream = flavour.run(client.chat.completions.create(**QUESTION, stream=True))
    with pytest.raises(BudgetExceededError) as caught:
        flavour.run(client.chat.completions.create(**QUESTION))
    assert (caught.value.spent, caught.value.reserved) == (0, 40)
    flavour.run(stream.close())
    flavour.run(client.chat.completions.create(**QUESTION))


def test_a_hundred_threads_spend_no_more_than_the_budget(emulator: Emulator) -> None:
    control = Control(budget=200, prices=DOLLAR_A_TOKEN)

    def ask(number: int) -> bool:
        try:
            client.chat.completions.create(**{**QUESTION, "max_tokens": 5 + number % 7})
        except BudgetExceededError:
            return False
        return True

    with Together(api_key=KEY, base_url=emulator.base_url, control=control) as client, ThreadPoolExecutor(100) as pool:
        done = list(pool.map(ask, range(300)))
    total = control.ledger.total()
    assert 0 < sum(done) < 300
    assert 190 < total.cost <= 200
    assert (total.requests, total.attempts) == (sum(done), len(emulator.requests))
    assert control.state().in_flight == 0


async def test_tasks_spend_no_more_than_the_budget(emulator: Emulator) -> None:
    control = Control(budget=200, prices=DOLLAR_A_TOKEN)
    async with AsyncTogether(api_key=KEY, base_url=emulator.base_url, control=control) as client:
        calls = [client.chat.completions.create(**{**QUESTION, "max_tokens": 5 + number % 7}) for number in range(100)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    assert {type(error) for error in errors} == {BudgetExceededError}
    assert control.ledger.total().requests == 100 - len(errors)
    assert control.ledger.total().cost <= 200


def test_what_is_in_the_ledgers_file_counts(tmp_path: Path, emulator: Emulator) -> None:
    path = tmp_path / "usage.sqlite"
    controls = [Control(budget=60, ledger=path, prices=DOLLAR_A_TOKEN) for _ in range(2)]
    clients = [Together(api_key=KEY, base_url=emulator.base_url, control=control) for control in controls]
    spent = 0.0
    for client in clients:
        client.chat.completions.create(**{**QUESTION, "max_tokens": 20})
        spent = controls[0].ledger.total().cost
        assert spent == controls[1].ledger.total().cost
    with pytest.raises(BudgetExceededError) as caught:
        clients[0].chat.completions.create(**{**QUESTION, "max_tokens": 100})
    assert caught.value.spent == spent > 20
    for control, client in zip(controls, clients, strict=True):
        control.close()
        client.close()


def test_all_texts_are_checked_before_the_first_is_sent(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(budget=0.00001)
    texts = [f"some words of text {number}" for number in range(1000)]
    with pytest.raises(BudgetExceededError):
        flavour.run(flavour.client(control=control).embeddings.create(model="BAAI/bge-base-en-v1.5", input=texts))
    with pytest.raises(BudgetExceededError):
        flavour.run(
            flavour.client(control=control).rerank.create(model="Qwen/Qwen3.5-9B", query="q", documents=["some words"] * 1000)
        )
    assert emulator.requests == []


def test_an_answer_without_a_limit_is_expected_to_be_as_long_as_those_before(flavour: Flavour) -> None:
    question = {name: value for name, value in QUESTION.items() if name != "max_tokens"}
    control = Control(budget=1024 + 10, prices=DOLLAR_A_TOKEN)
    client = flavour.client(control=control, http_client=flavour.mock_client(answer))
    flavour.run(client.chat.completions.create(**question))
    control = Control(budget=1023, prices=DOLLAR_A_TOKEN)
    with pytest.raises(BudgetExceededError) as caught:
        flavour.run(flavour.client(control=control).chat.completions.create(**question))
    assert caught.value.estimate == 1024
    control = client.config.control
    stream = flavour.run(client.chat.completions.create(**{**question, "max_tokens": 1020}, stream=True))
    with pytest.raises(BudgetExceededError) as caught:
        flavour.run(client.chat.completions.create(**question))
    assert caught.value.estimate == 10
    flavour.run(stream.close())


def test_an_unknown_price_is_an_error(flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client(control=Control(budget=5), default_headers={"x": "y"})
    with pytest.raises(ConfigurationError, match=r"what chat of acme/new costs: Control\(prices=\{'acme/new': \{\"input\""):
        flavour.run(client.chat.completions.create(**{**QUESTION, "model": "acme/new"}))
    assert [request.path for request in emulator.requests] == ["/v1/models"]
    with pytest.raises(ConfigurationError):
        flavour.run(client.chat.completions.create(**{**QUESTION, "model": "acme/new"}, stream=True))
    assert [request.path for request in emulator.requests] == ["/v1/models"]  # asked once
    control = Control(budget=5, prices={"ACME/new": {"input": 1, "output": 2}})
    flavour.run(flavour.client(control=control).chat.completions.create(**{**QUESTION, "model": "acme/new"}))
    assert control.ledger.total().unpriced == 0


def test_without_a_budget_an_unknown_price_is_none(flavour: Flavour) -> None:
    control = Control()
    flavour.run(flavour.client(control=control).chat.completions.create(**{**QUESTION, "model": "acme/new"}))
    (row,) = control.ledger.rows()
    assert row.cost is None
    assert control.ledger.total().unpriced == 1


def test_the_catalogue_knows_prices_that_the_table_does_not_have() -> None:
    control = Control(budget=5)
    with (
        serve(models=["acme/new"]) as emulator,
        Together(api_key=KEY, base_url=emulator.base_url, control=control) as client,
    ):
        usage = client.chat.completions.create(**{**QUESTION, "model": "acme/new"}).usage
        assert [request.path for request in emulator.requests] == ["/v1/models", "/v1/chat/completions"]
    assert usage is not None
    (row,) = control.ledger.rows()
    assert row.cost == pytest.approx((usage.prompt_tokens + usage.completion_tokens) * 0.88e-6)  # type: ignore[operator]
    assert row.attempts == 1


@pytest.mark.parametrize("max_tokens", [-1, -(10**9)])
def test_an_answer_of_negative_length_needs_room_like_one_without_a_limit(
    max_tokens: int, flavour: Flavour, emulator: Emulator
) -> None:
    client = flavour.client(control=Control(budget=1000, prices=DOLLAR_A_TOKEN))
    with pytest.raises(BudgetExceededError) as caught:
        flavour.run(client.chat.completions.create(**{**QUESTION, "max_tokens": max_tokens}))
    assert caught.value.estimate == 1024
    assert emulator.requests == []


def test_each_prompt_of_a_completion_has_an_answer(flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client(control=Control(budget=39, prices=DOLLAR_A_TOKEN))
    for prompt, answers in ((["One", "Two", "Three"], 3), ([[1, 2], [3]], 2), ([1, 2, 3], 1)):
        with pytest.raises(BudgetExceededError) as caught:
            body = {"model": MODEL, "prompt": prompt, "max_tokens": 40}
            flavour.run(client.request("POST", "/v1/completions", body=body))
        assert caught.value.estimate == 40 * answers
    assert emulator.requests == []


def test_ids_of_tokens_are_counted(flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client(control=Control(budget=1, prices={"acme/vectors": {"input": 1_000_000}}))
    for texts, count in (([1, 2, 3], 3), ([[1, 2], [3, 4]], 4)):
        with pytest.raises(BudgetExceededError) as caught:
            flavour.run(client.request("POST", "/v1/embeddings", body={"model": "acme/vectors", "input": texts}))
        assert caught.value.estimate == count
    assert emulator.requests == []


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/chat/completions/", "/v1//chat/completions", "/v1/chat%2Fcompletions"]
)
def test_no_spelling_of_a_path_passes_the_budget_by(path: str, flavour: Flavour, emulator: Emulator) -> None:
    client = flavour.client(control=Control(budget=39, prices=DOLLAR_A_TOKEN))
    with pytest.raises(BudgetExceededError):
        flavour.run(client.request("POST", path, body=QUESTION))
    assert emulator.requests == []


def test_a_row_that_cannot_be_made_gives_its_reservation_back(caplog: pytest.LogCaptureFixture) -> None:
    control = Control(budget=1)
    guard = control.budget_guard
    assert guard is not None
    control.settle(lambda: (1 // 0,), guard.reserve(0.9, "chat", MODEL))
    assert "not in the ledger" in caplog.text
    guard.reserve(0.9, "chat", MODEL)


def test_a_call_that_cannot_be_sent_costs_nothing(flavour: Flavour, emulator: Emulator) -> None:
    control = Control(budget=1, prices={MODEL: {"request": 0.9}})
    client = flavour.client(control=control)
    flavour.run(client.close())
    for stream in (False, True, False):
        with pytest.raises(ConfigurationError, match="closed"):
            flavour.run(client.chat.completions.create(**QUESTION, stream=stream))
    assert control.ledger.rows() == []
    assert control.state().in_flight == 0
    flavour.run(flavour.client(control=control).chat.completions.create(**QUESTION))
    assert control.ledger.spent() == 0.9
