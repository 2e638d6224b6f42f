"""Files: uploads of every kind, storage without a key, ranges, checks, and faults."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters.emulator import Emulator, Fault, serve
from together_adapters.emulator.store import file_store

ROWS = b'{"text": "one"}\n{"text": "two"}\n'
FORM = {"purpose": "fine-tune", "file_name": "train.jsonl", "file_type": "jsonl"}


@pytest.fixture(autouse=True)
def empty_account(emulator: Emulator) -> Iterator[None]:
    yield
    emulator._state.stores.files.clear()


@pytest.fixture
def storage() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=HANG, verify=False) as client:
        yield client


def upload(http: httpx.Client, storage: httpx.Client, rows: bytes = ROWS, **fields: str) -> dict[str, Any]:
    started = http.post("/files", data={**FORM, **fields})
    assert started.status_code == 302, started.text
    assert storage.put(started.headers["location"], content=rows).status_code == 200
    finished = http.post(f"/files/{started.headers['x-together-file-id']}/preprocess")
    assert finished.status_code == 200
    return finished.json()  # type: ignore[no-any-return]


def wait_until_checked(http: httpx.Client, id: str) -> dict[str, Any]:
    deadline = time.monotonic() + HANG
    while (file := http.get(f"/files/{id}").json())["processing_status"] in ("PENDING", "QUEUED", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return file  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", [{"data": FORM}, {"files": {name: (None, text) for name, text in FORM.items()}}, {"json": FORM}])
def test_an_upload_starts_with_every_encoding(http: httpx.Client, how: dict[str, Any]) -> None:
    started = http.post("/files", **how)
    assert (started.status_code, started.content) == (302, b"")
    assert started.headers["x-together-file-id"].startswith("file-")
    assert "/uploads/" in started.headers["location"]


@pytest.mark.parametrize("change", [{"purpose": "fun"}, {"file_name": ""}, {"file_type": "exe"}])
def test_invalid_uploads(http: httpx.Client, change: dict[str, str]) -> None:
    response = http.post("/files", data={**FORM, **change})
    assert (response.status_code, response.json()["error"]["param"]) == (400, next(iter(change)))


def test_the_states_of_a_file(http: httpx.Client, storage: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(file_store, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    file = upload(http, storage)
    assert (file["processing_status"], file["validation_report"], file["Processed"], file["object"]) == (
        "PENDING",
        None,
        False,
        "file",
    )
    assert (file["filename"], file["bytes"], file["FileType"], file["LineCount"]) == ("train.jsonl", len(ROWS), "jsonl", 0)
    statuses = []
    for end, _ in file_store._STAGES:
        now = end * 0.99
        statuses.append(http.get(f"/files/{file['id']}").json()["processing_status"])
    assert statuses == ["PENDING", "QUEUED", "RUNNING"]
    now = 1.0
    assert wait_until_checked(http, file["id"])["processing_status"] == "COMPLETED"
    done = http.get(f"/files/{file['id']}").json()
    assert done["validation_report"] == {
        "valid": True, "file_id": file["id"], "nlines": 2, "dataset_format": "GENERAL", "dataset_is_multimodal": False,
        **{f"dataset_has_{what}": False for what in ("message_weights", "sample_weights", "tools", "parallel_tool_calls", "reasoning")},
    }  # fmt: skip
    assert (done["Processed"], done["LineCount"]) == (True, 2)
    assert http.get("/files").json() == {"object": "list", "data": [done]}
    assert http.delete(f"/files/{file['id']}").json() == {"id": file["id"], "object": "file", "deleted": True}
    assert http.get(f"/files/{file['id']}").status_code == 404
    assert http.get("/files").json()["data"] == []


def test_errors_in_the_data(http: httpx.Client, storage: httpx.Client) -> None:
    file = wait_until_checked(http, upload(http, storage, ROWS + b'{"text": 3}\n{"text": 4}\n')["id"])
    assert file["processing_status"] == "INVALID_FORMAT"
    report = file["validation_report"]
    assert (report["valid"], report["error_type"], report["nlines"]) == (False, "INVALID_FORMAT", 4)
    assert report["error"].startswith("Line 3: `text`")


def test_the_same_content_conflicts(http: httpx.Client, storage: httpx.Client) -> None:
    checksum = hashlib.sha256(ROWS).hexdigest()
    file = upload(http, storage, checksum=checksum)
    again = http.post("/files", data={**FORM, "checksum": checksum})
    assert (again.status_code, again.json()["file_id"]) == (409, file["id"])
    response = http.post("/files/multipart/initiate", json={**FORM, "checksum": checksum, "file_size": 9, "num_parts": 1})
    assert (response.status_code, response.json()["file_id"]) == (409, file["id"])
    http.delete(f"/files/{file['id']}")
    assert upload(http, storage, checksum=checksum)["id"] != file["id"]


def test_a_wrong_checksum(http: httpx.Client, storage: httpx.Client) -> None:
    started = http.post("/files", data={**FORM, "checksum": "0" * 64})
    storage.put(started.headers["location"], content=ROWS)
    assert http.post(f"/files/{started.headers['x-together-file-id']}/preprocess").status_code == 400


def test_storage(emulator: Emulator, http: httpx.Client, storage: httpx.Client) -> None:
    started = http.post("/files", data=FORM)
    url, id = started.headers["location"], started.headers["x-together-file-id"]
    assert http.post(f"/files/{id}/preprocess").status_code == 400  # nothing has arrived
    assert http.put(url, content=ROWS).status_code == 400  # it has the API key
    assert storage.put(url, content=ROWS, headers={"cookie": "a=b"}).status_code == 400
    assert storage.put(url.partition("?")[0], content=ROWS).status_code == 403
    assert storage.put(url + "0", content=ROWS).status_code == 403
    assert storage.put(url, content=iter([ROWS])).status_code == 411
    assert storage.put(f"{url.partition('/uploads/')[0]}/uploads/a/b", content=ROWS).status_code == 404
    response = storage.put(url, content=ROWS)
    assert (response.status_code, response.headers["etag"]) == (200, f'"{hashlib.md5(ROWS).hexdigest()}"')
    assert emulator.requests[-1].body == b""  # on disk, not in memory
    assert storage.put(url, content=ROWS + b"{}").status_code == 200  # once more, from the start
    assert http.post(f"/files/{id}/preprocess").json()["bytes"] == len(ROWS) + 2


def test_one_shot(http: httpx.Client) -> None:
    form = {"file_name": "t.jsonl", "purpose": "eval", "file_type": "jsonl"}
    file = http.post("/files/upload", data=form, files={"file": ("t.jsonl", ROWS)}).json()
    assert http.get(f"/files/{file['id']}/content").content == ROWS
    again = http.post("/files/upload", data=form, files={"file": ("t.jsonl", ROWS)})
    assert (again.status_code, again.json()["file_id"]) == (409, file["id"])
    assert http.post("/files/upload", data=form).status_code == 400


def initiate(http: httpx.Client, count: int, size: int) -> dict[str, Any]:
    return http.post("/files/multipart/initiate", json={**FORM, "file_size": size, "num_parts": count}).json()  # type: ignore[no-any-return]


def test_parts(http: httpx.Client, storage: httpx.Client) -> None:
    started = initiate(http, 2, len(ROWS))
    named = {"upload_id": started["upload_id"], "file_id": started["file_id"]}
    etags = []
    for part, data in zip(started["parts"], (ROWS[:20], ROWS[20:]), strict=True):
        assert storage.put(part["URL"], content=data).status_code == 403  # without its header
        response = storage.put(part["URL"], content=data, headers=part["Headers"])
        assert response.headers["etag"].startswith('"')
        etags.append(response.headers["etag"].strip('"'))
    part_list = [{"part_number": number, "etag": etag} for number, etag in enumerate(etags, 1)]
    for wrong in (part_list[::-1], part_list[:1], [{**part, "etag": f'"{part["etag"]}"'} for part in part_list], None, "x", [{}]):
        assert http.post("/files/multipart/complete", json={**named, "parts": wrong}).status_code == 400
    file = http.post("/files/multipart/complete", json={**named, "parts": part_list}).json()["file"]
    assert http.get(f"/files/{file['id']}/content").content == ROWS
    assert wait_until_checked(http, file["id"])["validation_report"]["nlines"] == 2
    assert http.get(f"/files/{file['id']}/content").content == ROWS
    assert http.post("/files/multipart/complete", json={**named, "parts": part_list}).status_code == 404


def test_parts_are_aborted(emulator: Emulator, http: httpx.Client, storage: httpx.Client) -> None:
    started = initiate(http, 1, 4)
    part = started["parts"][0]
    storage.put(part["URL"], content=b"abcd", headers=part["Headers"])
    named = {"upload_id": started["upload_id"], "file_id": started["file_id"]}
    assert http.post("/files/multipart/abort", json={**named, "file_id": "file-other"}).status_code == 404
    assert http.post("/files/multipart/abort", json=named).status_code == 200
    assert storage.put(part["URL"], content=b"abcd", headers=part["Headers"]).status_code == 404
    assert http.get(f"/files/{started['file_id']}").status_code == 404


@pytest.mark.parametrize(
    "change", [{"file_size": 0}, {"file_size": "9"}, {"num_parts": 0}, {"num_parts": 251}, {"num_parts": True}, {"purpose": 1}]
)
def test_invalid_multipart_uploads(http: httpx.Client, change: dict[str, Any]) -> None:
    request = {**FORM, "file_size": 9, "num_parts": 1, **change}
    assert http.post("/files/multipart/initiate", json=request).json()["error"]["param"] == next(iter(change))


@pytest.mark.parametrize(("range_header", "status", "begin", "end"), [
    ("bytes=0-1", 206, 0, 2), ("bytes=5-", 206, 5, None), ("bytes=-4", 206, -4, None), ("bytes=3-999", 206, 3, None), ("bytes=9-3", 416, 0, 0),
    ("bytes=999-", 416, 0, 0), ("items=1", 200, 0, None), ("bytes=-", 200, 0, None), ("bytes=0-1,3-4", 200, 0, None),
])  # fmt: skip
def test_ranges(http: httpx.Client, storage: httpx.Client, range_header: str, status: int, begin: int, end: int | None) -> None:
    url = f"/files/{upload(http, storage)['id']}/content"
    response = http.get(url, headers={"range": range_header})
    assert response.status_code == status
    assert response.content == (b"" if status == 416 else ROWS[begin:end])
    if status == 206:
        first = ROWS.index(response.content)
        assert response.headers["content-range"] == f"bytes {first}-{first + len(response.content) - 1}/{len(ROWS)}"
    assert response.headers["content-length"] == str(len(response.content))


def test_a_range_of_unchanged_content(http: httpx.Client, storage: httpx.Client) -> None:
    url = f"/files/{upload(http, storage)['id']}/content"
    etag = http.get(url).headers["etag"]
    assert http.get(url, headers={"range": "bytes=1-", "if-range": etag}).status_code == 206
    assert http.get(url, headers={"range": "bytes=1-", "if-range": '"other"'}).status_code == 200


def test_faults(emulator: Emulator, http: httpx.Client, storage: httpx.Client) -> None:
    url = http.post("/files", data=FORM).headers["location"]
    emulator.inject(Fault("drop-upload", path="/uploads/", size=10, times=2), Fault("503", path="/uploads/"))
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            storage.put(url, content=ROWS)
    assert storage.put(url, content=ROWS).status_code == 503
    assert storage.put(url, content=ROWS).status_code == 200
    assert emulator.pending_faults == []
    emulator.inject(Fault("drop-upload", path="/chat"))
    assert http.get("/files").status_code == 200
    emulator.clear()
    id = upload(http, storage)["id"]
    emulator.inject(Fault("cut", path="/content"))
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(f"/files/{id}/content")


def test_files_are_removed_from_disk(storage: httpx.Client) -> None:
    with (
        serve() as emulator,
        httpx.Client(base_url=emulator.base_url, headers={"authorization": "Bearer k"}, verify=False) as http,
    ):
        upload(http, storage)
        folder = Path(str(emulator._state.folder.new_path())).parent
        assert list(folder.iterdir())
        url = http.post("/files", data={**FORM, "file_name": "b.jsonl"}).headers["location"]
        before = set(folder.iterdir())
        storage.put(url.partition("?")[0], content=ROWS)
        emulator.inject(Fault("drop-upload", path="/uploads/", size=1))
        with pytest.raises(httpx.TransportError):
            storage.put(url, content=ROWS)
        time.sleep(0.1)
        assert set(folder.iterdir()) <= before  # a file from before may have been removed since
    assert not folder.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"\xff", b"[" * 3_000, json.dumps({"file_name": 1}).encode()])
@pytest.mark.parametrize(
    "path", ["/files", "/files/upload", "/files/multipart/initiate", "/files/multipart/complete", "/batches"]
)
def test_invalid_bodies(http: httpx.Client, path: str, body: bytes) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        assert http.post(path, content=body, headers={"content-type": kind}).status_code in (400, 404)
