"""Downloads: resumed, verified, moved into place when complete; and the files left after a failure."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from tests.conftest import Flavour
from together_adapters.emulator import Emulator, Fault
from together_adapters.errors import APIConnectionError, DownloadError, DownloadPathError, InternalServerError, NotFoundError
from together_adapters.resources import downloads
from together_adapters.resources.downloads import download_file, normalized_name, probe, safe_name, total_size
from together_adapters.transport.call import request

pytestmark = pytest.mark.every_transport

DATA = b"".join(b'{"n": %07d}\n' % number for number in range(300_000))  # 4 MB, several pieces


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "FIRST_DELAY", 0.001)
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.01)


@pytest.fixture
def file_id(emulator: Emulator) -> Iterator[str]:
    yield emulator._state.stores.files.generate("../../etc/out put.jsonl", "batch-api", DATA).id
    emulator._state.stores.files.clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def ranges(emulator: Emulator) -> list[str | None]:
    return [request.headers.get("range") for request in emulator.requests if request.path.endswith("/content")]


def test_a_file_is_downloaded(flavour: Flavour, file_id: str, folder: Path) -> None:
    updates: list[Any] = []
    result = flavour.run(flavour.client().files.retrieve_content(file_id, folder / "out.jsonl", progress=updates.append))
    assert (result.object, result.id, result.filename, result.size) == ("local", file_id, str(folder / "out.jsonl"), len(DATA))
    assert (folder / "out.jsonl").read_bytes() == DATA
    assert names(folder) == ["out.jsonl"]
    assert (updates[-1].done, updates[-1].total, updates[-1].stage) == (len(DATA), len(DATA), "download")


def test_without_a_name(flavour: Flavour, file_id: str, folder: Path) -> None:
    result = flavour.run(flavour.client().files.retrieve_content(file_id))
    assert result.filename == str(folder / f"{file_id}.jsonl")
    inner = folder / "inner"
    inner.mkdir()
    assert flavour.run(flavour.client().files.retrieve_content(file_id, inner)).filename == str(inner / f"{file_id}.jsonl")


def test_nothing_is_overwritten_unasked(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path) -> None:
    (folder / "out.jsonl").write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert emulator.requests == []
    assert (folder / "out.jsonl").read_text() == "mine"
    assert names(folder) == ["out.jsonl"]
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl", overwrite=True))
    assert (folder / "out.jsonl").read_bytes() == DATA


@pytest.mark.parametrize("breaks", [1, 5])
def test_a_broken_connection_is_resumed(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path, breaks: int) -> None:
    emulator.inject(Fault("cut", times=breaks))
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert (folder / "out.jsonl").read_bytes() == DATA
    range_headers = ranges(emulator)
    assert range_headers[0] is None
    assert len(range_headers) == breaks + 1
    begins = [int(text.removeprefix("bytes=").rstrip("-")) for text in range_headers[1:] if text]
    assert begins == sorted(begins) and begins[0] > 0
    assert names(folder) == ["out.jsonl"]


def test_it_times_out_and_the_next_call_continues(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path) -> None:
    emulator.inject(Fault("cut", times=6))
    with pytest.raises(APIConnectionError) as error_info:
        flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert "resumed 5 times" in error_info.value.__notes__[0]
    assert names(folder) == ["out.jsonl.part", "out.jsonl.part.json"]
    have = (folder / "out.jsonl.part").stat().st_size
    emulator.clear()
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert ranges(emulator) == [f"bytes={have}-"]
    assert emulator.requests[0].headers["if-range"].startswith('"')
    assert (folder / "out.jsonl").read_bytes() == DATA
    assert names(folder) == ["out.jsonl"]


def write_partial(folder: Path, source: str, content: bytes, etag: str, size: int) -> None:
    (folder / "out.jsonl.part").write_bytes(content)
    (folder / "out.jsonl.part.json").write_text(json.dumps({"source": source, "etag": etag, "size": size}))


@pytest.mark.parametrize(("change", "begins_anew"), [
    ({}, False), ({"content": b"x" * 100, "etag": '"other"'}, True), ({"size": 7}, True), ({"source": "/v1/other?[]"}, True),
    ({"content": DATA}, False), ({"content": DATA + b"more"}, True), ({"content": b""}, True), ({"etag": ""}, True),
])  # fmt: skip
def test_a_part_is_resumed_only_if_it_belongs_to_it(
    flavour: Flavour, emulator: Emulator, file_id: str, folder: Path, change: dict[str, Any], begins_anew: bool
) -> None:
    right = {
        "source": f"/v1/files/{file_id}/content?[]", "content": DATA[:1_000_000], "size": len(DATA),
        "etag": f'"{hashlib.md5(DATA).hexdigest()}"',
    }  # fmt: skip
    write_partial(folder, **{**right, **change})
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert (folder / "out.jsonl").read_bytes() == DATA
    assert names(folder) == ["out.jsonl"]
    if not begins_anew:
        assert ranges(emulator) == [f"bytes={len(change.get('content', right['content']))}-"]


def test_a_part_without_its_note_is_not_trusted(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path) -> None:
    (folder / "out.jsonl.part").write_bytes(b"something else")
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert ranges(emulator) == [None]
    assert (folder / "out.jsonl").read_bytes() == DATA


@pytest.mark.parametrize("fault", [Fault("404", path="/content"), Fault("500", path="/content", times=None)])
def test_a_refusal_leaves_nothing(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path, fault: Fault) -> None:
    emulator.inject(fault)
    with pytest.raises((NotFoundError, InternalServerError)):
        flavour.run(flavour.client(max_retries=1).files.retrieve_content(file_id, "out.jsonl"))
    assert names(folder) == []


def test_a_network_that_is_gone_is_not_retried_more_often_than_the_policy_allows(
    flavour: Flavour, emulator: Emulator, file_id: str, folder: Path
) -> None:
    emulator.inject(Fault("drop", path="/content", times=None))
    with pytest.raises(APIConnectionError):
        flavour.run(flavour.client(max_retries=2).files.retrieve_content(file_id, "out.jsonl"))
    assert len(emulator.requests) == 3
    assert names(folder) == []


def test_a_wrong_checksum(flavour: Flavour, file_id: str, folder: Path) -> None:
    with pytest.raises(DownloadError, match="SHA-256"):
        flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl", sha256="0" * 64))
    assert names(folder) == []
    right = hashlib.sha256(DATA).hexdigest().upper()
    assert flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl", sha256=right)).size == len(DATA)


def test_no_folder(flavour: Flavour, file_id: str, folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        flavour.run(flavour.client().files.retrieve_content(file_id, "none/out.jsonl"))


def test_a_second_download_waits(flavour: Flavour, file_id: str, folder: Path) -> None:
    lock = FileLock(folder / "out.jsonl.lock", thread_local=False)
    lock.acquire()
    threading.Timer(0.3, lock.release).start()
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert names(folder) == ["out.jsonl"]


def test_a_full_disk_keeps_what_can_be_resumed(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path) -> None:
    def full(progress: Any) -> None:
        if progress.done > 2_000_000:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space.*out\.jsonl\.part"):
        flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl", progress=full))
    assert names(folder) == ["out.jsonl.part", "out.jsonl.part.json"]
    flavour.run(flavour.client().files.retrieve_content(file_id, "out.jsonl"))
    assert (folder / "out.jsonl").read_bytes() == DATA


def test_a_process_that_is_killed_twice(flavour: Flavour, transport: str, emulator: Emulator, file_id: str, folder: Path) -> None:
    emulator.inject(Fault("trickle", path="/content", size=100_000, seconds=0.02, times=2))
    root = Path(__file__).parent.parent.parent
    command = [
        sys.executable,
        "-m",
        "tests.large.client",
        flavour.name,
        transport,
        emulator.base_url,
        "download",
        file_id,
        str(folder / "out.jsonl"),
    ]
    part = folder / "out.jsonl.part"
    for enough in (600_000, 1_800_000):
        process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (part.exists() and part.stat().st_size > enough):
            time.sleep(0.01)
        assert process.poll() is None, "it was too fast to be killed"
        process.kill()
        process.wait()
    flavour.run(flavour.client().files.retrieve_content(file_id, folder / "out.jsonl"))
    assert (folder / "out.jsonl").read_bytes() == DATA
    assert names(folder) == ["out.jsonl"]
    first, second, third = ranges(emulator)
    assert first is None
    assert second and third and int(second[6:-1]) > 600_000 and int(third[6:-1]) > 1_800_000


ServerClient = Callable[..., tuple[Any, list[httpx.Request]]]


@pytest.fixture
def server_client(flavour: Flavour) -> ServerClient:
    """Returns a client of a server with these responses, one after the other."""

    def serve(*answers: httpx.Response) -> tuple[Any, list[httpx.Request]]:
        waiting, requests = iter(answers), []

        def answer(request: httpx.Request) -> httpx.Response:
            requests.append(request)
            return next(waiting)

        return flavour.client(http_client=flavour.mock_client(answer), max_retries=0), requests

    return serve


class Breaking(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, data: bytes, *, breaks: bool = True) -> None:
        self.data, self.breaks = data, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield self.data
        if self.breaks:
            raise httpx.ReadError("gone")

    async def __aiter__(self) -> Any:
        for chunk in self:
            yield chunk


def part(
    begin: int, total: int | str, data: bytes, status: int = 206, kind: str = "text/plain", **headers: str
) -> httpx.Response:
    message = {
        "content-type": kind,
        "content-range": f"bytes {begin}-{begin + len(data) - 1}/{total}",
        "content-length": str(len(data)),
    }
    return httpx.Response(status, headers={**message, **headers}, stream=Breaking(data, breaks=False))


def first(data: bytes, total: int, **headers: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-length": str(total), **headers}, stream=Breaking(data))


def download(flavour: Flavour, client: Any, **options: Any) -> Any:
    return flavour.run(client.files.retrieve_content("file-1", "out.jsonl", **options))


@pytest.mark.parametrize("second", [
    lambda: part(3, 10, b"3456789"), lambda: part(5, 11, b"56789A"), lambda: part(5, 10, b"56789", etag='"2"'),
    lambda: part(0, "*", b"0123456789"), lambda: httpx.Response(416, headers={"content-range": "bytes */3"}),
])  # fmt: skip
def test_a_response_that_does_not_continue_starts_again(
    flavour: Flavour, server_client: ServerClient, folder: Path, second: Any
) -> None:
    third = httpx.Response(200, headers={"content-length": "4", "etag": '"2"'}, stream=Breaking(b"anew", breaks=False))
    client, requests = server_client(first(b"01234", 10, etag='"1"'), second(), third)
    assert download(flavour, client).size == 4
    assert (folder / "out.jsonl").read_bytes() == b"anew"
    assert [request.headers.get("range") for request in requests] == [None, "bytes=5-", None]
    assert names(folder) == ["out.jsonl"]


def test_a_server_that_knows_no_ranges_starts_again(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    again = httpx.Response(200, headers={"content-length": "10"}, stream=Breaking(b"0123456789", breaks=False))
    client, _ = server_client(first(b"01234", 10), again)
    assert download(flavour, client).size == 10
    assert (folder / "out.jsonl").read_bytes() == b"0123456789"


def test_without_an_etag_it_is_resumed_within_the_call_alone(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, requests = server_client(first(b"01234", 10), part(5, 10, b"56789"))
    assert download(flavour, client).size == 10
    assert "if-range" not in requests[1].headers
    (folder / "out.jsonl").unlink()
    client, _ = server_client(first(b"01234", 10), httpx.Response(500))
    with pytest.raises(InternalServerError):
        download(flavour, client)
    assert names(folder) == []


def test_weak_etags_are_compared_but_not_asked_for(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, requests = server_client(first(b"01234", 10, etag='W/"1"'), part(5, 10, b"56789", etag='W/"1"'))
    assert download(flavour, client).size == 10
    assert "if-range" not in requests[1].headers


@pytest.mark.parametrize("header", ["repr-digest", "digest", "x-amz-checksum-sha256"])
def test_the_checksum_in_the_headers(flavour: Flavour, server_client: ServerClient, folder: Path, header: str) -> None:
    def updates(data: bytes) -> dict[str, str]:
        text = base64.b64encode(hashlib.sha256(data).digest()).decode()
        return {header: {"repr-digest": f"sha-256=:{text}:", "digest": f"SHA-256={text}"}.get(header, text)}

    right = httpx.Response(200, headers={"content-length": "3", **updates(b"abc")}, stream=Breaking(b"abc", breaks=False))
    wrong = httpx.Response(200, headers={"content-length": "3", **updates(b"xyz")}, stream=Breaking(b"abc", breaks=False))
    client, _ = server_client(wrong, right)
    with pytest.raises(DownloadError, match="SHA-256"):
        download(flavour, client)
    assert names(folder) == []
    assert download(flavour, client).size == 3


def ranged(content_range: str, data: bytes = b"0123456789", **headers: str) -> httpx.Response:
    headers = {"content-length": str(len(data)), "content-range": content_range, **headers}
    return httpx.Response(206, headers={k: v for k, v in headers.items() if v}, stream=Breaking(data, breaks=False))


RANGES = [
    "bytes 5-14/15",
    "bytes 5-9/10",
    "items 0-9/10",
    "",
    "bytes 0-99/10",
    f"bytes 0-9/{'9' * 5000}",
    "bytes */10",
    "bytes 9-0/10",
]


@pytest.mark.parametrize("content_range", RANGES)
def test_a_foreign_range_ends_the_download(
    flavour: Flavour, server_client: ServerClient, folder: Path, content_range: str
) -> None:
    client, requests = server_client(*(ranged(content_range) for _ in range(50)))
    with pytest.raises(DownloadError):
        download(flavour, client)
    assert len(requests) == 1
    assert names(folder) == []


@pytest.mark.parametrize("content_range", RANGES)
def test_foreign_ranges_after_interruptions_end_the_download(
    flavour: Flavour, server_client: ServerClient, folder: Path, content_range: str
) -> None:
    answers = (first(b"0", 10) if number % 2 == 0 else ranged(content_range, etag='"2"') for number in range(50))
    client, requests = server_client(*answers)
    with pytest.raises((DownloadError, APIConnectionError)):
        download(flavour, client)
    assert len(requests) <= 6


def test_a_byte_for_each_request_ends_the_download(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    answers = [httpx.Response(206, headers={"content-range": f"bytes {n}-99/100", "content-length": str(100 - n)}, stream=Breaking(b"x"))
               for n in range(100)]  # fmt: skip
    client, requests = server_client(*answers)
    with pytest.raises(APIConnectionError):
        download(flavour, client)
    assert len(requests) == 6


def test_a_range_that_nobody_asked_for_is_fine_if_it_is_all(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, _ = server_client(ranged("bytes 0-9/10", etag='"1"'))
    assert download(flavour, client).size == 10


def test_a_short_range_of_unknown_size_is_incomplete(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, _ = server_client(ranged("bytes 0-9/*", b"01234"))
    with pytest.raises(DownloadError, match="should have 10 bytes, but 5"):
        download(flavour, client)


@pytest.mark.parametrize("status", [204, 205, 201])
def test_a_status_without_content_is_no_file(flavour: Flavour, server_client: ServerClient, folder: Path, status: int) -> None:
    client, _ = server_client(httpx.Response(status))
    with pytest.raises(DownloadError, match=str(status)):
        download(flavour, client)
    assert names(folder) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of other systems")
@pytest.mark.parametrize("name", ["out.jsonl.part", "out.jsonl.part.json", "out.jsonl.lock"])
@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "pipe", "folder"])
def test_nothing_is_written_through_what_is_in_the_way(
    flavour: Flavour, server_client: ServerClient, folder: Path, name: str, kind: str
) -> None:
    mine = folder / "mine"
    mine.write_text("mine")
    path = folder / name
    {
        "symlink": lambda: path.symlink_to(mine),
        "dangling": lambda: path.symlink_to(folder / "new"),
        "hard link": lambda: path.hardlink_to(mine),
        "pipe": lambda: os.mkfifo(path),
        "folder": lambda: path.mkdir(),
    }[kind]()
    client, requests = server_client(first(b"0123456789", 10))
    with pytest.raises(DownloadPathError, match=f"{name} .*remove it"):
        download(flavour, client)
    assert requests == []
    assert mine.read_text() == "mine"
    assert {"mine", name} == set(names(folder))


def test_a_folder_or_device_is_not_replaced(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    pipe = folder / "out.jsonl"
    os.mkfifo(pipe) if hasattr(os, "mkfifo") else pipe.mkdir()
    client, requests = server_client(first(b"0123456789", 10))
    with pytest.raises(FileExistsError, match="no regular file"):
        download(flavour, client, overwrite=True)
    assert requests == []


def test_more_than_announced(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, _ = server_client(httpx.Response(200, headers={"content-length": "3"}, stream=Breaking(b"abcdef", breaks=False)))
    with pytest.raises(DownloadError, match="should have 3 bytes, but 6 were received"):
        download(flavour, client)
    assert names(folder) == []


def test_an_encoded_body_is_refused(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, requests = server_client(
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Breaking(b"x", breaks=False))
    )
    with pytest.raises(DownloadError, match="gzip"):
        download(flavour, client)
    assert requests[0].headers["accept-encoding"] == "identity"
    assert names(folder) == []


def test_an_empty_file(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    client, _ = server_client(httpx.Response(200, headers={"content-length": "0"}, stream=Breaking(b"", breaks=False)))
    assert download(flavour, client).size == 0
    assert names(folder) == ["out.jsonl"]


def test_a_redirect_to_storage_carries_the_range_and_no_key(flavour: Flavour, server_client: ServerClient, folder: Path) -> None:
    existing = {"location": "https://storage.example.com/x?signature=s"}
    client, requests = server_client(httpx.Response(302, headers=existing), first(b"01234", 10, etag='"1"'), httpx.Response(302, headers=existing),
                          part(5, 10, b"56789", etag='"1"'))  # fmt: skip
    assert download(flavour, client).size == 10
    assert "authorization" in requests[0].headers
    assert requests[3].headers["range"] == "bytes=5-"
    assert not {"authorization", "cookie"} & {name for request in (requests[1], requests[3]) for name in request.headers}


@pytest.mark.parametrize(("answer", "size"), [(lambda: part(0, 12_345, b"ab", kind="application/x-tar"), 12_345),
                                              (lambda: part(0, "*", b"ab"), None), (lambda: first(b"whole", 5), 5)])  # fmt: skip
def test_probe(flavour: Flavour, server_client: ServerClient, answer: Any, size: int | None) -> None:
    client, requests = server_client(answer())
    headers = flavour.run(
        client.perform(probe(request("GET", "/v1/finetune/download", attrgetter("content"), query={"ft_id": "ft-1"})))
    )
    assert total_size(headers) == size
    assert headers.headers.get("content-type") == answer().headers.get("content-type")
    assert requests[0].headers["range"] == "bytes=0-1"
    assert str(requests[0].url).endswith("/v1/finetune/download?ft_id=ft-1")


def test_a_flow_for_other_downloads(flavour: Flavour, emulator: Emulator, file_id: str, folder: Path) -> None:
    call = request("GET", f"/v1/files/{file_id}/content", attrgetter("content"))
    file = flavour.run(flavour.client().perform(download_file(call, folder / "model.tar.zst")))
    assert (file, file.stat().st_size) == (folder / "model.tar.zst", len(DATA))


@pytest.mark.parametrize(("name", "safe"), [
    ("a.jsonl", "a.jsonl"), ("../../etc/passwd", "--..--etc--passwd"), ("..", "download"), ("/", "download"), ("", "download"),
    ("C:\\x\\y", "C--x--y"), ("con.txt", "_con.txt"), ("a\x00b\nc", "abc"), (".bashrc", "bashrc"), ("x" * 500, "x" * 200),
])  # fmt: skip
def test_names_of_a_server_are_one_harmless_component(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert Path(safe_name(name)).name == safe_name(name)


def test_normal_names() -> None:
    assert normalized_name("Org/My Model_v2") == "org--my-model-v2"
