"""`/v1/batches`: the lines of a file go through the same routes as single requests, in a thread, within seconds."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, call, json_route
from together_adapters.emulator.http.sse import compact
from together_adapters.emulator.routes import embeddings
from together_adapters.emulator.routes import tuned_models as tuned_chat
from together_adapters.emulator.routes.files import StoredFile, files_of, generate
from together_adapters.emulator.store.clock import real_seconds
from together_adapters.emulator.store.disk import folder_of

_HANDLERS: Final[dict[str, Callable[[RequestContext], Any]]] = {
    "/v1/chat/completions": tuned_chat.chat_complete,
    "/v1/completions": tuned_chat.complete,
    "/v1/embeddings": embeddings.embed,
}
_UNSUPPORTED: Final = ("/v1/audio/transcriptions", "/v1/audio/translations")
_STEP: Final = 0.1
"""The part of a job's time that a batch stays in a state at least, so that somebody can see it there."""
_MOST: Final = 50_000


@dataclass
class Batch:
    """One batch."""

    file: StoredFile
    endpoint: str
    model: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "VALIDATING"
    progress: float = 0.0
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    completed: datetime | None = None
    output: str | None = None
    errors: str | None = None
    error: str | None = None
    cancelled: bool = False

    def shown(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "id": self.id,
            "user_id": "user-emulator",
            "input_file_id": self.file.id,
            "file_size_bytes": self.file.content.size if self.file.content else 0,
            "status": self.status,
            "job_deadline": _stamp(self.created + timedelta(hours=24)),
            "created_at": _stamp(self.created),
            "endpoint": self.endpoint,
            "progress": self.progress,
            "model_id": self.model,
            "output_file_id": self.output,
            "error_file_id": self.errors,
            "error": self.error,
            "completed_at": _stamp(self.completed) if self.completed else None,
        }


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _create(context: RequestContext) -> dict[str, Any]:
    body = context.body
    id, endpoint, model = body.get("input_file_id"), body.get("endpoint"), body.get("model_id")
    if not isinstance(id, str) or not id:
        raise bad_request("input_file_id is required.", param="input_file_id")
    if endpoint not in (*_HANDLERS, *_UNSUPPORTED):
        raise bad_request(f"endpoint must be one of {', '.join((*_HANDLERS, *_UNSUPPORTED))}.", param="endpoint")
    file = files_of(context.state).get(id)
    if file.purpose != "batch-api" or file.content is None:
        raise bad_request("The file is not one that was uploaded for batch-api.", param="input_file_id")
    batch = Batch(file, endpoint, model if isinstance(model, str) else None)
    _batches(context)[batch.id] = batch
    shown = batch.shown()
    threading.Thread(target=_run, args=(context, batch), name="together-emulator-batch", daemon=True).start()
    return {"job": shown}


def _list(context: RequestContext) -> Response:
    shown = [batch.shown() for batch in reversed(_batches(context).values())]
    return Response(compact(shown), media_type="application/json; charset=utf-8")


def _retrieve(context: RequestContext) -> dict[str, Any]:
    return _batch(context).shown()


def _cancel(context: RequestContext) -> dict[str, Any]:
    batch = _batch(context)
    if batch.status not in ("VALIDATING", "IN_PROGRESS", "CANCELLED"):
        raise bad_request(f"The batch has ended as {batch.status} and cannot be cancelled.")
    batch.cancelled = True
    batch.status = "CANCELLED"
    return batch.shown()


def _batches(context: RequestContext) -> dict[str, Batch]:
    found: dict[str, Batch] = context.state.shelf.setdefault("batches", {})
    return found


def _batch(context: RequestContext) -> Batch:
    id = context.request.path_params["id"]
    found = _batches(context).get(id)
    if found is None:
        raise ApiError(404, f"There is no batch {id[:100]}.", code="not_found")
    return found


def _run(context: RequestContext, batch: Batch) -> None:
    """Work through a batch."""
    pause = _STEP * real_seconds(context.state.shelf)
    try:
        _rest(context, batch, pause)
        lines = _lines(batch.file)
        if not batch.cancelled:
            batch.status = "IN_PROGRESS"
            _rest(context, batch, pause)
        _answer(context, batch, lines)
        batch.completed = datetime.now(UTC)
        if not batch.cancelled:
            batch.status, batch.progress = "COMPLETED", 100.0
    except ValueError as problem:
        batch.status, batch.error = "FAILED", str(problem)
    except Exception as error:
        if not folder_of(context.state).closed:
            context.state.log.record_error(error)
        batch.status, batch.error = "FAILED", "The input file cannot be read."


def _rest(context: RequestContext, batch: Batch, seconds: float) -> None:
    """Stay in a state, but not beyond the end of the batch or of the emulator."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not batch.cancelled and not folder_of(context.state).closed:
        time.sleep(min(left, 0.05))


def _lines(file: StoredFile) -> list[tuple[str, dict[str, Any]]]:
    """Read the requests of a file.

    Raises:
        ValueError: It is not one that a batch takes.
    """
    assert file.content is not None
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(file.content.read(0, file.content.size).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"Line {number} is not JSON.") from None
        name, body = (value.get("custom_id"), value.get("body")) if isinstance(value, dict) else (None, None)
        if not isinstance(name, str) or not 1 <= len(name) <= 64 or name in found:
            raise ValueError(f"Line {number}: custom_id must be a string of 1 to 64 characters, different on each line.")
        if not isinstance(body, dict):
            raise ValueError(f"Line {number}: body must be an object.")
        found[name] = body
    if not found or len(found) > _MOST:
        raise ValueError(f"A batch holds 1 to {_MOST} requests; this file has {len(found)}.")
    return list(found.items())


def _answer(context: RequestContext, batch: Batch, lines: list[tuple[str, dict[str, Any]]]) -> None:
    output, errors = [], []
    for number, (name, body) in enumerate(lines):
        if batch.cancelled:
            break
        parameters = {**({"model": batch.model} if batch.model else {}), **body, "stream": False}
        try:
            line = replace(context, body=parameters, id=f"o{number:06X}b-{batch.id}")
            answer = _one(line, batch.endpoint)
            output.append({"custom_id": name, "response": {"status_code": 200, "body": answer}})
        except ApiError as error:
            errors.append({"custom_id": name, "error": {"message": error.message, "code": error.code}})
        batch.progress = round(100 * (number + 1) / len(lines), 1)
    # Any order is allowed, and none is promised.
    batch.output = _written(context, batch, "output", output[::-1]) if output else None
    batch.errors = _written(context, batch, "errors", errors) if errors else None


def _one(context: RequestContext, endpoint: str) -> Any:
    handler = _HANDLERS.get(endpoint)
    if handler is None:
        raise bad_request(f"{endpoint} is not emulated in batches.")
    result = call(handler, context)
    return json.loads(bytes(result.body)) if isinstance(result, Response) else result


def _written(context: RequestContext, batch: Batch, kind: str, lines: list[dict[str, Any]]) -> str:
    data = b"".join(compact(line) + b"\n" for line in lines)
    return generate(context.state, f"batch-{batch.id}-{kind}.jsonl", "batch-api", data).id


ROUTES: Any = [
    json_route("/v1/batches", _create),
    json_route("/v1/batches", _list, "GET"),
    json_route("/v1/batches/{id}", _retrieve, "GET"),
    json_route("/v1/batches/{id}/cancel", _cancel, needs_object=False),
]
