"""Audio files without an audio library: a tone for each word, and the text as metadata, so that it can be transcribed again."""

from __future__ import annotations

import math
import struct
from typing import Final

_SECONDS_PER_LETTER: Final = 0.06
_MAX_SECONDS: Final = 30.0
_MP3_RATES: Final = {44_100: (3, 0), 48_000: (3, 1), 32_000: (3, 2), 22_050: (2, 0), 24_000: (2, 1), 16_000: (2, 2)}
"""For each rate its version of MPEG, and its number there."""
_MP3_BITS: Final = {
    3: {32_000: 1, 64_000: 5, 96_000: 7, 128_000: 9, 192_000: 11},
    2: {32_000: 4, 64_000: 8, 96_000: 10, 128_000: 12, 192_000: 14},
}


def seconds(text: str) -> float:
    """Returns the duration of a spoken text."""
    return min(max(len(text) * _SECONDS_PER_LETTER, 0.2), _MAX_SECONDS)


def samples(text: str, rate: int, encoding: str) -> bytes:
    """Returns samples without a header: for each word a tone, whose pitch depends on the word."""
    words = text.split()[:300] or [text]
    letters = sum(map(len, words))
    tones = [_tone(word, max(int(seconds(text) * rate * len(word) / letters), 1), rate, encoding) for word in words]
    return b"".join(tones)


def _tone(word: str, count: int, rate: int, encoding: str) -> bytes:
    period = max(rate // (150 + sum(map(ord, word)) % 300), 2)
    wave = b"".join(_sample(0.3 * math.sin(2 * math.pi * at / period), encoding) for at in range(period))
    return (wave * (count // period + 1))[: count * (len(wave) // period)]


def _sample(level: float, encoding: str) -> bytes:
    if encoding == "pcm_f32le":
        return struct.pack("<f", level)
    if encoding == "pcm_s16le":
        return struct.pack("<h", round(level * 32_767))
    return bytes((_mulaw(level) if encoding == "pcm_mulaw" else _alaw(level),))


def _mulaw(level: float) -> int:
    size = min(abs(round(level * 32_767)), 32_635) + 132
    exponent = size.bit_length() - 8
    return ~((0x80 if level < 0 else 0) | exponent << 4 | (size >> (exponent + 3)) & 15) & 0xFF


def _alaw(level: float) -> int:
    size = min(abs(round(level * 32_767)), 32_767)
    exponent = max(size.bit_length() - 8, 0)
    mantissa = (size >> (exponent + 3 if exponent else 4)) & 15
    return (exponent << 4 | mantissa | (0 if level < 0 else 0x80)) ^ 0x55


def wav(text: str, rate: int) -> bytes:
    """Returns a WAV file of 16-bit samples, with the text as its comment."""
    data = samples(text, rate, "pcm_s16le")
    format = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    comment = b"INFO" + _chunk(b"ICMT", text.encode("utf-8", "replace") + b"\0")
    body = b"WAVE" + _chunk(b"fmt ", format) + _chunk(b"data", data) + _chunk(b"LIST", comment)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def mp3(text: str, rate: int, bit_rate: int) -> bytes:
    """Returns a silent MP3 file, with the text in its tag. A rate that MP3 does not have becomes 44100."""
    rate = rate if rate in _MP3_RATES else 44_100
    version, number = _MP3_RATES[rate]
    actual = 160_000 if version == 2 and bit_rate == 192_000 else bit_rate
    size = (144 if version == 3 else 72) * actual // rate
    head = bytes((0xFF, 0xE3 | version << 3, _MP3_BITS[version][bit_rate] << 4 | number << 2, 0xC0))
    frame = head + bytes(size - 4)
    frame_seconds = (1152 if version == 3 else 576) / rate
    return _tag(text) + frame * max(round(seconds(text) / frame_seconds), 1)


def _tag(text: str) -> bytes:
    text_bytes = b"\3eng\0" + text.encode("utf-8", "replace")
    frame = b"USLT" + _syncsafe(len(text_bytes)) + b"\0\0" + text_bytes
    return b"ID3\4\0\0" + _syncsafe(len(frame)) + frame


def _syncsafe(size: int) -> bytes:
    """Encodes a length with seven bits per byte, as tags have it."""
    return bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127))


def embedded_text(content: bytes) -> str | None:
    """Returns the text in the metadata of a file of this emulator, or None."""
    if content[:4] == b"RIFF" and (at := content.rfind(b"INFOICMT")) > 0:
        size = int.from_bytes(content[at + 8 : at + 12], "little")
        return content[at + 12 : at + 12 + size].rstrip(b"\0").decode("utf-8", "replace")
    if content[:3] == b"ID3" and content[10:14] == b"USLT":
        size = sum(byte << shift for byte, shift in zip(content[14:18], (21, 14, 7, 0), strict=True))
        return content[25 : 20 + size].decode("utf-8", "replace")
    return None


def duration(content: bytes, text: str) -> float:
    """Returns the duration of a recording: of a WAV file by its header, otherwise that of its spoken text."""
    if content[:4] == b"RIFF" and content[12:16] == b"fmt " and content[36:40] == b"data":
        rate, size = int.from_bytes(content[28:32], "little"), int.from_bytes(content[40:44], "little")
        if rate:
            return round(min(size, len(content)) / rate, 3)
    return round(seconds(text), 3)
