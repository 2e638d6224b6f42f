"""Images: a URL, or the image itself as base64."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, TypedDict

from together_adapters.types.response import ResponseModel


class ImageLora(TypedDict):
    """A LoRA adapter for the model: path or URL of its weights, and its strength, usually 1."""

    path: str
    scale: float


class ImageData(ResponseModel):
    """One image: a temporary URL, or its bytes as base64. `index` is its position in the response."""

    index: int | None = None
    type: str | None = None
    url: str | None = None
    b64_json: str | None = None
    timings: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """Returns the image file; a response with only a URL is a ValueError."""
        if self.b64_json is None:
            raise ValueError('the response has no image data: request it with response_format="base64", or download the url')
        return b64decode(self.b64_json)


class ImageResponse(ResponseModel):
    """The images of one prompt."""

    id: str | None = None
    model: str | None = None
    object: str | None = None
    data: list[ImageData] = []
