"""Audio: speech as a file and as a stream in every format, files that players open, and all sources of recordings."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import struct
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import KEY, Flavour
from tests.resources.response_variants import find_unreadable
from together_adapters import APIError, APIResponseValidationError, BadRequestError, IncompleteStreamError, Together
from together_adapters.emulator import Emulator
from together_adapters.transport import retry
from together_adapters.types.audio_format import AudioFormat, is_mp3, wav_header

CARTESIA = "cartesia/sonic"
KOKORO = "hexgrad/Kokoro-82M"
TEXT = "Good morning to you. How are you?"
NEW = {"nobody": {"knows": 1}}
PCM = struct.pack("<4h", -1, 300, -300, 7)


def shape(data: bytes) -> tuple[int, ...]:
    """Returns channels, bytes of a sample, samples per second and number of samples of a WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        return tuple(file.getparams()[:4])


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body whose connection is lost."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        raise httpx.ReadError("gone")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk
        raise httpx.ReadError("gone")


def say(flavour: Any, client: Any = None, **changes: Any) -> Any:
    return flavour.run(
        (client or flavour.client()).audio.speech.create(
            **{"model": CARTESIA, "input": TEXT, "voice": "laidback woman", **changes}
        )
    )


def delta_event(data: bytes = PCM, **more: Any) -> dict[str, Any]:
    return {"object": "audio.tts.chunk", "model": CARTESIA, "b64": base64.b64encode(data).decode(), **more}


def newer(data: bytes = PCM) -> dict[str, Any]:
    return {"type": "conversation.item.audio_output.delta", "item_id": "tts_1", "delta": base64.b64encode(data).decode()}


