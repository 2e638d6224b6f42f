"""Everything that requests have created in one emulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from together_adapters.emulator.store.disk import Folder, StoredContent
from together_adapters.emulator.store.endpoint import DedicatedEndpoint
from together_adapters.emulator.store.file_store import FileStore
from together_adapters.emulator.store.fine_tune_job import JobStore
from together_adapters.emulator.store.generated_files import GeneratedFiles
from together_adapters.emulator.store.interpreter_session import InterpreterSessions
from together_adapters.emulator.store.jobs import EmulatedBatch, EmulatedEvaluation, EmulatedVideo, ModelUploadJob
from together_adapters.emulator.store.record_store import RecordStore
from together_adapters.emulator.store.tuned_models import TunedModels
from together_adapters.emulator.store.upload_store import UploadStore

_LIMIT: Final = 1_000
"""Records of one kind beyond which the oldest are forgotten."""


@dataclass
class Stores:
    """The data of one emulator; `Emulator.reset` replaces it by an empty one.

    Attributes:
        jobs: Fine-tuning jobs.
        archives: Archives of their models, by job, kind and step.
        project_models: Models that were registered with `/v2`.
        project_endpoints: Endpoints of `/v2`.
        generated_files: Images and videos.
    """

    files: FileStore
    uploads: UploadStore
    jobs: JobStore
    tuned_models: TunedModels
    archives: dict[str, StoredContent] = field(default_factory=dict)
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
        jobs = JobStore()
        return cls(FileStore(folder, on_error), UploadStore(), jobs, TunedModels(jobs))

    def close(self) -> None:
        """Ends the processes of code sessions."""
        self.code_sessions.close()
