"""Batches: the input file, the job, and results in the order of the requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Flavour
from together_adapters.emulator import Emulator, Fault
from together_adapters.errors import (
    APIConnectionError,
    APIError,
    APIResponseValidationError,
    DatasetError,
    JobFailedError,
    NotFoundError,
)
from together_adapters.resources import batch_files
from together_adapters.resources.batch_files import read_results, write_input
from together_adapters.types.batches import BatchJob

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture(autouse=True)
def empty_account(emulator: Emulator) -> Iterator[None]:
    yield
    emulator._state.reset_stores()


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    expected = {
        "one": chat("Say hello to Ann."),
        "two": chat("Say hello to Bob.", model="BAAI/bge-base-en-v1.5"),
        "three": chat("hi"),
    }
    return write_input(expected, tmp_path / "questions.jsonl")


def test_from_requests_to_results(flavour: Flavour, emulator: Emulator, questions: Path) -> None:
    client = flavour.client()
    file = flavour.run(client.files.upload(questions, purpose="batch-api"))
    batch = flavour.run(client.batches.create(file.id, "/v1/chat/completions"))
    assert (batch.status, batch.job.id, batch.warning, batch.input_file_id) == ("VALIDATING", batch.id, None, file.id)
    assert emulator.requests[-1].json == {
        "input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }  # fmt: skip
    updates: list[Any] = []
    ended = flavour.run(client.batches.wait(batch.id, poll_interval=0.05, progress=updates.append))
    assert (ended.status, ended.progress) == ("COMPLETED", 100.0)
    assert updates[0].stage in ("validating", "in_progress")
    assert (updates[-1].stage, updates[-1].done, updates[-1].total) == ("completed", 100.0, 100.0)
    for results in (flavour.run(client.batches.results(ended)), flavour.run(client.batches.results(batch.id, input=questions))):
        assert [result.custom_id for result in results] == ["one", "two", "three"]
        assert [result.ok for result in results] == [True, False, True]
        one, two, _ = results
        assert one.body["choices"][0]["message"]["content"]
        assert (one.status_code, one.request) == (200, chat("Say hello to Ann."))
        assert "is an embedding model" in two.error["message"]
    assert [job.id for job in flavour.run(client.batches.list())] == [batch.id]
    assert flavour.run(client.batches.list()).data[0].endpoint == "/v1/chat/completions"


def test_the_names_of_the_old_sdk(flavour: Flavour, questions: Path) -> None:
    client = flavour.client()
    file = flavour.run(client.files.upload(questions, purpose="batch"))
    batch = flavour.run(client.batches.create_batch(file_id=file.id, endpoint="/v1/chat/completions"))
    assert flavour.run(client.batches.get_batch(batch.id)).id == batch.id
    assert flavour.run(client.batches.list_batches())[0].id == batch.id
    assert flavour.run(client.batches.cancel_batch(batch.id)).status == "CANCELLED"


def test_a_batch_that_is_cancelled(flavour: Flavour, questions: Path) -> None:
    client = flavour.client()
    file = flavour.run(client.files.upload(questions, purpose="batch-api"))
    batch = flavour.run(client.batches.create(file.id))
    assert flavour.run(client.batches.cancel(batch.id)).status == "CANCELLED"
    with pytest.raises(JobFailedError, match="CANCELLED") as error_info:
        flavour.run(client.batches.wait(batch.id, poll_interval=0.05))
    assert error_info.value.completed.id == batch.id


def test_a_batch_that_fails(flavour: Flavour, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"custom_id": "1", "body": {}}) + "\n" + json.dumps({"custom_id": "1", "body": {}}) + "\n")
    client = flavour.client()
    file = flavour.run(client.files.upload(bad, purpose="batch-api", check=False))
    batch = flavour.run(client.batches.create(file.id))
    with pytest.raises(JobFailedError, match="Line 2: custom_id"):
        flavour.run(client.batches.wait(batch.id, poll_interval=0.05))


def test_a_batch_is_billed_so_it_is_not_created_twice(flavour: Flavour, emulator: Emulator) -> None:
    emulator.inject(Fault("drop", path="/batches"))
    with pytest.raises(APIConnectionError, match=r"batches\.list\(\)"):
        flavour.run(flavour.client().batches.create("file-1"))
    assert len(emulator.requests) == 1


def test_a_missing_file(flavour: Flavour) -> None:
    with pytest.raises(NotFoundError):
        flavour.run(flavour.client().batches.create("file-1"))


@pytest.mark.parametrize("reply", [b"null", b"[]", b'{"data": []}'])
def test_no_batches(flavour: Flavour, stub_client: Any, reply: bytes) -> None:
    client, _ = stub_client(lambda body: httpx.Response(200, content=reply))
    assert flavour.run(client.batches.list()) == []


def test_unexpected_responses(flavour: Flavour, stub_client: Any) -> None:
    client, _ = stub_client({"id": "b", "status": "PONDERING", "progress": None, "new": 1})
    batch = flavour.run(client.batches.create("file-1"))
    assert (batch.status, batch.new, batch.job.id) == ("PONDERING", 1, "b")
    client, _ = stub_client({"job": {"id": "b", "status": "VALIDATING"}, "warning": "slow today"})
    batch = flavour.run(client.batches.create("file-1", model_id="m", priority=2))
    assert (batch.id, batch.warning) == ("b", "slow today")
    for body in (["no", "batch"], {"error": "overloaded"}, {"job": {"status": "VALIDATING"}}):
        client, _ = stub_client(body)
        with pytest.raises(APIError):
            flavour.run(client.batches.create("file-1"))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_an_input_file(tmp_path: Path) -> None:
    path = write_input([chat("a"), ("mine", chat("b")), {"custom_id": "c", "body": chat("ü")}], tmp_path / "in.jsonl")
    assert [line["custom_id"] for line in lines(path)] == ["request-1", "mine", "c"]
    assert lines(path)[2]["body"] == chat("ü")
    assert path.read_bytes().endswith(b"}\n")
    with pytest.raises(FileExistsError):
        write_input([chat("a")], path)
    assert len(lines(write_input([chat("a")], path, overwrite=True))) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(("requests", "match"), [
    ([("", {})], "1 to 64"), ([("x" * 65, {})], "1 to 64"), ([(1, {})], "1 to 64"), ([{"body": {}}], "1 to 64"), ([("a", {}), ("a", {})], "not unique"),
    ([("a", [1])], "object"), ([], "at least"), ([("a", {"x": float("nan")})], "JSON"), ([("a", {"x": object()})], "JSON"), (["text"], "object"),
    ([{"messages": []}], "messages must not be empty"), ([{"prompt": None}], "prompt must not be empty"),
    (({"m": 1} for _ in range(50_001)), "50,000"),
])  # fmt: skip
def test_input_that_is_refused(tmp_path: Path, requests: Any, match: str) -> None:
    with pytest.raises(DatasetError, match=match):
        write_input(requests, tmp_path / "in.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "MAX_BYTES", 100)
    with pytest.raises(DatasetError, match="100 bytes"):
        write_input([{"m": "x" * 60}] * 2, tmp_path / "in.jsonl")


def test_results_in_order() -> None:
    requests = b"".join(json.dumps({"custom_id": name, "body": {"n": name}}).encode() + b"\n" for name in "abcdef")
    output = b"\n".join(json.dumps(line).encode() for line in [
        {"custom_id": "c", "response": {"status_code": 200, "body": {"x": 3}}}, {"custom_id": "a", "response": {"status_code": 200, "body": {"x": 1}}},
        {"custom_id": "d", "response": {"status_code": 429, "body": {"error": {"message": "slow", "code": "r"}}}},
        {"custom_id": "zz", "response": {"status_code": 200, "body": {}}}, {"custom_id": "f", "response": {"body": None}},
    ])  # fmt: skip
    errors = b'{"custom_id": "b", "error": "text"}\n\n{"custom_id": "a", "error": {"message": "later repeated"}}\n'
    results = read_results(requests, output, errors)
    assert [result.custom_id for result in results] == ["a", "b", "c", "d", "e", "f", "zz"]
    by_name = {result.custom_id: result for result in results}
    assert by_name["a"].ok and by_name["a"].body == {"x": 1}
    assert by_name["b"].error == {"message": "text", "code": None}
    assert by_name["d"].error == {"message": "slow", "code": "r"} and by_name["d"].body is None
    assert by_name["e"].error and by_name["e"].error["code"] == "missing"
    assert not by_name["f"].ok
    assert by_name["zz"].request is None and by_name["c"].request == {"n": "c"}
    assert [result.custom_id for result in read_results(None, output, b"")] == ["c", "a", "d", "zz", "f"]


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff"])
def test_results_that_cannot_be_read(flavour: Flavour, stub_client: Any, text: bytes) -> None:
    client, _ = stub_client(lambda body: httpx.Response(200, content=text))
    with pytest.raises(APIResponseValidationError, match="output file"):
        flavour.run(client.batches.results(BatchJob(id="b", output_file_id="file-1")))
