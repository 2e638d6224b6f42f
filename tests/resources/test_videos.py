"""Videos: created once, retrieved, and waited for until they complete or fail."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from tests.resources.response_variants import find_unreadable
from together_adapters import APIConnectionError, APITimeoutError, InternalServerError, JobFailedError, NotFoundError
from together_adapters.emulator import Emulator
from together_adapters.transport import retry
from together_adapters.types.progress import Progress

MODEL = "minimax/video-01-director"
NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "id": "vid_1", "object": "video", "model": MODEL, "status": "completed", "created_at": 1761000000, "completed_at": 1761000060, "size": "1366x768",
    "seconds": "5", "outputs": {"cost": 1, "video_url": "https://a.example/v.mp4", **NEW}, "error": {"code": "c", "message": "m", **NEW}, **NEW,
}  # fmt: skip


def start(flavour: Any, client: Any = None, **changes: Any) -> Any:
    return flavour.run((client or flavour.client()).videos.create(**{"model": MODEL, "prompt": "a cat", **changes}))


def test_a_video_from_start_to_end(flavour: Any, emulator: Emulator) -> None:
    updates: list[Progress] = []
    client = flavour.client()
    job = start(flavour, client, width=640, height=480, seconds=2)
    assert job.status in ("queued", "in_progress")
    done = flavour.run(client.videos.wait(job.id, poll_interval=0.02, timeout=HANG, progress=updates.append))
    assert (done.status, done.size, done.seconds) == ("completed", "640x480", "2")
    assert updates[-1] == Progress(1.0, 1.0, "completed")
    assert [step.stage for step in updates] == list(dict.fromkeys(step.stage for step in updates))
    film = httpx.get(done.outputs.video_url)
    assert (film.headers["content-type"], film.content[4:8]) == ("video/mp4", b"ftyp")
    assert [(request.method, request.path) for request in emulator.requests[:2]] == [
        ("POST", "/v2/videos"),
        ("GET", f"/v2/videos/{job.id}"),
    ]


def test_generate_is_create(flavour: Any) -> None:
    assert flavour.run(flavour.client().videos.generate(model=MODEL, prompt="a cat")).id


def test_every_parameter_is_sent(flavour: Any, stub_client: Any) -> None:
    kwargs = {
        "height": 480, "width": 640, "resolution": "720p", "ratio": "16:9", "seconds": "5", "fps": 24, "steps": 20, "seed": 7, "guidance_scale": 8,
        "output_format": "MP4", "output_quality": 20, "negative_prompt": "dogs", "generate_audio": True, "media": {"reference_images": ["https://a.example/i.png"]},
        "frame_images": [{"input_image": "https://a.example/i.png", "frame": "first"}], "reference_images": ["https://a.example/j.png"],
    }  # fmt: skip
    client, service = stub_client({"id": "vid_1"})
    assert start(flavour, client, **kwargs).id == "vid_1"
    assert json.loads(service.requests[0].content) == {"model": MODEL, "prompt": "a cat", **kwargs}


@pytest.mark.parametrize("base", ["https://gate.test/together/v1", "https://gate.test/together"])
def test_the_path_is_below_the_prefix_of_a_gateway(base: str, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"id": "vid_1"}, base_url=base)
    start(flavour, client)
    flavour.run(client.videos.retrieve("vid/1"))
    assert [str(request.url) for request in service.requests] == [
        "https://gate.test/together/v2/videos",
        "https://gate.test/together/v2/videos/vid%2F1",
    ]


def test_a_job_that_fails_raises_with_its_reason(flavour: Any) -> None:
    client = flavour.client()
    id = start(flavour, client, prompt="[fail]").id
    with pytest.raises(JobFailedError, match=f"video {id} ended as failed: The prompt asked") as error_info:
        flavour.run(client.videos.wait(id, poll_interval=0.02))
    error = error_info.value
    assert (error.code, error.completed.status, error.body["status"]) == ("video_failed", "failed", "failed")


@pytest.mark.parametrize("status", ["FAILED", "cancelled"])
def test_a_job_that_fails_without_a_reason(status: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"id": "vid_1", "status": status})
    with pytest.raises(JobFailedError, match="the service gave no reason"):
        flavour.run(client.videos.wait("vid_1"))


def test_a_timeout_says_that_the_job_continues(flavour: Any) -> None:
    client = flavour.client()
    id = start(flavour, client, prompt="[slow]").id
    with pytest.raises(APITimeoutError, match="continues and is not cancelled") as error_info:
        flavour.run(client.videos.wait(id, poll_interval=0.2, timeout=0.5))
    assert error_info.value.completed.id == id


def test_a_status_that_is_unknown_is_not_final(flavour: Any, stub_client: Any) -> None:
    replies = iter([{"id": "v", "status": "dreaming"}, {"id": "v"}, {"id": "v", "status": "completed", "outputs": None}])
    client, service = stub_client(lambda body: next(replies))
    assert flavour.run(client.videos.wait("v", poll_interval=0.01)).outputs is None
    assert len(service.requests) == 3


def test_no_such_video(flavour: Any) -> None:
    with pytest.raises(NotFoundError):
        flavour.run(flavour.client().videos.wait("nothing"))
    with pytest.raises(ValueError, match="id must not be empty"):
        flavour.run(flavour.client().videos.retrieve(""))


@pytest.mark.parametrize("kind", ["503", "drop"])
def test_a_job_that_may_have_been_created_is_not_created_again(
    kind: str, flavour: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "INITIAL_DELAY", 0.0)
    emulator.inject(kind)
    with pytest.raises((InternalServerError, APIConnectionError), match="may have accepted it"):
        start(flavour)
    assert len(emulator.requests) == 1
    emulator.inject("429")
    assert start(flavour).id
    assert len(emulator.requests) == 3


def test_every_field_is_kept_and_any_may_be_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)
    assert flavour.run(client.videos.retrieve("vid_1")).model_dump(exclude_unset=True) == RESPONSE

    def read(sample: Any) -> Any:
        service.reply = sample
        return flavour.run(client.videos.retrieve("vid_1")).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read) == {}


def test_waiting_has_the_signature_that_its_builder_spells_out() -> None:
    import inspect

    from together_adapters import Together

    names = list(inspect.signature(Together(api_key="k").videos.wait).parameters)
    assert names == ["id", "poll_interval", "timeout", "progress", "extra_headers", "extra_query"]
