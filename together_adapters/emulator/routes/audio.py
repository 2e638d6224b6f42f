"""Speech, transcriptions, translations and voices. What the emulator has spoken, it understands again; it cannot translate."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.multipart import Upload, form_route
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.sse import EventStream
from together_adapters.emulator.http.validation import Rule, check, flag, number, one_of, table, text, whole
from together_adapters.emulator.media import audio as sounds
from together_adapters.emulator.routes.models import served
from together_adapters.types.capabilities import MODELS

VOICES: Final = {
    "cartesia/sonic": ("friendly sidekick", "laidback woman", "storyteller lady"),
    "cartesia/sonic-2": ("friendly sidekick", "laidback woman", "storyteller lady"),
    "hexgrad/Kokoro-82M": ("af_alloy", "af_bella", "af_heart", "bm_george"),
    "canopylabs/orpheus-3b-0.1-ft": ("tara", "leah", "dan"),
}
_MOST_BYTES: Final = 80 * 1024 * 1024
_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg", "raw": "application/octet-stream", "pcm": "application/octet-stream"}
_SPEECH: Final = {
    "input": text(50_000, required=True),
    "voice": text(500),
    "response_format": one_of(*_TYPES),
    "response_encoding": one_of(*sounds.ENCODINGS),
    "language": text(20),
    "sample_rate": whole(8_000, 96_000),
    "bit_rate": one_of(*sounds.BIT_RATES),
    "extra_params": table(),
    "alignment": text(20),
    "speed": number(0.1, 10),
    "stream": flag(),
}


def speak(context: RequestContext) -> Response:
    """Answer a speech request with a file, or with events that carry it in pieces."""
    model, _ = served(context.body)
    if model in MODELS:
        raise bad_request(f"{model} is not a speech model.", param="model")
    body = check(context, context.body, _SPEECH)
    kind = body.get("response_format", "wav")
    if not body.get("stream"):
        return Response(_file(model, body, kind), media_type=_TYPES[kind])
    if context.behaviour.strict and kind not in ("raw", "pcm"):
        raise bad_request("response_format must be raw when streaming.", param="response_format")
    # As with the service, a stream of anything but MP3 is bare samples, whatever the format is called.
    data = _file(model, body, "mp3" if kind == "mp3" else "raw")
    pieces = [data[at : at + 12_000] for at in range(0, len(data), 12_000)]
    events = _newer_events(body, pieces) if body.get("alignment") else _events(model, pieces)
    return EventStream(events, context.behaviour.delay)


def _file(model: str, body: dict[str, Any], kind: str) -> bytes:
    heeds = "cartesia" in model.lower()
    rate = body.get("sample_rate", 44_100) if heeds else 24_000
    if kind == "wav":
        return sounds.wav(body["input"], rate)
    if kind == "mp3":
        return sounds.mp3(body["input"], rate, body.get("bit_rate", 128_000))
    return sounds.samples(body["input"], rate, body.get("response_encoding", "pcm_f32le") if heeds else "pcm_s16le")


def _events(model: str, pieces: list[bytes]) -> Iterator[dict[str, Any]]:
    for piece in pieces:
        yield {"object": "audio.tts.chunk", "model": model, "b64": b64encode(piece).decode()}


def _newer_events(body: dict[str, Any], pieces: list[bytes]) -> Iterator[dict[str, Any]]:
    """The shape that goes with the times of words."""
    item = {"item_id": "tts_1"}
    for piece in pieces:
        yield {"type": "conversation.item.audio_output.delta", **item, "delta": b64encode(piece).decode()}
    words = _words(body["input"], sounds.seconds(body["input"]))
    yield {
        "type": "conversation.item.word_timestamps",
        **item,
        "words": [word["word"] for word in words],
        "start_seconds": [word["start"] for word in words],
        "end_seconds": [word["end"] for word in words],
    }


def _as_number(least: float, most: float) -> Rule:
    def holds(value: Any) -> bool:
        try:
            return least <= float(value) <= most
        except (TypeError, ValueError):
            return False

    return Rule(holds, f"a number from {least:g} to {most:g}")


def _are_granularities(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return 0 < len(items) <= 2 and all(item in ("segment", "word") for item in items)


_HEARING: Final = {
    "file": Rule(lambda value: isinstance(value, Upload | str), "a file or an address", required=True),
    "language": text(20),
    "prompt": text(50_000),
    "response_format": one_of("json", "verbose_json"),
    "temperature": _as_number(0, 1),
    "timestamp_granularities": Rule(_are_granularities, "segment, word, or both of them"),
    "diarize": one_of("true", "false", "True", "False", "1", "0"),
    "min_speakers": _as_number(1, 100),
    "max_speakers": _as_number(1, 100),
}


def transcribe(context: RequestContext) -> dict[str, Any]:
    """Answer with what is said in a recording."""
    return _heard(context, "transcribe")


def translate(context: RequestContext) -> dict[str, Any]:
    """Answer with what is said in a recording, in the language that it is in."""
    return _heard(context, "translate")


def _heard(context: RequestContext, task: str) -> dict[str, Any]:
    model, _ = served({"model": "openai/whisper-large-v3", **context.body})
    if model in MODELS:
        raise bad_request(f"{model} is not a transcription model.", param="model")
    form = check(context, context.body, _HEARING)
    said, length = _recording(form["file"])
    diarize = form.get("diarize", "false").lower() in ("true", "1")
    if form.get("response_format") != "verbose_json" and not diarize:
        return {"text": said}
    wanted = form.get("timestamp_granularities", "segment")
    words, segments = _words(said, length), _segments(said, length)
    answer = {"task": task, "language": form.get("language", "en"), "duration": length, "text": said, "segments": segments}
    if diarize:
        return answer | _speakers(words, segments, float(form.get("max_speakers", 2)))
    return answer | ({"words": words} if "word" in wanted else {})


def _recording(file: Upload | str) -> tuple[str, float]:
    """Return what a recording says, and its length in seconds."""
    if isinstance(file, str):
        address = file[:2_000]
        if not re.match(r"https?://[\w.\[\]:-]+(/|$)", address):
            raise bad_request("file must be a file or an http(s) address.", param="file")
        said = (
            f"This is the recording {urlsplit(address).path.rpartition('/')[2][:100] or 'without a name'}, which was not fetched."
        )
        return said, sounds.duration(b"", said)
    if not file.content:
        raise bad_request("The file is empty.", param="file")
    if len(file.content) > _MOST_BYTES:
        raise ApiError(413, "The file is larger than 80 MB.", param="file", code="request_too_large")
    said = sounds.hidden_text(file.content) or f"This is the recording {file.name[:100]} of {len(file.content)} bytes."
    return said, sounds.duration(file.content, said)


def _words(said: str, length: float) -> list[dict[str, Any]]:
    """The words with their times, as long as they have letters."""
    words = said.split()
    letters = sum(map(len, words)) or 1
    timed, at = [], 0
    for place, word in enumerate(words):
        start, at = at, at + len(word)
        times = {"start": round(start * length / letters, 3), "end": round(at * length / letters, 3)}
        timed.append({"id": place, "word": word, **times})
    return timed


def _segments(said: str, length: float) -> list[dict[str, Any]]:
    """The sentences with their times."""
    sentences = re.split(r"(?<=[.!?])\s+", said)
    letters = sum(map(len, sentences)) or 1
    timed, at = [], 0
    for place, sentence in enumerate(sentences):
        start, at = at, at + len(sentence)
        times = {"start": round(start * length / letters, 3), "end": round(at * length / letters, 3)}
        timed.append({"id": place, "text": sentence, **times})
    return timed


def _speakers(words: list[dict[str, Any]], segments: list[dict[str, Any]], most: float) -> dict[str, Any]:
    """The sentences said by turns."""
    spoken, at = [], 0
    for place, segment in enumerate(segments):
        speaker = f"SPEAKER_{place % int(most):02d}"
        count = len(segment["text"].split())
        own = [{**word, "speaker_id": speaker} for word in words[at : at + count]]
        at += count
        spoken.append({**segment, "speaker_id": speaker, "words": own})
    return {"words": [word for part in spoken for word in part["words"]], "speaker_segments": spoken}


def list_voices(context: RequestContext) -> dict[str, Any]:
    """Answer with the voices of all models, or of one."""
    wanted = context.request.query_params.get("model")
    return {
        "data": [
            {"model": model, "voices": [{"id": name.replace(" ", "-"), "name": name} for name in names]}
            for model, names in VOICES.items()
            if wanted in (None, "", model)
        ]
    }


ROUTES: Any = [
    json_route("/v1/audio/speech", speak),
    form_route("/v1/audio/transcriptions", transcribe),
    form_route("/v1/audio/translations", translate),
    json_route("/v1/voices", list_voices, method="GET"),
]
