"""Files that responses refer to by URL: images, videos. The newest are kept in memory."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final

_MAX_BYTES: Final = 64 * 1024 * 1024


class GeneratedFiles(OrderedDict[str, tuple[bytes, str]]):
    """Contents and media types by path, the oldest first."""

    def save(self, prefix: str, name: str, content: bytes, media_type: str) -> str:
        """Stores a file and returns its path."""
        path = f"{prefix}{secrets.token_hex(8)}/{name}"
        self[path] = (content, media_type)
        while len(self) > 1 and sum(len(data) for data, _ in self.values()) > _MAX_BYTES:
            self.popitem(last=False)
        return path
