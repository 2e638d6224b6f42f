"""The records of an account besides its files: a dictionary of them by id, their time, and each kind of record."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from together_adapters.emulator.errors import ApiError
from together_adapters.emulator.store.catalogue import OWNER

if TYPE_CHECKING:
    from together_adapters.emulator.store.dataset import DatasetFile

DEFAULT_JOB_SECONDS: Final = 1.5  # seconds that a fine-tuning job takes by default
MAX_RECORDS: Final = 1_000  # of one kind, beyond which the oldest are forgotten
_STUCK_AT: Final = 0.5
_EVALUATION_STAGES: Final = ((0.0, "pending"), (0.1, "queued"), (0.25, "running"))
_VIDEO_SECONDS: Final = 1.0
T = TypeVar("T")


class RecordStore(dict[str, T]):
    """Records by id, the oldest first. `noun` and `param` are for errors; with a `limit`, a new record replaces the oldest."""

    def __init__(self, noun: str, param: str | None = "id", limit: int | None = None) -> None:
        super().__init__()
        self._noun = noun
        self._param = param
        self._limit = limit

    def find(self, id: str) -> T:
        """Returns a record, or raises `ApiError` 404."""
        record = self.get(id)
        if record is None:
            raise ApiError(404, f"There is no {self._noun} {id[:100]!r}.", param=self._param, code="not_found")
        return record

    def add(self, id: str, record: T) -> T:
        """Stores a record; a full store forgets its oldest."""
        if self._limit is not None and len(self) >= self._limit:
            self.discard(next(iter(self)))
        self[id] = record
        return record

    def discard(self, id: str) -> None:
        del self[id]

    def newest_first(self) -> list[T]:
        return list(reversed(self.values()))


@dataclass(slots=True)
class JobClock:
    """The time of a job: how much of it is done, and when which part was or will be done."""

    duration: float
    stuck: bool = False  # stops halfway and never ends
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _start: float = field(default_factory=time.monotonic)
    _stop: float | None = None

    def progress(self) -> float:
        """Returns how much of the job is done, from 0 to 1."""
        age = (self._stop or time.monotonic()) - self._start
        progress = min(age / self.duration, 1.0) if self.duration > 0 else 1.0
        return min(progress, _STUCK_AT) if self.stuck else progress

    def stop(self) -> None:
        self._stop = self._stop or time.monotonic()

    def since_stop(self) -> float:
        """Returns the seconds since `stop`; 0 before."""
        return time.monotonic() - self._stop if self._stop else 0.0

    def at(self, progress: float) -> str:
        """Returns the time at which that much is done."""
        return timestamp(self.started_at + timedelta(seconds=self.duration * progress))


def timestamp(moment: datetime | None = None) -> str:
    """Formats a time, by default the present, in the format of the service."""
    return (moment or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def batch_timestamp(hours: float = 0.0) -> str:
    """Returns the time in so many hours, in the format of batches."""
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class EmulatedBatch:
    """One batch, with the fields of the API."""

    input_file_id: str
    file_size_bytes: int
    endpoint: str
    model_id: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    user_id: str = "user-emulator"
    status: str = "VALIDATING"
    progress: float = 0.0
    created_at: str = field(default_factory=batch_timestamp)
    job_deadline: str = field(default_factory=lambda: batch_timestamp(hours=24))
    completed_at: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    error: str | None = None
    is_cancelled: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "is_cancelled"}


class BatchEnd(NamedTuple):
    """How a batch ends: with this status, after so many of its requests."""

    status: str
    after: int
    message: str | None


@dataclass(slots=True)
class EmulatedEvaluation:
    """One evaluation. `outcome` is its final status with its results, once the judge is done."""

    type: str
    parameters: dict[str, Any]
    clock: JobClock
    data: DatasetFile
    outcome: tuple[str, dict[str, Any]] | None = None
    id: str = field(default_factory=lambda: f"eval-{uuid.uuid4()}")

    def state(self) -> tuple[str, dict[str, Any] | None]:
        """Returns its status and results: it ends when its time is over and the judge is done."""
        progress = self.clock.progress()
        if progress >= 1.0 and self.outcome:
            return self.outcome
        return next(name for start, name in reversed(_EVALUATION_STAGES) if start <= progress), None

    def to_dict(self) -> dict[str, Any]:
        status, results = self.state()
        progress = self.clock.progress()
        updates = [(start, name) for start, name in _EVALUATION_STAGES if start <= progress] + (
            [(1.0, status)] if self.outcome else []
        )
        return {
            "workflow_id": self.id,
            "type": self.type,
            "owner_id": OWNER,
            "status": status,
            "parameters": self.parameters,
            "results": results,
            "created_at": self.clock.at(0.0),
            "updated_at": self.clock.at(progress),
            "status_updates": [
                {"status": name, "message": f"The evaluation is {name}.", "timestamp": self.clock.at(at)} for at, name in updates
            ],
        }


@dataclass(slots=True)
class EmulatedVideo:
    """One job: in progress, then completed or failed. A prompt with `[fail]` lets it fail; with `[slow]` it never ends."""

    id: str
    model: str
    prompt: str
    width: int
    height: int
    seconds: str
    created_at: float = field(default_factory=time.time)
    url: str | None = None

    def status(self) -> str:
        if time.time() - self.created_at < _VIDEO_SECONDS or "[slow]" in self.prompt:
            return "in_progress"
        return "failed" if "[fail]" in self.prompt else "completed"

    def to_dict(self) -> dict[str, Any]:
        status = self.status()
        error = {"code": "video_failed", "message": "The prompt asked for a video that fails."}
        return {
            "id": self.id,
            "object": "video",
            "model": self.model,
            "status": status,
            "created_at": int(self.created_at),
            "completed_at": int(self.created_at + _VIDEO_SECONDS) if status != "in_progress" else None,
            "size": f"{self.width}x{self.height}",
            "seconds": self.seconds,
            "outputs": {"cost": 1, "video_url": self.url} if self.url else None,
            "error": error if status == "failed" else None,
        }


@dataclass(slots=True)
class ModelUploadJob:
    """One upload of a model."""

    name: str
    source: str
    description: str | None
    id: str = field(default_factory=lambda: f"job-{secrets.token_hex(8)}")
    created_at: str = field(default_factory=timestamp)
    started: float = field(default_factory=time.monotonic)

    def to_dict(self) -> dict[str, Any]:
        age = time.monotonic() - self.started
        status = "Queued" if age < 0.2 else "Running" if age < 1 else "Complete"
        return {
            "type": "model_upload",
            "job_id": self.id,
            "status": status,
            "status_updates": [{"status": status, "message": f"The upload is {status.lower()}.", "timestamp": self.created_at}],
            "args": {"description": self.description or "", "modelName": self.name, "modelSource": self.source},
            "created_at": self.created_at,
            "updated_at": self.created_at,
        }


@dataclass(slots=True)
class DedicatedEndpoint:
    """One dedicated endpoint. `target_state` is the state that was requested last, at `changed_at`."""

    name: str
    display_name: str
    model: str
    hardware: str
    autoscaling: dict[str, int]
    inactive_timeout: int | None
    target_state: str
    changed_at: float
    id: str = field(default_factory=lambda: f"endpoint-{secrets.token_hex(8)}")
    created_at: str = field(default_factory=timestamp)

    def state(self) -> str:
        age = time.monotonic() - self.changed_at
        if self.target_state == "STOPPED":
            return "STOPPING" if age < 0.3 else "STOPPED"
        return "PENDING" if age < 0.2 else "STARTING" if age < 0.8 else "STARTED"

    def summary(self) -> dict[str, Any]:
        """Returns it as lists show it."""
        names = {"object": "endpoint", "id": self.id, "name": self.name, "model": self.model, "type": "dedicated"}
        return {**names, "owner": OWNER, "state": self.state(), "created_at": self.created_at}

    def details(self) -> dict[str, Any]:
        names = ("display_name", "hardware", "autoscaling", "inactive_timeout")
        return self.summary() | {name: getattr(self, name) for name in names}
