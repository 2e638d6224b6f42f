"""Audio: text to speech, speech to text, and the voices there are."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Unpack, overload

from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, expand_keywords, method
from together_adapters.transport.bodies import Form
from together_adapters.transport.call import (
    AudioStreamCall,
    Call,
    Flow,
    Local,
    RawResponse,
    Response,
    event_parser,
    request,
    response_parser,
    split_options,
)
from together_adapters.types.audio import (
    AudioSource,
    Granularities,
    Speech,
    SpeechChunk,
    SpeechParams,
    Transcription,
    VoiceList,
)
from together_adapters.types.requests import RequestOptions
from together_adapters.types.sound import Sound, sound_of

if TYPE_CHECKING:
    from together_adapters.transport.streams import AsyncAudioStream, AudioStream

DEFAULT_TRANSCRIBER = "openai/whisper-large-v3"
_parse_chunk = event_parser(SpeechChunk)
_parse_voices = response_parser(VoiceList)
_parse_transcription = response_parser(Transcription)
_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".webm": "audio/webm",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/opus",
    ".aac": "audio/aac",
}


def speak(**params: Unpack[SpeechParams]) -> Call[Speech]:
    """Describe speech that is answered whole."""
    call, sound = _speech({**params})

    def parse(response: Response) -> Speech:
        kind = response.headers.get("content-type", "application/octet-stream")
        if "json" in kind or "html" in kind:
            raise ValueError(f"audio was expected, but {kind} came")
        return Speech(response.content, kind.partition(";")[0], sound)

    return replace(call, parse=parse, headers={"accept": "application/octet-stream", **call.headers})


def stream_speech(**params: Unpack[SpeechParams]) -> AudioStreamCall[SpeechChunk]:
    """Describe speech that is answered in pieces: events with sound in base64, or plain bytes."""
    call, sound = _speech(
        {"response_format": "raw", **params, "extra_body": {"stream": True, **(params.get("extra_body") or {})}}
    )

    def save(chunks: Sequence[SpeechChunk], file: str | os.PathLike[str], response_format: str | None) -> None:
        sound.save((chunk.audio for chunk in chunks), file, response_format)

    return AudioStreamCall(call, _read_chunk, _finishes, SpeechChunk.of, save)


def _speech(params: dict[str, Any]) -> tuple[Call[Any], Sound]:
    body, options = split_options(params, SpeechParams)
    call = request("POST", "/v1/audio/speech", lambda response: None, body, options=options)
    return call, sound_of(body["model"], body.get("response_format"), body.get("sample_rate"), body.get("response_encoding"))


def _read_chunk(data: bytes) -> SpeechChunk:
    """Read an event and decode its sound at once, so that a broken one is reported where it stands."""
    chunk = _parse_chunk(data)
    chunk.audio  # noqa: B018
    return chunk


def _finishes(chunk: SpeechChunk, finished: dict[Any, bool]) -> None:
    if chunk.type and chunk.type.endswith("audio_output.done"):
        finished[0] = True


def transcribe(
    *,
    file: AudioSource,
    model: str = DEFAULT_TRANSCRIBER,
    language: str | None = None,
    prompt: str | None = None,
    response_format: Literal["json", "verbose_json"] | str | None = None,
    temperature: float | None = None,
    timestamp_granularities: Granularities | None = None,
    diarize: bool | None = None,
    min_speakers: int | None = None,
    max_speakers: int | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[Transcription]:
    """Write down what is said in a recording.

    Args:
        file: A path, an http(s) address that the service fetches, bytes, an open file, or `(name, bytes or open file)`.
            WAV, MP3, M4A, WebM, FLAC, OGG, Opus or AAC; up to 80 MB and 4 hours, from an address up to 1 GB.
        model: A transcription model.
        language: ISO 639-1 code of what is spoken, or `auto`.
        prompt: A text that names and style are taken from.
        response_format: `json` for the text alone, `verbose_json` for times and language as well.
        temperature: 0 to 1.
        timestamp_granularities: `segment`, `word`, or a list of both, with `verbose_json`.
        diarize: Whether to tell speakers apart.
        min_speakers: How many there are at least.
        max_speakers: How many there are at most.
        **options: `extra_body` (more fields of the form), `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The text; with `verbose_json` or `diarize` also segments, words and speakers.

    Raises:
        OSError: The file cannot be read.
    """
    params = {name: value for name, value in locals().items() if name not in ("options", "file")}
    heard: Transcription = yield from _hear("transcriptions", file, params, options)
    return heard


def translate(
    *,
    file: AudioSource,
    model: str = DEFAULT_TRANSCRIBER,
    language: str | None = None,
    prompt: str | None = None,
    response_format: Literal["json", "verbose_json"] | str | None = None,
    temperature: float | None = None,
    timestamp_granularities: Granularities | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[Transcription]:
    """Write down in another language, English by default, what is said in a recording.

    Args:
        file: A path, an http(s) address that the service fetches, bytes, an open file, or `(name, bytes or open file)`.
        model: A transcription model.
        language: ISO 639-1 code of the language to translate into.
        prompt: A text that names and style are taken from.
        response_format: `json` for the text alone, `verbose_json` for times and language as well.
        temperature: 0 to 1.
        timestamp_granularities: `segment`, `word`, or a list of both, with `verbose_json`.
        **options: `extra_body` (more fields of the form), `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The text; with `verbose_json` also segments and words.

    Raises:
        OSError: The file cannot be read.
    """
    params = {name: value for name, value in locals().items() if name not in ("options", "file")}
    heard: Transcription = yield from _hear("translations", file, params, options)
    return heard


def _hear(what: str, source: AudioSource, params: dict[str, Any], options: RequestOptions) -> Flow[Transcription]:
    fields = _fields({**params, **(options.get("extra_body") or {})})
    call = request("POST", f"/v1/audio/{what}", _parse_transcription, options={**options, "extra_body": None})
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        form = Form([("file", source), *fields])
    else:
        form = Form(fields, {"file": (yield Local(lambda: _part(source)))})
    heard: Transcription = yield replace(call, body=form)
    return heard


def _fields(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Return parameters as the fields of a form: those that are None left out, lists as repeated `name[]`."""
    fields: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            fields += [(f"{name}[]", _text(item)) for item in value]
        elif value is not None:
            fields.append((name, _text(value)))
    return fields


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _part(source: AudioSource) -> tuple[str, bytes | Path, str]:
    """Return a recording as a part of a form: its file name, what to send, and its type.

    Raises:
        OSError: The file cannot be read.
        TypeError: It is no recording.
    """
    name = ""
    if isinstance(source, tuple):
        name, source = source[0], source[1]
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        path.open("rb").close()
        return path.name, path, _type(path.name)
    data = source if isinstance(source, bytes | bytearray) else _read(source)
    name = name or Path(str(getattr(source, "name", ""))).name or "audio.wav"
    return name, bytes(data), _type(name)


