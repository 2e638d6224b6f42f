"""Audio: speech as a file or in pieces, what was said in a recording, and the voices there are."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, Literal, TypedDict

from pydantic import PrivateAttr

from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import ResponseModel
from together_adapters.types.sound import Sound

AudioSource = str | os.PathLike[str] | bytes | IO[bytes] | tuple[str, bytes | IO[bytes]]
"""A recording: the path of a file, an http(s) address, bytes, an open file, or a file name with one of the latter two."""


class _Speech(TypedDict):
    model: str
    input: str


class SpeechParams(_Speech, RequestOptions, total=False):
    """Parameters of speech. What is not given is not sent, so the service's own defaults apply.

    Attributes:
        model: A speech model, such as `cartesia/sonic-2` or `hexgrad/Kokoro-82M`.
        input: What to say.
        voice: Who says it, as `audio.voices.list()` names them. Kokoro mixes voices: `af_bella(2)+af_heart(1)`.
        response_format: `wav`, `mp3` or `raw`; in a stream `raw` alone, which is then the default.
        response_encoding: Samples of `raw`: `pcm_f32le`, `pcm_s16le`, `pcm_mulaw` or `pcm_alaw`. Models other than Cartesia's
            always give `pcm_s16le`.
        language: Language of the input, such as `en` or `zh-hk`.
        sample_rate: Samples per second, such as 24000 or 44100.
        bit_rate: Bits per second of `mp3`: 32000, 64000, 96000, 128000 or 192000.
        extra_params: More for some models, such as `{"pronunciation_dict": ["omg/oh the god"]}`.
        alignment: `word` asks a stream for the times of words as well, where the model can.
    """

    voice: str | None
    response_format: Literal["mp3", "wav", "raw"] | str | None
    response_encoding: Literal["pcm_f32le", "pcm_s16le", "pcm_mulaw", "pcm_alaw"] | str | None
    language: str | None
    sample_rate: int | None
    bit_rate: int | None
    extra_params: Mapping[str, Any] | None
    alignment: str | None


class Speech:
    """Spoken text: the bytes of an audio file. Iterating gives them in pieces.

    Attributes:
        content: The file.
        content_type: `audio/wav`, `audio/mpeg`, or `application/octet-stream` for bare samples.
    """

    def __init__(self, content: bytes, content_type: str, sound: Sound) -> None:
        self.content = content
        self.content_type = content_type
        self._sound = sound

    def read(self) -> bytes:
        """Return the whole file."""
        return self.content

    def iter_bytes(self, chunk_size: int = 8192) -> Iterator[bytes]:
        """Give the file in pieces of `chunk_size` bytes."""
        for start in range(0, len(self.content), chunk_size):
            yield self.content[start : start + chunk_size]

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_bytes()

    def __bytes__(self) -> bytes:
        return self.content

    def __len__(self) -> int:
        return len(self.content)

    def __repr__(self) -> str:
        return f"Speech({len(self.content)} bytes of {self.content_type})"

    def stream_to_file(self, file: str | os.PathLike[str], response_format: str | None = None) -> None:
        """Save it as it came; bare samples that go to a `.wav` file get the header that they need.

        Args:
            file: Where to; a file that is there is replaced.
            response_format: `wav`, `mp3` or `raw`, to insist on it.

        Raises:
            ValueError: There is no sound, or it is not of the format that was insisted on. Nothing was written.
        """
        self._sound.save([self.content], file, response_format, whole=True)

    write_to_file = stream_to_file


class SpeechChunk(ResponseModel):
    """One piece of a stream of speech. `audio` is its sound; events that bring none, such as the times of words, have empty sound."""

    object: str | None = None
    type: str | None = None
    model: str | None = None
    item_id: str | None = None
    b64: str | None = None
    delta: str | None = None
    words: list[str] | None = None
    start_seconds: list[float] | None = None
    end_seconds: list[float] | None = None
    _audio: bytes | None = PrivateAttr(None)

    @classmethod
    def of(cls, audio: bytes) -> SpeechChunk:
        """Return a piece of an answer that is sound and nothing else."""
        chunk = cls()
        chunk._audio = audio
        return chunk

    @property
    def audio(self) -> bytes:
        """The sound, decoded.

        Raises:
            ValueError: It is not base64.
        """
        if self._audio is None:
            text = self.b64 or (self.delta if self.type is None or self.type.endswith("audio_output.delta") else None)
            self._audio = b64decode(text, validate=True) if text else b""
        return self._audio


class Word(ResponseModel):
    """A word; times in seconds from the beginning."""

    word: str | None = None
    start: float | None = None
    end: float | None = None
    id: int | None = None
    speaker_id: str | None = None


class Segment(ResponseModel):
    """A stretch of what was said; times in seconds from the beginning."""

    id: int | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None


class SpeakerSegment(Segment):
    """A stretch in which one speaker talked."""

    speaker_id: str | None = None
    words: list[Word] | None = None


class Transcription(ResponseModel):
    """What was said. All but `text` comes with `verbose_json` or `diarize` alone; `duration` in seconds."""

    text: str | None = None
    task: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: list[Segment] | None = None
    words: list[Word] | None = None
    speaker_segments: list[SpeakerSegment] | None = None


class Voice(ResponseModel):
    """A voice. Not every model's voices have an `id` besides their `name`."""

    id: str | None = None
    name: str | None = None


class ModelVoices(ResponseModel):
    """The voices of one model."""

    model: str | None = None
    voices: list[Voice] = []


class VoiceList(ResponseModel):
    """The voices of each model."""

    data: list[ModelVoices] = []


Granularity = Literal["segment", "word"] | str
Granularities = Granularity | Sequence[Granularity]
