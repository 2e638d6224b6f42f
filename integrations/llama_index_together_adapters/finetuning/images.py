"""The image of a block as a data URL. An address stays an address: nothing is fetched."""

from __future__ import annotations

from typing import Any, Final

_BEGINNINGS: Final = {"iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp", "R0lGOD": "image/gif"}


def image_url(block: Any) -> str:
    """Return an image block's address, or its bytes as a data URL.

    Raises:
        ValueError: There is nothing in it.
        OSError: The file that it names cannot be read.
    """
    if block.url:
        return str(block.url)
    data = block.resolve_image(as_base64=True).read()
    text = data.decode("ascii") if isinstance(data, bytes) else str(data)
    if not text:
        raise ValueError("it is empty")
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if text.startswith(beginning)), None)
    return f"data:{kind or block.image_mimetype or 'image/jpeg'};base64,{text}"
