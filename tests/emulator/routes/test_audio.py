"""Speech in valid files, its transcription, and invalid forms."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import wave
from typing import Any

import httpx
import pytest

from together_adapters.emulator import Emulator
from together_adapters.emulator.media import audio as encoders

CARTESIA, KOKORO = "cartesia/sonic", "hexgrad/Kokoro-82M"
TEXT = "Grüße aus Peru! It is cold here."
FORM = "multipart/form-data; boundary=b"


def post_speech(http: httpx.Client, **changes: Any) -> httpx.Response:
    return http.post("/audio/speech", json={"model": CARTESIA, "input": TEXT, "voice": "x", **changes})


def post_audio(
    http: httpx.Client, content: bytes = b"x", name: str = "talk.wav", what: str = "transcriptions", **fields: Any
) -> httpx.Response:
    return http.post(f"/audio/{what}", files={"file": (name, content)}, data=fields)


def events(answer: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("model", "rate"), [(CARTESIA, 44_100), (KOKORO, 24_000)])
def test_wav(model: str, rate: int, http: httpx.Client) -> None:
    answer = post_speech(http, model=model)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getparams()[:3] == (1, 2, rate)
        assert file.getnframes() / rate == pytest.approx(encoders.seconds(TEXT), abs=0.1)
    assert answer.headers["content-type"] == "audio/wav"


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 8_000])
@pytest.mark.parametrize("bits", [32_000, 64_000, 96_000, 128_000, 192_000])
def test_mp3_frames_follow_each_other(rate: int, bits: int) -> None:
    data = encoders.mp3(TEXT, rate, bits)
    assert encoders.embedded_text(data) == TEXT
    at = 10 + sum(byte << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    head, count = data[at : at + 4], 0
    assert (head[0], head[1] & 0xE6) == (0xFF, 0xE2)
    size = data.index(head, at + 4) - at
    while at < len(data):
        assert data[at : at + 4] == head
        at, count = at + size, count + 1
    assert (at, count > 10) == (len(data), True)


@pytest.mark.parametrize(("encoding", "width"), [("pcm_f32le", 4), ("pcm_s16le", 2), ("pcm_mulaw", 1), ("pcm_alaw", 1)])
def test_raw(encoding: str, width: int, http: httpx.Client) -> None:
    answer = post_speech(http, response_format="raw", response_encoding=encoding, sample_rate=8_000)
    assert len(answer.content) / width / 8_000 == pytest.approx(encoders.seconds(TEXT), abs=0.1)
    assert answer.headers["content-type"] == "application/octet-stream"
    kokoro = post_speech(http, model=KOKORO, response_format="raw", response_encoding=encoding, sample_rate=8_000)
    assert kokoro.content == encoders.samples(TEXT, 24_000, "pcm_s16le")


def test_companded_samples_mean_what_plain_ones_do() -> None:
    plain = struct.unpack("<400h", encoders.samples("tone", 8_000, "pcm_s16le")[:800])
    for encoding, expand in (("pcm_mulaw", _from_mulaw), ("pcm_alaw", _from_alaw)):
        close = [
            math.isclose(expand(byte), level, rel_tol=0.1, abs_tol=40)
            for byte, level in zip(encoders.samples("tone", 8_000, encoding), plain, strict=False)
        ]
        assert all(close)


def _from_mulaw(byte: int) -> int:
    byte = ~byte & 0xFF
    size = ((byte & 15) << 3) + 132 << (byte >> 4 & 7)
    return 132 - size if byte & 0x80 else size - 132


def _from_alaw(byte: int) -> int:
    byte ^= 0x55
    exponent, size = byte >> 4 & 7, (byte & 15) << 4
    size = size + 8 if not exponent else size + 264 << exponent - 1
    return size if byte & 0x80 else -size


def test_a_stream(http: httpx.Client) -> None:
    answer = post_speech(http, stream=True, response_format="raw")
    assert answer.headers["content-type"] == "text/event-stream;charset=utf-8"
    stream = events(answer)
    assert {(item["object"], item["model"]) for item in stream} == {("audio.tts.chunk", CARTESIA)}
    assert b"".join(base64.b64decode(item["b64"]) for item in stream) == post_speech(http, response_format="raw").content


def test_a_stream_with_the_times_of_words(http: httpx.Client) -> None:
    stream = events(post_speech(http, stream=True, alignment="word"))
    assert {item["type"] for item in stream[:-1]} == {"conversation.item.audio_output.delta"}
    assert stream[-1]["words"] == TEXT.split()
    assert len(stream[-1]["start_seconds"]) == len(stream[-1]["end_seconds"]) == len(TEXT.split())


def test_strict_mode_streams_only_raw(http: httpx.Client, emulator: Emulator) -> None:
    assert post_speech(http, stream=True, response_format="wav").status_code == 200
    with emulator.behave(strict=True):
        assert post_speech(http, stream=True, response_format="wav").status_code == 400


def test_the_longest_input(http: httpx.Client) -> None:
    for text in ("word " * 10_000, "x" * 50_000):
        assert post_speech(http, input=text, sample_rate=96_000).status_code == 200


@pytest.mark.parametrize("kind", ["wav", "mp3"])
@pytest.mark.parametrize("what", ["transcriptions", "translations"])
def test_speech_is_transcribed(kind: str, what: str, http: httpx.Client) -> None:
    assert post_audio(http, post_speech(http, response_format=kind).content, what=what).json() == {"text": TEXT}


def test_other_recordings_are_named(http: httpx.Client) -> None:
    assert post_audio(http, b"12345", "a/b\\talk.mp3").json() == {"text": "This is the recording talk.mp3 of 5 bytes."}
    form = {"file": (None, "https://a.example/x/y.mp3?k=1"), "model": (None, "openai/whisper-large-v3")}
    assert "y.mp3" in http.post("/audio/transcriptions", files=form).json()["text"]


def test_verbose(http: httpx.Client) -> None:
    speech = post_speech(http).content
    plain = post_audio(http, speech, response_format="verbose_json").json()
    assert (plain["task"], plain["text"], "words" in plain) == ("transcribe", TEXT, False)
    assert [part["text"] for part in plain["segments"]] == ["Grüße aus Peru!", "It is cold here."]
    words = post_audio(http, speech, response_format="verbose_json", **{"timestamp_granularities[]": ["word", "segment"]}).json()[
        "words"
    ]
    assert [word["word"] for word in words] == TEXT.split()
    assert [word["start"] for word in words[1:]] == [word["end"] for word in words[:-1]]
    text = post_audio(http, speech, diarize="True", max_speakers="1").json()
    assert {part["speaker_id"] for part in text["speaker_segments"]} == {"SPEAKER_00"}


def test_voices(http: httpx.Client) -> None:
    assert all(voice["id"] and voice["name"] for entry in http.get("/voices").json()["data"] for voice in entry["voices"])
    assert [entry["model"] for entry in http.get("/voices", params={"model": KOKORO}).json()["data"]] == [KOKORO]
    assert http.get("/voices", params={"model": "x"}).json() == {"data": []}


WRONG = {
    "input": [None, "", 5, "x" * 50_001], "voice": [5, []], "response_format": ["ogg", 5, {}], "response_encoding": ["pcm", []], "sample_rate": [0, "8000", 10**9, True],
    "bit_rate": [5, "128000", []], "stream": ["yes", 1], "extra_params": [5, []], "model": [None, 5, "deepseek-ai/DeepSeek-V4.1-Flash"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_errors_of_speech_name_the_parameter(name: str, value: Any, http: httpx.Client) -> None:
    answer = post_speech(http, **{name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [("response_format", "srt"), ("temperature", "hot"), ("temperature", "2"), ("temperature", "nan"), ("timestamp_granularities", "letter"), ("diarize", "maybe"),
     ("min_speakers", "0"), ("max_speakers", "inf"), ("model", "nothing-known"), ("language", "x" * 100)],
)  # fmt: skip
def test_invalid_form_fields(name: str, value: str, http: httpx.Client) -> None:
    assert post_audio(http, **{name: value}).status_code in (400, 404)


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx\r\n'
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", FORM), "text": (b"hello", FORM), "json": (b'{"file":"https://a.example/b"}', "application/json"), "no type": (PART + b"--b--\r\n", "text/plain"),
    "no boundary": (PART + b"--b--\r\n", "multipart/form-data"), "other boundary": (PART + b"--b--\r\n", "multipart/form-data; boundary=c"), "no end": (PART, FORM),
    "no name": (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", FORM), "no head": (b"--b\r\nx\r\n--b--", FORM), "no file": (b'--b\r\nx: name="a"\r\n\r\nx\r\n--b--', FORM),
    "empty file": (PART.replace(b"\r\n\r\nx", b"\r\n\r\n") + b"--b--", FORM), "bad utf-8": (PART + b'--b\r\nx: name="model"\r\n\r\n\xff\r\n--b--', FORM),
    "many parts": (PART * 5_000 + b"--b--", FORM), "boundaries": (b"--b\r\n" * 1_000_000, FORM), "quotes": (b'--b\r\nx: name="' + b"\\" * 2_000_000 + b"\r\n\r\nx\r\n--b--", FORM),
    "names": (b"--b\r\n" + b"name=" * 1_000_000 + b"\r\n\r\nx\r\n--b--", FORM), "file as text": (b'--b\r\nx: name="file"\r\n\r\n/etc/passwd\r\n--b--', FORM),
    "local address": (b'--b\r\nx: name="file"\r\n\r\nfile:///etc/passwd\r\n--b--', FORM), "files as list": (PART.replace(b'"file"', b'"file[]"') * 2 + b"--b--", FORM),
    "model as file": (PART + PART.replace(b'"file"', b'"model"') + b"--b--", FORM), "81 MB": (PART.replace(b"\r\n\r\nx", b"\r\n\r\n" + b"x" * 85_000_000) + b"--b--", FORM),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_invalid_forms(name: str, http: httpx.Client) -> None:
    body, kind = BODIES[name]
    answer = http.post("/audio/transcriptions", content=body, headers={"content-type": kind})
    assert answer.status_code == (413 if name == "81 MB" else 400)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "content",
    [
        b"RIFF",
        b"RIFF" + b"\0" * 8 + b"fmt " + b"\xff" * 40,
        b"ID3",
        b"ID3" + b"\xff" * 30,
        b"RIFF....INFOICMT",
        b"RIFF....INFOICMT\xff\xff\xff\xff\xfe",
    ],
)
def test_invalid_recordings_are_transcribed(content: bytes, http: httpx.Client) -> None:
    assert post_audio(http, content, response_format="verbose_json").status_code == 200
