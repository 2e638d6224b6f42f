"""Videos: start a job, look at it, wait for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

from together_adapters.errors import JobFailedError
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, request, response_parser, segment
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions
from together_adapters.types.videos import FrameImage, VideoJob, VideoMedia

_PATH = "/v2/videos"
_FAILED = frozenset({"failed", "cancelled", "canceled", "error", "expired"})
_ENDED = _FAILED | {"completed"}
_parse = response_parser(VideoJob)


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
    """Start making a video. It costs money once it has started, so the request is not repeated where it may have arrived.

    Args:
        model: A video model.
        prompt: What to show, up to 32,000 characters.
        height: Pixels.
        width: Pixels.
        resolution: Such as `720p`, for the models that take no pixels.
        ratio: Such as `16:9`, likewise.
        seconds: Length in seconds, mostly 1 to 10.
        fps: Frames per second, 15 to 60.
        steps: Rounds of drawing, 10 to 50; more take longer.
        seed: The same seed makes the same video.
        guidance_scale: How closely to follow the prompt; 6 to 10 is advised.
        output_format: `MP4` or `WEBM`.
        output_quality: How strongly the video is compressed.
        negative_prompt: What not to show.
        generate_audio: Whether it has sound.
        media: Images, videos and sounds that it is made from.
        frame_images: Images at given frames; `media` has them for newer models.
        reference_images: Addresses of images whose look is followed; likewise.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The job; some services give its `id` alone. `wait` brings it to its end.

    Raises:
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the job may have been started.
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    params["seconds"] = None if seconds is None else str(seconds)
    return request("POST", _PATH, _parse, params, billable="the account's usage page", options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[VideoJob]:
    """Look at a video's job.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The job as it is now; `outputs.video_url` when it is completed.

    Raises:
        NotFoundError: There is no such video.
    """
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
    """Wait until a video is finished.

    Args:
        id: As `create` gave it.
        poll_interval: Seconds between two looks.
        timeout: Seconds to wait at most; None waits as long as it takes.
        progress: Called whenever the status has changed; `stage` is the status.
        extra_headers: Headers for each look.
        extra_query: Query parameters for each look.

    Returns:
        The completed job, with `outputs.video_url`.

    Raises:
        JobFailedError: The job failed or was cancelled; `completed` is the job.
        APITimeoutError: The time is up; the job goes on.
        NotFoundError: There is no such video.
    """
    look = retrieve(id, extra_headers=extra_headers, extra_query=extra_query)
    job = yield from wait_for(
        look,
        done=lambda job: _status(job) in _ENDED,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda job: Progress(float(_status(job) in _ENDED), 1.0, job.status or "unknown"),
        name=f"video {id}",
    )
    if _status(job) in _FAILED:
        raise _failed(id, job)
    return job


def _status(job: VideoJob) -> str:
    return (job.status or "").lower()


def _failed(id: str, job: VideoJob) -> JobFailedError:
    reason = (job.error and (job.error.message or job.error.code)) or "no reason was given"
    return JobFailedError(
        f"video {id} ended as {job.status}: {reason}",
        code=job.error.code if job.error else None,
        body=job.model_dump(),
        completed=job,
    )


class Videos(Resource[D, R]):
    """`client.videos`."""

    with_raw_response: Videos[R, R]
    create = method(create)
    generate = create
    retrieve = method(retrieve)
    wait = method(wait)
