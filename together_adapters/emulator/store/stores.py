"""Everything that requests have created in one emulator."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.store import records
from together_adapters.emulator.store.background import BackgroundThreads
from together_adapters.emulator.store.cost_ledger import CostLedger
from together_adapters.emulator.store.deployments import EmulatedDeployment
from together_adapters.emulator.store.disk import StoredContent
from together_adapters.emulator.store.file_store import FileStore
from together_adapters.emulator.store.fine_tune_job import JobStore
from together_adapters.emulator.store.interpreter_session import InterpreterSessions

_MAX_GENERATED_BYTES: Final = 64 * 1024 * 1024


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
    threads: BackgroundThreads
    jobs: JobStore = field(default_factory=JobStore)
    archives: dict[str, StoredContent] = field(default_factory=dict)  # of fine-tuned models, by job, kind and step
    batches: records.RecordStore[records.EmulatedBatch] = field(
        default_factory=lambda: records.RecordStore("batch", param=None, limit=records.MAX_RECORDS)
    )
    evaluations: records.RecordStore[records.EmulatedEvaluation] = field(
        default_factory=lambda: records.RecordStore("evaluation", limit=records.MAX_RECORDS)
    )
    endpoints: records.RecordStore[records.DedicatedEndpoint] = field(
        default_factory=lambda: records.RecordStore("endpoint", limit=records.MAX_RECORDS)
    )
    model_uploads: records.RecordStore[records.ModelUploadJob] = field(
        default_factory=lambda: records.RecordStore("job", limit=records.MAX_RECORDS)
    )
    project_models: records.RecordStore[dict[str, Any]] = field(
        default_factory=lambda: records.RecordStore("model", limit=records.MAX_RECORDS)
    )
    project_endpoints: records.RecordStore[dict[str, Any]] = field(
        default_factory=lambda: records.RecordStore("endpoint", limit=records.MAX_RECORDS)
    )
    deployments: records.RecordStore[EmulatedDeployment] = field(
        default_factory=lambda: records.RecordStore("deployment", limit=records.MAX_RECORDS)
    )
    videos: records.RecordStore[records.EmulatedVideo] = field(
        default_factory=lambda: records.RecordStore("video", limit=records.MAX_RECORDS)
    )
    costs: CostLedger = field(default_factory=CostLedger)
    generated_files: GeneratedFiles = field(default_factory=GeneratedFiles)
    code_sessions: InterpreterSessions = field(default_factory=InterpreterSessions)

    def close(self) -> None:
        """Ends processes and threads."""
        self.threads.closed = True
        self.code_sessions.close()
        self.threads.close()
