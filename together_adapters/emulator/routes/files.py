"""`/v1/files`: what was uploaded, and how far the service has looked into it.

A file goes through PENDING, QUEUED and RUNNING within half a second; what is found in it is what `together_adapters.finetune`
finds, and as on the live service only the first fault is told.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, State, json_route
from together_adapters.emulator.store.byte_ranges import content
from together_adapters.emulator.store.disk import Stored, folder_of

PURPOSES: Final = ("fine-tune", "calibration", "eval", "batch-api")
TYPES: Final = ("jsonl", "parquet", "csv")
_MEDIA: Final = {"jsonl": "application/jsonl", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
_STATES: Final = ((0.1, "PENDING"), (0.2, "QUEUED"), (0.4, "RUNNING"))
_LARGEST_CHECKED: Final = 512 * 2**20


@dataclass
class StoredFile:
    """One file of an account. It is there from the moment its upload begins, and shown once it has content.

    Attributes:
        checksum: What its uploader says its SHA-256 is.
        content: What is in it; None while it is on its way.
        checked_since: When the service began to look into it.
        report: What it found; None until then.
    """

    name: str
    purpose: str
    type: str
    checksum: str = ""
    id: str = field(default_factory=lambda: f"file-{uuid.uuid4()}")
    created_at: int = field(default_factory=lambda: int(time.time()))
    content: Stored | None = None
    checked_since: float | None = None
    report: dict[str, Any] | None = None

    @property
    def status(self) -> str | None:
        """How far the service has looked into it."""
        if self.checked_since is None:
            return None
        elapsed = time.monotonic() - self.checked_since
        for until, name in _STATES:
            if elapsed < until:
                return name
        if self.report is None:
            return "RUNNING"
        return "COMPLETED" if self.report["valid"] else "INVALID_FORMAT"

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        status = self.status
        ended = status in ("COMPLETED", "INVALID_FORMAT")
        return {
            "id": self.id,
            "object": "file",
            "created_at": self.created_at,
            "filename": self.name,
            "bytes": self.content.size if self.content else 0,
            "purpose": self.purpose,
            "FileType": self.type,
            "Processed": status == "COMPLETED",
            "LineCount": (self.report or {}).get("nlines") or 0 if ended else 0,
            "processing_status": status,
            "validation_report": self.report if ended else None,
        }


class Files:
    """The files of one emulator."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self._lock = threading.Lock()

    def add(self, file: StoredFile) -> StoredFile:
        """Take in a file whose content may be on its way."""
        with self._lock:
            self._files[file.id] = file
        return file

    def get(self, id: str) -> StoredFile:
        """Return a file.

        Raises:
            ApiError: There is none.
        """
        found = self._files.get(id)
        if found is None:
            raise ApiError(404, f"There is no file {id[:100]}.", code="not_found")
        return found

    def all(self) -> list[StoredFile]:
        """Return the files that have content, the newest first."""
        with self._lock:
            return [file for file in reversed(self._files.values()) if file.content is not None]

    def same(self, checksum: str, purpose: str) -> StoredFile | None:
        """Return a file of the same content and purpose."""
        found = (file for file in self.all() if checksum and file.checksum == checksum and file.purpose == purpose)
        return next(found, None)

    def remove(self, id: str) -> None:
        """Forget a file."""
        file = self.get(id)
        with self._lock:
            del self._files[id]
        if file.content:
            file.content.remove()


def files_of(state: State) -> Files:
    """Return the files of an emulator."""
    found: Files = state.shelf.setdefault("files", Files())
    return found


def new_file(context: RequestContext, fields: dict[str, Any]) -> StoredFile | Response:
    """Return a file as an upload announces it, or the answer that says that it is there already.

    Raises:
        ApiError: A field is missing or wrong.
    """
    name, purpose = fields.get("file_name"), fields.get("purpose")
    if not isinstance(name, str) or not name:
        raise bad_request("file_name is required.", param="file_name")
    if purpose not in PURPOSES:
        raise bad_request(f"purpose must be one of {', '.join(PURPOSES)}.", param="purpose")
    kind = fields.get("file_type") or name.rpartition(".")[2]
    if kind not in TYPES:
        raise bad_request(f"file_type must be one of {', '.join(TYPES)}.", param="file_type")
    checksum = fields.get("checksum") or ""
    if not isinstance(checksum, str):
        raise bad_request("checksum must be a string.", param="checksum")
    if there := files_of(context.state).same(checksum, purpose):
        return conflict(there)
    return StoredFile(name.replace("\\", "/").rpartition("/")[2], purpose, kind, checksum)


