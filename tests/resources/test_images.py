"""Images: parameters are sent unchanged, responses have URLs or bytes, and no field is lost."""

from __future__ import annotations

import struct
from typing import Any

import httpx
import pytest

from tests.resources.response_variants import find_unreadable
from together_adapters import BadRequestError
from together_adapters.emulator import Emulator

MODEL = "black-forest-labs/FLUX.1-schnell"
NEW = {"nobody": {"knows": 1}}
RESPONSE: dict[str, Any] = {
    "id": "o-1",
    "model": "acme/painter",
    "object": "list",
    "data": [
        {"index": 0, "type": "url", "url": "https://a.example/i.png", "timings": {"inference": 0.8, **NEW}, **NEW},
        {"index": 1, "b64_json": "aGk=", "timings": {"inference": 4430}},
    ],
    **NEW,
}


def draw(flavour: Any, client: Any = None, **changes: Any) -> Any:
    return flavour.run((client or flavour.client()).images.generate(**{"model": MODEL, "prompt": "a cat", **changes}))


def test_what_is_not_passed_is_not_sent(flavour: Any, emulator: Emulator) -> None:
    draw(flavour)
    assert emulator.requests[0].json == {"model": MODEL, "prompt": "a cat"}


def test_every_parameter_is_sent(flavour: Any, stub_client: Any) -> None:
    kwargs = {
        "steps": 4, "n": 2, "width": 512, "height": 256, "aspect_ratio": "2:1", "seed": 7, "negative_prompt": "dogs", "guidance_scale": 3.5, "guidance": 2.0,
        "prompt_upsampling": True, "response_format": "base64", "output_format": "png", "image_url": "https://a.example/b.png", "image_base64": "aGk=",
        "reference_images": ["https://a.example/c.png"], "image_loras": [{"path": "https://a.example/l", "scale": 1.0}], "disable_safety_checker": False,
    }  # fmt: skip
    client, service = stub_client(RESPONSE)
    draw(flavour, client, **kwargs, extra_body={"later": 1}, extra_headers={"x-one": "1"}, extra_query={"q": "2"})
    request = service.requests[0]
    assert httpx.Response(200, content=request.content).json() == {"model": MODEL, "prompt": "a cat", **kwargs, "later": 1}
    assert (request.url.path, request.headers["x-one"], request.url.params["q"]) == ("/v1/images/generations", "1", "2")


def test_bytes_of_both_formats(flavour: Any) -> None:
    jpeg = draw(flavour, response_format="base64", width=64, height=32)
    assert jpeg.data[0].to_bytes()[:3] == b"\xff\xd8\xff"
    png = draw(flavour, response_format="base64", output_format="png", width=64, height=32, n=3)
    assert [image.index for image in png.data] == [0, 1, 2]
    assert struct.unpack(">II", png.data[0].to_bytes()[16:24]) == (64, 32)


def test_an_address_can_be_fetched_without_a_key_and_has_no_bytes(flavour: Any) -> None:
    image = draw(flavour).data[0]
    assert httpx.get(image.url).headers["content-type"] == "image/jpeg"
    with pytest.raises(ValueError, match="base64"):
        image.to_bytes()


def test_the_same_seed_generates_the_same(flavour: Any) -> None:
    images = [draw(flavour, response_format="base64", seed=seed).data[0].b64_json for seed in (1, 1, 2)]
    assert images[0] == images[1] != images[2]


def test_a_wrong_parameter_is_named(flavour: Any) -> None:
    with pytest.raises(BadRequestError) as error_info:
        draw(flavour, width=1001)
    assert error_info.value.param == "width"


def test_every_field_is_kept_and_any_may_be_missing(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)
    assert draw(flavour, client).model_dump(exclude_unset=True) == RESPONSE

    def read(sample: Any) -> Any:
        service.reply = sample
        return draw(flavour, client).model_dump(exclude_unset=True)

    assert find_unreadable(RESPONSE, read) == {}


def test_raw_response(flavour: Any) -> None:
    raw = flavour.run(flavour.client().images.with_raw_response.generate(model=MODEL, prompt="a cat"))
    assert raw.parse().data
    assert raw.status_code == 200
    assert raw.request_id