def sound(data: bytes, kind: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": kind}, stream=httpx.ByteStream(data))


# Speech, whole


def test_a_wav_file(flavour: Any, tmp_path: Path) -> None:
    speech = say(flavour)
    assert speech.content_type == "audio/wav"
    assert shape(speech.content)[2] == 44_100
    assert b"".join(speech) == b"".join(speech.iter_bytes(100)) == speech.read() == bytes(speech) == speech.content
    assert len(speech) == len(speech.content)
    assert "audio/wav" in repr(speech)
    speech.stream_to_file(tmp_path / "a.wav")
    with pytest.warns(UserWarning, match=r"b\.mp3 gets WAV audio: request response_format='mp3' in create\(\)"):
        speech.write_to_file(str(tmp_path / "b.mp3"))
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.mp3").read_bytes() == speech.content


def test_other_formats(flavour: Any, tmp_path: Path) -> None:
    mp3 = say(flavour, response_format="mp3", bit_rate=64_000)
    assert (mp3.content_type, is_mp3(mp3.content)) == ("audio/mpeg", True)
    mp3.stream_to_file(tmp_path / "a.mp3", "mp3")
    raw = say(flavour, response_format="raw", response_encoding="pcm_s16le", sample_rate=16_000)
    assert raw.content_type == "application/octet-stream"
    with pytest.warns(UserWarning, match="b.wav gets MP3 audio"):
        mp3.stream_to_file(tmp_path / "b.wav")
    raw.stream_to_file(tmp_path / "a.raw")
    assert (tmp_path / "a.raw").read_bytes() == raw.content
    raw.stream_to_file(tmp_path / "a.wav")
    assert shape((tmp_path / "a.wav").read_bytes())[:4] == (1, 2, 16_000, len(raw.content) // 2)


def test_a_format_that_it_is_not_is_not_written(flavour: Any, tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(ValueError, match="not MP3"):
        say(flavour).stream_to_file(target, "mp3")
    with pytest.raises(ValueError, match="not WAV"):
        say(flavour, response_format="mp3").stream_to_file(target, "wav")
    with pytest.raises(ValueError, match="must be 'wav', 'mp3' or 'raw'"):
        say(flavour).stream_to_file(target, "ogg")
    assert not target.exists()


def test_what_is_sent(flavour: Any, emulator: Emulator) -> None:
    say(flavour)
    kwargs = {
        "response_format": "mp3",
        "response_encoding": "pcm_alaw",
        "language": "de",
        "sample_rate": 24_000,
        "bit_rate": 96_000,
        "extra_params": {"a": ["b"]},
    }
    say(flavour, **kwargs)
    minimum = {"model": CARTESIA, "input": TEXT, "voice": "laidback woman"}
    assert [request.json for request in emulator.requests] == [minimum, {**minimum, **kwargs}]
    assert emulator.requests[0].headers["accept"] == "application/octet-stream"


def test_an_unknown_parameter_is_refused(flavour: Any) -> None:
    with pytest.raises(TypeError, match="'pitch'"):
        say(flavour, pitch=2)
    with pytest.raises(TypeError, match="'input'"):
        flavour.client().audio.speech.create(model=CARTESIA)


def test_json_is_not_audio(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"hello": 1})
    with pytest.raises(APIResponseValidationError, match="audio was expected"):
        say(flavour, client)


def test_raw_response(flavour: Any) -> None:
    raw = flavour.run(flavour.client().audio.with_raw_response.speech.create(model=CARTESIA, input="Hi."))
    assert (raw.status_code, raw.headers["content-type"]) == (200, "audio/wav")
    assert raw.parse().content


# Speech, in pieces


def test_a_stream_is_the_file_without_its_header(flavour: Any, emulator: Emulator) -> None:
    chunks = list(flavour.iterate(say(flavour, model=KOKORO, stream=True)))
    response = say(flavour, model=KOKORO, response_format="raw").content
    assert len(chunks) > 1
    assert b"".join(chunk.audio for chunk in chunks) == response
    assert emulator.requests[0].json == {
        "model": KOKORO,
        "input": TEXT,
        "voice": "laidback woman",
        "stream": True,
        "response_format": "raw",
    }
    assert emulator.requests[0].headers["accept"] == "text/event-stream"


def test_a_stream_to_a_file(flavour: Any, tmp_path: Path) -> None:
    stream = say(flavour, model=KOKORO, stream=True)
    flavour.run(stream.stream_to_file(tmp_path / "a.wav"))
    assert shape((tmp_path / "a.wav").read_bytes())[:3] == (1, 2, 24_000)
    stream = say(flavour, stream=True, response_encoding="pcm_f32le", sample_rate=8_000)
    flavour.run(stream.stream_to_file(tmp_path / "b.wav"))
    assert struct.unpack("<HHII", (tmp_path / "b.wav").read_bytes()[20:32]) == (3, 1, 8_000, 32_000)
    stream = say(flavour, stream=True, response_format="mp3")
    flavour.run(stream.stream_to_file(tmp_path / "c.mp3"))
    assert is_mp3((tmp_path / "c.mp3").read_bytes())


def test_times_of_words_come_as_events_without_audio(flavour: Any) -> None:
    chunks = list(flavour.iterate(say(flavour, model=KOKORO, stream=True, alignment="word")))
    assert chunks[-1].type == "conversation.item.word_timestamps"
    assert (chunks[-1].words[0], chunks[-1].start_seconds[0], chunks[-1].audio) == ("Good", 0.0, b"")
    assert b"".join(chunk.audio for chunk in chunks) == say(flavour, model=KOKORO, response_format="raw").content


def test_both_formats_of_events_and_unknown_ones(flavour: Any, stub_client: Any, event_stream: Any) -> None:
    client, _ = stub_client(
        event_stream(
            delta_event(),
            newer(),
            {"type": "conversation.item.text.delta", "delta": "hello"},
            {"later": 1},
            {"delta": base64.b64encode(PCM).decode()},
        )
    )
    chunks = list(flavour.iterate(say(flavour, client, stream=True)))
    assert [chunk.audio for chunk in chunks] == [PCM, PCM, b"", b"", PCM]
    assert chunks[3].later == 1


@pytest.mark.parametrize(
    "kind", ["audio/wav", "audio/mpeg", "application/octet-stream", "application/octet-stream; charset=binary"]
)
def test_plain_bytes_instead_of_events(kind: str, flavour: Any, stub_client: Any, tmp_path: Path) -> None:
    client, _ = stub_client(lambda body: sound(PCM * 2_000, kind))
    assert b"".join(chunk.audio for chunk in flavour.iterate(say(flavour, client, stream=True))) == PCM * 2_000
    flavour.run(say(flavour, client, stream=True).stream_to_file(tmp_path / "a.raw"))
    assert (tmp_path / "a.raw").read_bytes() == PCM * 2_000


def test_raw_samples_get_a_header_and_a_wav_file_does_not(
    flavour: Any, stub_client: Any, event_stream: Any, tmp_path: Path
) -> None:
    target = tmp_path / "speech"
    client, _ = stub_client(lambda body: event_stream(delta_event(), delta_event()))
    flavour.run(say(flavour, client, stream=True).stream_to_file(target))
    data = target.read_bytes()
    assert (data[:4], len(data), data[44:]) == (b"RIFF", 44 + 2 * len(PCM), PCM * 2)
    assert shape(data)[:3] == (1, 2, 24_000)
    client, _ = stub_client(lambda body: event_stream(delta_event(b"RIFFwhole"), delta_event(PCM)))
    flavour.run(say(flavour, client, stream=True).stream_to_file(target, response_format="wav"))
    assert target.read_bytes() == b"RIFFwhole" + PCM


def test_what_is_no_mp3_is_not_saved_as_one(flavour: Any, stub_client: Any, event_stream: Any, tmp_path: Path) -> None:
    client, _ = stub_client(lambda body: event_stream(delta_event(b"\0\1\2")))
    with pytest.raises(ValueError, match="not MP3"):
        flavour.run(say(flavour, client, stream=True).stream_to_file(tmp_path / "a.mp3"))
    client, _ = stub_client(lambda body: event_stream(delta_event(b"ID3..."), delta_event(b"...")))
    flavour.run(say(flavour, client, stream=True).stream_to_file(tmp_path / "b.mp3"))
    assert [file.name for file in tmp_path.iterdir()] == ["b.mp3"]


def test_no_audio_is_an_error(flavour: Any, stub_client: Any, event_stream: Any, tmp_path: Path) -> None:
    for reply in (event_stream(), sound(b"", "audio/wav")):
        client, _ = stub_client(reply)
        with pytest.raises(ValueError, match="the response has no audio"):
            flavour.run(say(flavour, client, stream=True).stream_to_file(tmp_path / "a.wav"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.every_transport
@pytest.mark.parametrize("kind", ["text/event-stream", "audio/wav"])
def test_a_broken_connection_raises_and_leaves_no_file(kind: str, flavour: Any, stub_client: Any, tmp_path: Path) -> None:
    event = f"data: {json.dumps(delta_event())}\n\n".encode()
    client, _ = stub_client(httpx.Response(200, headers={"content-type": kind}, stream=Cut(event)))
    stream = say(flavour, client, stream=True)
    with pytest.raises(IncompleteStreamError):
        flavour.run(stream.stream_to_file(tmp_path / "a.wav"))
    assert list(tmp_path.iterdir()) == []


def test_events_that_end_without_their_marker(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client(
        httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            stream=httpx.ByteStream(f"data: {json.dumps(delta_event())}\n\n".encode()),
        )
    )
    stream = flavour.iterate(say(flavour, client, stream=True))
    assert next(stream).audio == PCM
    with pytest.raises(IncompleteStreamError):
        next(stream)


def test_an_event_that_says_that_the_audio_is_done_is_an_end_too(flavour: Any, stub_client: Any) -> None:
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in (newer(), {"type": "conversation.item.audio_output.done"}))
    client, _ = stub_client(
        httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=httpx.ByteStream(lines.encode()))
    )
    assert [chunk.audio for chunk in flavour.iterate(say(flavour, client, stream=True))] == [PCM, b""]


def test_an_error_in_the_stream_and_base64_that_is_none(flavour: Any, stub_client: Any, event_stream: Any) -> None:
    client, _ = stub_client(event_stream(delta_event(), {"error": {"message": "the voice broke", "type": "server_error"}}))
    with pytest.raises(APIError, match="the voice broke"):
        list(flavour.iterate(say(flavour, client, stream=True)))
    client, _ = stub_client(event_stream({**delta_event(), "b64": "*not base64*"}))
    with pytest.raises(APIResponseValidationError):
        list(flavour.iterate(say(flavour, client, stream=True)))


def test_leaving_a_stream_early(flavour: Any) -> None:
    stream = say(flavour, stream=True, input=TEXT * 20)
    assert next(flavour.iterate(stream)).audio
    flavour.run(stream.close())
    assert list(flavour.iterate(stream)) == []


def test_the_response_of_a_stream(flavour: Any) -> None:
    raw = flavour.run(flavour.client().audio.speech.with_raw_response.create(model=CARTESIA, input="Hi.", stream=True))
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert list(flavour.iterate(raw.parse()))


# What is known of sound


@pytest.mark.parametrize(
    ("encoding", "number", "width"), [("pcm_s16le", 1, 2), ("pcm_f32le", 3, 4), ("pcm_alaw", 6, 1), ("pcm_mulaw", 7, 1)]
)
def test_a_header_says_what_follows(encoding: str, number: int, width: int) -> None:
    header = wav_header(800, 8_000, encoding)
    assert len(header) == 44
    assert struct.unpack("<4sI4s4sIHHIIHH4sI", header) == (
        b"RIFF", 836, b"WAVE", b"fmt ", 16, number, 1, 8_000, 8_000 * width, width, 8 * width, b"data", 800,
    )  # fmt: skip


def test_what_a_request_says_of_its_audio_format() -> None:
    assert AudioFormat.from_request(CARTESIA, None, None, None) == AudioFormat(None, 24_000, "pcm_s16le")
    assert AudioFormat.from_request(CARTESIA, "raw", 8_000, "pcm_mulaw") == AudioFormat("raw", 8_000, "pcm_mulaw")
    assert AudioFormat.from_request("minimax/speech", "raw", 8_000, "pcm_mulaw") == AudioFormat("raw", 8_000, "pcm_s16le")
    assert AudioFormat.from_request(KOKORO, "raw", 8_000, "pcm_mulaw") == AudioFormat("raw", 24_000, "pcm_s16le")
    assert AudioFormat.from_request(CARTESIA, "raw", None, "pcm_of_tomorrow") == AudioFormat("raw", 24_000, "pcm_s16le")


# Transcriptions and translations


def parts(request: Any) -> dict[str, tuple[str | None, bytes]]:
    """Returns the parts of a form: file name and content by name; repeated names are numbered."""
    body = request.body if hasattr(request, "body") else request.content
    boundary = re.search(r"boundary=(\S+)", request.headers["content-type"])
    assert boundary
    result: dict[str, tuple[str | None, bytes]] = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        file = re.search(rb'filename="([^"]*)"', head)
        assert name
        key = name[1].decode()
        result[key if key not in result else f"{key}#{len(result)}"] = (
            file[1].decode() if file else None,
            content.removesuffix(b"\r\n"),
        )
    return result


def hear(flavour: Any, file: Any, client: Any = None, what: str = "transcriptions", **changes: Any) -> Any:
    return flavour.run(getattr((client or flavour.client()).audio, what).create(file=file, **changes))


@pytest.fixture
def recording(tmp_path: Path, shared_emulator: Emulator) -> Path:
    path = tmp_path / "talk.wav"
    with Together(api_key=KEY, base_url=shared_emulator.base_url) as client:
        client.audio.speech.create(model=KOKORO, input=TEXT).stream_to_file(path)
    return path


@pytest.mark.parametrize("what", ["transcriptions", "translations"])
@pytest.mark.parametrize("kind", ["path", "text", "bytes", "open", "memory", "named", "named open"])
def test_a_recording_from_every_source(kind: str, what: str, recording: Path, flavour: Any, emulator: Emulator) -> None:
    data = recording.read_bytes()
    with recording.open("rb") as opened:
        source, name = {
            "path": (recording, "talk.wav"), "text": (str(recording), "talk.wav"), "bytes": (data, "audio.wav"), "open": (opened, "talk.wav"),
            "memory": (io.BytesIO(data), "audio.wav"), "named": (("x.mp3", data), "x.mp3"), "named open": (("x.wav", opened), "x.wav"),
        }[kind]  # fmt: skip
        assert hear(flavour, source, what=what).text == TEXT
    request = emulator.requests[-1]
    assert request.path == f"/v1/audio/{what}"
    assert parts(request) == {"file": (name, data), "model": (None, b"openai/whisper-large-v3")}


def test_an_address_is_sent_as_text(flavour: Any, emulator: Emulator) -> None:
    assert "talk.mp3" in hear(flavour, "https://a.example/talk.mp3").text
    assert parts(emulator.requests[-1])["file"] == (None, b"https://a.example/talk.mp3")


def test_every_field_of_the_form(flavour: Any, emulator: Emulator, recording: Path) -> None:
    hear(
        flavour, recording, model="acme/ears", language="de", prompt="Names: Ann", response_format="verbose_json", temperature=0.5,
        timestamp_granularities=["word", "segment"], diarize=True, min_speakers=1, max_speakers=3, extra_body={"later": False},
    )  # fmt: skip
    texts = {name: content.decode() for name, (file, content) in parts(emulator.requests[-1]).items() if file is None}
    assert list(texts.values()).count("word") == list(texts.values()).count("segment") == 1
    assert texts["timestamp_granularities[]"] == "word"
    plain_text = {name: text for name, text in texts.items() if "granularities" not in name}
    assert plain_text == {
        "model": "acme/ears", "language": "de", "prompt": "Names: Ann", "response_format": "verbose_json", "temperature": "0.5", "diarize": "true",
        "min_speakers": "1", "max_speakers": "3", "later": "false",
    }  # fmt: skip
    hear(flavour, recording, timestamp_granularities="word", response_format="verbose_json")
    assert parts(emulator.requests[-1])["timestamp_granularities"] == (None, b"word")


def test_times_and_speakers(flavour: Any, recording: Path) -> None:
    plain_text = hear(flavour, recording)
    assert (plain_text.text, plain_text.words, plain_text.segments) == (TEXT, None, None)
    updates = hear(flavour, recording, response_format="verbose_json", timestamp_granularities=["segment", "word"])
    assert [segment.text for segment in updates.segments] == ["Good morning to you.", "How are you?"]
    assert [word.word for word in updates.words] == TEXT.split()
    assert updates.words[0].start == 0.0
    assert updates.words[-1].end == pytest.approx(updates.duration, abs=0.01)
    speakers = hear(flavour, recording, diarize=True).speaker_segments
    assert [(part.speaker_id, part.words[0].word) for part in speakers] == [("SPEAKER_00", "Good"), ("SPEAKER_01", "How")]


def test_a_repeated_request_sends_the_whole_recording_again(
    flavour: Flavour, emulator: Emulator, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "INITIAL_DELAY", 0.0)
    for source in (recording, io.BytesIO(recording.read_bytes())):
        emulator.clear()
        emulator.inject("503", "drop")
        assert hear(flavour, source).text == TEXT
        assert len({request.body.count(b"INFOICMT") for request in emulator.requests}) == 1
        assert len(emulator.requests) == 3


def test_a_file_that_is_not_there_is_not_requested(flavour: Any, emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hear(flavour, tmp_path / "nothing.wav")
    with pytest.raises(TypeError, match="must be a path"):
        hear(flavour, 5)
    with pytest.raises(TypeError, match="reading bytes"):
        hear(flavour, io.StringIO("text"))
    assert emulator.requests == []


def test_an_empty_recording_is_refused_by_the_service(flavour: Any) -> None:
    with pytest.raises(BadRequestError) as error_info:
        hear(flavour, b"")
    assert error_info.value.param == "file"


RESPONSE: dict[str, Any] = {
    "task": "transcribe", "language": "en", "duration": 3.2, "text": "hello there", "segments": [{"id": 0, "start": 0.0, "end": 1.5, "text": "hello", **NEW}],
    "words": [{"word": "hello", "start": 0.0, "end": 0.4, "speaker_id": "SPEAKER_00", **NEW}],
    "speaker_segments": [{"id": 0, "speaker_id": "S", "start": 0.0, "end": 3.2, "text": "hello", "words": [{"word": "x", "start": 0, "end": 1}]}], **NEW,
}  # fmt: skip


@pytest.mark.parametrize("what", ["transcriptions", "translations"])
def test_every_field_is_kept_and_any_may_be_missing(what: str, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(RESPONSE)

    def read(sample: Any) -> Any:
        service.reply = sample
        return hear(flavour, b"x", client, what).model_dump(exclude_unset=True)

    assert read(RESPONSE) == RESPONSE
    assert find_unreadable(RESPONSE, read) == {}


# Voices


def test_voices(flavour: Any, emulator: Emulator) -> None:
    client = flavour.client()
    assert "af_heart" in [voice.name for entry in flavour.run(client.audio.voices.list()).data for voice in entry.voices]
    assert [entry.model for entry in flavour.run(client.audio.voices.list(KOKORO)).data] == [KOKORO]
    assert [request.query for request in emulator.requests] == ["", "model=hexgrad%2FKokoro-82M"]


def test_voices_without_ids_and_with_more(flavour: Any, stub_client: Any) -> None:
    response = {
        "data": [{"model": CARTESIA, "voices": [{"name": "sidekick", **NEW}, {"id": "v2", "name": "other"}], **NEW}],
        **NEW,
    }
    client, service = stub_client(response)

    def read(sample: Any) -> Any:
        service.reply = sample
        return flavour.run(client.audio.voices.list()).model_dump(exclude_unset=True)

    assert read(response) == response
    assert find_unreadable(response, read) == {}


def test_saving_does_not_hold_up_the_loop(emulator: Emulator, tmp_path: Path) -> None:
    from together_adapters import AsyncTogether

    async def both() -> None:
        async with AsyncTogether(api_key=KEY, base_url=emulator.base_url) as client:
            streams = [await client.audio.speech.create(model=KOKORO, input=TEXT, stream=True) for _ in range(3)]
            await asyncio.gather(*(stream.stream_to_file(tmp_path / f"{at}.wav") for at, stream in enumerate(streams)))

    asyncio.run(both())
    assert len({file.read_bytes() for file in tmp_path.iterdir()}) == 1
