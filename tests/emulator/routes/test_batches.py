"""Batches."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from tests.emulator.conftest import MODEL
from together_adapters.emulator import Emulator


@pytest.fixture(autouse=True)
def empty_account(emulator: Emulator) -> Iterator[None]:
    yield
    emulator._state.reset_stores()


def start(http: httpx.Client, *lines: Any, endpoint: str = "/v1/chat/completions", **more: Any) -> httpx.Response:
    rows = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    form = {"file_name": "b.jsonl", "purpose": "batch-api"}
    id = http.post("/files/upload", data=form, files={"file": ("b.jsonl", rows)}).json()
    return http.post("/batches", json={"input_file_id": id.get("id") or id["file_id"], "endpoint": endpoint, **more})


def ended(http: httpx.Client, started: httpx.Response) -> dict[str, Any]:
    deadline = time.monotonic() + HANG
    while (batch := http.get(f"/batches/{started.json()['job']['id']}").json())["status"] in ("VALIDATING", "IN_PROGRESS"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return batch  # type: ignore[no-any-return]


def lines(http: httpx.Client, id: str) -> dict[str, Any]:
    result = [json.loads(line) for line in http.get(f"/files/{id}/content").content.splitlines()]
    return {line["custom_id"]: line for line in result}


def chat_body(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def test_lines_are_answered_like_single_requests(http: httpx.Client) -> None:
    started = start(
        http,
        {"custom_id": "a", "body": chat_body("Count from 1 to 5")},
        {"custom_id": "b", "body": chat_body("hi", model="org/does-not-exist")},
        {"custom_id": "c", "body": chat_body("hi", stream=True)},
        {"custom_id": "d", "body": {"model": MODEL, "messages": "odd"}},
    )
    assert (started.status_code, started.json()["job"]["status"]) == (201, "VALIDATING")
    batch = ended(http, started)
    assert (batch["status"], batch["progress"], batch["error"]) == ("COMPLETED", 100.0, None)
    assert batch["completed_at"].endswith("Z")
    output, errors = lines(http, batch["output_file_id"]), lines(http, batch["error_file_id"])
    assert list(output) == ["c", "a"]  # any order
    single = http.post("/chat/completions", json=chat_body("Count from 1 to 5")).json()
    answers = output["a"]["response"]
    assert answers["status_code"] == 200
    assert answers["body"]["choices"][0]["message"] == single["choices"][0]["message"]
    assert answers["body"]["id"] != output["c"]["response"]["body"]["id"]
    assert errors["b"]["error"]["code"] == "model_not_available"
    assert set(errors) == {"b", "d"}
    assert http.get(f"/files/{batch['output_file_id']}").json()["processing_status"] == "COMPLETED"
    assert http.get("/batches").json() == [batch]


@pytest.mark.parametrize(("endpoint", "body"), [
    ("/v1/completions", {"model": MODEL, "prompt": "Count to 3"}),
    ("/v1/embeddings", {"model": "BAAI/bge-base-en-v1.5", "input": "a"}),
])  # fmt: skip
def test_other_endpoints(http: httpx.Client, endpoint: str, body: dict[str, Any]) -> None:
    batch = ended(http, start(http, {"custom_id": "a", "body": body}, endpoint=endpoint))
    assert lines(http, batch["output_file_id"])["a"]["response"]["body"]["object"]
    assert batch["error_file_id"] is None


def test_one_model_for_all_lines(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    batch = ended(http, start(http, {"custom_id": "a", "body": body}, model_id=MODEL))
    assert (batch["model_id"], batch["status"]) == (MODEL, "COMPLETED")
    assert lines(http, batch["output_file_id"])["a"]["response"]["body"]["model"] == MODEL


@pytest.mark.parametrize("rows", [
    [{"custom_id": "a", "body": {}}, {"custom_id": "a", "body": {}}], [{"body": {}}], [{"custom_id": "x" * 65, "body": {}}],
    [{"custom_id": "a", "body": []}], [3],
])  # fmt: skip
def test_invalid_input_files(http: httpx.Client, rows: list[Any]) -> None:
    batch = ended(http, start(http, *rows))
    assert batch["status"] == "FAILED"
    assert batch["error"].startswith("Line ")


def test_invalid_requests(http: httpx.Client) -> None:
    assert http.post("/batches", json={"endpoint": "/v1/completions"}).json()["error"]["param"] == "input_file_id"
    assert http.post("/batches", json={"input_file_id": "file-1", "endpoint": "/v1/completions"}).status_code == 404
    assert start(http, {"custom_id": "a", "body": {}}, endpoint="/v1/images").json()["error"]["param"] == "endpoint"
    other = http.post(
        "/files/upload", data={"file_name": "t.jsonl", "purpose": "eval"}, files={"file": ("t.jsonl", b"{}")}
    ).json()
    assert http.post("/batches", json={"input_file_id": other["id"], "endpoint": "/v1/completions"}).status_code == 400
    assert http.get("/batches/none").status_code == 404
    assert http.post("/batches/none/cancel").status_code == 404


def test_a_batch_is_cancelled(http: httpx.Client) -> None:
    started = start(http, *({"custom_id": str(number), "body": chat_body("hi")} for number in range(50)))
    id = started.json()["job"]["id"]
    assert http.post(f"/batches/{id}/cancel").json()["status"] == "CANCELLED"
    assert ended(http, started)["status"] == "CANCELLED"
    done = start(http, {"custom_id": "a", "body": chat_body("hi")})
    ended(http, done)
    assert http.post(f"/batches/{done.json()['job']['id']}/cancel").status_code == 400
