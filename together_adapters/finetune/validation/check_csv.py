"""Checks CSV files, which are for evaluations only."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from together_adapters.finetune.validation.file_check import FileChecker


def check_csv(checker: FileChecker, path: Path) -> None:
    """Checks that a CSV file has a header, and as many cells in every row."""
    purpose = checker.options.purpose
    if purpose != "eval":
        code = "csv_not_for_finetune" if purpose == "fine-tune" else "csv_not_for_purpose"
        checker.add_finding(code, f"CSV files cannot be used for {purpose}")
        return
    with path.open(encoding="utf-8", newline="") as file, unlimited_csv_cells():
        reader = csv.reader(file, strict=True)
        try:
            _check_rows(checker, reader)
        except UnicodeDecodeError:
            checker.add_finding("not_utf8", "the file is not UTF-8", reader.line_num + 1)
            return
        except csv.Error as error:
            checker.add_finding("csv_syntax", f"the file is not CSV: {error}", reader.line_num)
            return
    if not checker.rows:
        checker.add_finding("too_few_samples", "the file has a header but no rows")


def _check_rows(checker: FileChecker, reader: Any) -> None:
    header = next(reader, None) or []
    if header and header[0].startswith("\ufeff"):
        checker.add_finding("utf8_bom", "the file starts with a byte order mark", 1)
    for row in reader:
        if not row:
            checker.add_finding("blank_line", "the line is blank", reader.line_num)
            continue
        checker.findings.start_row()
        if len(row) != len(header):
            checker.findings.add("csv_columns", "", f"the row has {len(row)} cells, the header {len(header)}")
        checker.finish_row(reader.line_num)


@contextmanager
def unlimited_csv_cells() -> Iterator[None]:
    """Lifts the limit on the length of cells; it belongs to the whole process, so it is restored."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)
