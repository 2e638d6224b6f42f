"""Uploaded files, their uploads, and the checks of the service that follow, through PENDING, QUEUED and RUNNING in half a second."""

from __future__ import annotations

import secrets
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from together_adapters.emulator.store.background import BackgroundThreads
from together_adapters.emulator.store.disk import Folder, StoredContent
from together_adapters.emulator.store.file_check import check_file, invalid_report
from together_adapters.emulator.store.records import RecordStore

Purpose = Literal["fine-tune", "calibration", "eval", "batch-api"]
FileType = Literal["jsonl", "parquet", "csv"]
MEDIA_TYPES: Final = {"jsonl": "application/jsonl", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
_STAGES: Final = ((0.1, "PENDING"), (0.2, "QUEUED"), (0.4, "RUNNING"))
_MAX_CHECKED_SIZE: Final = 512 * 2**20


@dataclass
class StoredFile:
    """One file of an account. It exists from the start of its upload, and is listed once it has content."""

    name: str
    purpose: str
    type: str
    checksum: str = ""  # the SHA-256 that the client sent
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4()}")
    created_at: int = field(default_factory=lambda: int(time.time()))
    content: StoredContent | None = None
    checked_since: float | None = None
    report: dict[str, Any] | None = None

    @property
    def status(self) -> str | None:
        if self.checked_since is None:
            return None
        elapsed = time.monotonic() - self.checked_since
        end = "RUNNING" if self.report is None else "COMPLETED" if self.report["valid"] else "INVALID_FORMAT"
        return next((name for limit, name in _STAGES if elapsed < limit), end)

    def to_dict(self) -> dict[str, Any]:
        status = self.status
        is_checked = status in ("COMPLETED", "INVALID_FORMAT")
        return {
            "id": self.id,
            "object": "file",
            "created_at": self.created_at,
            "filename": self.name,
            "bytes": self.content.size if self.content else 0,
            "purpose": self.purpose,
            "FileType": self.type,
            "Processed": status == "COMPLETED",
            "LineCount": (self.report or {}).get("nlines") or 0 if is_checked else 0,
            "processing_status": status,
            "validation_report": self.report if is_checked else None,
        }


@dataclass
class UploadSlot:
    """A URL that takes one body, once or several times; requests need its signature and its headers."""

    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    headers: dict[str, str] = field(default_factory=dict)
    content: StoredContent | None = None


@dataclass
class PartialUpload:
    """A file that is uploaded in parts, each to the slot of a path."""

    file: StoredFile
    size: int
    paths: list[str]


class FileStore(RecordStore[StoredFile]):
    """The files of one emulator, and the uploads that are not complete: slots by path, and files in parts by their upload id."""

    def __init__(self, folder: Folder, threads: BackgroundThreads, on_error: Callable[[Exception], None]) -> None:
        super().__init__("file", param=None)
        self._folder = folder
        self._threads = threads
        self._on_error = on_error
        self._lock = threading.Lock()
        self.slots: dict[str, UploadSlot] = {}
        self.partial_uploads: dict[str, PartialUpload] = {}

    def complete(self) -> list[StoredFile]:
        """Returns the files that have content, the newest first."""
        with self._lock:
            return [file for file in self.newest_first() if file.content is not None]

    def put(self, file: StoredFile) -> StoredFile:
        with self._lock:
            return self.add(file.id, file)

    def duplicate(self, checksum: str, purpose: str) -> StoredFile | None:
        """Returns a file with the same content and purpose."""
        files = (file for file in self.complete() if checksum and file.checksum == checksum and file.purpose == purpose)
        return next(files, None)

    def remove(self, id: str) -> None:
        file = self.find(id)
        with self._lock:
            del self[id]
        if file.content:
            file.content.remove()

    def discard_upload(self, upload_id: str) -> None:
        """Removes an upload with the parts that have arrived."""
        for path in self.partial_uploads.pop(upload_id).paths:
            if (slot := self.slots.pop(path)).content:
                slot.content.remove()

    def generate(self, name: str, purpose: str, data: bytes) -> StoredFile:
        """Adds a file that the service itself writes, such as the output of a batch."""
        file = StoredFile(name, purpose, "jsonl", content=self._folder.write(data), checked_since=0.0)
        file.report = {"valid": True, "file_id": file.id, "nlines": data.count(b"\n")}
        return self.put(file)

    def start_check(self, file: StoredFile) -> None:
        """Checks a file in a thread."""
        file.checked_since = time.monotonic()
        self._threads.start(self._check, file)

    def _check(self, file: StoredFile) -> None:
        try:
            report = self._report(file)
        except Exception as error:
            if file.id in self:
                self._on_error(error)
            report = invalid_report("The file cannot be read.")
        file.report = {"file_id": file.id, **report}

    def _report(self, file: StoredFile) -> dict[str, Any]:
        content = file.content
        assert content is not None
        if content.size > _MAX_CHECKED_SIZE:
            return {"valid": True}
        report = check_file(content.path or content.merge(self._folder.new_path()), file.type, file.purpose)
        if content.digest() != (file.checksum or content.sha256):
            return invalid_report("The checksum does not match.")
        return report
