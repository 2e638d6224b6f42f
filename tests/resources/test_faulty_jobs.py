"""Waits, uploads and lists of a server that never ends, never confirms, or says what no service says: bounded, and an error of ours."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import together_adapters as ta
from tests.conftest import Flavour
from tests.transport.conftest import Answer, RawServer
from together_adapters.resources import uploads, waiting

SOON = 20.0  # seconds within which everything here ends on a busy machine, and which no limit of the client's own would keep


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)
    monkeypatch.setattr(waiting, "_MIN_REQUEST", 0.1)
    monkeypatch.setattr(uploads, "_UNDO_SECONDS", 0.2)


def answer(body: Any, status: str = "200 OK", *headers: str) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


WAITS: dict[str, Callable[..., Any]] = {
    "files": lambda client, **options: client.files.wait("file-1", **options),
    "fine_tuning": lambda client, **options: client.fine_tuning.wait("ft-1", **options),
    "batches": lambda client, **options: client.batches.wait("batch-1", **options),
    "evaluation": lambda client, **options: client.evaluation.wait("eval-1", **options),
    "videos": lambda client, **options: client.videos.wait("video-1", **options),
}


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_ends_in_time_whatever_its_polls_do(flavour: Flavour, raw_server: RawServer, name: str) -> None:
    client = flavour.client(base_url=raw_server.base_url, timeout=600, max_retries=5)
    job = answer({"id": "x", "status": "levitating", "processing_status": "LEVITATING", "object": "file"})
    drip = raw_server.drip(b"HTTP/1.1 200 OK\r\nx: ", b"x")
    drip_body = raw_server.drip(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", b" ")
    for answers in [
        (raw_server.hang,),
        (job, raw_server.hang),
        (job,),
        *([(drip,), (drip_body,), (job, drip)] if name == "files" else []),
    ]:
        raw_server.answer(*answers).requests.clear()
        start = time.monotonic()
        with pytest.raises(ta.APITimeoutError, match=r"had not ended after 0.1 seconds .* is not cancelled") as caught:
            flavour.run(WAITS[name](client, timeout=0.1, poll_interval=0.05))
        assert time.monotonic() - start < SOON
        if answers[0] is not job:
            assert caught.value.completed is None
        elif len(raw_server.requests) > 1:  # else the machine is too busy for the first answer
            assert caught.value.completed is not None


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_ends_with_the_error_of_its_polls(flavour: Flavour, raw_server: RawServer, name: str) -> None:
    client = flavour.client(base_url=raw_server.base_url, max_retries=1)
    for status, kind, count in (("404 Not Found", ta.NotFoundError, 1), ("500 Failed", ta.InternalServerError, 2)):
        raw_server.answer(answer({"error": {"message": "no"}}, status)).requests.clear()
        with pytest.raises(kind):
            flavour.run(WAITS[name](client, timeout=SOON, poll_interval=0.05))
        assert len(raw_server.requests) == count
    raw_server.answer(answer([1])).requests.clear()
    with pytest.raises(ta.APIResponseValidationError):
        flavour.run(WAITS[name](client, timeout=SOON, poll_interval=0.05))


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("option", ["timeout", "poll_interval"])
def test_a_wait_refuses_what_is_no_number_of_seconds(flavour: Flavour, raw_server: RawServer, name: str, option: str) -> None:
    client = flavour.client(base_url=raw_server.base_url)
    for value in (-1, float("nan"), "x", True):
        with pytest.raises(ValueError, match=f"{option} must be a number of seconds"):
            flavour.run(WAITS[name](client, **{option: value}))
    assert not raw_server.requests


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"text": "a line of training data"}\n' * 200)
    return path


def storage(raw_server: RawServer, path: str = "/part", port: object = None) -> str:
    return f"http://127.0.0.1:{port or raw_server.port}{path}"


def upload(flavour: Flavour, raw_server: RawServer, train: Path, **options: Any) -> Any:
    client = flavour.client(base_url=raw_server.base_url, timeout=0.2, max_retries=1)
    return flavour.run(client.files.upload(train, check=False, **options))


BAD_ADDRESSES = ["http://127.0.0.1:99999/x", "http://127.0.0.1:x/", "http://[::1/x", "ftp://127.0.0.1/x", "/x", "http://:80/", ""]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_an_unusable_storage_address_is_an_error_that_names_it(
    flavour: Flavour, raw_server: RawServer, train: Path, url: str
) -> None:
    raw_server.answer(answer(None, "302 Found", f"location: {url}", "x-together-file-id: file-1"))
    with pytest.raises((ta.APIResponseValidationError, ta.APIConnectionError)) as caught:
        upload(flavour, raw_server, train)
    assert len(raw_server.requests) == 1
    if "99999" in url:
        assert "127.0.0.1:99999 is no address for the file" in str(caught.value)


def by_path(server: RawServer, **answers: Answer) -> Answer:
    """An answer that depends on the last part of the path; those of storage are named `part`."""

    def send(connection: socket.socket) -> None:
        name = server.requests[-1].split(b" ", 2)[1].rpartition(b"/")[2].decode()
        chosen = answers["part" if name.isdigit() else name]
        chosen(connection) if callable(chosen) else connection.sendall(chosen)

    return send


def start_of_parts(server: RawServer, numbers: list[Any], url: str = "http://127.0.0.1:{}/{}") -> bytes:
    parts = [{"PartNumber": number, "URL": url.format(server.port, number)} for number in numbers]
    return answer({"upload_id": "u1", "file_id": "file-1", "parts": parts})


PART_FAULTS: dict[str, Callable[[RawServer], dict[str, Answer]]] = {
    "foreign numbers": lambda server: {"initiate": start_of_parts(server, [7, 8, 9])},
    "a number twice": lambda server: {"initiate": start_of_parts(server, [1, 1, 2])},
    "too many numbers": lambda server: {"initiate": start_of_parts(server, [*range(1, 3000)])},
    "no numbers": lambda server: {"initiate": start_of_parts(server, ["a", None, {}])},
    "no parts": lambda server: {"initiate": answer({"upload_id": "u1", "file_id": "file-1", "parts": None})},
    "a port out of range": lambda server: {"initiate": start_of_parts(server, [1, 2, 3], "http://127.0.0.1:9{}/{}")},
    "no ETag": lambda server: {"part": answer(None)},
    "an empty ETag": lambda server: {"part": answer(None, "200 OK", 'etag: ""')},
    "parts hang": lambda server: {"part": server.hang},
    "parts are redirected in a circle": lambda server: {"part": answer(None, "307 Moved", f"location: {storage(server, '/1')}")},
    "never confirms": lambda server: {"complete": server.hang},
    "confirms nothing": lambda server: {"complete": answer(None)},
    "confirms a list": lambda server: {"complete": answer([None])},
    "never aborts": lambda server: {"part": answer(None, "400 No"), "abort": server.hang},
}


@pytest.mark.parametrize("fault", PART_FAULTS)
def test_a_faulty_upload_in_parts_ends_soon_in_our_error(
    flavour: Flavour, raw_server: RawServer, train: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MIN_PART_SIZE", 1)
    answers = {
        "initiate": start_of_parts(raw_server, [1, 2, 3]),
        "part": answer(None, "200 OK", "etag: x"),
        "complete": answer({"id": "file-1"}),
        "abort": answer({}),
    }
    start = time.monotonic()
    raw_server.answer(by_path(raw_server, **answers))
    options = {"multipart_threshold": 1, "part_size": train.stat().st_size // 3 + 1}
    assert upload(flavour, raw_server, train, **options).id == "file-1"
    raw_server.answer(by_path(raw_server, **{**answers, **PART_FAULTS[fault](raw_server)})).requests.clear()
    with pytest.raises(ta.TogetherError):
        upload(flavour, raw_server, train, **options)
    assert time.monotonic() - start < SOON
    assert len(raw_server.requests) <= 3 + 3 * 2 * 6
    if fault not in ("no numbers", "no parts"):
        assert any(b"/abort" in request for request in raw_server.requests)  # parts under way may arrive after it


def test_a_list_is_one_request_whatever_it_says_of_more(flavour: Flavour, raw_server: RawServer) -> None:
    body = {"data": [], "has_more": True, "next": "/v1/files?after=x", "next_cursor": "x", "last_id": "x", "object": "list"}
    client = flavour.client(base_url=raw_server.base_url)
    for resource in ("files", "fine_tuning", "batches", "evaluation", "endpoints", "models"):
        raw_server.answer(answer(body if resource in ("files", "fine_tuning", "endpoints") else [])).requests.clear()
        flavour.run(getattr(client, resource).list())
        assert len(raw_server.requests) == 1
