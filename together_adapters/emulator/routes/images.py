"""`POST /v1/images/generations`: mosaics whose colours the prompt decides, as valid JPEG and PNG files."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any, Final

from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import Rule, check, flag, number, one_of, several, text, whole
from together_adapters.emulator.media.images import jpeg, png
from together_adapters.emulator.routes.models import served
from together_adapters.emulator.routes.public_files import keep
from together_adapters.types.capabilities import MODELS

_SIDE: Final = Rule(
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= 2048 and value % 8 == 0,
    "a multiple of 8 up to 2048",
)
_RULES: Final = {
    "prompt": text(32_000, required=True),
    "n": whole(1, 4),
    "steps": whole(1, 50),
    "width": _SIDE,
    "height": _SIDE,
    "size": Rule(
        lambda value: isinstance(value, str) and _size(value) is not None, "auto, or a width and height such as 1024x768"
    ),
    "aspect_ratio": text(20),
    "seed": whole(-(2**63), 2**64),
    "negative_prompt": text(32_000),
    "guidance_scale": number(0, 100),
    "guidance": number(0, 100),
    "prompt_upsampling": flag(),
    "response_format": one_of("base64", "b64_json", "url"),
    "output_format": one_of("jpeg", "png"),
    "image_url": text(20_000_000),
    "image_base64": text(20_000_000),
    "image_loras": several(dict),
    "reference_images": several(str),
    "disable_safety_checker": flag(),
}


def generate(context: RequestContext) -> dict[str, Any]:
    """Answer an image request."""
    model, _ = served(context.body)
    if model in MODELS:
        raise bad_request(f"{model} is not an image model.", param="model")
    body = check(context, context.body, _RULES)
    width, height = _size(body.get("size", "auto")) or (1024, 1024)
    width, height = body.get("width", width), body.get("height", height)
    draw, ending = (png, "png") if body.get("output_format") == "png" else (jpeg, "jpeg")
    data = []
    for index in range(body.get("n", 1)):
        picture = draw(f"{model}\n{body['prompt']}\n{body.get('seed', 0)}\n{index}", width, height)
        data.append({"timings": {"inference": 0.1}, "index": index, **_delivered(context, body, picture, ending)})
    return {"id": context.id, "model": model, "object": "list", "data": data}


def _delivered(context: RequestContext, body: dict[str, Any], picture: bytes, ending: str) -> dict[str, str]:
    if body.get("response_format", "url") == "url":
        return {"type": "url", "url": keep(context, f"image.{ending}", picture, f"image/{ending}")}
    return {"type": "b64_json", "b64_json": b64encode(picture).decode()}


def _size(value: str) -> tuple[int, int] | None:
    """Width and height as OpenAI's clients give them; None where that is nonsense."""
    if value == "auto":
        return 1024, 1024
    found = re.fullmatch(r"(\d{1,4})x(\d{1,4})", value)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    return size if all(map(_SIDE.holds, size)) else None


ROUTES: Any = [json_route("/v1/images/generations", generate)]
