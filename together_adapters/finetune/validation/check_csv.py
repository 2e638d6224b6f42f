"""CSV, for evaluations."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from together_adapters.finetune.validation.file_check import FileChecker


def check_csv(check: FileChecker, path: Path) -> None:
    """Look at a CSV file: a header, and rows of as many cells."""
    if check.options.purpose != "eval":
        code = "csv_not_for_finetune" if check.options.purpose == "fine-tune" else "csv_not_for_purpose"
        check.note(code, f"CSV cannot be used for {check.options.purpose}")
        return
    with path.open(encoding="utf-8", newline="") as file, _long_cells():
        reader = csv.reader(file, strict=True)
        try:
            _check_rows(check, reader)
        except UnicodeDecodeError:
            check.note("not_utf8", "the file is not UTF-8", reader.line_num + 1)
            return
        except csv.Error as problem:
            check.note("csv_syntax", f"the file is not CSV: {problem}", reader.line_num)
            return
    if not check.rows:
        check.note("too_few_samples", "there is a header, but no row")


def _check_rows(check: FileChecker, reader: Any) -> None:
    header = next(reader, None) or []
    if header and header[0].startswith("\ufeff"):
        check.note("utf8_bom", "the file begins with a byte order mark", 1)
    for row in reader:
        if not row:
            check.note("blank_line", "the line is blank", reader.line_num)
            continue
        check.notes.begin()
        if len(row) != len(header):
            check.notes.add("csv_columns", "", f"the row has {len(row)} cells, the header {len(header)}")
        check.row(reader.line_num)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as they are; the limit belongs to the whole process, so it is put back."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)
