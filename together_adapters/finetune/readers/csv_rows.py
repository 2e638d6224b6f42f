"""Rows of CSV files as records of texts: any delimiter, each broken row refused with its column."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader
from typing import Final

from together_adapters.errors import DatasetError
from together_adapters.finetune.readers.json_values import Item, SourceRecord, line_batches
from together_adapters.finetune.records import Refusal
from together_adapters.finetune.rules import MAX_LINE_BYTES
from together_adapters.finetune.validation.check_tables import long_csv_cells
from together_adapters.finetune.validation.jsonl_reader import TruncatedLine

_QUOTATION: Final = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n?")


def csv_rows(file: BufferedReader, name: str, delimiter: str | None = None) -> Iterator[Item]:
    """Reads a table of texts; an empty cell is None. Without a delimiter, the header tells."""
    lines = _texts(file, name)
    first = next(lines, "")
    if line := _SEPARATOR.fullmatch(first):
        delimiter, first = line[1], next(lines, "")
    reader = csv.reader(_chain(first, lines), delimiter=delimiter or _delimiter(first), strict=True)
    with long_csv_cells():
        try:
            header = next(reader, [])
            _check_header(header, name)
            number = 0
            for cells in reader:
                if cells:
                    number += 1
                    yield _row(header, cells, number, name)
        except csv.Error as problem:
            yield Refusal("csv_syntax", f"the file is not CSV: {problem}", reader.line_num, name)


def _row(header: list[str], cells: list[str], number: int, name: str) -> Item:
    if len(cells) != len(header):
        return Refusal("csv_columns", f"the row has {len(cells)} cells, the header {len(header)}", number, name)
    row = {column: cell if cell else None for column, cell in zip(header, cells, strict=True)}
    text = "".join(cells)
    if text.isascii() and "\0" not in text:
        return SourceRecord(number, name, row, len(text))
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
    return SourceRecord(number, name, row, len(text))


def _texts(file: BufferedReader, name: str) -> Iterator[str]:
    for lines in line_batches(b"", file, name):
        if type(lines[0]) is TruncatedLine:
            raise DatasetError(f"{name}: a line has more than {MAX_LINE_BYTES >> 20} MiB")
        for line in lines:
            yield f"{line.decode('utf-8', 'surrogateescape')}\n"


def _chain(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


def _delimiter(header: str) -> str:
    """Returns the comma, unless the header has none, and another delimiter."""
    counts = Counter(_QUOTATION.sub("", header))
    return "," if counts[","] else max(",;\t|", key=lambda character: counts[character])


def _check_header(header: list[str], name: str) -> None:
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        what = "columns without a name" if twice[0] == "" else f"the column {twice[0]!r}"
        raise DatasetError(f"{name}: the header has {what} twice; give each column a name of its own")
