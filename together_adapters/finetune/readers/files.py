"""Files and folders as records: JSON lines, JSON documents, CSV, Parquet and Arrow, compressed or from standard input."""

from __future__ import annotations

import csv
import gzip
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from glob import glob, has_magic
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, Final, NamedTuple, TypeAlias
from weakref import finalize

from pydantic_core import from_json

from together_adapters.errors import DatasetError
from together_adapters.finetune.findings import RowFindings
from together_adapters.finetune.readers.arrow import arrow_records
from together_adapters.finetune.readers.fields import is_stored_message
from together_adapters.finetune.records import Record, Refusal
from together_adapters.finetune.rules import MAX_LINE_BYTES
from together_adapters.finetune.validation.check_tables import unlimited_csv_cells
from together_adapters.finetune.validation.jsonl_reader import BOM, parse_line

_TABLES: Final = (".parquet", ".arrow", ".feather")
SUFFIXES: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".json", ".json.gz", ".csv", ".tsv", *_TABLES)


class SourceRecord(NamedTuple):
    """A record with its number and the name of its source. The number 0 marks a document, which may hold many records."""

    number: int
    source: str
    value: Any


Item: TypeAlias = SourceRecord | Refusal


class Source(NamedTuple):
    """A source of records: its name in messages, and a function that yields its records from the beginning."""

    name: str
    read: Callable[[], Iterable[Item]]
    read_once: bool = False
    is_table: bool = False  # tables pad objects with nulls


def open_path(path: str | Path) -> Source:
    """Returns a file, all files of a folder or of a pattern, or standard input as a source."""
    if str(path) == "-":
        return Source("stdin", lambda: _lines(sys.stdin.buffer, "stdin"), read_once=True)
    files = _files(Path(path))
    is_table = all(file.suffix in _TABLES for file in files)
    if len(files) == 1:
        return Source(files[0].name, lambda: _read(files[0]), is_table=is_table)
    return Source(str(path), lambda: chain.from_iterable(map(_read, files)), is_table=is_table)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        is_dataset = (path / "state.json").exists() or (path / "dataset_info.json").exists()
        files = sorted(file for file in path.iterdir() if file.name.endswith((".arrow",) if is_dataset else SUFFIXES))
        if not files:
            raise DatasetError(f"in {path} is no file that can be read: {', '.join(SUFFIXES)}")
        return files
    if path.is_file():
        if not path.name.lower().endswith(SUFFIXES):
            raise DatasetError(f"{path.name} ends in none of {', '.join(SUFFIXES)}")
        return [path]
    if has_magic(str(path)) and (matches := sorted(Path(name) for name in glob(str(path), recursive=True))):
        return [file for match in matches for file in _files(match)]
    raise DatasetError(f"there is no file {path}")


def _read(path: Path) -> Iterator[Item]:
    name = path.name.lower()
    if name.endswith(_TABLES):
        return (SourceRecord(number, path.name, record) for number, record in enumerate(arrow_records(path), 1))
    if name.endswith((".csv", ".tsv")):
        return _csv_rows(path, "\t" if name.endswith(".tsv") else ",")
    if name.endswith((".json", ".json.gz")):
        return _document(path)
    return _file_lines(path)


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", 1 << 20)  # type: ignore[return-value]


def _file_lines(path: Path) -> Iterator[Item]:
    with _open(path) as file:
        yield from _lines(file, path.name)


def _lines(file: Iterable[bytes], name: str) -> Iterator[Item]:
    """Reads one value from each line; blank lines are skipped."""
    decode, decode_error = _decoder()
    for number, line in enumerate(file, 1):
        if len(line) > MAX_LINE_BYTES:
            yield Refusal("line_too_long", f"the line has {len(line):,} bytes", number, name)
            continue
        try:
            yield SourceRecord(number, name, decode(line))
        except (ValueError, RecursionError, decode_error):
            if line.strip():
                yield _parse_line(line, number, name)


def _decoder() -> tuple[Callable[[bytes], Any], type[Exception]]:
    """Returns the fastest installed JSON parser and its error, which is no ValueError before msgspec 0.20."""
    try:
        import msgspec
    except ImportError:
        return lambda line: from_json(line, allow_inf_nan=False), ValueError
    return msgspec.json.Decoder().decode, msgspec.DecodeError


def _parse_line(line: bytes, number: int, name: str) -> Item:
    """Parses a line that the fast parser rejects, to report what is wrong with it."""
    findings = RowFindings()
    is_valid, value = parse_line(findings, line.removeprefix(BOM) if number == 1 else line)
    if is_valid:
        return SourceRecord(number, name, value)
    finding = findings.items[0]
    return Refusal(finding.code, finding.message, number, name, "", line[:200].decode("utf-8", "replace"))


def _document(path: Path) -> Iterator[Item]:
    """Reads a document that is a list of records or one record, or JSON Lines, which are often named `.json` too."""
    with _open(path) as file:
        data = file.read().removeprefix(BOM)
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError:
        lines = data.splitlines(keepends=True) if b"\n" in data.strip() and data.lstrip()[:1] == b"{" else [data]
        items = list(_lines(lines, path.name))
        if any(isinstance(item, SourceRecord) for item in items):
            yield from items
        else:
            yield _parse_line(data, 1, path.name)
        return
    if isinstance(document, str) and document[:1] in ("{", "["):
        document = from_json(document, allow_inf_nan=False)  # JSON inside JSON, as LlamaIndex persists its stores
    if isinstance(document, list) and not (document and is_stored_message(document[0])):
        for number, record in enumerate(document, 1):
            yield SourceRecord(number, path.name, record)
    else:
        yield SourceRecord(0, path.name, document)


def _csv_rows(path: Path, delimiter: str) -> Iterator[Item]:
    """Reads a table of texts; an empty cell is None."""
    with path.open(encoding="utf-8-sig", newline="") as file, unlimited_csv_cells():
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            number = 0
            for cells in reader:
                if not cells:
                    continue
                number += 1
                if len(cells) == len(header):
                    row = {name: cell if cell else None for name, cell in zip(header, cells, strict=True)}
                    yield SourceRecord(number, path.name, row)
                else:
                    yield Refusal("csv_columns", f"the row has {len(cells)} cells, the header {len(header)}", number, path.name)
        except UnicodeDecodeError:
            yield Refusal("not_utf8", "the file is not UTF-8", reader.line_num + 1, path.name)
        except csv.Error as problem:
            yield Refusal("csv_syntax", f"the file is not CSV: {problem}", reader.line_num, path.name)


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
