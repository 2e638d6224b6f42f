"""Images: what a prompt was drawn as, by address or in the answer itself."""

from __future__ import annotations

from base64 import b64decode
from typing import Any, TypedDict

from together_adapters.types.response import ResponseModel


class ImageLora(TypedDict):
    """A style laid over the model.

    Attributes:
        path: Where its weights are.
        scale: How strongly it counts; 1 is usual.
    """

    path: str
    scale: float


class ImageData(ResponseModel):
    """One image: an address that is kept for a while, or its bytes as base64. `index` counts the images of one answer."""

    index: int | None = None
    type: str | None = None
    url: str | None = None
    b64_json: str | None = None
    timings: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """Return the image file that came in the answer.

        Raises:
            ValueError: Only its address came; ask with `response_format="base64"`.
        """
        if self.b64_json is None:
            raise ValueError('the answer holds no image data: ask with response_format="base64", or fetch the url')
        return b64decode(self.b64_json)


class ImageResponse(ResponseModel):
    """The images of one prompt."""

    id: str | None = None
    model: str | None = None
    object: str | None = None
    data: list[ImageData] = []
