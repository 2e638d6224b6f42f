"""Uploaded files as rows, for jobs that train on them or judge them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Final

from together_adapters.emulator.engine.text_features import count_tokens
from together_adapters.emulator.http.errors import bad_request
from together_adapters.emulator.http.routing import RequestContext
from together_adapters.emulator.routes.files import StoredFile, files_of

_MOST_BYTES: Final = 16 * 2**20
"""Of a file that is read; jobs on larger ones learn from its beginning."""
_COUNTED: Final = 2**20
"""Bytes up to which tokens are counted; those of longer files are estimated."""
_ENDED: Final = ("COMPLETED", "INVALID_FORMAT")


class Dataset:
    """One file: what is in it, and what the service found in it."""

    def __init__(self, file: StoredFile) -> None:
        assert file.content is not None
        self.id = file.id
        self.size = file.content.size
        self._file = file
        self._data = file.content.read(0, min(self.size, _MOST_BYTES))

    @property
    def ready(self) -> bool:
        """Whether the service has looked into it."""
        return self._file.status in (None, *_ENDED)

    @property
    def fault(self) -> str:
        """What is wrong with it, as far as the service knows by now."""
        report = self._file.report or {}
        return "" if report.get("valid", True) else str(report.get("error") or "the file is not valid")

    @property
    def kind(self) -> str:
        """The format of its rows, in lower case."""
        return str((self._file.report or {}).get("dataset_format") or _format(self.rows)).lower()

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Its rows; lines that are none are left out."""
        if self._file.type == "csv":
            return [dict(row) for row in csv.DictReader(io.StringIO(self._data.decode("utf-8-sig", "replace")))]
        found = []
        for line in self._data.split(b"\n") if self._file.type == "jsonl" else ():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                found.append(row)
        return found

    @cached_property
    def tokens(self) -> int:
        """Its length in tokens."""
        if self.size > _COUNTED:
            return self.size // 4
        return max(1, sum(count_tokens(text_of(row)) for row in self.rows) or self.size // 4)

    @cached_property
    def digest(self) -> str:
        """What tells it from other files."""
        assert self._file.content is not None
        return self._file.content.digest()


def dataset(context: RequestContext, id: Any, purpose: str, param: str) -> Dataset:
    """Return an uploaded file.

    Raises:
        ApiError: There is none, it is empty, or it was uploaded for something else.
    """
    if not isinstance(id, str):
        raise bad_request(f"{param} must be the id of a file.", param=param)
    file = files_of(context.state).get(id)
    if file.content is None:
        raise bad_request(f"The file {id} has no content yet.", param=param)
    if file.purpose != purpose:
        raise bad_request(f"The file {id} was uploaded for {file.purpose}; {param} needs one for {purpose}.", param=param)
    return Dataset(file)


def text_of(value: Any) -> str:
    """All texts in a row, one after the other."""
    if isinstance(value, Mapping):
        return "\n".join(text_of(item) for item in value.values())
    if isinstance(value, list):
        return "\n".join(map(text_of, value))
    return value if isinstance(value, str) else ""


def _format(rows: list[dict[str, Any]]) -> str:
    first: Mapping[str, Any] = rows[0] if rows else {}
    if "messages" in first:
        return "conversation"
    if "preferred_output" in first:
        return "preference_openai"
    return "instruction" if "prompt" in first else "general"
