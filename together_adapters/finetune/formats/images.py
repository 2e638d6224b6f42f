"""Converts images to data URLs (files below `root=`, URLs only by the user's `fetch=`), and inserts columns of images."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

from together_adapters.finetune.accounting import has_value
from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Row, Unconvertible

MAX_BYTES: Final = 10 * 2**20
_BASE64_PREFIXES: Final = {"iVBOR": "image/png", "/9j/": "image/jpeg", "UklGR": "image/webp", "R0lGOD": "image/gif"}
_PAYLOAD_KEYS: Final = ("image", "image_url", "url", "path", "base64", "data", "source")
_PLACEHOLDER: Final = "<image>"


def image_part(image: Any, options: Options, path: str) -> Row:
    """Returns an image (bytes, URL, path, PIL image, or `{"bytes", "path"}`) as a part of a message, or refuses it."""
    return {"type": "image_url", "image_url": {"url": _url(image, options, path)}}


def _url(image: Any, options: Options, path: str) -> str:
    if isinstance(image, dict):
        image_fields = [image[key] for key in ("bytes", "url", "path", "data") if image.get(key) is not None]
        if not image_fields:
            raise Unconvertible("image_unreadable", "an image has neither bytes nor a path", path, image)
        image = image_fields[0]
    if isinstance(image, bytes | bytearray | memoryview):
        return data_url(bytes(image), path)
    if isinstance(image, str):
        return _from_text(image, options, path)
    if callable(getattr(image, "save", None)):
        file = BytesIO()
        lossless = image if image.mode in ("RGB", "RGBA", "L", "P", "1", "LA") else image.convert("RGB")
        lossless.save(file, format="PNG")
        return data_url(file.getvalue(), path)
    raise Unconvertible("image_unreadable", f"an image cannot be a {type(image).__name__}", path)


def _from_text(text: str, options: Options, path: str) -> str:
    if text.startswith("data:"):
        return text
    if "://" in text[:12]:
        if options.fetch is None or not text.startswith(("http://", "https://")):
            raise Unconvertible("image_remote", "the image is an address; nothing is fetched without fetch=", path, text)
        return data_url(options.fetch(text), path)
    if options.root is None:
        raise Unconvertible("image_outside_root", "the image is a path; root= names the folder to read it from", path, text)
    root = options.root.resolve()
    file = (root / text).resolve()
    if not file.is_relative_to(root):
        raise Unconvertible("image_outside_root", f"the image is not below {options.root}", path, text)
    if not file.is_file():
        raise Unconvertible("image_unreadable", "there is no such file", path, text)
    if file.stat().st_size > MAX_BYTES:
        raise Unconvertible("image_too_large", f"the image has {file.stat().st_size:,} bytes", path, text)
    return data_url(file.read_bytes(), path)


def data_url(data: bytes, path: str) -> str:
    """Returns a JPEG, PNG or WebP image as a data URL; other and too large images are refused."""
    kind = image_type(data)
    if kind is None:
        raise Unconvertible("image_type_unsupported", "the bytes are no JPEG, PNG or WebP", path, data[:16])
    if len(data) > MAX_BYTES:
        raise Unconvertible("image_too_large", f"the image has {len(data):,} bytes; {MAX_BYTES:,} are allowed", path)
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def image_type(data: bytes) -> str | None:
    """Returns the type of an image (`png`, `jpeg` or `webp`) by its first bytes, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def base64_url(data: str, mime_type: str | None = None) -> str:
    """Returns base64 text as a data URL; a type that is not declared is detected."""
    mime_type = mime_type or base64_type(data) or "image/png"
    return f"data:{mime_type};base64,{data}"


def base64_type(data: str) -> str | None:
    """Returns the MIME type of an image in base64 by its first bytes."""
    return next((kind for prefix, kind in _BASE64_PREFIXES.items() if data.startswith(prefix)), None)


def with_images(messages: list[Any], record: Row) -> list[Any]:
    """Inserts a column's images at their placeholders (`<image>` or `{"type": "image"}`), or before the first question."""
    images, image = record.get("images"), record.get("image")
    if has_value(images) and has_value(image):
        raise Unconvertible("image_count", "both images and image hold images: only one can be read", "image")
    images = image if images is None or has_value(image) else images
    if images is None:
        return messages
    images = list(images) if isinstance(images, list | tuple) else [images]
    placeholders = sum(_placeholders(message) for message in messages)
    if not placeholders and images:
        return _before_first_question(messages, images)
    if placeholders != len(images):
        raise Unconvertible("image_count", f"there are {len(images)} images and {placeholders} places for them", "images")
    remaining = iter(images)
    return [_replace_placeholders(message, remaining) if _placeholders(message) else message for message in messages]


def _placeholders(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content.count(_PLACEHOLDER) if message.get("role") == "user" else 0
    return sum(_is_placeholder(part) for part in content) if isinstance(content, list) else 0


def _is_placeholder(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image" and all(part.get(key) is None for key in _PAYLOAD_KEYS)


def _replace_placeholders(message: Row, images: Iterator[Any]) -> Row:
    content = message["content"]
    if isinstance(content, list):
        parts = [{"type": "image", "image": next(images)} if _is_placeholder(part) else part for part in content]
        return {**message, "content": parts}
    parts = []
    for index, text in enumerate(content.split(_PLACEHOLDER)):
        if index:
            parts.append({"type": "image", "image": next(images)})
        if text.strip():
            parts.append({"type": "text", "text": text})
    return {**message, "content": parts}


def _before_first_question(messages: list[Any], images: list[Any]) -> list[Any]:
    for index, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            rest = content if isinstance(content, list) else [{"type": "text", "text": content}]
            question = {**message, "content": [{"type": "image", "image": image} for image in images] + rest}
            return [*messages[:index], question, *messages[index + 1 :]]
    raise Unconvertible("image_count", f"there are {len(images)} images and no question for them", "images")
