"""Uploaded files as rows, for fine-tuning jobs and evaluations."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.errors import bad_request
from together_adapters.emulator.store.file_check import formats_of
from together_adapters.emulator.store.file_store import FileStore, StoredFile
from together_adapters.emulator.text.features import count_tokens

_MAX_BYTES: Final = 16 * 2**20  # how much of a file is read
_MAX_COUNTED: Final = 2**20  # size up to which tokens are counted; those of larger files are estimated


class DatasetFile:
    """The rows of an uploaded file, read from disk whenever they are needed, and the result of the service's check."""

    def __init__(self, file: StoredFile) -> None:
        assert file.content is not None
        self.id = file.id
        self.size = file.content.size
        self._file = file
        self._content = file.content

    def retain(self) -> None:
        """Keeps the content, even if the file is deleted, until `release`."""
        self._content.retain()

    def release(self) -> None:
        self._content.remove()

    @property
    def is_checked(self) -> bool:
        return self._file.status in (None, "COMPLETED", "INVALID_FORMAT")

    @property
    def error(self) -> str:
        """The error that the check found; empty where there is none, or none yet."""
        report = self._file.report or {}
        return "" if report.get("valid", True) else str(report.get("error") or "the file is not valid")

    @property
    def format(self) -> str:
        formats = self._formats
        return str((self._file.report or {}).get("dataset_format") or (formats or ["GENERAL"])[0]).lower()

    @cached_property
    def _formats(self) -> list[str]:
        return formats_of(rows[0]) if (rows := self.rows()) else []

    @cached_property
    def row_count(self) -> int:
        return len(self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """Its rows, without lines that are not JSON objects."""
        data = self._content.read(0, min(self.size, _MAX_BYTES))
        if self._file.type == "csv":
            return [dict(row) for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig", "replace")))]
        rows = []
        for line in data.split(b"\n") if self._file.type == "jsonl" else ():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows

    @cached_property
    def tokens(self) -> int:
        if self.size > _MAX_COUNTED:
            return self.size // 4
        return max(1, sum(count_tokens(text_of(row)) for row in self.rows()) or self.size // 4)

    @cached_property
    def digest(self) -> str:
        return self._content.digest()


def open_dataset(files: FileStore, id: Any, purpose: str, param: str) -> DatasetFile:
    """Returns the rows of a file; raises `ApiError` if it is missing, empty, or for another purpose."""
    if not isinstance(id, str):
        raise bad_request(f"{param} must be the id of a file.", param=param)
    file = files.find(id)
    if file.content is None:
        raise bad_request(f"The file {id} has no content yet.", param=param)
    if file.purpose != purpose:
        raise bad_request(f"The file {id} was uploaded for {file.purpose}; {param} needs one for {purpose}.", param=param)
    return DatasetFile(file)


def text_of(value: Any) -> str:
    """Returns all texts of a row, one per line."""
    if isinstance(value, Mapping):
        return "\n".join(text_of(item) for item in value.values())
    if isinstance(value, list):
        return "\n".join(map(text_of, value))
    return value if isinstance(value, str) else ""
