"""Speech, transcriptions, translations and voices. The emulator transcribes its own speech; it cannot translate."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from starlette.responses import Response

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.multipart import FormFile, form_route
from together_adapters.emulator.http.responses import EventStream
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, Text, json_route
from together_adapters.emulator.media import audio
from together_adapters.emulator.routes.served_models import find_media_model
from together_adapters.emulator.store.catalogue import FACTS

_MAX_FILE_SIZE: Final = 80 * 1024 * 1024
_CHUNK: Final = 12_000
_MEDIA_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg", **dict.fromkeys(("raw", "pcm"), "application/octet-stream")}


class _SpeechRequest(RequestModel):
    input: str = Field(min_length=1, max_length=50_000)
    voice: Name | None = None
    response_format: Literal["wav", "mp3", "raw", "pcm"] = "wav"
    response_encoding: Literal["pcm_f32le", "pcm_s16le", "pcm_mulaw", "pcm_alaw"] = "pcm_f32le"
    language: Name | None = None
    sample_rate: int = Field(44_100, ge=8_000, le=96_000)
    bit_rate: Literal[32_000, 64_000, 96_000, 128_000, 192_000] = 128_000
    extra_params: dict[str, Any] | None = None
    alignment: Name | None = None
    speed: float | None = Field(None, ge=0.1, le=10)
    stream: bool = False


class _TranscriptionRequest(RequestModel):
    """A form, so numbers and booleans are texts."""

    file: Any
    language: str = Field("en", min_length=1, max_length=20)
    prompt: Text | None = None
    response_format: Literal["json", "verbose_json"] = "json"
    temperature: float | None = Field(None, strict=False, ge=0, le=1)
    timestamp_granularities: Any = Field("segment", description="segment, word, or both of them")
    diarize: Literal["true", "false", "True", "False", "1", "0"] = "false"
    min_speakers: float | None = Field(None, strict=False, ge=1, le=100)
    max_speakers: float = Field(2, strict=False, ge=1, le=100)

    @field_validator("timestamp_granularities")
    @classmethod
    def _check_granularities(cls, value: Any) -> list[str]:
        values = value if isinstance(value, list) else [value]
        if not 0 < len(values) <= 2 or not all(item in ("segment", "word") for item in values):
            raise ValueError("unknown")
        return values


def _create_speech(context: RequestContext) -> Response:
    model = find_media_model(context, "speech")
    request = _SpeechRequest.read(context)
    kind = request.response_format
    if request.stream and kind not in ("raw", "pcm"):
        error = bad_request("response_format must be raw when streaming.", param="response_format")
        context.grant(error, "stream of another format than raw")
    context.charge.admit("speech", model)
    context.charge.count({})
    if not request.stream:
        return Response(_encode(model, request, kind), media_type=_MEDIA_TYPES[kind])
    # As with the service, a stream of anything but MP3 has bare samples, whatever the requested format.
    data = _encode(model, request, "mp3" if kind == "mp3" else "raw")
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    if request.alignment:
        return EventStream(_aligned_events(request.input, chunks), context.behaviour.delay)
    events = ({"object": "audio.tts.chunk", "model": model, "b64": b64encode(chunk).decode()} for chunk in chunks)
    return EventStream(events, context.behaviour.delay)


def _encode(model: str, request: _SpeechRequest, kind: str) -> bytes:
    has_options = "cartesia" in model.lower()
    rate = request.sample_rate if has_options else 24_000
    if kind == "wav":
        return audio.wav(request.input, rate)
    if kind == "mp3":
        return audio.mp3(request.input, rate, request.bit_rate)
    return audio.samples(request.input, rate, request.response_encoding if has_options else "pcm_s16le")


def _aligned_events(text: str, chunks: list[bytes]) -> Iterator[dict[str, Any]]:
    """Yields the newer kind of events, which ends with the times of words."""
    item = {"item_id": "tts_1"}
    for chunk in chunks:
        yield {"type": "conversation.item.audio_output.delta", **item, "delta": b64encode(chunk).decode()}
    words = _with_times(text.split(), audio.seconds(text), "word")
    yield {
        "type": "conversation.item.word_timestamps",
        **item,
        "words": [word["word"] for word in words],
        "start_seconds": [word["start"] for word in words],
        "end_seconds": [word["end"] for word in words],
    }


def _transcribe(context: RequestContext, task: str = "transcribe") -> dict[str, Any]:
    body = {"model": "openai/whisper-large-v3", **context.body}
    model = find_media_model(replace(context, body=body), "transcription")
    request = _TranscriptionRequest.read(context)
    text, duration = _recording(request.file)
    context.charge.admit("transcription", model)
    if answer := context.answer("transcriptions", body):
        text = answer.media
    context.charge.count({})
    with_speakers = request.diarize.lower() in ("true", "1")
    if request.response_format != "verbose_json" and not with_speakers:
        return {"text": text}
    words, segments = _with_times(text.split(), duration, "word"), _with_times(re.split(r"(?<=[.!?])\s+", text), duration, "text")
    response = {"task": task, "language": request.language, "duration": duration, "text": text, "segments": segments}
    if with_speakers:
        return response | _speakers(words, segments, int(request.max_speakers))
    return response | ({"words": words} if "word" in request.timestamp_granularities else {})


def _recording(file: Any) -> tuple[str, float]:
    """Returns the text of a recording, and its duration in seconds."""
    if isinstance(file, str) and re.match(r"https?://[\w.\[\]:-]+(/|$)", file):
        name = urlsplit(file[:2_000]).path.rpartition("/")[2][:100] or "without a name"
        text = f"This is the recording {name}, which was not fetched."
        return text, audio.duration(b"", text)
    if not isinstance(file, FormFile):
        raise bad_request("file must be a file or an http(s) URL.", param="file")
    if not file.content:
        raise bad_request("The file is empty.", param="file")
    if len(file.content) > _MAX_FILE_SIZE:
        raise ApiError(413, "The file is larger than 80 MB.", param="file", code="request_too_large")
    text = audio.embedded_text(file.content) or f"This is the recording {file.name[:100]} of {len(file.content)} bytes."
    return text, audio.duration(file.content, text)


def _with_times(texts: list[str], duration: float, key: str) -> list[dict[str, Any]]:
    """Returns words or sentences with their times, in proportion to their lengths."""
    letters = sum(map(len, texts)) or 1
    items, end = [], 0
    for id, text in enumerate(texts):
        start, end = end, end + len(text)
        times = {"start": round(start * duration / letters, 3), "end": round(end * duration / letters, 3)}
        items.append({"id": id, key: text, **times})
    return items


def _speakers(words: list[dict[str, Any]], segments: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """Assigns the sentences to speakers in turn."""
    speaker_segments, index = [], 0
    for number, segment in enumerate(segments):
        speaker = {"speaker_id": f"SPEAKER_{number % count:02d}"}
        end = index + len(segment["text"].split())
        speaker_segments.append({**segment, **speaker, "words": [{**word, **speaker} for word in words[index:end]]})
        index = end
    return {"words": [word for segment in speaker_segments for word in segment["words"]], "speaker_segments": speaker_segments}


def _list_voices(context: RequestContext) -> dict[str, Any]:
    model = context.request.query_params.get("model")
    return {
        "data": [
            {"model": name, "voices": [{"id": voice.replace(" ", "-"), "name": voice} for voice in voices]}
            for name, voices in FACTS["voices"].items()
            if model in (None, "", name)
        ]
    }


ROUTES: Any = [
    json_route("/v1/audio/speech", _create_speech),
    form_route("/v1/audio/transcriptions", _transcribe),
    form_route("/v1/audio/translations", partial(_transcribe, task="translate")),
    json_route("/v1/voices", _list_voices, method="GET"),
]
