"""Images in a column of their own, and the places in the messages that they belong to."""

from __future__ import annotations

from typing import Any, Final

from together_adapters.finetune.records import Row, Unconvertible

_PAYLOADS: Final = ("image", "image_url", "url", "path", "base64", "data", "source")
_MARK: Final = "<image>"


def with_images(messages: list[Any], record: Row) -> list[Any]:
    """Return messages with the images of the column `images` in their places.

    A place is a part `{"type": "image"}` that holds nothing, or `<image>` in a user's text. Without any, all images come before the
    text of the first question.

    Raises:
        Unconvertible: There are more images than places, or fewer.
    """
    images = record.get("images", record.get("image"))
    if images is None:
        return messages
    images = list(images) if isinstance(images, list | tuple) else [images]
    places = sum(_places(message) for message in messages)
    if not places and images:
        return _before_first_question(messages, images)
    if places != len(images):
        raise Unconvertible("image_count", f"there are {len(images)} images and {places} places for them", "images")
    waiting = iter(images)
    return [_filled(message, waiting) if _places(message) else message for message in messages]


def _places(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content.count(_MARK) if message.get("role") == "user" else 0
    return sum(_is_place(part) for part in content) if isinstance(content, list) else 0


def _is_place(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "image" and all(part.get(key) is None for key in _PAYLOADS)


def _filled(message: Row, images: Any) -> Row:
    content = message["content"]
    if isinstance(content, list):
        return {**message, "content": [{"type": "image", "image": next(images)} if _is_place(part) else part for part in content]}
    parts: list[Row] = []
    for place, text in enumerate(content.split(_MARK)):
        if place:
            parts.append({"type": "image", "image": next(images)})
        if text.strip():
            parts.append({"type": "text", "text": text})
    return {**message, "content": parts}


def _before_first_question(messages: list[Any], images: list[Any]) -> list[Any]:
    for place, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            rest = content if isinstance(content, list) else [{"type": "text", "text": content}]
            seen = {**message, "content": [{"type": "image", "image": image} for image in images] + rest}
            return [*messages[:place], seen, *messages[place + 1 :]]
    raise Unconvertible("image_count", f"there are {len(images)} images and no question for them", "images")
