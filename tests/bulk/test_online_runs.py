"""Runs one by one: resumed, switched to jobs in the middle, cancelled."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.test_batch_runs import MODEL, bodies, echo, expected, sent, texts
from together_adapters import AsyncTogether, Control
from together_adapters.bulk import BulkProgress, run
from together_adapters.emulator import Emulator
from together_adapters.emulator.http.faults import Fault
from together_adapters.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    DatasetError,
    ModelNotFoundError,
    PermissionDeniedError,
    ServiceUnavailableError,
)


def perform(flavour: Any, inputs: Any, **options: Any) -> Any:
    client = options.pop("client", None) or flavour.client(max_retries=0)
    return flavour.run(run(client, inputs, poll_interval=0.02, **options))


def test_results_are_those_of_jobs(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    states: list[BulkProgress] = []
    inputs = bodies(20) + bodies(5)
    online = perform(flavour, inputs, checkpoint=tmp_path / "online.sqlite", progress=states.append)
    jobs = perform(flavour, inputs, via="batch")
    assert texts(flavour, online) == texts(flavour, jobs) == expected(20) + expected(5)
    assert [item.id for item in online] == [item.id for item in jobs]
    assert sent(emulator, "POST", "/v1/chat/completions") == 20
    assert states[-1] == BulkProgress(25, 25, 0, "done")
    assert online.cost == pytest.approx(jobs.cost)


def test_what_was_answered_is_not_sent_again(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    perform(flavour, bodies(6), checkpoint=path).close()
    assert texts(flavour, perform(flavour, bodies(9), checkpoint=path)) == expected(9)
    assert sent(emulator, "POST", "/v1/chat/completions") == 9


def test_passing_failures_are_sent_again_by_the_next_start(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.inject(Fault("503", retry_after=0), Fault("400"), Fault("cut"))
    first = perform(flavour, bodies(5), checkpoint=path, max_concurrency=1)
    assert [type(item.error) for item in first.failed] == [ServiceUnavailableError, BadRequestError, APIConnectionError]
    assert [item.index for item in first.failed] == [0, 1, 2] and "request 1: 400" in str(first.failed[1].error)
    first.close()
    second = perform(flavour, bodies(5), checkpoint=path)
    assert texts(flavour, second) == [expected(5)[0], None, *expected(5)[2:]]


@pytest.mark.parametrize(
    ("endpoint", "body", "message"),
    [
        ("/v1/completions", {"messages": [1]}, "wants `prompt`, or pass endpoint='/v1/chat/completions'"),
        ("/v1/completions", {"prompt": None}, "`prompt` is empty"),
        ("/v1/embeddings", {"input": []}, "`input` is empty"),
        ("/v1/embeddings", {}, "has no `input`"),
        ("/v1/rerank", {"query": "x"}, "has no `documents`"),
        ("/v1/images/generations", {}, "has no `prompt`"),
        ("/v1/audio/speech", {}, "has no `input`"),
    ],
)
def test_what_an_endpoint_wants(flavour: Any, emulator: Emulator, endpoint: str, body: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        perform(flavour, [body], endpoint=endpoint, model=MODEL)
    assert emulator.requests == []


def test_what_an_earlier_run_has_done_is_told_first(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    states: list[BulkProgress] = []
    path = tmp_path / "run.sqlite"
    perform(flavour, bodies(2), checkpoint=path).close()
    perform(flavour, bodies(3), checkpoint=path, progress=states.append).close()
    assert states[0] == BulkProgress(2, 3, 0, "read")


def test_an_error_of_every_request_ends_the_run(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client(api_key="invalid")
    with pytest.raises(AuthenticationError):
        perform(flavour, bodies(50), client=client)
    assert len(emulator.requests) < 50


def test_jobs_of_the_run_before_are_waited_for(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    """A run of jobs, of which only the first was started, is continued one by one."""
    echo(emulator)
    path = tmp_path / "run.sqlite"
    emulator.inject(Fault("500", path="/v1/batches/", times=None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("together_adapters.bulk.jobs.SHARD_LINES", 4)
        patch.setattr("together_adapters.bulk.jobs._MISSES", 2)
        with pytest.raises(Exception, match="500"):
            perform(flavour, bodies(10), via="batch", checkpoint=path, max_jobs=1)
    emulator.inject()
    emulator._state.faults.clear()
    assert texts(flavour, perform(flavour, bodies(10), via="online", checkpoint=path)) == expected(10)
    assert sent(emulator, "POST", "/v1/batches") == 1 and sent(emulator, "POST", "/v1/chat/completions") == 6
    assert emulator.bill.total().requests == 10


def test_auto_takes_jobs_for_many(flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.bulk.runs.AUTO_REQUESTS", 5)
    perform(flavour, bodies(4), via="auto")
    assert sent(emulator, "POST", "/v1/batches") == 0
    perform(flavour, bodies(5), via="auto")
    assert sent(emulator, "POST", "/v1/batches") == 1
    with pytest.raises(ValueError, match="via must be"):
        perform(flavour, bodies(1), via="post")


def test_completions_and_embeddings(flavour: Any, emulator: Emulator) -> None:
    results = perform(flavour, [{"model": MODEL, "prompt": "One"}], endpoint="/v1/completions")
    assert next(iter(results)).response.choices[0].text
    body = {"model": "BAAI/bge-base-en-v1.5", "input": ["a", "b"]}
    results = perform(flavour, [body], endpoint="/v1/embeddings")
    assert [item.index for item in next(iter(results)).response.data] == [0, 1]


def test_the_control_counts_each_request(flavour: Any, emulator: Emulator) -> None:
    control = Control()
    perform(flavour, bodies(4), client=flavour.client(control=control))
    assert control.ledger.total().requests == 4
    assert control.ledger.spent() == pytest.approx(emulator.bill.total().cost)


@pytest.mark.parametrize("via", ["online", "batch"])
async def test_a_cancelled_run_continues(emulator: Emulator, tmp_path: Path, via: Any) -> None:
    echo(emulator)
    path = tmp_path / "run.sqlite"
    async with AsyncTogether(api_key="emulator", base_url=emulator.base_url) as client:
        for seconds in (0.01, 0.05, 0.1, 0.15):
            with emulator.behave(delay=0.01):
                task = asyncio.ensure_future(
                    run(client, bodies(40), via=via, checkpoint=path, poll_interval=0.02, max_concurrency=2)
                )
                await asyncio.sleep(seconds)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        results = await run(client, bodies(40), via=via, checkpoint=path, poll_interval=0.02)
        messages = [item.response and item.response.choices[0].message async for item in results]
        answers = [message and message.content for message in messages]
    assert answers == expected(40)
    if via == "batch":
        assert emulator.bill.total().requests == 40 and len(emulator._state.stores.batches) == 1
    else:
        assert emulator.bill.total().requests <= 40 + 2 * 4


@pytest.mark.parametrize("via", ["online", "batch"])
def test_a_model_that_does_not_exist_ends_the_run(flavour: Any, emulator: Emulator, tmp_path: Path, via: Any) -> None:
    """The run says so once, and nothing is left of it: with the name mended it begins."""
    echo(emulator)
    path = tmp_path / "run.sqlite"
    wrong = [{**body, "model": "openai/gpt-os-120b"} for body in bodies(50)]
    with emulator.behave(any_model=False), pytest.raises(ModelNotFoundError, match="openai/gpt-oss-120b"):
        perform(flavour, wrong, via=via, checkpoint=path)
    assert sent(emulator, "POST", "/v1/chat/completions") <= 16 and sent(emulator, "POST", "/v1/batches") <= 1
    assert [*tmp_path.iterdir()] == []
    assert texts(flavour, perform(flavour, bodies(50), via=via, checkpoint=path)) == expected(50)


@pytest.mark.parametrize("via", ["online", "batch"])
def test_of_several_models_the_others_answer(flavour: Any, emulator: Emulator, via: Any) -> None:
    echo(emulator)
    inputs = [{**body, "model": MODEL if index % 2 else "no/model"} for index, body in enumerate(bodies(20))]
    with emulator.behave(any_model=False):
        results = perform(flavour, inputs, via=via, max_concurrency=1)
    assert texts(flavour, results)[1::2] == expected(20)[1::2]
    assert {type(item.error) for item in results.failed} == {ModelNotFoundError} and len(results.failed) == 10
    assert sent(emulator, "POST", "/v1/chat/completions") in (0, 11)


def test_a_run_that_is_refused_everywhere_ends(flavour: Any, emulator: Emulator) -> None:
    """A firewall may refuse one text, but not all."""
    emulator.inject(Fault("403", times=None, message="Access denied", code="forbidden"))
    with pytest.raises(PermissionDeniedError):
        perform(flavour, bodies(60), max_concurrency=1)
    assert sent(emulator, "POST", "/v1/chat/completions") == 21
