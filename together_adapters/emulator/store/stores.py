"""Everything that requests have created in one emulator."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.store.disk import Folder, StoredContent
from together_adapters.emulator.store.file_store import FileStore
from together_adapters.emulator.store.fine_tune_job import JobStore
from together_adapters.emulator.store.interpreter_session import InterpreterSessions
from together_adapters.emulator.store.records import (
    DedicatedEndpoint,
    EmulatedBatch,
    EmulatedEvaluation,
    EmulatedVideo,
    ModelUploadJob,
    RecordStore,
)

_MAX_GENERATED_BYTES: Final = 64 * 1024 * 1024
_LIMIT: Final = 1_000
"""Records of one kind beyond which the oldest are forgotten."""


class GeneratedFiles(OrderedDict[str, tuple[bytes, str]]):
    """Files that responses refer to by URL, with their media types, by path, the oldest first. The newest are kept."""

    def save(self, prefix: str, name: str, content: bytes, media_type: str) -> str:
        """Stores a file and returns its path."""
        path = f"{prefix}{secrets.token_hex(8)}/{name}"
        self[path] = (content, media_type)
        while len(self) > 1 and sum(len(data) for data, _ in self.values()) > _MAX_GENERATED_BYTES:
            self.popitem(last=False)
        return path


@dataclass
class Stores:
    """The data of one emulator; `Emulator.reset` replaces it by an empty one."""

    files: FileStore
    jobs: JobStore = field(default_factory=JobStore)
    archives: dict[str, StoredContent] = field(default_factory=dict)  # of fine-tuned models, by job, kind and step
    batches: RecordStore[EmulatedBatch] = field(default_factory=lambda: RecordStore("batch", param=None))
    evaluations: RecordStore[EmulatedEvaluation] = field(default_factory=lambda: RecordStore("evaluation"))
    endpoints: RecordStore[DedicatedEndpoint] = field(default_factory=lambda: RecordStore("endpoint", limit=_LIMIT))
    model_uploads: RecordStore[ModelUploadJob] = field(default_factory=lambda: RecordStore("job", limit=_LIMIT))
    project_models: RecordStore[dict[str, Any]] = field(default_factory=lambda: RecordStore("model", limit=_LIMIT))
    project_endpoints: RecordStore[dict[str, Any]] = field(default_factory=lambda: RecordStore("endpoint", limit=_LIMIT))
    videos: RecordStore[EmulatedVideo] = field(default_factory=lambda: RecordStore("video", limit=_LIMIT))
    generated_files: GeneratedFiles = field(default_factory=GeneratedFiles)
    code_sessions: InterpreterSessions = field(default_factory=InterpreterSessions)

    @classmethod
    def create(cls, folder: Folder, on_error: Callable[[BaseException], None]) -> Stores:
        """Creates empty stores, whose files are in `folder`; `on_error` gets unexpected exceptions of file checks."""
        return cls(FileStore(folder, on_error))

    def close(self) -> None:
        """Ends the processes of code sessions."""
        self.code_sessions.close()
