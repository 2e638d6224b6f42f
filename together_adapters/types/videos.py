"""Videos: jobs that take minutes, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from together_adapters.types.response import ResponseModel


class FrameImage(TypedDict, total=False):
    """An image that the video shows at one place.

    Attributes:
        input_image: Its address. Needed.
        frame: The number of the frame, `first` or `last`. Left out, the images are spread over the video.
    """

    input_image: str
    frame: float | Literal["first", "last"]


class VideoRef(TypedDict):
    """A video by its address."""

    video: str


class AudioRef(TypedDict):
    """A sound by its address."""

    audio: str


class VideoMedia(TypedDict, total=False):
    """What a video is made from besides its prompt. Which of them count depends on the model."""

    frame_images: Sequence[FrameImage]
    frame_videos: Sequence[VideoRef]
    reference_images: Sequence[str]
    reference_videos: Sequence[VideoRef]
    source_video: str | VideoRef
    audio_inputs: Sequence[str | AudioRef]


class VideoOutputs(ResponseModel):
    """A finished video: its price in US dollars, and where it is kept for a while."""

    cost: float | None = None
    video_url: str | None = None


class VideoError(ResponseModel):
    """Why a video was not made."""

    code: str | None = None
    message: str | None = None


class VideoJob(ResponseModel):
    """A video in the making. `status` is queued, in_progress, completed, failed, cancelled or a newer word; times are Unix seconds."""

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
