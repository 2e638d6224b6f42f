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

from together_adapters.errors import DatasetError

BLOCK: Final = 1 << 17
PACKED_SUFFIXES: Final = (".gz", ".zst", ".zstd", ".bz2", ".xz", ".zip")
TABLE_MAGIC: Final = (b"PAR1", b"ARROW1", b"FEA1")
_HEAD: Final = 1024
_MAX_LAYERS: Final = 3
_ZSTD_INPUT: Final = 1 << 10  # four bytes may become 128 KiB
_BOM: Final = b"\xef\xbb\xbf"
_ENCODINGS: Final = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
    b"{\0\0\0": "utf-32-le", b"\0\0\0{": "utf-32-be", b"{\0": "utf-16-le", b"\0{": "utf-16-be", b"[\0": "utf-16-le",
    b"\0[": "utf-16-be",
}  # fmt: skip
_LFS: Final = "a Git LFS pointer, not the data itself: run `git lfs pull`"
_EXCEL: Final = "an Excel file: save the sheet as CSV (UTF-8), or pass pandas.read_excel(...) to load"
_FOREIGN: Final = {
    b"version https://git-lfs": _LFS,
    b"/annex/objects/": "a git-annex pointer, not the data itself: run `git annex get`",
    b"<!doctype html": "an HTML page, not the data itself: download the file that the page shows",
    b"<html": "an HTML page, not the data itself: download the file that the page shows",
    b"<?xml": "an XML document: convert it to JSON lines, one object per line",
    b"\xd0\xcf\x11\xe0": _EXCEL,
    b"%pdf": "a PDF document: training data is JSON lines, CSV or Parquet",
    b"sqlite format 3": "an SQLite database: pass pandas.read_sql(...) to load, or export the table as CSV",
    b"\x93numpy": "a NumPy array: training data is JSON lines, CSV or Parquet",
    b"\x89hdf": "an HDF5 file: pass pandas.read_hdf(...) to load, or save it as Parquet",
    b"obj\x01": "an Avro file: convert it to Parquet or JSON lines",
    b"orc": "an ORC file: convert it to Parquet",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"rar!": "a RAR archive: unpack it first",
    b"\x04\x22\x4d\x18": "compressed with LZ4: unpack it first",
    b"\xff\x06\0\0snappy": "compressed with Snappy: unpack it first",
    b"\x80\x04\x95": "a Python pickle, which is not read because it can run code: save the data as JSON lines",
    b"\x80\x05\x95": "a Python pickle, which is not read because it can run code: save the data as JSON lines",
}
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
    refuse_foreign(stream.peek(_HEAD), name)
    return Content(_as_utf8(stream, name), suffix, is_packed)


def compression_of(head: bytes) -> str | None:
    """Returns what a file that starts with some bytes is compressed with."""
    names = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"PK\x03\x04": "ZIP"}
    return next((name for magic, name in names.items() if head.startswith(magic)), None)


def encoding_of(head: bytes) -> str | None:
    """Returns the encoding of a text that starts with some bytes, if it is known and not UTF-8."""
    return next((encoding for start, encoding in _ENCODINGS.items() if head.startswith(start)), None)


def refuse_foreign(head: bytes, name: str) -> None:
    """Raises `DatasetError` for files of other kinds, told by their first bytes."""
    start = head.removeprefix(_BOM).lstrip()[:64].lower()
    what = next((words for magic, words in _FOREIGN.items() if start.startswith(magic)), None)
    if what is None and head[257:262] == b"ustar":
        what = "a tar archive: unpack it first"
    if what is not None:
        raise DatasetError(f"{name} is {what}")


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
            raise DatasetError(f"{name} is {_EXCEL if any(one.startswith('xl/') for one in names) else 'an Office document'}")
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
            message = (
                f'{name} is compressed with Zstandard: pip install "together-adapters[finetune]", or unpack it with `zstd -d`'
            )
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
    if head.startswith(_BOM):
        file.read(len(_BOM))
    return file


def _utf8_chunks(file: BufferedReader, encoding: str, name: str) -> Iterator[bytes]:
    decoder = getincrementaldecoder(encoding)()
    try:
        while chunk := file.read1(BLOCK):
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise DatasetError(f"{name} is {encoding.upper()} with an error: {error}; save it as UTF-8") from None
