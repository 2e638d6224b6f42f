"""`/v2/videos`: jobs that end after a second, with the URL of an MP4 file. WEBM is refused: the emulator encodes only MP4."""

from __future__ import annotations

import re
import secrets
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.http.multipart import form_of
from together_adapters.emulator.http.routing import Name, Prompt, RequestContext, RequestModel, Seed, json_route
from together_adapters.emulator.media.video import mp4
from together_adapters.emulator.routes.served_models import find_media_model
from together_adapters.emulator.store.records import EmulatedVideo

_Side = Annotated[int, Field(ge=16, le=2_048)]


class _VideoRequest(RequestModel):
    prompt: Prompt = ""
    height: _Side | None = None
    width: _Side | None = None
    size: Name | None = None
    resolution: Name | None = None
    ratio: Name | None = None
    seconds: str = Field("5", pattern=r"^0*([1-9]|1[0-9]|20)$", description="a number from 1 to 20, as a string")
    fps: int | None = Field(None, ge=1, le=60)
    steps: int | None = Field(None, ge=10, le=50)
    seed: Seed | None = None
    guidance_scale: float | None = Field(None, ge=0, le=100)
    output_format: Literal["MP4"] = "MP4"
    output_quality: int | None = Field(None, ge=1, le=100)
    negative_prompt: Prompt | None = None
    generate_audio: bool | None = None
    media: dict[str, Any] | None = None
    frame_images: list[dict[str, Any]] = Field(default=[], max_length=1_000)
    reference_images: list[str] | None = Field(None, max_length=1_000)


def _create(context: RequestContext) -> dict[str, Any]:
    """Creates a job from JSON, as the service does, or from a form, as OpenAI's client sends it."""
    content_type = context.request.headers.get("content-type", "")
    if "json" not in content_type and content_type.startswith("multipart/"):
        context = replace(context, body=form_of(context))
    elif not isinstance(context.body, dict):
        raise bad_request("Invalid JSON data: the body must be an object.")
    model = find_media_model(context, "video")
    request = _VideoRequest.read(context)
    for index, image in enumerate(request.frame_images):
        if not isinstance(image.get("input_image"), str):
            raise bad_request(f"frame_images[{index}].input_image is required.", param="frame_images")
    match = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", request.size or "")
    width, height = map(int, match.groups()) if match else (1366, 768)
    if not all(16 <= side <= 2_048 for side in (width, height)):
        raise bad_request("size must be a width and height up to 2048.", param="size")
    context.charge.admit("video", model)
    context.charge.count({})
    id = f"video_{secrets.token_hex(8)}"
    job = EmulatedVideo(id, model, request.prompt, request.width or width, request.height or height, request.seconds)
    return context.stores.videos.add(id, job).to_dict()


def _retrieve(context: RequestContext) -> dict[str, Any]:
    job = context.stores.videos.find(context.path_id)
    if job.status() == "completed" and job.url is None:
        video = mp4(f"{job.model}\n{job.prompt}", job.width, job.height, float(job.seconds))
        job.url = context.publish("video.mp4", video, "video/mp4")
    return job.to_dict()


ROUTES: Any = [
    json_route("/v2/videos", _create, needs_object=False),
    json_route("/v2/videos/{id}", _retrieve, method="GET"),
]
