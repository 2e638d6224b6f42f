"""Guarantees for users of the emulator: only loopback, no files left, a clean end, and no 5xx on any route.

Elsewhere: ports that are taken and signals in `test_server`, code only by permission in `test_code_interpreter`, hostile chats in
`test_hostile`, hostile uploads in `test_files`.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from tests.conftest import HANG, eventually
from tests.emulator.conftest import KEY, MODEL
from tests.emulator.http.test_hostile import DEEP
from tests.emulator.routes.test_fine_tuning import MODEL as TUNABLE
from tests.emulator.routes.test_fine_tuning import put
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.app import create_app
from together_adapters.emulator.http import middleware


def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    assert emulator.base_url.startswith("http://127.0.0.1:")
    with socket.socket() as other:
        # another loopback address of this machine, where a server of all interfaces would answer
        assert other.connect_ex(("127.0.0.2", emulator.port)) != 0


def routes() -> list[tuple[str, str]]:
    """Returns every method and path of the emulator, with a value for path parameters."""
    with serve() as emulator:
        app = create_app(emulator._state).app  # type: ignore[attr-defined]
    return sorted(
        (method, re.sub(r"\{\w+\}", "x", route.path))
        for route in app.router.routes
        if isinstance(route, Route)  # and no websocket
        for method in route.methods - {"HEAD"}
    )


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "deep": DEEP.encode(),
    "deep inside": b'{"model": "openai/gpt-oss-120b", "messages": %b, "parameters": %b, "training_file": %b}'
    % ((DEEP.encode(),) * 3),
    "deep object": b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
    "null": b"null",
    "number": b"1e999",
    "digits": b'{"n": ' + b"9" * 5_000 + b"}",
    "no text": b'\xff\xfe{"a"',
    "broken": b'{"model": "openai/gpt-oss-120b"',
    "odd values": json.dumps(
        {name: {"x": [None]} for name in ("model", "messages", "prompt", "input", "purpose", "parts")}
    ).encode(),
    "long": json.dumps({"model": MODEL, "prompt": "x" * 2_000_000, "input": "y" * 2_000_000, "code": "z" * 2_000_000}).encode(),
}


FORMS = ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/json", body) for body in BODIES] + [(kind, body) for kind in FORMS for body in ("no text", "long")],
)
def test_no_body_causes_a_5xx_on_any_route(kind: str, body: str, emulator: Emulator, http: httpx.Client) -> None:
    failures = {}
    root = emulator.base_url.removesuffix("/v1")
    for method, path in routes():
        answer = http.request(method, root + path, content=BODIES[body], headers={"content-type": kind})
        if answer.status_code >= 500:
            failures[f"{method} {path}"] = answer.status_code
    assert failures == {}
    assert emulator.errors == []


def test_rows_that_are_deep_hurt_nobody(emulator: Emulator, http: httpx.Client) -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    file = put(emulator, [{"text": deep}, {"messages": deep}, {"prompt": {"a": deep}, "completion": deep}])
    job = http.post("/fine-tunes", json={"training_file": file, "model": TUNABLE})
    answers = [
        job,
        http.post("/fine-tunes/preview", json={"training_file": file, "model": TUNABLE}),
        http.post("/fine-tunes/estimate-price", json={"training_file": file, "model": TUNABLE}),
        http.get("/fine-tunes"),
        *(http.get(f"/fine-tunes/{job.json().get('id')}{what}") for what in ("", "/events", "/checkpoints", "/metrics")),
    ]
    assert max(answer.status_code for answer in answers) < 500
    judge = {"model": MODEL, "model_source": "serverless", "system_template": "Which?"}
    for name in ("text", "messages"):
        file = put(emulator, [{"text": deep, "messages": "x"}] * 2, "eval")
        parameters = {"judge": judge, "input_data_file_path": file, "model_a": name, "model_b": name}
        evaluation = http.post("/evaluation", json={"type": "compare", "parameters": parameters}).json()
        status = f"/evaluation/{evaluation['workflow_id']}/status"
        assert eventually(lambda url=status: http.get(url).json()["status"] in ("completed", "error", "user_error"))
    assert emulator.errors == []


def test_files_are_bounded_in_bytes() -> None:
    with (
        serve(max_stored_bytes=300_000, job_seconds=0) as emulator,
        httpx.Client(base_url=emulator.base_url, headers=KEY) as http,
    ):
        form = {"file_name": "a.jsonl", "purpose": "batch-api", "file_type": "jsonl"}
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Repeat: " + "word " * 20_000}], "max_tokens": 100}
        line = json.dumps({"custom_id": "a", "body": {**body, "echo": True, "logprobs": 1}}).encode()

        def upload(content: bytes) -> httpx.Response:
            return http.post("/files/upload", data=form, files={"file": ("a.jsonl", content)})

        first, second, third = upload(line), upload(line + b" "), upload(line + b"  ")
        assert [first.status_code, second.status_code, third.status_code] == [200, 200, 413]
        assert third.json()["error"]["code"] == "storage_full"
        assert "max_stored_bytes" in third.json()["error"]["message"]
        batch = http.post("/batches", json={"input_file_id": first.json()["id"], "endpoint": "/v1/chat/completions"}).json()[
            "job"
        ]
        assert eventually(lambda: http.get(f"/batches/{batch['id']}").json()["status"] == "FAILED")
        assert "max_stored_bytes" in http.get(f"/batches/{batch['id']}").json()["error"]
        assert http.delete(f"/files/{first.json()['id']}").is_success
        assert upload(line + b"  ").status_code == 200
        assert http.put(f"{emulator.base_url[:-3]}/uploads/x/y", content=b"x" * 400_000).status_code == 413
        assert emulator.errors == []


def test_a_body_is_bounded(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, http: httpx.Client) -> None:
    monkeypatch.setattr(middleware, "_MAX_BODY", 1_000_000)
    for content in (b"x" * 2_000_000, iter([b"x" * 100_000] * 20)):
        answer = http.post("/chat/completions", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert http.get("/models").status_code == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_at_once_while_busy_and_leaves_no_files(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "together_adapters.emulator", "--job-seconds", "600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    line = json.dumps({"custom_id": "a", "body": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}}) + "\n"
    with httpx.Client(base_url=url, headers=KEY, verify=False, timeout=HANG) as http:
        form = {"file_name": "a.jsonl", "purpose": "batch-api", "file_type": "jsonl"}
        file = http.post("/files/upload", data=form, files={"file": ("a.jsonl", line.encode())}).json()["id"]
        assert http.post("/batches", json={"input_file_id": file, "endpoint": "/v1/chat/completions"}).status_code == 201
        assert list(tmp_path.rglob("*")) != []
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Count from 1 to 500"}], "stream": True}
        with http.stream("POST", "/chat/completions", json=body, headers={"x-emulator-behaviour": "delay=3600"}) as stream:
            next(stream.iter_bytes())
            process.send_signal(number)
            _, complaints = process.communicate(timeout=HANG)
    assert (process.returncode, complaints.count("\n"), "Traceback" in complaints) == (0, 1, False)  # what it grants
    assert list(tmp_path.iterdir()) == []
