"""Videos: the states of jobs, and valid files."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from together_adapters.emulator import Emulator
from together_adapters.emulator.media.video import mp4
from together_adapters.emulator.store import records

BOXES = {"moov", "trak", "mdia", "minf", "dinf", "stbl"}


@pytest.fixture
def videos(http: httpx.Client, emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=emulator.base_url.removesuffix("/v1") + "/v2", headers=http.headers, verify=False) as client:
        yield client


def start(videos: httpx.Client, **changes: Any) -> httpx.Response:
    return videos.post("/videos", json={"model": "minimax/video-01-director", "prompt": "a cat", **changes})


def walk(data: bytes, start: int = 0, end: int | None = None) -> list[tuple[str, int, int]]:
    """Returns the boxes of an MP4 file: name, start and end of the content."""
    result, end = [], len(data) if end is None else end
    while start < end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        assert 8 <= size <= end - start
        result.append((name.decode(), start + 8, start + size))
        if name.decode() in BOXES:
            result += walk(data, start + 8, start + size)
        start += size
    assert start == end
    return result


@pytest.mark.parametrize(("width", "height", "seconds"), [(640, 480, 2), (1366, 768, 10)])
def test_an_mp4_file(width: int, height: int, seconds: float) -> None:
    data = mp4("a cat", width, height, seconds)
    boxes = {name: (begin, end) for name, begin, end in walk(data)}
    assert list(boxes) == [
        "ftyp",
        "moov",
        "mvhd",
        "trak",
        "tkhd",
        "mdia",
        "mdhd",
        "hdlr",
        "minf",
        "vmhd",
        "dinf",
        "dref",
        "stbl",
        "stsd",
        "stts",
        "stsc",
        "stsz",
        "stco",
        "mdat",
    ]
    assert struct.unpack(">II", data[boxes["mvhd"][0] + 12 :][:8]) == (1000, seconds * 1000)
    offset = int.from_bytes(data[boxes["stco"][0] + 8 :][:4], "big")
    size = int.from_bytes(data[boxes["stsz"][0] + 12 :][:4], "big")
    assert offset == boxes["mdat"][0]
    assert (data[offset : offset + 2], data[offset + size - 2 : offset + size]) == (b"\xff\xd8", b"\xff\xd9")


def test_a_job_advances_by_itself(videos: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(records, "time", SimpleNamespace(time=lambda: now, monotonic=time.monotonic))
    job = start(videos, seconds="3", width=320, height=240).json()
    statuses = [job["status"]]
    while job["status"] != "completed":
        assert (job["outputs"], job["error"], job["completed_at"]) == (None, None, None)
        now += records._VIDEO_SECONDS / 3
        job = videos.get(f"/videos/{job['id']}").json()
        statuses.append(job["status"])
    assert list(dict.fromkeys(statuses)) == ["in_progress", "completed"]
    assert (job["size"], job["seconds"], job["object"]) == ("320x240", "3", "video")
    assert job["completed_at"] >= job["created_at"]
    download = httpx.get(job["outputs"]["video_url"])
    assert (download.headers["content-type"], walk(download.content)[0][0]) == ("video/mp4", "ftyp")
    assert videos.get(f"/videos/{job['id']}").json()["outputs"] == job["outputs"]


def test_a_form_is_accepted(videos: httpx.Client) -> None:
    form = {
        "model": (None, "minimax/video-01-director"),
        "prompt": (None, "a cat"),
        "seconds": (None, "4"),
        "size": (None, "1280x720"),
    }
    assert videos.post("/videos", files=form).json()["size"] == "1280x720"


WRONG = {
    "model": [None, 5, "deepseek-ai/DeepSeek-V4.1-Flash"], "prompt": ["", 5, "x" * 32_001], "seconds": [5, "0", "five", "9" * 5_000, "³"], "width": [0, "640", 10**9],
    "output_format": ["WEBM", 5], "steps": [9, 51], "media": [5, []], "frame_images": [5, [5], [{"frame": 1}]], "reference_images": [[5]], "size": [5, "9999x9999"],
    "generate_audio": ["yes"], "fps": [0], "guidance_scale": ["8"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_name_the_parameter(name: str, value: Any, videos: httpx.Client) -> None:
    answer = start(videos, **{name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "application/json"), (b"[]", "application/json"), (b"x", "text/plain"), (b"x", "multipart/form-data; boundary=b")],
)
def test_invalid_bodies(content: bytes, kind: str, videos: httpx.Client) -> None:
    assert videos.post("/videos", content=content, headers={"content-type": kind}).status_code == 400


def test_unknown_jobs_and_methods(videos: httpx.Client) -> None:
    assert videos.get("/videos/nothing").status_code == 404
    assert videos.delete("/videos/nothing").status_code == 405
    assert httpx.get(videos.base_url.join("videos/x")).status_code == 401
