"""What a file is that is not JSON Lines, told by its first bytes."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pydantic_core import from_json

from together_adapters.finetune.validation.jsonl_reader import BOM

TABLE_MAGIC: Final = (b"PAR1", b"ARROW1", b"FEA1")
_COMPRESSIONS: Final = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "Zstandard", b"PK\x03\x04": "ZIP",
}  # fmt: skip
_ENCODINGS: Final = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16",
    b"{\0\0\0": "utf-32-le", b"\0\0\0{": "utf-32-be", b"{\0": "utf-16-le", b"\0{": "utf-16-be", b"[\0": "utf-16-le",
    b"\0[": "utf-16-be",
}  # fmt: skip
_LFS: Final = "a Git LFS pointer, not the data itself: run `git lfs pull`"
EXCEL: Final = "an Excel file: save the sheet as CSV (UTF-8), or pass pandas.read_excel(...) to load"
_FOREIGN: Final = {
    b"version https://git-lfs": _LFS,
    b"/annex/objects/": "a git-annex pointer, not the data itself: run `git annex get`",
    b"<!doctype html": "an HTML page, not the data itself: download the file that the page shows",
    b"<html": "an HTML page, not the data itself: download the file that the page shows",
    b"<?xml": "an XML document: convert it to JSON lines, one object per line",
    b"\xd0\xcf\x11\xe0": EXCEL,
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
_ARRAY: Final = re.compile(rb"\s*\[\s*\{")
_SPREAD: Final = re.compile(rb'\s*\{[ \t\r]*\n\s*"')


class FileKind(NamedTuple):
    """What a file is: the code of the issue, words for messages, and whether `load` reads it."""

    code: str
    what: str
    is_readable: bool = True


def file_kind(head: bytes) -> FileKind | None:
    """Returns what a file is that starts with some bytes; None for lines of UTF-8 and what is not known."""
    if compression := _starting_with(head, _COMPRESSIONS):
        return FileKind("not_json_lines", f"compressed with {compression}")
    if encoding := encoding_of(head):
        return FileKind("not_utf8", f"text in {encoding.upper()}")
    if foreign := foreign_kind(head):
        return FileKind("not_json_lines", foreign, is_readable=False)
    if head.startswith(TABLE_MAGIC):
        return FileKind("not_json_lines", "a table of Parquet, Arrow or Feather")
    text = head.removeprefix(BOM).lstrip()
    if _ARRAY.match(text) and not _has_lines_of_json(text):
        return FileKind("line_not_object", "one JSON array")
    return FileKind("json_syntax", "JSON that is spread over lines") if _SPREAD.match(text) else None


def encoding_of(head: bytes) -> str | None:
    """Returns the encoding of a text that starts with some bytes, if it is known and not UTF-8."""
    return _starting_with(head, _ENCODINGS)


def foreign_kind(head: bytes) -> str | None:
    """Returns what a file is that `load` cannot read, and what to do, told by its first bytes."""
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it first"
    return _starting_with(head.removeprefix(BOM).lstrip()[:64].lower(), _FOREIGN)


def _starting_with(head: bytes, names: dict[bytes, str]) -> str | None:
    return next((name for start, name in names.items() if head.startswith(start)), None)


def _has_lines_of_json(text: bytes) -> bool:
    """Whether the first of several lines is JSON."""
    line, _, rest = text.partition(b"\n")
    try:
        from_json(line)
    except ValueError:
        return False
    return bool(rest.strip())
