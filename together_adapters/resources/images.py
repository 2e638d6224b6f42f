"""Images: generated from a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, request
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.images import ImageLora, ImageResponse
from together_adapters.types.requests import RequestOptions

_parse = ResponseParser(ImageResponse)


def generate(
    *,
    model: str,
    prompt: str,
    steps: int | None = None,
    n: int | None = None,
    width: int | None = None,
    height: int | None = None,
    aspect_ratio: str | None = None,
    seed: int | None = None,
    negative_prompt: str | None = None,
    guidance_scale: float | None = None,
    guidance: float | None = None,
    prompt_upsampling: bool | None = None,
    response_format: Literal["base64", "url"] | str | None = None,
    output_format: Literal["jpeg", "png"] | str | None = None,
    image_url: str | None = None,
    image_base64: str | None = None,
    reference_images: Sequence[str] | None = None,
    image_loras: Sequence[ImageLora] | None = None,
    disable_safety_checker: bool | None = None,
    **options: Unpack[RequestOptions],
) -> Call[ImageResponse]:
    """Generates images from a prompt. Parameters that are not passed are not sent, so the defaults of the model apply.

    Args:
        model: An image model, such as `black-forest-labs/FLUX.1-schnell`.
        prompt: Description of the image.
        steps: Denoising steps, 1 to 50; more take longer.
        n: Number of images, 1 to 4.
        width: Pixels, a multiple of 8, mostly 256 to 1920.
        height: Pixels, with the same limits.
        aspect_ratio: Such as `16:9`, for models that do not take pixels.
        seed: Seed for reproducible images.
        negative_prompt: Description of what to avoid.
        guidance_scale: Adherence to the prompt: 1 to 5 is loose, 8 to 10 strict.
        guidance: The same, under its name in some models.
        prompt_upsampling: Whether the model may extend the prompt.
        response_format: `base64` returns the image itself, `url` a temporary address.
        output_format: `jpeg` or `png`.
        image_url: URL of an image to start from.
        image_base64: The same image as base64, where the model takes it.
        reference_images: URLs of images with the style to follow.
        image_loras: LoRA adapters to apply.
        disable_safety_checker: Whether to skip the check for unsafe content.

    Returns:
        One entry of `data` for each image, with `url` or `b64_json`; `to_bytes()` decodes the latter.

    Example:
        ```python
        from pathlib import Path

        from together_adapters import Together

        client = Together()
        images = client.images.generate(
            model="black-forest-labs/FLUX.1-schnell", prompt="a red boat", steps=4, response_format="base64", output_format="png"
        )
        Path("boat.png").write_bytes(images.data[0].to_bytes())
        ```
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    return request("POST", "/v1/images/generations", _parse, params, options=options)


class Images(Resource[D, R]):
    """`client.images`."""

    with_raw_response: Images[R, R]
    generate = method(generate)