def conflict(there: StoredFile) -> Response:
    """Answer that the content is there already."""
    from together_adapters.emulator.http.sse import compact

    error = ApiError(409, "A file with this content exists already.", code="conflict").body()
    return Response(compact({**error, "file_id": there.id}), 409, media_type="application/json; charset=utf-8")


def process(state: State, file: StoredFile) -> None:
    """Begin to look into a file."""
    file.checked_since = time.monotonic()
    threading.Thread(target=_look_into, args=(state, file), name="together-emulator-check", daemon=True).start()


def _look_into(state: State, file: StoredFile) -> None:
    try:
        file.report = _report(state, file)
    except Exception as error:
        if not folder_of(state).closed and file.content is not None and file.id in {kept.id for kept in files_of(state).all()}:
            state.log.record_error(error)
        file.report = {"valid": False, "file_id": file.id, "error_type": "INVALID_FORMAT", "error": "The file cannot be read."}


def _report(state: State, file: StoredFile) -> dict[str, Any]:
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    assert file.content is not None
    if file.content.size > _LARGEST_CHECKED:
        return {"valid": True, "file_id": file.id}
    path = file.content.path or file.content.merge(folder_of(state).new())
    named = path.with_name(f"{path.name}.{file.type}")
    named.hardlink_to(path)
    try:
        found = check_jsonl(named, purpose=file.purpose)
    finally:
        named.unlink(missing_ok=True)
    if file.content.digest() != (file.checksum or file.content.sha256):
        return {"valid": False, "file_id": file.id, "error_type": "INVALID_FORMAT", "error": "The checksum does not match."}
    report: dict[str, Any] = {"valid": found.ok, "file_id": file.id, "nlines": found.rows}
    if not found.ok:
        first = next(issue for issue in found.issues if issue.severity == "error")
        where = f"Line {first.line}: " if first.line else ""
        at = f"`{first.path}`: " if first.path else ""
        return {**report, "error_type": "INVALID_FORMAT", "error": f"{where}{at}{first.message}"}
    if file.purpose == "fine-tune":
        shown = {"preference": "PREFERENCE_OPENAI"}.get(found.format or "", (found.format or "tokenized").upper())
        report |= {"dataset_format": shown, "dataset_is_multimodal": found.has_images} | {
            f"dataset_{name}": getattr(found, name)
            for name in ("has_message_weights", "has_sample_weights", "has_tools", "has_parallel_tool_calls", "has_reasoning")
        }
    return report


def generate(state: State, name: str, purpose: str, data: bytes) -> StoredFile:
    """Make a file that the service itself writes, such as the output of a batch."""
    file = StoredFile(name, purpose, "jsonl")
    file.content = Stored.of(state, data)
    file.checked_since = 0.0
    file.report = {"valid": True, "file_id": file.id, "nlines": data.count(b"\n")}
    return files_of(state).add(file)


def _list(context: RequestContext) -> dict[str, Any]:
    return {"object": "list", "data": [file.shown() for file in files_of(context.state).all()]}


def _retrieve(context: RequestContext) -> dict[str, Any]:
    return files_of(context.state).get(context.request.path_params["id"]).shown()


def _delete(context: RequestContext) -> dict[str, Any]:
    id = context.request.path_params["id"]
    files_of(context.state).remove(id)
    return {"id": id, "object": "file", "deleted": True}


def _content(context: RequestContext) -> Response:
    file = files_of(context.state).get(context.request.path_params["id"])
    if file.content is None:
        raise bad_request("The file has no content yet.")
    return content(context, file.content, _MEDIA[file.type])


ROUTES: Any = [
    json_route("/v1/files", _list, "GET"),
    json_route("/v1/files/{id}", _retrieve, "GET"),
    json_route("/v1/files/{id}", _delete, "DELETE"),
    json_route("/v1/files/{id}/content", _content, "GET"),
]
