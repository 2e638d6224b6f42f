"""Images: bytes, paths below a folder, addresses by the user's hand, and their places in the messages."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.formats.reading import only_refusal, only_row, says, user
from together_adapters.finetune import load

DATA = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG = b64decode(DATA)
URL = f"data:image/png;base64,{DATA}"
IMAGE_PART = {"type": "image_url", "image_url": {"url": URL}}
SEE = {"type": "text", "text": "see"}


def first(record: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    return only_row(load([record], **options))["messages"][0]["content"]


@pytest.mark.parametrize(
    "part",
    [
        IMAGE_PART, {"type": "image_url", "image_url": URL}, {"type": "input_image", "image_url": URL}, {"type": "image", "image": PNG},
        {"type": "image", "image": {"bytes": PNG, "path": None}}, {"type": "image", "base64": DATA, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}, {"type": "image", "url": URL},
    ],
)  # fmt: skip
def test_every_form_of_a_part(part: dict[str, Any]):
    row = only_row(load([{"messages": [user([part, SEE]), says()]}]))
    assert row["messages"] == [user([IMAGE_PART, SEE]), says([{"type": "text", "text": "a"}])]


@pytest.mark.parametrize("content", [[{"type": "image"}, SEE], [{"type": "image", "text": None}, SEE], "<image>see", "see"])
def test_images_in_a_column_find_their_places(content: Any):
    assert first({"messages": [user(content), says()], "images": [PNG]}) == [IMAGE_PART, SEE]


def test_pil_images():
    image = pytest.importorskip("PIL.Image")
    parts = first({"messages": [user([{"type": "image"}]), says()], "images": [image.new("CMYK", (2, 2))]})
    assert parts[0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_paths_are_read_below_the_root_alone(tmp_path: Path):
    root = tmp_path / "images"
    root.mkdir()
    (root / "a.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    record = {"messages": [user([{"type": "image"}]), says()], "images": ["a.png"]}
    assert first(record, root=root) == [IMAGE_PART]
    assert first({**record, "images": [str(root / "a.png")]}, root=root) == [IMAGE_PART]
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png"):
        assert only_refusal(load([{**record, "images": [name]}], root=root)).code == "image_outside_root"
    assert only_refusal(load([record])).code == "image_outside_root"
    assert only_refusal(load([{**record, "images": ["b.png"]}], root=root)).code == "image_unreadable"


def test_addresses_are_fetched_by_the_user_alone():
    record = {"messages": [user([{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]), says()]}
    urls: list[str] = []
    assert first(record, fetch=lambda url: urls.append(url) or PNG) == [IMAGE_PART]
    assert set(urls) == {"https://example.com/a.png"}
    assert only_refusal(load([record])).code == "image_remote"
    record = {"messages": [user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]), says()]}
    assert only_refusal(load([record], fetch=lambda url: PNG)).code == "image_remote"


@pytest.mark.parametrize(
    ("images", "code"),
    [([], "image_count"), ([PNG, PNG], "image_count"), ([b"GIF89a"], "image_type_unsupported"), ([3], "image_unreadable"),
     ([{"bytes": None, "path": None}], "image_unreadable"), ([PNG + b"0" * (10 * 2**20)], "image_too_large")],
)  # fmt: skip
def test_images_that_cannot_be_used(images: list[Any], code: str):
    assert only_refusal(load([{"messages": [user([{"type": "image"}]), says()], "images": images}])).code == code
