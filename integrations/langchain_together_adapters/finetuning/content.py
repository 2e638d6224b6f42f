"""Content blocks as a row can hold them: text, and images in the user's messages. Pure; what cannot be trained on is refused."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final

from langchain_together_adapters.content_blocks import part
from together_adapters.finetune.records import Unconvertible

Part = dict[str, Any]

_KINDS: Final = frozenset({"text", "input_text", "output_text", "refusal", "text-plain", "image_url", "image", "guard_content"})
_BEGINNINGS: Final = {"iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp", "R0lGOD": "image/gif"}


def parts(content: Iterable[Any], role: str, path: str) -> list[Part]:
    """Return the parts of a message.

    Args:
        content: Strings and blocks, in any of LangChain's spellings.
        role: Whose message it is.
        path: Where it stands, for errors.

    Raises:
        Unconvertible: A block is no text, or an image outside a user's message.
    """
    found = [_part(block, f"{path}[{place}]") for place, block in enumerate(content)]
    for place, one in enumerate(found):
        if one["type"] != "text" and role != "user":
            message = f"an image in a message of role {role} cannot be trained on"
            raise Unconvertible("image_outside_user_message", message, f"{path}[{place}]")
    return found


def text_of(content: str | Iterable[Any], role: str, path: str, separator: str) -> str:
    """Return content that must be text as one string.

    Raises:
        Unconvertible: There is something else in it.
    """
    if isinstance(content, str):
        return content
    return separator.join(one["text"] for one in parts(content, role, path))


def _part(block: Any, path: str) -> Part:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    kind = block.get("type") if isinstance(block, Mapping) else None
    if isinstance(block, Mapping) and "image" in block and kind in (None, "image") and isinstance(block["image"], Mapping):
        return _bytes(block["image"].get("source", {}).get("bytes"), f"image/{block['image'].get('format')}", path)
    if kind == "media" and str(block.get("mime_type")).startswith("image/"):
        return _bytes(block.get("data"), block["mime_type"], path)
    if isinstance(block, Mapping) and isinstance(block.get("guard_content"), Mapping):
        text = block["guard_content"].get("text")
        return {"type": "text", "text": str(text.get("text") if isinstance(text, Mapping) else text or "")}
    if kind not in _KINDS and not (kind is None and isinstance(block, Mapping) and isinstance(block.get("text"), str)):
        shown = repr(kind) if kind else type(block).__name__
        raise Unconvertible("content_part_unsupported", f"content of type {shown} cannot be trained on", path, kind or "")
    try:
        return _typed(block, part(block, "user"))
    except ValueError as problem:
        code = "image_invalid" if kind in ("image", "image_url") else "content_part_unsupported"
        raise Unconvertible(code, str(problem), path, kind) from None


def _typed(block: Mapping[str, Any], made: Part) -> Part:
    """An image whose type nobody declared gets the one that its first bytes have."""
    if block.get("type") == "image" and not (block.get("mime_type") or isinstance(block.get("source"), Mapping)):
        url = made["image_url"]["url"]
        if url.startswith("data:"):
            data = url.partition(",")[2]
            kind = next((kind for beginning, kind in _BEGINNINGS.items() if data.startswith(beginning)), "image/jpeg")
            made["image_url"]["url"] = f"data:{kind};base64,{data}"
    return made


def _bytes(data: Any, kind: str, path: str) -> Part:
    if isinstance(data, bytes | bytearray):
        data = b64encode(data).decode("ascii")
    if not isinstance(data, str):
        raise Unconvertible("image_invalid", "an image without its bytes cannot be trained on", path)
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
