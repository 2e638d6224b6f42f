"""`POST /v1/images/generations`: mosaics whose colours depend on the prompt, as valid JPEG and PNG files."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from together_adapters.emulator.http.routing import Name, Prompt, RequestContext, RequestModel, Seed, json_route
from together_adapters.emulator.media.images import jpeg, png
from together_adapters.emulator.routes.served_models import find_media_model

_Side = Annotated[int, Field(ge=8, le=2048, multiple_of=8)]
_Image = Annotated[str, Field(min_length=1, max_length=20_000_000)]


class _ImageRequest(RequestModel):
    prompt: Prompt
    n: int = Field(1, ge=1, le=4)
    steps: int | None = Field(None, ge=1, le=50)
    width: _Side | None = None
    height: _Side | None = None
    size: str = Field("auto", description="auto, or a width and height such as 1024x768")
    aspect_ratio: Name | None = None
    seed: Seed = 0
    negative_prompt: Prompt | None = None
    guidance_scale: float | None = Field(None, ge=0, le=100)
    guidance: float | None = Field(None, ge=0, le=100)
    prompt_upsampling: bool | None = None
    response_format: Literal["base64", "b64_json", "url"] = "url"
    output_format: Literal["jpeg", "png"] = "jpeg"
    image_url: _Image | None = None
    image_base64: _Image | None = None
    image_loras: list[dict[str, Any]] | None = Field(None, max_length=1_000)
    reference_images: list[str] | None = Field(None, max_length=1_000)
    disable_safety_checker: bool | None = None

    @field_validator("size")
    @classmethod
    def _check_size(cls, value: str) -> str:
        match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", value)
        if value != "auto" and not (match and all(8 <= int(side) <= 2048 and int(side) % 8 == 0 for side in match.groups())):
            raise ValueError("not a size")
        return value


def _generate(context: RequestContext) -> dict[str, Any]:
    model = find_media_model(context, "image")
    request = _ImageRequest.read(context)
    context.charge.admit("image", model)
    width, height = (1024, 1024) if request.size == "auto" else map(int, request.size.split("x"))
    width, height = request.width or width, request.height or height
    encode = png if request.output_format == "png" else jpeg
    answer = context.answer("images")
    data = []
    for index in range(request.n):
        seed = f"{model}\n{request.prompt}\n{request.seed}\n{index}"
        image = answer.media[index] if answer else encode(seed, width, height)
        result = {"type": "b64_json", "b64_json": b64encode(image).decode()}
        if request.response_format == "url":
            kind = "png" if image.startswith(b"\x89PNG") else "jpeg" if image.startswith(b"\xff\xd8") else request.output_format
            result = {"type": "url", "url": context.publish(f"image.{kind}", image, f"image/{kind}")}
        data.append({"timings": {"inference": 0.1}, "index": index, **result})
    context.charge.count({})
    return {"id": context.id, "model": model, "object": "list", "data": data}


ROUTES: Any = [json_route("/v1/images/generations", _generate)]
