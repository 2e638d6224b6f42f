"""Images: draw what a prompt describes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Unpack

from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, request, response_parser
from together_adapters.types.images import ImageLora, ImageResponse
from together_adapters.types.requests import RequestOptions

_parse = response_parser(ImageResponse)


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
    """Draw images of a prompt. What is not given is not sent, so the model's own defaults apply.

    Args:
        model: An image model, such as `black-forest-labs/FLUX.1-schnell`.
        prompt: What to draw.
        steps: Rounds of drawing, 1 to 50; more take longer.
        n: Number of images, 1 to 4.
        width: Pixels, a multiple of 8, mostly 256 to 1920.
        height: Pixels, likewise.
        aspect_ratio: Such as `16:9`, for the models that take no pixels.
        seed: The same seed draws the same image.
        negative_prompt: What not to draw.
        guidance_scale: How closely to follow the prompt: 1 to 5 freely, 8 to 10 closely.
        guidance: The same under the name that some models give it.
        prompt_upsampling: Whether the model may embellish the prompt.
        response_format: `base64` brings the image in the answer, `url` an address that is kept for a while.
        output_format: `jpeg` or `png`.
        image_url: An image to begin from.
        image_base64: The same as base64, where the model takes it.
        reference_images: Addresses of images whose look is followed.
        image_loras: Styles to lay over the model.
        disable_safety_checker: Whether to leave out the check for unsafe content.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        One entry of `data` for each image, with `url` or `b64_json`; `to_bytes()` gives the file of the latter.

    Raises:
        APIStatusError: The service refused.
        APIConnectionError: No answer came.
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    return request("POST", "/v1/images/generations", _parse, params, options=options)


class Images(Resource[D, R]):
    """`client.images`."""

    with_raw_response: Images[R, R]
    generate = method(generate)
