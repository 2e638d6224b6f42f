"""What is kept of requests: bounded in bytes, and without showing keys."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from pprint import pformat

import httpx
import pytest

from tests.emulator.conftest import KEY
from tests.emulator.test_pytest_plugin import run
from together_adapters.emulator import Emulator, RecordedRequest, serve
from together_adapters.emulator.http.request_log import RequestLog

pytestmark = pytest.mark.long

MIB = 2**20


def test_a_thousand_bodies_of_a_megabyte() -> None:
    log = RequestLog()
    tracemalloc.start()
    try:
        for number in range(1_000):
            with log.watch(RecordedRequest("POST", f"/v1/{number}", "", {"a": "b"}, bytes(MIB), "127.0.0.1:1")):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 67 * MIB
    assert (len(log.requests), log.drop_count) == (1_000, 0)
    assert sum(request.has_body for request in log.requests) == 63


MEMORY = """
import json, tracemalloc
import httpx
from together_adapters.emulator import serve

body = json.dumps({"input": "x" * (1 << 20)}).encode()
with serve(keep_bytes=8 << 20) as emulator, httpx.Client(base_url=emulator.base_url, verify=False) as http:
    tracemalloc.start()
    for _ in range(100):
        assert http.post("/embeddings", content=body).status_code == 401
    print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_is_bounded() -> None:
    """In a process of its own: what other tests have left would be counted, too."""
    process = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=60, check=True)
    assert int(process.stdout) < 60 * MIB


def test_what_is_dropped_is_said() -> None:
    body = json.dumps({"input": "x" * MIB}).encode()
    with serve(keep_bytes=8 * MIB) as emulator, httpx.Client(base_url=emulator.base_url, verify=False) as http:
        for _ in range(100):
            assert http.post("/embeddings", content=body).status_code == 401
        requests = emulator.requests
    assert len(requests) == 100
    assert (requests[0].path, requests[0].headers["content-length"]) == ("/v1/embeddings", str(len(body)))
    assert requests[-1].body == body
    for name in ("body", "json"):
        with pytest.raises(LookupError, match=r"body of this request to /v1/embeddings was dropped.*keep_bytes"):
            getattr(requests[0], name)
    assert "embeddings" in repr(requests[0])


def test_requests_without_bodies_are_bounded_too() -> None:
    with serve(keep_bytes=10_000, keep=100) as emulator, httpx.Client(base_url=emulator.base_url, verify=False) as http:
        for number in range(20):
            http.get("/models", headers={"x-long": "y" * 1_500, "x-number": str(number)})
        assert len(emulator.requests) + emulator.drop_count == 20
        assert 4 <= len(emulator.requests) <= 6
        assert emulator.requests[-1].headers["x-number"] == "19"
        emulator.clear()
        assert (emulator.requests, emulator.drop_count) == ([], 0)
    with serve(keep=3) as emulator, httpx.Client(base_url=emulator.base_url, verify=False) as http:
        for _ in range(5):
            http.post("/rerank", json={})
        assert (len(emulator.requests), emulator.drop_count) == (3, 2)
        assert all(request.json == {} for request in emulator.requests)


def test_a_request_that_is_at_hand_keeps_its_body() -> None:
    with serve(keep_bytes=3_000) as emulator, httpx.Client(base_url=emulator.base_url, verify=False) as http:
        http.post("/rerank", content=b"a" * 1_500)
        first = emulator.requests[0]
        http.post("/rerank", content=b"b" * 1_500)
        assert first.body == b"a" * 1_500
        assert not emulator.requests[0].has_body


SECRETS = {"authorization": "Bearer sk-very-secret", "x-api-key": "sk-very-secret", "cookie": "a=sk-very-secret"}


def test_no_repr_shows_a_key(emulator: Emulator) -> None:
    httpx.post(f"{emulator.base_url}/models", headers=SECRETS, content=b"sk-very-secret", verify=False)
    (request,) = emulator.requests
    shown = [
        repr(request),
        repr(emulator.requests),
        str(request.headers),
        pformat(request.headers),
        f"{request}",
        pformat(request),
    ]
    shown += [repr(dict(request.headers)), pformat(list(request.headers.items())), repr(request.without_body())]
    assert not [text for text in shown if "secret" in text]
    assert request.headers["authorization"] == "Bearer sk-very-secret"
    assert "Bearer [hidden]" in repr(request)


FAILURES = """
import httpx

def request(emulator):
    httpx.get(emulator.base_url, headers={"authorization": "Bearer sk-very-" + "secret"}, verify=False)
    return emulator.requests[0]

def test_headers(together_emulator):
    assert request(together_emulator).headers == {"accept": "*/*"}

def test_requests(together_emulator):
    request(together_emulator)
    requests, state = together_emulator.requests, together_emulator._state
    assert requests == [state]
"""


@pytest.mark.parametrize("options", ["", "-vv --showlocals"])
def test_a_failure_of_a_test_shows_no_key(options: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {options}\n")
    status, output = run(tmp_path, FAILURES)
    assert (status, "2 failed" in output) == (1, True)
    assert "very-secret" not in output
    assert "Bearer [hidden]" in output


def test_only_the_state_knows_the_key() -> None:
    with serve(api_key="sk-very-secret") as emulator:
        assert emulator.api_key == "sk-very-secret"
        assert "very-secret" not in repr(emulator) + repr(emulator._state)
        answer = httpx.get(f"{emulator.base_url}/models", headers=KEY, verify=False)
    assert answer.status_code == 401
    assert "very-secret" not in answer.text
