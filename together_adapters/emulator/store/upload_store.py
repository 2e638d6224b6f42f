"""Uploads that are not complete: the URLs that take bodies, and the parts of multipart uploads."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

from together_adapters.emulator.store.disk import StoredContent
from together_adapters.emulator.store.file_store import StoredFile

SIGNATURE: Final = "X-Emulator-Signature"
"""Query parameter with the signature of an upload URL."""


@dataclass
class UploadSlot:
    """A URL that takes one body, once or several times.

    Attributes:
        signature: Value of the query parameter `SIGNATURE`.
        headers: Headers that a request must have.
        content: The body of the last request.
    """

    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    headers: dict[str, str] = field(default_factory=dict)
    content: StoredContent | None = None


@dataclass
class PartialUpload:
    """A file that is uploaded in parts."""

    file: StoredFile
    size: int
    paths: list[str]


class UploadStore:
    """The upload slots of one emulator by path, and the multipart uploads that use them."""

    def __init__(self) -> None:
        self.slots: dict[str, UploadSlot] = {}
        self.multipart: dict[str, PartialUpload] = {}

    def discard(self, id: str) -> PartialUpload:
        """Removes a multipart upload with the parts that have arrived."""
        upload = self.multipart.pop(id)
        for path in upload.paths:
            if (slot := self.slots.pop(path)).content:
                slot.content.remove()
        return upload

    def clear(self) -> None:
        """Removes everything."""
        self.slots.clear()
        self.multipart.clear()
