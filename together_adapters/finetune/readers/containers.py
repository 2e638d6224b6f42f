"""What files are packed in, told by their content: compressed, in other encodings, or no data at all. Memory is bounded."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator
from io import BufferedReader, RawIOBase
from pathlib import PurePath
from typing import Any, BinaryIO, Final, NamedTuple
from zipfile import BadZipFile, ZipFile

from together_adapters._lazy import pip_install
from together_adapters.errors import DatasetError
from together_adapters.finetune.validation.file_kind import EXCEL, encoding_of, foreign_kind
from together_adapters.finetune.validation.jsonl_reader import BOM

BLOCK: Final = 1 << 17
PACKED_SUFFIXES: Final = (".gz", ".zst", ".zstd", ".bz2", ".xz", ".zip")
_HEAD: Final = 1024
_MAX_LAYERS: Final = 3
_ZSTD_INPUT: Final = 1 << 10  # four bytes may become 128 KiB
_ERRORS: Final = (zlib.error, lzma.LZMAError, BadZipFile, RuntimeError, NotImplementedError, ValueError)


class Content(NamedTuple):
    """The bytes of a file, unpacked and in UTF-8, and the suffix that says what they are."""

    file: BufferedReader
    suffix: str
    is_packed: bool = False


class _Chunks(RawIOBase):
    """A file of chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def open_content(file: BinaryIO, name: str) -> Content:
    """Unpacks and decodes a file; raises `DatasetError` for what cannot be training data."""
    path = PurePath(name.lower())
    suffixes = [suffix for suffix in path.suffixes if suffix not in PACKED_SUFFIXES]
    suffix = suffixes[-1] if suffixes else ""
    stream: BufferedReader = file if isinstance(file, BufferedReader) else BufferedReader(file, BLOCK)  # type: ignore[arg-type,type-var,unused-ignore]
    is_packed = False
    for _ in range(_MAX_LAYERS):
        head = stream.peek(_HEAD)
        if head.startswith(b"PK\x03\x04"):
            content, member = _zip_member(stream, name)
            suffix = suffix or PurePath(member.lower()).suffix
        else:
            unpack = next((unpack for magic, unpack in _COMPRESSIONS.items() if head.startswith(magic)), None)
            if unpack is None:
                break
            content = unpack(stream, name)
        is_packed = True
        stream = BufferedReader(_Chunks(_chunks_of(content, name)), BLOCK)
    if what := foreign_kind(stream.peek(_HEAD)):
        raise DatasetError(f"{name} is {what}")
    return Content(_as_utf8(stream, name), suffix, is_packed)


def _chunks_of(file: Any, name: str) -> Iterator[bytes]:
    try:
        while chunk := file.read1(BLOCK):
            yield chunk
    except EOFError:
        raise DatasetError(f"{name} is cut off: its compressed data does not end; copy or download it again") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DatasetError(f"{name} is damaged and cannot be unpacked: {error}") from None
    except _ERRORS as error:
        raise DatasetError(f"{name} is damaged or cannot be unpacked: {error}") from None


def _zip_member(file: BufferedReader, name: str) -> tuple[Any, str]:
    """Opens the only file of an archive."""
    if not file.seekable():
        raise DatasetError(f"{name} is a ZIP archive, which cannot be read from a pipe: name the file")
    try:
        archive = ZipFile(file)
        names = archive.namelist()
        if "[Content_Types].xml" in names:
            raise DatasetError(f"{name} is {EXCEL if any(one.startswith('xl/') for one in names) else 'an Office document'}")
        members = [one for one in names if not one.endswith("/") and not one.startswith("__MACOSX/") and ".DS_Store" not in one]
        if len(members) != 1:
            names_in_zip = ", ".join(members[:10]) + (" and more" if len(members) > 10 else "")
            raise DatasetError(f"{name} has {len(members)} files, and one is read: unpack it ({names_in_zip})")
        return archive.open(members[0]), members[0]
    except (OSError, *_ERRORS) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{name} cannot be unpacked: {error}") from None


class _ZstdFile:
    """Unpacks Zstandard with the package `zstandard`, whose own reader takes a file that is cut off as complete."""

    def __init__(self, file: BufferedReader, name: str) -> None:
        try:
            import zstandard  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            message = f"{name} is compressed with Zstandard: {pip_install('finetune')}, or unpack it with `zstd -d`"
            raise ImportError(message) from None
        self._file = file
        self._error = zstandard.ZstdError
        self._new: Callable[[], Any] = lambda: zstandard.ZstdDecompressor().decompressobj()
        self._frame = self._new()
        self._rest = b""
        self._is_within = False

    def read1(self, _: int) -> bytes:
        while True:
            data = self._rest or self._file.read(_ZSTD_INPUT)
            if not data:
                if self._is_within:
                    raise EOFError
                return b""
            if self._frame.eof:
                self._frame = self._new()
            try:
                chunk: bytes = self._frame.decompress(data)
            except self._error as error:
                raise ValueError(str(error)) from None
            self._is_within, self._rest = not self._frame.eof, self._frame.unused_data if self._frame.eof else b""
            if chunk:
                return chunk


def _open_zstd(file: BufferedReader, name: str) -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return _ZstdFile(file, name)
    return zstd.ZstdFile(file)


_COMPRESSIONS: Final[dict[bytes, Callable[[BufferedReader, str], Any]]] = {
    b"\x1f\x8b": lambda file, _: gzip.GzipFile(fileobj=file),
    b"BZh": lambda file, _: bz2.BZ2File(file),
    b"\xfd7zXZ\0": lambda file, _: lzma.LZMAFile(file),  # noqa: SIM115 -- it is read to its end
    b"\x28\xb5\x2f\xfd": _open_zstd,
}


def _as_utf8(file: BufferedReader, name: str) -> BufferedReader:
    head = file.peek(4)[:4]
    encoding = encoding_of(head)
    if encoding is not None:
        return BufferedReader(_Chunks(_utf8_chunks(file, encoding, name)), BLOCK)
    if head.startswith(BOM):
        file.read(len(BOM))
    return file


def _utf8_chunks(file: BufferedReader, encoding: str, name: str) -> Iterator[bytes]:
    decoder = getincrementaldecoder(encoding)()
    try:
        while chunk := file.read1(BLOCK):
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise DatasetError(f"{name} is {encoding.upper()} with an error: {error}; save it as UTF-8") from None
