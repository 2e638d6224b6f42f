"""Audio: speech as a file or a stream, transcriptions, and voices."""

import os
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Annotated, Any, Literal, Required, Self

from pydantic import PrivateAttr

from together_adapters.types.audio_format import AudioFormat
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import ResponseModel

AudioSource = str | os.PathLike[str] | bytes | IO[bytes] | tuple[str, bytes | IO[bytes]]
"""A recording: a path, a URL, bytes, an open file, or a pair of a file name and one of the latter two."""
Granularity = Literal["segment", "word"] | str
SampleEncoding = Literal["pcm_f32le", "pcm_s16le", "pcm_mulaw", "pcm_alaw"]
Granularities = Granularity | Sequence[Granularity]


class SpeechParams(RequestOptions, total=False):
    """Parameters of speech. Only Cartesia's models support `response_encoding`; others return `pcm_s16le`."""

    model: Required[Annotated[str, "A speech model, such as `cartesia/sonic-2` or `hexgrad/Kokoro-82M`."]]
    input: Required[Annotated[str, "The text."]]
    voice: Annotated[
        str | None, "One of `audio.voices.list()`, which most models require; Kokoro mixes: `af_bella(2)+af_heart(1)`."
    ]
    response_format: Annotated[
        Literal["mp3", "wav", "raw"] | str | None, "The format; for a stream only `raw`, the default there."
    ]
    response_encoding: Annotated[SampleEncoding | str | None, "Encoding of `raw` samples, where the model supports it."]
    language: Annotated[str | None, "Language of the input, such as `en` or `zh-hk`."]
    sample_rate: Annotated[int | None, "Samples per second, such as 24000 or 44100."]
    bit_rate: Annotated[int | None, "Bits per second of `mp3`: 32000, 64000, 96000, 128000 or 192000."]
    extra_params: Annotated[
        Mapping[str, Any] | None, 'Parameters of some models, such as `{"pronunciation_dict": ["omg/oh the god"]}`.'
    ]
    alignment: Annotated[str | None, "`word` adds word times to a stream, where the model supports it."]


class _RecordingParams(RequestOptions, total=False):
    file: Required[
        Annotated[
            AudioSource,
            "A path, a URL that the service downloads, bytes, an open file, or `(name, bytes or open file)`. WAV, MP3, M4A, WebM, "
            "FLAC, OGG, Opus or AAC; up to 80 MB and 4 hours, from a URL up to 1 GB.",
        ]
    ]
    model: Annotated[str, "A transcription model."]
    prompt: Annotated[str | None, "A text that guides names and style."]
    response_format: Annotated[
        Literal["json", "verbose_json"] | str | None, "`json` for the text alone, `verbose_json` for times and language as well."
    ]
    temperature: Annotated[float | None, "Randomness of sampling, 0 to 1."]
    timestamp_granularities: Annotated[Granularities | None, "`segment`, `word`, or a list of both, with `verbose_json`."]


class TranslationParams(_RecordingParams, total=False):
    """Parameters of translations."""

    language: Annotated[str | None, "ISO 639-1 code of the target language; English by default."]


class TranscriptionParams(_RecordingParams, total=False):
    """Parameters of transcriptions."""

    language: Annotated[str | None, "ISO 639-1 code of the spoken language, or `auto`."]
    diarize: Annotated[bool | None, "Whether to identify speakers."]
    min_speakers: Annotated[int | None, "Minimum number of speakers."]
    max_speakers: Annotated[int | None, "Maximum number of speakers."]


