"""Uploads in one request or in parts, over unreliable networks, without the API key, and undone when they fail."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Flavour
from together_adapters.emulator import Emulator, Fault, serve
from together_adapters.errors import (
    APIConnectionError,
    APIResponseValidationError,
    AuthenticationError,
    FileChangedError,
    FileTypeError,
    InternalServerError,
    InvalidDatasetError,
    NotFoundError,
)
from together_adapters.resources import uploads
from together_adapters.resources.uploads import part_layout

pytestmark = pytest.mark.every_transport

ROW = b'{"text": "a line of training data, number %08d"}\n'
MIB = 1 << 20


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(ROW % number for number in range(200)))
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Returns a file of 12 MiB of distinct rows: three parts of 5 MiB."""
    path = tmp_path / "large.jsonl"
    filler = b"word " * 2_000
    path.write_bytes(b"".join(b'{"text": "%d %s"}\n' % (number, filler) for number in range(12 * MIB // 10_000)))
    return path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("together_adapters.transport.exchange.random.random", lambda: 0.0)
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.01)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Returns a separate emulator: requests of a cancelled upload may arrive after its test."""
    with serve() as running:
        yield running
        assert not running._state.stores.files.partial_uploads, "an upload in parts was neither completed nor aborted"


def request_lines(emulator: Emulator) -> list[str]:
    """Returns methods and paths, without ids and tokens."""
    result = []
    for request in emulator.requests:
        path = "/uploads" if request.path.startswith("/uploads/") else request.path
        steps = ["*" if step.startswith("file-") else step for step in path.split("/")]
        result.append(f"{request.method} {'/'.join(steps)}")
    return result


def content_of(flavour: Flavour, client: Any, id: str) -> bytes:
    return flavour.run(client.files.content(id))  # type: ignore[no-any-return]


def test_a_file_goes_to_storage_without_the_key(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    client = flavour.client(default_headers={"x-mine": "1"}, default_query={"tenant": "7"}, supplied_headers={"cookie": "a=b"})
    updates: list[Any] = []
    file = flavour.run(client.files.upload(train, progress=updates.append))
    assert request_lines(emulator) == ["POST /v1/files", "PUT /uploads", "POST /v1/files/*/preprocess"]
    assert (file.filename, file.bytes, file.purpose, file.file_type) == (
        "train.jsonl",
        train.stat().st_size,
        "fine-tune",
        "jsonl",
    )
    assert file.processing_status in ("PENDING", "QUEUED", "RUNNING", "COMPLETED")  # as far as the check is by now
    put = emulator.requests[1]
    assert set(put.headers) == {"host", "accept", "content-length"}
    assert "tenant" not in put.query
    start = emulator.requests[0]
    assert start.headers["content-type"].startswith("multipart/form-data")
    assert hashlib.sha256(train.read_bytes()).hexdigest().encode() in start.body
    assert content_of(flavour, client, file.id) == train.read_bytes()
    assert {progress.stage for progress in updates} == {"check", "upload"}
    assert all(progress.total == file.bytes for progress in updates)
    assert updates[-1].done == file.bytes


@pytest.mark.parametrize("old", ["fine-tunes", "fine-tune"])
def test_old_names_of_purposes(flavour: Flavour, train: Path, old: str) -> None:
    assert flavour.run(flavour.client().files.upload(str(train), purpose=old)).purpose == "fine-tune"


def test_unknown_purpose(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        flavour.run(flavour.client().files.upload(train, purpose="nonsense"))
    assert emulator.requests == []


def test_errors_are_found_before_anything_is_sent(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "user", "content": "q"}]}\n{"text": 1}\n')
    with pytest.raises(InvalidDatasetError, match="no_assistant_message") as error_info:
        flavour.run(flavour.client().files.upload(bad))
    assert [issue.line for issue in error_info.value.report.issues] == [1, 2, 2]
    assert isinstance(error_info.value, FileTypeError | ValueError)
    for name in ("train.JSONL", "train.jsonl.gz", "train.txt"):
        odd = tmp_path / name
        odd.write_bytes(ROW % 1)
        with pytest.raises(FileTypeError, match=r"\.jsonl"):
            flavour.run(flavour.client().files.upload(odd, check=False))
    with pytest.raises(FileTypeError) as missing:
        flavour.run(flavour.client().files.upload(tmp_path / "none.jsonl"))
    assert isinstance(missing.value, FileNotFoundError)
    assert emulator.requests == []
    assert flavour.run(flavour.client().files.upload(bad, check=False)).id


def test_a_file_that_is_too_large(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    huge = tmp_path / "huge.jsonl"
    with huge.open("wb") as file:
        file.truncate(60 * 2**30)
    with pytest.raises(FileTypeError, match=r"50\.1 GiB"):
        flavour.run(flavour.client().files.upload(huge, check=False))
    assert emulator.requests == []


@pytest.mark.parametrize("threshold", [1 << 30, 0])
def test_the_same_content_is_uploaded_once(flavour: Flavour, emulator: Emulator, train: Path, threshold: int) -> None:
    client = flavour.client()
    first = flavour.run(client.files.upload(train))
    emulator.clear()
    again = flavour.run(client.files.upload(train, multipart_threshold=threshold))
    assert again.id == first.id
    assert request_lines(emulator)[1:] == ["GET /v1/files/*"]


@pytest.mark.parametrize(
    "fault", [Fault("503", path="/uploads/"), Fault("drop-upload", path="/uploads/", size=1), Fault("drop", path="/uploads/")]
)
def test_storage_that_fails_is_retried_from_the_start(flavour: Flavour, emulator: Emulator, train: Path, fault: Fault) -> None:
    emulator.inject(fault)
    client = flavour.client()
    updates: list[float] = []
    file = flavour.run(client.files.upload(train, progress=lambda progress: updates.append(progress.done)))
    assert emulator.pending_faults == []
    assert content_of(flavour, client, file.id) == train.read_bytes()


def test_a_redirect_of_storage_is_followed_with_the_whole_file(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    emulator.inject(Fault("redirect", path="/uploads/", status=307))
    client = flavour.client(max_retries=0)
    with pytest.raises(Exception, match="403"):  # the path alone, without its signature
        flavour.run(client.files.upload(train))
    puts = [request for request in emulator.requests if request.method == "PUT"]
    assert [put.headers["content-length"] for put in puts] == [str(train.stat().st_size)] * 2


def test_what_was_started_is_undone(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    emulator.inject(Fault("500", path="/uploads/", times=None))
    with pytest.raises(InternalServerError) as error_info:
        flavour.run(flavour.client().files.upload(train))
    assert error_info.value.attempts == 3
    assert "Signature" not in str(error_info.value)
    assert request_lines(emulator) == ["POST /v1/files", *["PUT /uploads"] * 3, "DELETE /v1/files/*"]
    emulator.clear()
    assert flavour.run(flavour.client().files.list()).data == []


def test_the_first_error_is_raised_when_undoing_fails_too(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    emulator.inject(Fault("503", path="/uploads/", times=None), Fault("404", path="/v1/files/file-"))
    with pytest.raises(InternalServerError, match="503") as error_info:
        flavour.run(flavour.client(max_retries=0).files.upload(train))
    assert "could not be undone" in error_info.value.__notes__[0]


@pytest.mark.parametrize("headers", [{}, {"location": "http://127.0.0.1:1/x"}, {"x-together-file-id": "file-1"},
                                     {"x-together-file-id": "../x", "location": "http://127.0.0.1:1/x"},
                                     {"x-together-file-id": "file-1", "location": "file:///etc/passwd"},
                                     {"x-together-file-id": "file-1", "location": "http://127.0.0.1:99999/x"},
                                     {"x-together-file-id": "file-1", "location": "http://169.254.169.254/latest"},
                                     {"x-together-file-id": "file-1", "location": "http://metadata.google.internal/x"}])  # fmt: skip
def test_an_unexpected_response_to_the_start(flavour: Flavour, emulator: Emulator, train: Path, headers: dict[str, str]) -> None:
    emulator.inject(Fault("redirect", path="/v1/files", status=302, location=headers.get("location", "x:"), headers=headers))
    with pytest.raises(APIResponseValidationError):
        flavour.run(flavour.client().files.upload(train))
    assert request_lines(emulator) == ["POST /v1/files"]


def test_a_refusal_keeps_the_message_of_the_service(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    emulator.inject(Fault("401", path="/v1/files", message="this key was revoked"))
    with pytest.raises(AuthenticationError, match="this key was revoked"):
        flavour.run(flavour.client().files.upload(train))


def test_a_file_that_shrinks_is_one_clear_error(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    def shrink(progress: Any) -> None:
        if progress.stage == "upload":
            os.truncate(large, 5 * MIB)

    with pytest.raises(FileChangedError, match="became shorter during its upload"):
        flavour.run(flavour.client().files.upload(large, progress=shrink))
    assert request_lines(emulator)[-1] == "DELETE /v1/files/*"
    assert len(emulator.requests) <= 3


def test_a_file_that_is_changed_meanwhile(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    def change(progress: Any) -> None:
        if progress.stage == "upload":
            os.utime(train, ns=(1, 1))

    with pytest.raises(FileChangedError, match="changed"):
        flavour.run(flavour.client().files.upload(train, progress=change))
    assert request_lines(emulator)[-1] == "DELETE /v1/files/*"


@pytest.mark.parametrize(("size", "expected"), [
    (0, (1, 0)), (1, (1, 1)), (250 * MIB, (1, 250 * MIB)), (500 * MIB, (2, 250 * MIB)), (250 * MIB + 1, (2, 125 * MIB + 1)),
    (50 * 2**30, (205, 261_881_000)), (100 * 2**30, (250, 429_496_730)),
])  # fmt: skip
def test_the_parts_of_a_file(size: int, expected: tuple[int, int]) -> None:
    count, length = part_layout(size)
    assert (count, length) == (expected if size != 50 * 2**30 else (205, -(-size // 205)))
    assert (count - 1) * length < size or size == 0
    assert count * length >= size


def test_parts_have_a_minimum_size() -> None:
    assert part_layout(12 * MIB, MIB) == (3, 5 * MIB)


def test_parts(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    client = flavour.client(default_headers={"x-mine": "1"})
    updates: list[Any] = []
    file = flavour.run(client.files.upload(large, multipart_threshold=MIB, part_size=5 * MIB, progress=updates.append))
    assert request_lines(emulator) == [
        "POST /v1/files/multipart/initiate",
        *["PUT /uploads"] * 3,
        "POST /v1/files/multipart/complete",
    ]
    initiate = emulator.requests[0].json
    assert initiate == {
        "file_name": "large.jsonl", "file_size": large.stat().st_size, "num_parts": 3, "purpose": "fine-tune", "file_type": "jsonl",
        "checksum": hashlib.sha256(large.read_bytes()).hexdigest(),
    }  # fmt: skip
    for put in emulator.requests[1:4]:
        assert set(put.headers) == {"host", "accept", "content-length", "x-emulator-part"}
    entries = emulator.requests[-1].json["parts"]
    assert [part["part_number"] for part in entries] == [1, 2, 3]
    assert not any('"' in part["etag"] for part in entries)
    assert content_of(flavour, client, file.id) == large.read_bytes()
    done = [progress.done for progress in updates if progress.stage == "upload"]
    assert done == sorted(done)
    assert done[-1] == file.bytes
    assert flavour.run(client.files.wait(file.id, poll_interval=0.05)).processing_status == "COMPLETED"


def test_at_most_four_parts_at_a_time(flavour: Flavour, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_bytes(b"x" * (41 * MIB))
    emulator.inject(Fault("slow", path="/uploads/", seconds=0.1, times=None))
    flavour.run(flavour.client().files.upload(path, check=False, multipart_threshold=MIB, part_size=5 * MIB))
    assert request_lines(emulator).count("PUT /uploads") == 9
    assert 2 <= emulator.most_in_flight <= 4


def test_a_part_that_fails_twice(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    emulator.inject(Fault("500", path="part-2"), Fault("drop-upload", path="part-2", size=100_000))
    client = flavour.client()
    file = flavour.run(client.files.upload(large, multipart_threshold=MIB, part_size=5 * MIB))
    assert emulator.pending_faults == []
    assert content_of(flavour, client, file.id) == large.read_bytes()


def test_parts_are_aborted_when_one_fails_for_good(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    emulator.inject(Fault("503", path="part-3", times=None))
    with pytest.raises(InternalServerError, match="503"):
        flavour.run(flavour.client().files.upload(large, multipart_threshold=MIB, part_size=5 * MIB))
    assert request_lines(emulator)[-1] == "POST /v1/files/multipart/abort"
    assert request_lines(emulator).count("POST /v1/files/multipart/abort") == 1
    emulator.clear()
    assert flavour.run(flavour.client().files.list()).data == []


def test_parts_are_aborted_when_completion_is_refused(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    emulator.inject(Fault("400", path="multipart/complete", message="no such parts"))
    with pytest.raises(Exception, match="no such parts"):
        flavour.run(flavour.client().files.upload(large, multipart_threshold=MIB, part_size=5 * MIB))
    assert request_lines(emulator)[-1] == "POST /v1/files/multipart/abort"


def test_a_callback_that_raises_ends_the_upload(flavour: Flavour, emulator: Emulator, large: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.stage == "upload":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        flavour.run(flavour.client().files.upload(large, multipart_threshold=MIB, part_size=5 * MIB, progress=stop))
    assert request_lines(emulator)[-1] == "POST /v1/files/multipart/abort"


@pytest.mark.parametrize("threshold", [MIB, 1 << 30])
def test_a_cancelled_upload_is_undone(emulator: Emulator, large: Path, threshold: int) -> None:
    from tests.conftest import KEY
    from together_adapters import AsyncTogether

    emulator.inject(Fault("slow", path="/uploads/", seconds=30, times=None))

    async def cancel() -> None:
        async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            task = asyncio.create_task(client.files.upload(large, multipart_threshold=threshold, part_size=5 * MIB))
            while not {"POST", "PUT"} <= {request.method for request in emulator.requests}:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    # Parts that were on their way may arrive after it.
    assert {"POST /v1/files/multipart/abort", "DELETE /v1/files/*"} & set(request_lines(emulator)), request_lines(emulator)


def test_an_interrupt_undoes_the_upload(emulator: Emulator, large: Path) -> None:
    from tests.conftest import KEY
    from together_adapters import Together

    main = threading.get_ident()

    def interrupt() -> None:
        while not {"POST", "PUT"} <= {request.method for request in emulator.requests}:
            time.sleep(0.01)
        import signal

        signal.pthread_kill(main, signal.SIGINT)

    emulator.inject(Fault("slow", path="/uploads/", seconds=0.5, times=None))
    threading.Thread(target=interrupt, daemon=True).start()
    with Together(api_key=KEY, base_url=emulator.base_url) as client, pytest.raises(KeyboardInterrupt):
        client.files.upload(large, multipart_threshold=MIB, part_size=5 * MIB)
    assert request_lines(emulator).count("POST /v1/files/multipart/abort") == 1  # parts on their way may arrive later


def test_a_network_that_is_gone(flavour: Flavour, train: Path) -> None:
    with pytest.raises(APIConnectionError):
        flavour.run(flavour.client(base_url="http://127.0.0.1:9/v1", max_retries=0).files.upload(train))


def test_options_are_sent_to_the_service_alone(flavour: Flavour, emulator: Emulator, train: Path) -> None:
    flavour.run(
        flavour.client().files.upload(train, extra_headers={"x-a": "1"}, extra_query={"q": "2"}, extra_body={"more": "3"})
    )
    start, put, finish = emulator.requests
    assert (start.headers["x-a"], start.query, b'name="more"' in start.body) == ("1", "q=2", True)
    assert "x-a" not in put.headers
    assert (finish.headers["x-a"], finish.query, finish.body) == ("1", "q=2", b"")


def test_the_emulator_refuses_the_key_at_storage(emulator: Emulator, train: Path) -> None:
    """The constants that the tests above rely on."""
    import httpx

    with httpx.Client(base_url=emulator.base_url, headers={"authorization": "Bearer k"}, verify=False) as http:
        form = {"purpose": "fine-tune", "file_name": "t.jsonl", "file_type": "jsonl"}
        url = http.post("/files", data=form).headers["location"]
        assert http.put(url, content=b"x").status_code == 400
        assert httpx.put(url.partition("?")[0], content=b"x").status_code == 403
        assert httpx.put(url, content=b"x").status_code == 200


def test_the_limits_are_those_of_the_service() -> None:
    assert uploads.MULTIPART_THRESHOLD == 5 * 2**30
    assert uploads.PART_SIZE == 250 * MIB
    assert (uploads.MIN_PART_SIZE, uploads.MAX_PARTS, uploads.CONCURRENCY) == (5 * MIB, 250, 4)


def test_missing_files_elsewhere(flavour: Flavour) -> None:
    for method in ("retrieve", "delete", "content"):
        with pytest.raises(NotFoundError):
            flavour.run(getattr(flavour.client().files, method)("file-none"))
