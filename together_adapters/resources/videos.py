"""Videos: create a job, retrieve it, wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

from together_adapters.errors import JobFailedError
from together_adapters.resources.waiting import wait_for_job
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.progress import Progress, is_failed
from together_adapters.types.requests import RequestOptions
from together_adapters.types.videos import FrameImage, VideoJob, VideoMedia

_PATH = "/v2/videos"
_parse = ResponseParser(VideoJob)


def create(
    *,
    model: str,
    prompt: str | None = None,
    height: int | None = None,
    width: int | None = None,
    resolution: str | None = None,
    ratio: str | None = None,
    seconds: str | int | None = None,
    fps: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    guidance_scale: float | None = None,
    output_format: Literal["MP4", "WEBM"] | str | None = None,
    output_quality: int | None = None,
    negative_prompt: str | None = None,
    generate_audio: bool | None = None,
    media: VideoMedia | None = None,
    frame_images: Sequence[FrameImage] | None = None,
    reference_images: Sequence[str] | None = None,
    **options: Unpack[RequestOptions],
) -> Call[VideoJob]:
    """Creates a video. This costs money, so the request is not retried where it may have been accepted.

    Args:
        model: A video model.
        prompt: Description of the video, up to 32,000 characters.
        height: Pixels.
        width: Pixels.
        resolution: Such as `720p`, for models that do not take pixels.
        ratio: Such as `16:9`, for the same models.
        seconds: Duration in seconds, mostly 1 to 10.
        fps: Frames per second, 15 to 60.
        steps: Denoising steps, 10 to 50; more take longer.
        seed: Seed for reproducible videos.
        guidance_scale: Adherence to the prompt; 6 to 10 is recommended.
        output_format: `MP4` or `WEBM`.
        output_quality: Strength of the compression.
        negative_prompt: Description of what to avoid.
        generate_audio: Whether the video has sound.
        media: Images, videos and audio as input.
        frame_images: Images at specific frames; newer models take them in `media`.
        reference_images: URLs of images with the style to follow; newer models take them in `media`.

    Returns:
        The job; some versions of the service return only its `id`. `wait` waits for the video.

    Raises:
        APIConnectionError: No response arrived; the message says whether the job may have been created.
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    params["seconds"] = None if seconds is None else str(seconds)
    return request("POST", _PATH, _parse, params, billable="the account's usage page", options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[VideoJob]:
    """Retrieves the job of a video, with `outputs.video_url` when it has completed."""
    return request("GET", f"{_PATH}/{segment(id, 'id')}", _parse, options=options)


def wait(
    id: str,
    *,
    poll_interval: float = 5.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[VideoJob]:
    """Waits until a video has completed.

    Returns:
        The completed job, with `outputs.video_url`.

    Raises:
        JobFailedError: The job failed or was cancelled; `completed` is the job.
    """
    job = yield from wait_for_job(
        retrieve(id, extra_headers=extra_headers, extra_query=extra_query), f"video {id}", poll_interval, timeout, progress
    )
    if is_failed(job.status):
        reason = (job.error and (job.error.message or job.error.code)) or "the service gave no reason"
        code = job.error.code if job.error else None
        raise JobFailedError(f"video {id} ended as {job.status}: {reason}", code=code, body=job.model_dump(), completed=job)
    return job


class Videos(Resource[D, R]):
    """`client.videos`."""

    with_raw_response: Videos[R, R]
    create = method(create)
    generate = create
    retrieve = method(retrieve)
    wait = method(wait)
