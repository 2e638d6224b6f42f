"""A video file without a video library: an MP4 whose only track shows one JPEG image."""

from __future__ import annotations

import struct
from typing import Final

from together_adapters.emulator.media.images import jpeg

_UNIT: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def mp4(text: str, width: int, height: int, seconds: float) -> bytes:
    """Returns an MP4 file, whose image depends only on the text."""
    image = jpeg(text, width, height)
    top = _box("ftyp", b"isom", struct.pack(">I", 512), b"isomiso2mp41")
    moov = _movie(width, height, round(seconds * 1000), len(image), 0)
    moov = _movie(width, height, round(seconds * 1000), len(image), len(top) + len(moov) + 8)
    return top + moov + _box("mdat", image)


def _movie(width: int, height: int, length: int, size: int, offset: int) -> bytes:
    movie = _full("mvhd", 0, struct.pack(">4I", 0, 0, 1000, length), struct.pack(">IHH8x", 0x10000, 0x100, 0), _UNIT,
                  bytes(24), struct.pack(">I", 2))  # fmt: skip
    track = _full("tkhd", 3, struct.pack(">5I", 0, 0, 1, 0, length), bytes(8), bytes(8), _UNIT,
                  struct.pack(">II", width << 16, height << 16))  # fmt: skip
    media = _box(
        "mdia",
        _full("mdhd", 0, struct.pack(">4IHH", 0, 0, 1000, length, 0x55C4, 0)),
        _full("hdlr", 0, bytes(4), b"vide", bytes(12), b"video\0"),
        _box("minf", _full("vmhd", 1, bytes(8)), _box("dinf", _full("dref", 0, _list_of_one(_full("url ", 1)))),
             _samples(width, height, length, size, offset)),
    )  # fmt: skip
    return _box("moov", movie, _box("trak", track, media))


def _samples(width: int, height: int, length: int, size: int, offset: int) -> bytes:
    config = bytes((4, 13, 0x6C, 0x11)) + bytes(11)
    elementary = _full("esds", 0, bytes((3, len(config) + 6, 0, 1, 0)), config, bytes((6, 1, 2)))
    entry = _box("mp4v", bytes(6), struct.pack(">H16xHH", 1, width, height), struct.pack(">IIIH", 0x480000, 0x480000, 0, 1),
                 bytes(32), struct.pack(">Hh", 24, -1), elementary)  # fmt: skip
    return _box(
        "stbl",
        _full("stsd", 0, _list_of_one(entry)),
        _full("stts", 0, _list_of_one(struct.pack(">II", 1, length))),
        _full("stsc", 0, _list_of_one(struct.pack(">III", 1, 1, 1))),
        _full("stsz", 0, struct.pack(">III", 0, 1, size)),
        _full("stco", 0, _list_of_one(struct.pack(">I", offset))),
    )


def _box(name: str, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + name.encode() + data


def _full(name: str, flags: int, *content: bytes) -> bytes:
    return _box(name, struct.pack(">I", flags), *content)


def _list_of_one(entry: bytes) -> bytes:
    return struct.pack(">I", 1) + entry
