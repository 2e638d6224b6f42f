"""Videos: jobs and their inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from together_adapters.types.response import ResponseModel


class FrameImage(TypedDict, total=False):
    """An image, by its URL, for one frame of the video: its number, `first` or `last`.

    By default, the images are distributed over the video.
    """

    input_image: str
    frame: float | Literal["first", "last"]


class VideoRef(TypedDict):
    """A video by its URL."""

    video: str


class AudioRef(TypedDict):
    """An audio file by its URL."""

    audio: str


class VideoMedia(TypedDict, total=False):
    """Inputs of a video besides its prompt. Which are supported depends on the model."""

    frame_images: Sequence[FrameImage]
    frame_videos: Sequence[VideoRef]
    reference_images: Sequence[str]
    reference_videos: Sequence[VideoRef]
    source_video: str | VideoRef
    audio_inputs: Sequence[str | AudioRef]


class VideoOutputs(ResponseModel):
    """A completed video: its price in US dollars, and a temporary URL."""

    cost: float | None = None
    video_url: str | None = None


class VideoError(ResponseModel):
    """The error of a failed video."""

    code: str | None = None
    message: str | None = None


class VideoJob(ResponseModel):
    """The job of a video. `status` is queued, in_progress, completed, failed, cancelled or a newer value; times are Unix seconds."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    status: str | None = None
    size: str | None = None
    seconds: str | None = None
    created_at: float | None = None
    completed_at: float | None = None
    outputs: VideoOutputs | None = None
    error: VideoError | None = None
