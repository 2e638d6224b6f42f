"""Images as the service takes them: data URLs. Files are read below a folder that the user names, addresses only by the user's hand."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Any, Final

from together_adapters.finetune.formats.options import Options
from together_adapters.finetune.records import Row, Unconvertible

MAX_BYTES: Final = 10 * 2**20


def image_part(image: Any, options: Options, path: str) -> Row:
    """Return an image as a part of a message.

    Args:
        image: Bytes, a data URL, an address, a path, a PIL image, or the `{"bytes", "path"}` of a data set.
        options: Says where paths and addresses may be read.
        path: Where the image stands, for errors.

    Raises:
        Unconvertible: It is no image that the service takes, or may not be read.
    """
    return {"type": "image_url", "image_url": {"url": _url(image, options, path)}}


def _url(image: Any, options: Options, path: str) -> str:
    if isinstance(image, dict):
        given = [image[key] for key in ("bytes", "url", "path", "data") if image.get(key) is not None]
        if not given:
            raise Unconvertible("image_unreadable", "an image has neither bytes nor a path", path, image)
        image = given[0]
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
    """Return the bytes of an image as a data URL.

    Raises:
        Unconvertible: They are no JPEG, PNG or WebP, or too many.
    """
    kind = image_type(data)
    if kind is None:
        raise Unconvertible("image_type_unsupported", "the bytes are no JPEG, PNG or WebP", path, data[:16])
    if len(data) > MAX_BYTES:
        raise Unconvertible("image_too_large", f"the image has {len(data):,} bytes; {MAX_BYTES:,} are allowed", path)
    return f"data:image/{kind};base64,{b64encode(data).decode()}"


def image_type(data: bytes) -> str | None:
    """Return what the first bytes of a file say it is."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
