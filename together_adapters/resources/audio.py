"""Audio: text to speech, speech to text, and the available voices."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Unpack, overload

from together_adapters._lazy import pip_install
from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, expand_keywords, method
from together_adapters.transport.bodies import Form
from together_adapters.transport.call import (
    AudioStreamCall,
    Call,
    Flow,
    Local,
    RawResponse,
    Response,
    request,
    split_options,
)
from together_adapters.transport.model_parser import ModelParser, ResponseParser
from together_adapters.types.audio import (
    AudioSource,
    RealtimeParams,
    Speech,
    SpeechChunk,
    SpeechParams,
    Transcription,
    TranscriptionParams,
    TranslationParams,
    VoiceList,
)
from together_adapters.types.audio_format import AudioFormat
from together_adapters.types.requests import RequestOptions

if TYPE_CHECKING:
    from together_adapters.resources.realtime.connection import AsyncRealtimeConnection, RealtimeConnection
    from together_adapters.transport.streams import AsyncAudioStream, AudioStream

__tracebackhide__ = hides_frames

TRANSCRIPTION_DEFAULTS = {"model": "openai/whisper-large-v3"}
_parse_chunk = ModelParser(SpeechChunk).parse
_parse_voices = ResponseParser(VoiceList)
_parse_transcription = ResponseParser(Transcription)
_CONTENT_TYPES = {f".{name}": f"audio/{name}" for name in ("wav", "webm", "flac", "ogg", "opus", "aac")}
_CONTENT_TYPES |= {".mp3": "audio/mpeg", ".m4a": "audio/mp4"}


def create_speech(**params: Unpack[SpeechParams]) -> Call[Speech]:
    """Describes speech that is returned as a file."""
    call, audio_format = _speech_call({**params})

    def parse(response: Response) -> Speech:
        content_type = response.headers.get("content-type", "application/octet-stream")
        if "json" in content_type or "html" in content_type:
            raise ValueError(f"audio was expected, not {content_type}")
        return Speech(response.content, content_type.partition(";")[0], audio_format)

    return replace(call, parse=parse, headers={"accept": "application/octet-stream", **call.headers})


def stream_speech(**params: Unpack[SpeechParams]) -> AudioStreamCall[SpeechChunk]:
    """Describes streamed speech: events with audio in base64, or plain bytes."""
    call, audio_format = _speech_call(
        {"response_format": "raw", **params, "extra_body": {"stream": True, **(params.get("extra_body") or {})}}
    )

    def save(chunks: Sequence[SpeechChunk], file: str | os.PathLike[str], response_format: str | None) -> None:
        audio_format.save((chunk.audio for chunk in chunks), file, response_format)

    return AudioStreamCall(call, _read_chunk, _track_finish, SpeechChunk.from_bytes, save)


def _speech_call(params: dict[str, Any]) -> tuple[Call[Any], AudioFormat]:
    body, options = split_options(params, SpeechParams)
    call = request("POST", "/v1/audio/speech", lambda response: None, body, options=options)
    audio_format = AudioFormat.from_request(
        body["model"], body.get("response_format"), body.get("sample_rate"), body.get("response_encoding")
    )
    return call, audio_format


def _read_chunk(data: bytes) -> SpeechChunk:
    """Reads an event and decodes its audio at once, so that invalid audio is an error at its position."""
    chunk = _parse_chunk(data)
    chunk.audio  # noqa: B018
    return chunk


def _track_finish(chunk: SpeechChunk, finished: dict[Any, bool]) -> None:
    if chunk.type and chunk.type.endswith("audio_output.done"):
        finished[0] = True


def transcribe(**params: Unpack[TranscriptionParams]) -> Flow[Transcription]:
    """Transcribes a recording; with `verbose_json` or `diarize` also into segments, words and speakers.

    Raises:
        OSError: The file cannot be read.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        transcription = client.audio.transcriptions.create(
            file="interview.wav", model="openai/whisper-large-v3", response_format="verbose_json", timestamp_granularities="word"
        )
        for word in transcription.words or []:
            print(word.start, word.word)
        ```
    """
    fields, options = split_options({**params}, TranscriptionParams)
    return _upload_audio("transcriptions", fields, options)


def translate(**params: Unpack[TranslationParams]) -> Flow[Transcription]:
    """Translates a recording into text in another language; with `verbose_json` also segments and words.

    Raises:
        OSError: The file cannot be read.
    """
    fields, options = split_options({**params}, TranslationParams)
    return _upload_audio("translations", fields, options)


def _upload_audio(endpoint: str, params: dict[str, Any], options: dict[str, Any]) -> Flow[Transcription]:
    source: AudioSource = params.pop("file")
    fields = _form_fields(TRANSCRIPTION_DEFAULTS | params | (options.get("extra_body") or {}))
    call = request("POST", f"/v1/audio/{endpoint}", _parse_transcription, options={**options, "extra_body": None})
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        form = Form([("file", source), *fields])
    else:
        form = Form(fields, {"file": (yield Local(lambda: _file_part(source)))})
    transcription: Transcription = yield replace(call, body=form)
    return transcription


def _form_fields(params: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns parameters as the fields of a form: without those that are None, lists as repeated `name[]`."""
    fields: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            fields += [(f"{name}[]", _field_text(item)) for item in value]
        elif value is not None:
            fields.append((name, _field_text(value)))
    return fields


def _field_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file_part(source: AudioSource) -> tuple[str, bytes | Path, str]:
    """Returns the file part of a form: file name, content or path, and content type."""
    content: bytes | Path
    name = ""
    if isinstance(source, tuple):
        name, source = source[0], source[1]
    if isinstance(source, str | os.PathLike):
        content = Path(source)
        content.open("rb").close()
        name = content.name
    else:
        content = bytes(source if isinstance(source, bytes | bytearray) else _read_file(source))
        name = name or Path(str(getattr(source, "name", ""))).name or "audio.wav"
    return name, content, _CONTENT_TYPES.get(Path(name).suffix.lower(), "application/octet-stream")


def _read_file(source: IO[bytes]) -> bytes:
    if not hasattr(source, "read"):
        raise TypeError(f"file must be a path, a URL, bytes or an open file, not {type(source).__name__}")
    data = source.read()
    if not isinstance(data, bytes):
        raise TypeError('file must be opened for reading bytes: open(path, "rb")')
    return data


def list_voices(model: str | None = None, **options: Unpack[RequestOptions]) -> Call[VoiceList]:
    """Lists the available voices: one entry of `data` for each model, with its `voices`.

    Args:
        model: Only the voices of this model.
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
    @expand_keywords
    def create(self, *, stream: bool = False, **params: Unpack[SpeechParams]) -> Any:
        """Generates speech from a text.

        Parameters that are not passed are not sent, so the defaults of the service apply.

        Args:
            stream: Whether to return the chunks of the audio as they are generated.

        Returns:
            A `Speech` with the audio file as `content`, or the stream of `SpeechChunk`s, each with its `audio`. Both have
            `stream_to_file`. On an asynchronous client it must be awaited first.

        Raises:
            APIError: The service refused the request, or reported an error during the stream.

        Example:
            ```python
            from together_adapters import Together

            client = Together()
            speech = client.audio.speech.create(model="hexgrad/Kokoro-82M", input="The train leaves at nine.", voice="af_heart")
            speech.stream_to_file("train.wav")
            ```
        """
        return self._driver.perform(stream_speech(**params) if stream else create_speech(**params))


class Transcriptions(Resource[D, R]):
    """`client.audio.transcriptions`."""

    with_raw_response: Transcriptions[R, R]
    create = method(transcribe, defaults=TRANSCRIPTION_DEFAULTS)

    @overload
    def realtime(self: Transcriptions[Sync, Any], **params: Unpack[RealtimeParams]) -> RealtimeConnection: ...
    @overload
    def realtime(self: Transcriptions[Async, Any], **params: Unpack[RealtimeParams]) -> AsyncRealtimeConnection: ...
    @overload
    def realtime(self, **params: Unpack[RealtimeParams]) -> Any: ...
    @expand_keywords
    def realtime(self, **params: Unpack[RealtimeParams]) -> Any:
        """Transcribes speech while it is spoken, over a websocket (extra `realtime`).

        `with` or `async with` opens the connection, with the retries and limits in time of every call. It uses the proxies of the
        environment and nothing of a supplied `http_client`; redirects are not followed. A connection that is lost is not opened again, and
        closing the client does not close it.

        Returns:
            A `RealtimeConnection` or an `AsyncRealtimeConnection`: `send` audio, `commit`, iterate over its events or its `texts()`.

        Raises:
            ConfigurationError: The package `websockets` is not installed.
            APIError: The service refused the connection, or reported an error on it.
        """
        try:
            from together_adapters.resources.realtime import connection
            from together_adapters.resources.realtime.protocol import Protocol
        except ImportError as problem:
            message = f"realtime transcription needs the package websockets ({problem}): {pip_install('realtime')}"
            raise ConfigurationError(message) from None
        if not isinstance(self._driver, Sync | Async):
            raise TypeError("realtime() has no with_raw_response: it is no HTTP response")
        kind = connection.AsyncRealtimeConnection if isinstance(self._driver, Async) else connection.RealtimeConnection
        driver: Any = self._driver
        if driver.config.control is not None:
            driver.config.control.pass_by("realtime transcription")
        return kind(Protocol(params, driver.config))


class Translations(Resource[D, R]):
    """`client.audio.translations`."""

    with_raw_response: Translations[R, R]
    create = method(translate, defaults=TRANSCRIPTION_DEFAULTS)


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
        """The available voices."""
        return Voices(self._driver)
