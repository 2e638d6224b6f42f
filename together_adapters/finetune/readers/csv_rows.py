"""Rows of CSV files as records of texts: any delimiter, each broken row refused with its column."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader, StringIO
from itertools import chain
from typing import Final

from together_adapters.errors import DatasetError
from together_adapters.finetune.issues import count_of
from together_adapters.finetune.readers.json_values import Item, SourceRecord, line_batches
from together_adapters.finetune.records import NO_FIELDS, LineSource, Refusal
from together_adapters.finetune.rules import MAX_LINE_BYTES
from together_adapters.finetune.validation.check_tables import long_csv_cells, numbered_rows
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine

_QUOTATION: Final = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n?")


def csv_rows(file: BufferedReader, name: str, delimiter: str | None = None) -> Iterator[Item]:
    """Reads a table of texts; an empty cell is None. Without a delimiter, the header tells."""
    name = LineSource(name)
    text = _Text(file, name)
    lines = iter(text)
    first, offset = next(lines, ""), 0
    if line := _SEPARATOR.fullmatch(first):
        delimiter, first, offset = line[1], next(lines, ""), 1
    reader = csv.reader(chain((first,), lines), delimiter=delimiter or _delimiter(first), strict=True)
    with long_csv_cells():
        try:
            header = next(reader, [])
            _check_header(header, name)
            width, new = len(header), tuple.__new__
            for number, cells in numbered_rows(reader, offset):
                if not cells:
                    continue
                if len(cells) != width:
                    yield Refusal("csv_columns", f"the row has {count_of(len(cells), 'cell')}, the header {width}", number, name)
                elif text.is_clean or (refusal := _refusal(header, cells, number, name)) is None:
                    row: dict[str, str | None] = dict(zip(header, cells, strict=True))
                    if "" in cells:
                        row = {column: cell or None for column, cell in row.items()}
                    yield new(SourceRecord, (number, name, row, sum(map(len, cells)), NO_FIELDS))
                else:
                    yield refusal
        except csv.Error as problem:
            yield Refusal("csv_syntax", f"the file is not CSV: {problem}", reader.line_num + offset, name)


def _refusal(header: list[str], cells: list[str], number: int, name: str) -> Refusal | None:
    """Returns why a row is refused for the characters in it."""
    for column, cell in zip(header, cells, strict=True):
        if "\0" in cell:
            return Refusal(
                "nul_character", f"the column {column} has the character NUL: the file is damaged", number, name, column
            )
        try:
            cell.encode()
        except UnicodeEncodeError as error:
            byte = ord(cell[error.start]) - 0xDC00
            message = f"the column {column} is not UTF-8 (byte 0x{byte:02X}); if it is Windows-1252: iconv -f cp1252 -t utf-8"
            return Refusal("not_utf8", message, number, name, column)
    return None


class _Text:
    """The lines of a file; `is_clean` while all were UTF-8 without NUL."""

    def __init__(self, file: BufferedReader, name: str) -> None:
        self.is_clean = True
        self._file = file
        self._name = name

    def __iter__(self) -> Iterator[str]:
        for lines in line_batches(b"", self._file, self._name):
            if type(lines) is TruncatedLine:
                raise DatasetError(f"{self._name}: a line has more than {MAX_LINE_BYTES >> 20} MiB")
            try:
                text = lines.decode()
                self.is_clean = self.is_clean and b"\0" not in lines
            except UnicodeDecodeError:
                text = lines.decode("utf-8", "surrogateescape")
                self.is_clean = False
            yield from StringIO(f"{text}\n", newline="\n")


def _delimiter(header: str) -> str:
    """Returns the comma, unless the header has none, and another delimiter."""
    counts = Counter(_QUOTATION.sub("", header))
    return "," if counts[","] else max(",;\t|", key=lambda character: counts[character])


def _check_header(header: list[str], name: str) -> None:
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        what = "columns without a name" if twice[0] == "" else f"the column {twice[0]!r}"
        raise DatasetError(f"{name}: the header has {what} twice; give each column a name of its own")
