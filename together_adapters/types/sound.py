"""From the bytes of spoken text to a file that players open: which format it is, and the header that bare samples need. Pure but for one write."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BY_ENDING: Final = {".wav": "wav", ".mp3": "mp3", ".mpeg": "mp3", ".raw": "raw", ".pcm": "raw"}
_SAMPLES: Final = {"pcm_s16le": (1, 2), "pcm_f32le": (3, 4), "pcm_alaw": (6, 1), "pcm_mulaw": (7, 1)}
"""For each encoding its number in a WAV header, and the bytes of a sample."""
_FIXED_RATE: Final = ("kokoro", "orpheus")
DEFAULT_RATE: Final = 24_000
DEFAULT_ENCODING: Final = "pcm_s16le"


@dataclass(frozen=True, slots=True)
class Sound:
    """What is known about spoken bytes.

    Attributes:
        format: `wav`, `mp3` or `raw` as it was asked for; None when nothing was said.
        sample_rate: Samples per second of bare samples.
        encoding: What such a sample is.
    """

    format: str | None = None
    sample_rate: int = DEFAULT_RATE
    encoding: str = DEFAULT_ENCODING

    def save(self, pieces: Iterable[bytes], file: str | os.PathLike[str], wanted: str | None, *, whole: bool = False) -> None:
        """Write spoken bytes as a file.

        Args:
            pieces: The bytes.
            file: Where to.
            wanted: `wav`, `mp3` or `raw`; None goes by the ending of the file, and takes any other for `wav`.
            whole: Whether the bytes are a whole answer, which is written as it came unless it has to become something else.

        Raises:
            ValueError: There is nothing to write, or it cannot be of that format.
        """
        data = b"".join(pieces)
        if not data:
            raise ValueError("no audio came")
        if wanted is None and whole and self.format != "raw":
            Path(file).write_bytes(data)
        else:
            Path(file).write_bytes(self.as_format(data, wanted or _BY_ENDING.get(Path(file).suffix.lower(), "wav")))

    def as_format(self, data: bytes, wanted: str) -> bytes:
        """Return spoken bytes as the content of a file of one format.

        Raises:
            ValueError: The format is unknown, or the bytes are another one.
        """
        if wanted == "raw" or (wanted == "wav" and data.startswith(b"RIFF")):
            return data
        if wanted == "wav" and self.format != "mp3":
            return wav_header(len(data), self.sample_rate, self.encoding) + data
        if wanted == "mp3" and is_mp3(data):
            return data
        if wanted not in ("wav", "mp3"):
            raise ValueError(f"response_format must be 'wav', 'mp3' or 'raw', not {wanted!r}")
        raise ValueError(f"the audio that came is not {wanted.upper()}: ask for it with response_format={wanted!r} in create()")


def sound_of(model: str, format: str | None, sample_rate: int | None, encoding: str | None) -> Sound:
    """Return what a request says about the sound of its answer.

    Only Cartesia's models heed an encoding, and two families give 24000 Hz whatever was asked. What was not said is 16 bit at
    24000 Hz, as most models give it.
    """
    name = model.lower()
    rate = None if any(family in name for family in _FIXED_RATE) else sample_rate
    heeded = encoding if encoding in _SAMPLES and "cartesia" in name else None
    return Sound(format, rate or DEFAULT_RATE, heeded or DEFAULT_ENCODING)


def is_mp3(data: bytes) -> bool:
    """Whether bytes begin as an MP3 file does: with a tag, or with a frame."""
    return data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)


def wav_header(size: int, sample_rate: int = DEFAULT_RATE, encoding: str = DEFAULT_ENCODING) -> bytes:
    """Return the 44 bytes that make a WAV file of `size` bytes of samples, one channel."""
    number, width = _SAMPLES[encoding]
    size = min(size, 0xFFFF_FFFF - 36)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, number, 1, sample_rate, sample_rate * width, width, 8 * width, b"data", size,
    )  # fmt: skip
