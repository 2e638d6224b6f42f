"""Files and folders as records: JSON, CSV, Parquet and Arrow, in any container, or from standard input."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Final, NamedTuple
from weakref import finalize

from together_adapters.errors import DatasetError
from together_adapters.finetune.readers.arrow import arrow_records
from together_adapters.finetune.readers.containers import BLOCK, PACKED_SUFFIXES, open_content
from together_adapters.finetune.readers.csv_rows import csv_rows
from together_adapters.finetune.readers.json_values import ByteRange, Item, Lines, SourceRecord, items_of, json_items
from together_adapters.finetune.records import Record
from together_adapters.finetune.validation.file_kind import TABLE_MAGIC

_TABLES: Final = (".parquet", ".arrow", ".feather")
_TEXTS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
SUFFIXES: Final = (*_TEXTS, *_TABLES)
_COMPRESSIONS: Final = tuple(f"{text}{suffix}" for text in _TEXTS for suffix in PACKED_SUFFIXES)


class Source(NamedTuple):
    """A source of records: its name in messages, and a function that yields its records from the beginning."""

    name: str
    read: Callable[[], Iterable[Item]]
    read_once: bool = False
    is_table: bool = False  # tables pad objects with nulls
    read_parts: Callable[[], Iterable[Item | Lines]] | None = None  # yields lines that are not parsed yet, where there are


def open_path(path: str | Path) -> Source:
    """Returns a file, all files of a folder or of a pattern, or standard input as a source; pipes are read once."""
    if str(path) == "-":
        return Source("stdin", lambda: items_of(_items(sys.stdin.buffer, "stdin")), read_once=True)
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        return Source(path.name, lambda: items_of(_read(path)), read_once=True)
    files = _files(path)
    is_table = all(map(_is_table, files))
    return Source(
        files[0].name if len(files) == 1 else str(path),
        lambda: items_of(chain.from_iterable(map(_read, files))),
        is_table=is_table,
        read_parts=lambda: chain.from_iterable(map(_read, files)),
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        is_dataset = (path / "state.json").exists() or (path / "dataset_info.json").exists()
        suffixes = (".arrow",) if is_dataset else (*SUFFIXES, *_COMPRESSIONS)
        files = sorted(file for file in path.iterdir() if file.name.lower().endswith(suffixes) and not file.name.startswith("."))
        if not files:
            raise DatasetError(f"in {path} is no file that can be read: {', '.join(SUFFIXES)}")
        return files
    if path.is_file():
        return [path]
    if has_magic(str(path)) and (matches := sorted(Path(name) for name in glob(str(path), recursive=True))):
        return [file for match in matches for file in _files(match)]
    raise DatasetError(f"there is no file {path}")


def _is_table(path: Path) -> bool:
    with path.open("rb", 0) as file:
        return file.read(8).startswith(TABLE_MAGIC) or path.suffix.lower() in _TABLES


def _read(path: Path) -> Iterator[Item | Lines]:
    if path.is_file() and _is_table(path):
        for number, record in enumerate(arrow_records(path), 1):
            yield SourceRecord(number, path.name, record)
        return
    with path.open("rb", BLOCK) as file:
        yield from _items(file, path.name, path)


def _items(file: BinaryIO, name: str, path: Path | None = None) -> Iterator[Item | Lines]:
    """Reads the records of a text, which its suffix tells, or its content where that is sure."""
    content = open_content(file, name)
    start = content.file.peek(1024)[:1024].lstrip()
    if content.suffix in _TABLES or start.startswith(TABLE_MAGIC):
        raise DatasetError(f"{name} is a table inside another file: unpack it first")
    is_json = start[:1] in (b"{", b"[")
    if content.suffix in (".csv", ".tsv") and not is_json:
        return csv_rows(content.file, name, "\t" if content.suffix == ".tsv" else None)
    if content.suffix in _TEXTS or is_json or not start or name == "stdin":
        byte_range = ByteRange(path, file.tell()) if path is not None and content.file is file else None
        is_document = content.suffix == ".json"
        return json_items(content.file, name, is_document=is_document, is_packed=content.is_packed, byte_range=byte_range)
    raise DatasetError(f"{name} ends in none of {', '.join(SUFFIXES)}, and is no JSON")


class Spool:
    """Yields the records of a source that is read only once, each time it is called; deletes its file with itself."""

    def __init__(self, read: Callable[[], Iterable[Record]]) -> None:
        self._read = read
        self._file: IO[bytes] | None = None

    def __call__(self) -> Iterator[Record]:
        file = self._file
        if file is None:
            file = self._file = self._fill()
        file.seek(0)
        while True:
            try:
                record: Record = pickle.load(file)  # noqa: S301 -- nobody else can write into a file without a name
            except EOFError:
                return
            yield record

    def _fill(self) -> IO[bytes]:
        file = TemporaryFile()  # noqa: SIM115 -- it lives as long as the spool
        finalize(self, file.close)
        for record in self._read():
            pickle.dump(record, file, pickle.HIGHEST_PROTOCOL)
        return file