def _read(source: IO[bytes]) -> bytes:
    if not hasattr(source, "read"):
        raise TypeError(f"file must be a path, an address, bytes or an open file, not {type(source).__name__}")
    data = source.read()
    if not isinstance(data, bytes):
        raise TypeError('file must be opened for reading bytes: open(path, "rb")')
    return data


def _type(name: str) -> str:
    return _TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


def list_voices(model: str | None = None, **options: Unpack[RequestOptions]) -> Call[VoiceList]:
    """List the voices that can speak.

    Args:
        model: Only those of this model.

    Returns:
        One entry of `data` for each model, with its `voices`.
    """
    return request("GET", "/v1/voices", _parse_voices, query={"model": model}, options=options)


class SpeechResource(Resource[D, R]):
    """`client.audio.speech`."""

    with_raw_response: SpeechResource[R, R]

    @overload
    def create(self: SpeechResource[Sync, Any], *, stream: Literal[False] = False, **params: Unpack[SpeechParams]) -> Speech: ...
    @overload
    def create(
        self: SpeechResource[Sync, Any], *, stream: Literal[True], **params: Unpack[SpeechParams]
    ) -> AudioStream[SpeechChunk]: ...
    @overload
    def create(
        self: SpeechResource[Async, Any], *, stream: Literal[False] = False, **params: Unpack[SpeechParams]
    ) -> Coroutine[Any, Any, Speech]: ...
    @overload
    def create(
        self: SpeechResource[Async, Any], *, stream: Literal[True], **params: Unpack[SpeechParams]
    ) -> Coroutine[Any, Any, AsyncAudioStream[SpeechChunk]]: ...
    @overload
    def create(
        self: SpeechResource[SyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[SpeechParams]
    ) -> RawResponse[Speech]: ...
    @overload
    def create(
        self: SpeechResource[SyncRaw, Any], *, stream: Literal[True], **params: Unpack[SpeechParams]
    ) -> RawResponse[AudioStream[SpeechChunk]]: ...
    @overload
    def create(
        self: SpeechResource[AsyncRaw, Any], *, stream: Literal[False] = False, **params: Unpack[SpeechParams]
    ) -> Coroutine[Any, Any, RawResponse[Speech]]: ...
    @overload
    def create(
        self: SpeechResource[AsyncRaw, Any], *, stream: Literal[True], **params: Unpack[SpeechParams]
    ) -> Coroutine[Any, Any, RawResponse[AsyncAudioStream[SpeechChunk]]]: ...
    @overload
    def create(self, *, stream: bool = False, **params: Unpack[SpeechParams]) -> Any: ...
    @expand_keywords(SpeechParams)
    def create(self, *, stream: bool = False, **params: Unpack[SpeechParams]) -> Any:
        """Say a text.

        What is not given is not sent, so the service's own defaults apply. `SpeechParams` says what each parameter means.

        Args:
            stream: Whether the sound comes in pieces, as it is made.
            **params: `model` and `input`, most models' `voice`, and any of `SpeechParams`; the per-call options `extra_body`,
                `extra_headers`, `extra_query` and `timeout`.

        Returns:
            A `Speech` with the audio file as `content`, or with `stream` the stream of its `SpeechChunk`s, each with its sound
            as `audio`. Both have `stream_to_file`. On an asynchronous client it is awaited first.

        Raises:
            APIStatusError: The service refused; its subclasses say why.
            APIConnectionError: No complete answer came.
            APIError: The service reported an error in the middle of a stream.
        """
        return self._driver.perform(stream_speech(**params) if stream else speak(**params))


class Transcriptions(Resource[D, R]):
    """`client.audio.transcriptions`."""

    with_raw_response: Transcriptions[R, R]
    create = method(transcribe)


class Translations(Resource[D, R]):
    """`client.audio.translations`."""

    with_raw_response: Translations[R, R]
    create = method(translate)


class Voices(Resource[D, R]):
    """`client.audio.voices`."""

    with_raw_response: Voices[R, R]
    list = method(list_voices)


class Audio(Resource[D, R]):
    """`client.audio`."""

    with_raw_response: Audio[R, R]

    @property
    def speech(self) -> SpeechResource[D, R]:
        """Text to speech."""
        return SpeechResource(self._driver)

    @property
    def transcriptions(self) -> Transcriptions[D, R]:
        """Speech to text."""
        return Transcriptions(self._driver)

    @property
    def translations(self) -> Translations[D, R]:
        """Speech to text in another language."""
        return Translations(self._driver)

    @property
    def voices(self) -> Voices[D, R]:
        """The voices there are."""
        return Voices(self._driver)
