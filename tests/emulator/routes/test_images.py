"""Images: valid files, at URLs that need no key, and errors that name the parameter."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import httpx
import pytest

from together_adapters.emulator import Emulator
from together_adapters.emulator.media.images import jpeg, mosaic, png

MODEL = "black-forest-labs/FLUX.1-schnell"
SIZES = [(8, 8), (13, 9), (256, 512), (1366, 768), (1920, 1920)]


def draw(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/images/generations", json={"model": MODEL, "prompt": "a cat", **changes})


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Returns the chunks of a PNG file, and checks their checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    result, at = {}, 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert zlib.crc32(name + content) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        result[name] = content
        at += 12 + size
    return result


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_png_contains_every_pixel(width: int, height: int) -> None:
    result = chunks(png("words", width, height))
    assert struct.unpack(">IIBBBBB", result[b"IHDR"]) == (width, height, 8, 2, 0, 0, 0)
    pixels = zlib.decompress(result[b"IDAT"])
    assert len(pixels) == height * (1 + 3 * width)
    assert tuple(pixels[1:4]) == mosaic("words")[0][0]
    assert list(result) == [b"IHDR", b"IDAT", b"IEND"]


def test_a_jpeg_is_read_by_an_imaging_library() -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    import io

    for width, height in SIZES:
        result = image.open(io.BytesIO(jpeg("words", width, height)))
        result.load()
        assert (result.size, result.format) == ((width, height), "JPEG")
        assert max(abs(a - b) for a, b in zip(result.convert("RGB").getpixel((1, 1)), mosaic("words")[0][0], strict=True)) <= 3


def test_a_jpeg_has_the_markers_of_a_baseline_file() -> None:
    data = jpeg("words", 64, 32)
    assert (data[:4], data[-2:]) == (b"\xff\xd8\xff\xe0", b"\xff\xd9")
    assert struct.unpack(">HH", data[data.index(b"\xff\xc0") + 5 :][:4]) == (32, 64)
    assert [data.count(bytes((0xFF, 0xD0 + number))) for number in range(4)] == [1, 1, 1, 0]


def test_response(http: httpx.Client) -> None:
    answer = draw(http, n=2).json()
    assert (answer["model"], answer["object"]) == (MODEL, "list")
    assert [(one["index"], one["type"]) for one in answer["data"]] == [(0, "url"), (1, "url")]
    for one in answer["data"]:
        picture = httpx.get(one["url"], headers={"authorization": "Bearer bad"})
        assert (picture.headers["content-type"], picture.content[:2]) == ("image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize("word", ["base64", "b64_json"])
def test_base64_in_the_response(word: str, http: httpx.Client) -> None:
    one = draw(http, response_format=word, output_format="png", width=64, height=64).json()["data"][0]
    assert one["type"] == "b64_json"
    assert chunks(base64.b64decode(one["b64_json"]))


def test_large_images(http: httpx.Client) -> None:
    assert draw(http, n=4, width=1920, height=1920, response_format="base64", output_format="png").status_code == 200


WRONG = {
    "n": [0, 5, "2", True, 1.5], "width": [0, 100_000, "64", 65], "size": ["big", 5, "99999x1"], "prompt": [None, "", 5, ["a"]], "steps": [0, 51],
    "response_format": ["jpeg", {}], "output_format": ["gif", []], "seed": ["a", 10**30], "image_loras": [5, ["a"]], "reference_images": [[1]],
    "disable_safety_checker": ["yes"], "model": [None, "", 5, [], "unknown", "deepseek-ai/DeepSeek-V4.1-Flash"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_name_the_parameter(name: str, value: Any, http: httpx.Client) -> None:
    answer = draw(http, **{name: value})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == (name if answer.status_code == 400 else None)


def test_unknown_parameters(http: httpx.Client, emulator: Emulator) -> None:
    assert draw(http, later=1).status_code == 200
    with emulator.behave(strict=True):
        assert (draw(http, later=1).status_code, draw(http).status_code) == (422, 200)


def test_urls_that_do_not_exist(emulator: Emulator) -> None:
    root = emulator.base_url.removesuffix("/v1")
    for path in (
        "/storage/a/b",
        "/storage",
        "/storage/a",
        "/storage/../v1/models",
        "/storage/%2e%2e/%2e%2e/etc/passwd",
        "/v1/../storage/x/y",
    ):
        assert httpx.get(root + path).status_code in (401, 404)
    assert httpx.post(root + "/storage/a/b").status_code == 405
