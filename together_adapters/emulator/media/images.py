"""Image files without an imaging library: a mosaic of coloured tiles that depends on a text, as PNG or JPEG.

Tiles make both formats fast to encode. A PNG repeats few different rows. In a JPEG each block of 8 x 8 pixels has one colour,
so a block is one coefficient; restart markers separate the rows of blocks, and equal rows are encoded once.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from functools import lru_cache
from typing import Final

Colour = tuple[int, int, int]
_TILES: Final = 8


def mosaic(text: str) -> list[list[Colour]]:
    """Returns rows of colours, which depend only on the text."""
    seed = hashlib.shake_128(text.encode("utf-8", "replace")).digest(3 * _TILES * _TILES)
    colours: list[Colour] = [(seed[at], seed[at + 1], seed[at + 2]) for at in range(0, len(seed), 3)]
    return [colours[row * _TILES : (row + 1) * _TILES] for row in range(_TILES)]


def png(text: str, width: int, height: int) -> bytes:
    """Returns a PNG file."""
    side = -(-width // _TILES)
    rows = [b"\0" + b"".join(bytes(colour) * side for colour in row)[: 3 * width] for row in mosaic(text)]
    tile_height = -(-height // _TILES)
    pixels = zlib.compress(b"".join(rows[y // tile_height] for y in range(height)), 1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def jpeg(text: str, width: int, height: int) -> bytes:
    """Returns a baseline JPEG file."""
    across, down = -(-width // 8), -(-height // 8)
    rows = [_row(tuple(row), across) for row in mosaic(text)]
    tile_rows = -(-down // _TILES)
    data = b"".join(rows[y // tile_rows] + bytes((0xFF, 0xD0 + y % 8)) for y in range(down))[:-2]
    frame = struct.pack(">BHHB", 8, height, width, 3) + bytes((1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0))
    return b"".join(
        (
            b"\xff\xd8",
            _marker(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _marker(0xDB, b"\0" + b"\x08" * 64),
            _marker(0xC0, frame),
            # Codes of four bits for twelve sizes of a difference; of all other codes only "end of block".
            _marker(0xC4, b"\x00" + bytes((0, 0, 0, 12)) + bytes(12) + bytes(range(12))),
            _marker(0xC4, b"\x10" + bytes((1,)) + bytes(15) + b"\0"),
            _marker(0xDD, struct.pack(">H", across)),
            _marker(0xDA, bytes((3, 1, 0, 2, 0, 3, 0, 0, 63, 0))),
            data,
            b"\xff\xd9",
        )
    )


def _marker(code: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(data) + 2) + data


@lru_cache(64)
def _row(colours: tuple[Colour, ...], across: int) -> bytes:
    """Encodes one row of blocks: for each block three differences, each followed by the end of the block."""
    side = -(-across // _TILES)
    bits: list[str] = []
    last = (0, 0, 0)
    for block in range(across):
        levels = _ycc(colours[block // side])
        bits += [_difference(level - before) + "0" for level, before in zip(levels, last, strict=True)]
        last = levels
    code = "".join(bits)
    code += "1" * (-len(code) % 8)
    return int(code, 2).to_bytes(len(code) // 8, "big").replace(b"\xff", b"\xff\0")


def _ycc(colour: Colour) -> tuple[int, int, int]:
    """Returns luminance and two chrominances around 0: with a quantisation of 8, they are the coefficients of a block."""
    red, green, blue = colour
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    return round(bright - 128), round((blue - bright) * 0.564), round((red - bright) * 0.713)


def _difference(value: int) -> str:
    size = abs(value).bit_length()
    code = format(size, "04b")
    if not size:
        return code
    return code + format(value if value > 0 else value + (1 << size) - 1, f"0{size}b")