class Speech:
    """Generated speech: the bytes of an audio file. Iterating yields them in chunks.

    `content_type` is `audio/wav`, `audio/mpeg`, or `application/octet-stream` for raw samples.
    """

    def __init__(self, content: bytes, content_type: str, audio_format: AudioFormat) -> None:
        self.content = content
        self.content_type = content_type
        self._format = audio_format

    def read(self) -> bytes:
        """Returns the whole file."""
        return self.content

    def iter_bytes(self, chunk_size: int = 8192) -> Iterator[bytes]:
        """Yields the file in chunks of `chunk_size` bytes."""
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
        """Saves the file unchanged; raw samples in a `.wav` file get a header.

        The suffix converts nothing: audio of another format than it says (WAV is what `create` returns without `response_format`) is saved
        with a warning.

        Args:
            file: The file to write; an existing one is replaced.
            response_format: `wav`, `mp3` or `raw`, to require it.

        Raises:
            ValueError: There is no audio, or it is not in the required format. Nothing was written.
        """
        self._format.save([self.content], file, response_format, is_file=True)

    write_to_file = stream_to_file


class SpeechChunk(ResponseModel):
    """A chunk of a speech stream. `audio` is empty for events without audio, such as word times."""

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
    def from_bytes(cls, audio: bytes) -> Self:
        """Returns a chunk of a response of plain bytes."""
        chunk = cls()
        chunk._audio = audio
        return chunk

    @property
    def audio(self) -> bytes:
        """The decoded audio.

        Raises:
            ValueError: It is not base64.
        """
        if self._audio is None:
            text = self.b64 or (self.delta if self.type is None or self.type.endswith("audio_output.delta") else None)
            self._audio = b64decode(text, validate=True) if text else b""
        return self._audio


class Word(ResponseModel):
    """A word; times in seconds from the start."""

    word: str | None = None
    start: float | None = None
    end: float | None = None
    id: int | None = None
    speaker_id: str | None = None


class Segment(ResponseModel):
    """A segment of the text; times in seconds from the start."""

    id: int | None = None
    start: float | None = None
    end: float | None = None
    text: str | None = None


class SpeakerSegment(Segment):
    """A segment of one speaker."""

    speaker_id: str | None = None
    words: list[Word] | None = None


class Transcription(ResponseModel):
    """The text of a recording. The other fields come only with `verbose_json` or `diarize`; `duration` in seconds."""

    text: str | None = None
    task: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: list[Segment] | None = None
    words: list[Word] | None = None
    speaker_segments: list[SpeakerSegment] | None = None


class Voice(ResponseModel):
    """A voice. For some models it has only a `name`, no `id`."""

    id: str | None = None
    name: str | None = None


class ModelVoices(ResponseModel):
    """The voices of one model."""

    model: str | None = None
    voices: list[Voice] = []


class VoiceList(ResponseModel):
    """The voices of each model."""

    data: list[ModelVoices] = []


class RealtimeParams(RequestOptions, total=False):
    """Parameters of a realtime transcription."""

    model: Required[Annotated[str, "A model of realtime transcription, such as `openai/whisper-large-v3`."]]
    input_audio_format: Annotated[
        str,
        "Samples of 16 bits, one channel: `pcm_s16le_16000`, the default, `pcm_s16le_8000` or `pcm_s16le_24000`; `pcm16` has 24000 "
        "samples per second.",
    ]
    language: Annotated[str | None, "ISO 639-1 code of the spoken language, or `auto`."]
    prompt: Annotated[str | None, "A text that guides names and style."]
    turn_detection: Annotated[
        Mapping[str, Any] | None,
        'How the service finds the ends of utterances: `{"type": "server_vad", "min_silence_duration_ms": 500}`, or '
        '`{"type": "none"}` for `commit` alone.',
    ]


class RealtimeEvent(ResponseModel):
    """An event of a realtime transcription; one that has no class of its own is this, with its fields as attributes."""

    type: str
    event_id: str | None = None
    item_id: str | None = None


class SessionStart(RealtimeEvent):
    """The first event: the service listens."""

    session: Mapping[str, Any] | None = None


class TranscriptDelta(RealtimeEvent):
    """What the service understands so far of an utterance: `delta` is the whole of it, and replaces that of the delta before."""

    delta: str
    start: float | None = None
    duration: float | None = None


class FinalTranscript(RealtimeEvent):
    """The final text of an utterance."""

    transcript: str
    start: float | None = None
    duration: float | None = None
