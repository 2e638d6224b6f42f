"""Audio formats: which one a response has, and the WAV header that raw samples need. Pure, except that `save` writes a file."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FORMATS: Final = {".wav": "wav", ".mp3": "mp3", ".mpeg": "mp3", ".raw": "raw", ".pcm": "raw"}
"""Formats by the suffixes of files."""
_ENCODINGS: Final = {"pcm_s16le": (1, 2), "pcm_f32le": (3, 4), "pcm_alaw": (6, 1), "pcm_mulaw": (7, 1)}
"""The format code in a WAV header, and the bytes of a sample."""
_FIXED_RATE_MODELS: Final = ("kokoro", "orpheus")
DEFAULT_RATE: Final = 24_000
DEFAULT_ENCODING: Final = "pcm_s16le"


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """The format of generated audio; `sample_rate` and `encoding` are those of raw samples."""

    format: str | None = None
    sample_rate: int = DEFAULT_RATE
    encoding: str = DEFAULT_ENCODING

    @classmethod
    def from_request(cls, model: str, format: str | None, sample_rate: int | None, encoding: str | None) -> AudioFormat:
        """Returns the format of the response to a request. The default is 16 bit at 24000 Hz.

        Only models of Cartesia support the encoding, and two model families always return 24000 Hz.
        """
        model = model.lower()
        rate = None if any(family in model for family in _FIXED_RATE_MODELS) else sample_rate
        is_supported = encoding in _ENCODINGS and "cartesia" in model
        return cls(format, rate or DEFAULT_RATE, encoding if encoding and is_supported else DEFAULT_ENCODING)

    def save(
        self, chunks: Iterable[bytes], file: str | os.PathLike[str], target_format: str | None, *, is_file: bool = False
    ) -> None:
        """Writes audio to a file in a format, by default that of its suffix. A complete file is converted only if necessary."""
        data = b"".join(chunks)
        if not data:
            raise ValueError("the response has no audio")
        if target_format is None and is_file and self.format != "raw":
            suffix = Path(file).suffix.lower()
            target, actual = FORMATS.get(suffix), "wav" if data.startswith(b"RIFF") else "mp3" if is_mp3(data) else None
            if target and actual and target != actual:
                message = f"{Path(file).name} gets {actual.upper()} audio: request response_format={target!r} in create()"
                warnings.warn(message, stacklevel=3)
            Path(file).write_bytes(data)
        else:
            Path(file).write_bytes(self.convert(data, target_format or FORMATS.get(Path(file).suffix.lower(), "wav")))

    def convert(self, data: bytes, target_format: str) -> bytes:
        """Returns audio as the content of a file of a format; a ValueError if it has another one."""
        if target_format == "raw" or (target_format == "wav" and data.startswith(b"RIFF")):
            return data
        if target_format == "wav" and self.format != "mp3":
            return wav_header(len(data), self.sample_rate, self.encoding) + data
        if target_format == "mp3" and is_mp3(data):
            return data
        if target_format not in ("wav", "mp3"):
            raise ValueError(f"response_format must be 'wav', 'mp3' or 'raw', not {target_format!r}")
        raise ValueError(
            f"the audio is not {target_format.upper()}: request it with response_format={target_format!r} in create()"
        )


def is_mp3(data: bytes) -> bool:
    """Whether data starts like an MP3 file: with a tag or a frame."""
    return data.startswith(b"ID3") or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0)


def wav_header(size: int, sample_rate: int = DEFAULT_RATE, encoding: str = DEFAULT_ENCODING) -> bytes:
    """Returns the 44-byte header of a WAV file with `size` bytes of samples in one channel."""
    code, width = _ENCODINGS[encoding]
    size = min(size, 0xFFFF_FFFF - 36)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, code, 1, sample_rate, sample_rate * width, width, 8 * width, b"data", size,
    )  # fmt: skip
