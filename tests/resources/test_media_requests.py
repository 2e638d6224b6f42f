"""Requests for images, audio, videos, code, endpoints and uploads are valid in the vendor's description of the API."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from tests.resources.api_description import description, validate
from together_adapters import APIError
from together_adapters.emulator import Emulator

HARDWARE = "1x_nvidia_h100_80gb_sxm"
WAV = ("talk.wav", b"RIFF")
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("images.generate", {"model": "a/b", "prompt": "x"}),
    "image, whole": ("images.generate", {
        "model": "a/b", "prompt": "x", "steps": 4, "n": 2, "width": 64, "height": 64, "aspect_ratio": "1:1", "seed": 1, "negative_prompt": "y", "guidance_scale": 3.5,
        "guidance": 1.0, "prompt_upsampling": True, "response_format": "base64", "output_format": "png", "image_url": "https://a.example/b", "image_base64": "eA==",
        "reference_images": ["https://a.example/c"], "image_loras": [{"path": "https://a.example/l", "scale": 1}], "disable_safety_checker": True,
    }),
    "speech": ("audio.speech.create", {"model": "cartesia/sonic", "input": "x", "voice": "v"}),
    "speech, whole": ("audio.speech.create", {
        "model": "cartesia/sonic", "input": "x", "voice": "v", "response_format": "mp3", "response_encoding": "pcm_f32le", "language": "de", "sample_rate": 24_000,
        "bit_rate": 64_000, "extra_params": {"pronunciation_dict": []},
    }),
    "speech, streamed": ("audio.speech.create", {"model": "cartesia/sonic", "input": "x", "voice": "v", "stream": True, "alignment": "word"}),
    "transcription": ("audio.transcriptions.create", {"file": WAV}),
    "transcription, address": ("audio.transcriptions.create", {"file": "https://a.example/b.mp3"}),
    "transcription, whole": ("audio.transcriptions.create", {
        "file": WAV, "language": "de", "prompt": "p", "response_format": "verbose_json", "temperature": 0.5, "timestamp_granularities": ["word", "segment"],
        "diarize": True, "min_speakers": 1, "max_speakers": 2,
    }),
    "transcription, one granularity": ("audio.transcriptions.create", {"file": WAV, "timestamp_granularities": "word"}),
    "translation": ("audio.translations.create", {"file": WAV, "language": "de", "response_format": "verbose_json", "temperature": 1}),
    "voices": ("audio.voices.list", {}),
    "video": ("videos.create", {"model": "a/b", "prompt": "x", "seconds": 5}),
    "video, whole": ("videos.create", {
        "model": "a/b", "prompt": "x", "height": 64, "width": 64, "resolution": "720p", "ratio": "1:1", "seconds": "5", "fps": 24, "steps": 20, "seed": 1, "guidance_scale": 8,
        "output_format": "MP4", "output_quality": 20, "negative_prompt": "y", "generate_audio": False, "frame_images": [{"input_image": "https://a.example/i", "frame": "last"}],
        "reference_images": ["https://a.example/i"],
        "media": {"frame_images": [{"input_image": "https://a.example/i"}], "frame_videos": [{"video": "https://a.example/v"}], "source_video": {"video": "https://a.example/v"},
                  "audio_inputs": ["https://a.example/a", {"audio": "https://a.example/a"}], "reference_videos": [{"video": "https://a.example/v"}]},
    }),
    "a video": ("videos.retrieve", {"id": "vid_1"}),
    "code": ("code_interpreter.run", {"code": "1", "session_id": "ses_1", "files": [{"name": "a", "encoding": "string", "content": "x"}]}),
    "sessions": ("code_interpreter.sessions.list", {}),
    "endpoint": ("endpoints.create", {
        "model": "a/b", "hardware": HARDWARE, "min_replicas": 1, "max_replicas": 2, "display_name": "d", "disable_prompt_cache": True, "disable_speculative_decoding": True,
        "state": "STOPPED", "inactive_timeout": 60, "availability_zone": "us-central-4b",
    }),
    "endpoint, changed": ("endpoints.update", {
        "endpoint_id": "e", "min_replicas": 0, "max_replicas": 2, "state": "STARTED", "display_name": "d", "inactive_timeout": 0,
    }),
    "an endpoint": ("endpoints.get", {"endpoint_id": "e"}),
    "endpoint, deleted": ("endpoints.delete", {"endpoint_id": "e"}),
    "endpoints": ("endpoints.list", {"type": "dedicated", "usage_type": "on-demand", "mine": True}),
    "hardware": ("endpoints.list_hardware", {"model": "a/b"}),
    "zones": ("endpoints.list_avzones", {}),
    "upload": ("models.upload", {
        "model_name": "m", "model_source": "a/b", "model_type": "adapter", "hf_token": "t", "description": "d", "base_model": "a/b",
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_a_request_is_what_the_description_allows(name: str, flavour: Any, emulator: Emulator) -> None:
    description()
    method, kwargs = CALLS[name]
    target = flavour.client()
    for step in method.split("."):
        target = getattr(target, step)
    # what the emulator thinks of these ids is another matter
    with suppress(APIError):
        flavour.run(target(**kwargs))
    validate(emulator.requests[-1])
