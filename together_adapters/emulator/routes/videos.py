"""`/v2/videos`: jobs that end after a second, with an MP4 file at an address.

A prompt with `[fail]` or `[cancel]` ends in that way, one with `[slow]` does not end. WEBM is refused: only MP4 is made here.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.multipart import form_of
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import Rule, check, flag, number, one_of, several, table, text, whole
from together_adapters.emulator.media.video import mp4
from together_adapters.emulator.routes.models import served
from together_adapters.emulator.routes.public_files import keep
from together_adapters.types.capabilities import MODELS

_QUEUED: Final = 0.1
_TAKES: Final = 1.0
_MOST_JOBS: Final = 1_000
_SIDE: Final = whole(16, 2_048)
_RULES: Final = {
    "prompt": text(32_000),
    "height": _SIDE,
    "width": _SIDE,
    "size": text(20),
    "resolution": text(20),
    "ratio": text(20),
    "seconds": Rule(lambda value: isinstance(value, str) and value.isdecimal() and 1 <= int(value[:3]) <= 20, "a number as text"),
    "fps": whole(1, 60),
    "steps": whole(10, 50),
    "seed": whole(-(2**63), 2**64),
    "guidance_scale": number(0, 100),
    "output_format": one_of("MP4"),
    "output_quality": whole(1, 100),
    "negative_prompt": text(32_000),
    "generate_audio": flag(),
    "media": table(),
    "frame_images": several(dict),
    "reference_images": several(str),
}


@dataclass(slots=True)
class _Job:
    model: str
    prompt: str
    width: int
    height: int
    seconds: str
    created_at: float
    url: str | None = None


def create(context: RequestContext) -> dict[str, Any]:
    """Start a job."""
    model, _ = served(context.body)
    if model in MODELS:
        raise bad_request(f"{model} is not a video model.", param="model")
    body = check(context, context.body, _RULES)
    for place, frame in enumerate(body.get("frame_images", [])):
        if not isinstance(frame.get("input_image"), str):
            raise bad_request(f"frame_images[{place}].input_image is required.", param="frame_images")
    jobs = _jobs(context)
    if len(jobs) >= _MOST_JOBS:
        del jobs[next(iter(jobs))]
    id = f"video_{secrets.token_hex(8)}"
    size = _size(body)
    jobs[id] = _Job(model, body.get("prompt", ""), *size, body.get("seconds", "5"), time.time())
    return _shown(context, id, jobs[id])


def _size(body: dict[str, Any]) -> tuple[int, int]:
    """Width and height in pixels; `size` is how OpenAI's client gives them."""
    found = re.fullmatch(r"(\d{2,4})x(\d{2,4})", body.get("size", ""))
    width, height = map(int, found.groups()) if found else (1366, 768)
    if not _SIDE.holds(width) or not _SIDE.holds(height):
        raise bad_request("size must be a width and height up to 2048.", param="size")
    return body.get("width", width), body.get("height", height)


def retrieve(context: RequestContext) -> dict[str, Any]:
    """Show a job as it is now."""
    id = context.request.path_params["id"]
    job = _jobs(context).get(id)
    if job is None:
        raise ApiError(404, f"There is no video {id[:100]}.", param="id", code="not_found")
    return _shown(context, id, job)


def _shown(context: RequestContext, id: str, job: _Job) -> dict[str, Any]:
    status = _status(job)
    ended = status in ("completed", "failed", "cancelled")
    shown = {
        "id": id,
        "object": "video",
        "model": job.model,
        "status": status,
        "created_at": int(job.created_at),
        "completed_at": int(job.created_at + _TAKES) if ended else None,
        "size": f"{job.width}x{job.height}",
        "seconds": job.seconds,
        "outputs": None,
        "error": None,
    }
    if status == "completed":
        if job.url is None:
            film = mp4(f"{job.model}\n{job.prompt}", job.width, job.height, float(job.seconds))
            job.url = keep(context, "video.mp4", film, "video/mp4")
        shown["outputs"] = {"cost": 1, "video_url": job.url}
    elif ended:
        shown["error"] = {"code": f"video_{status}", "message": f"The prompt asked for a video that is {status}."}
    return shown


def _status(job: _Job) -> str:
    age = time.time() - job.created_at
    if age < _QUEUED:
        return "queued"
    if age < _TAKES or "[slow]" in job.prompt:
        return "in_progress"
    return "failed" if "[fail]" in job.prompt else "cancelled" if "[cancel]" in job.prompt else "completed"


def _jobs(context: RequestContext) -> dict[str, _Job]:
    jobs: dict[str, _Job] = context.state.shelf.setdefault("videos", {})
    return jobs


def _create(context: RequestContext) -> dict[str, Any]:
    """Create a job from JSON, as the service does, or from a form, as OpenAI's client sends it."""
    content_type = context.request.headers.get("content-type", "")
    if "json" not in content_type and content_type.startswith("multipart/"):
        context = replace(context, body=form_of(context))
    elif not isinstance(context.body, dict):
        raise bad_request("Invalid JSON data: the body must be an object.")
    return create(context)


ROUTES: Any = [
    json_route("/v2/videos", _create, needs_object=False),
    json_route("/v2/videos/{id}", retrieve, method="GET"),
]
