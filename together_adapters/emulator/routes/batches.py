"""`/v1/batches`: the lines of a file are handled like single requests, in a thread, within seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Literal, get_args

from pydantic import Field
from starlette.responses import Response

from together_adapters.emulator.errors import ApiError, bad_request, typical
from together_adapters.emulator.http.faults import STATUSES
from together_adapters.emulator.http.pending import Pending
from together_adapters.emulator.http.responses import compact, json_response
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, call, json_route
from together_adapters.emulator.routes import chat, completions, embeddings
from together_adapters.emulator.store.file_store import StoredFile
from together_adapters.emulator.store.records import EmulatedBatch, batch_timestamp

_HANDLERS: Final[dict[str, Callable[[RequestContext], Any]]] = {
    "/v1/chat/completions": chat.complete,
    "/v1/completions": completions.complete,
    "/v1/embeddings": embeddings.embed,
}
_Endpoint = Literal[
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/audio/transcriptions", "/v1/audio/translations"
]
_STAGE: Final = 0.1  # the share of a job's time that a batch stays at least in one state, so that clients can see it
_MAX_REQUESTS: Final = 50_000
_LINES: Final = "lines of a batch"  # the path of faults that happen to lines, not to requests
_LINE_FAULTS: Final = frozenset({*STATUSES, "drop"})
_MAX_BYTES: Final = 100 * 2**20


class _BatchRequest(RequestModel):
    refuses_unknown = False
    input_file_id: Name
    endpoint: _Endpoint = Field(description=f"one of {', '.join(get_args(_Endpoint))}")
    model_id: Name | None = None


def _create(context: RequestContext) -> Response:
    request = _BatchRequest.read(context)
    file = context.stores.files.find(request.input_file_id)
    if file.purpose != "batch-api" or file.content is None:
        raise bad_request("The file is not one that was uploaded for batch-api.", param="input_file_id")
    batch = EmulatedBatch(file.id, file.content.size, request.endpoint, request.model_id)
    context.stores.batches.add(batch.id, batch)
    response = json_response({"job": batch.to_dict()}, 201)
    context.stores.threads.start(_run, context, batch, file)
    return response


def _list(context: RequestContext) -> list[dict[str, Any]]:
    return [batch.to_dict() for batch in context.stores.batches.newest_first()]


def _cancel(context: RequestContext) -> dict[str, Any]:
    batch = context.stores.batches.find(context.path_id)
    if batch.status not in ("VALIDATING", "IN_PROGRESS", "CANCELLED"):
        raise bad_request(f"The batch has ended as {batch.status} and cannot be cancelled.")
    batch.is_cancelled = True
    batch.status = "CANCELLED"
    return batch.to_dict()


def _run(context: RequestContext, batch: EmulatedBatch, file: StoredFile) -> None:
    pause = _STAGE * context.state.job_seconds
    ends = context.state.batch_ends
    end = ends.popleft() if ends else None
    try:
        _wait(context, batch, pause)
        requests = _requests(file)
        if not batch.is_cancelled:
            batch.status = "IN_PROGRESS"
            _wait(context, batch, pause)
        _process(context, batch, requests, None if end is None else end.after)
        batch.completed_at = batch_timestamp()
        if end is not None:
            batch.status, batch.error = end.status, end.message
        elif not batch.is_cancelled:
            batch.status, batch.progress = "COMPLETED", 100.0
    except (ValueError, FileNotFoundError) as error:  # invalid, or deleted meanwhile
        batch.status, batch.error = "FAILED", str(error) if isinstance(error, ValueError) else "The input file was deleted."
    except ApiError as error:
        batch.status, batch.error = "FAILED", error.message
    except Exception as error:
        context.state.record_error(error)
        batch.status, batch.error = "FAILED", "The input file cannot be read."


def _wait(context: RequestContext, batch: EmulatedBatch, seconds: float) -> None:
    """Waits, but not beyond the end of the batch or of the emulator."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not batch.is_cancelled and not context.stores.threads.closed:
        time.sleep(min(left, 0.05))


def _requests(file: StoredFile) -> dict[str, dict[str, Any]]:
    """Returns the requests of a file by `custom_id`, or raises `ValueError`."""
    assert file.content is not None
    if file.content.size > _MAX_BYTES:
        raise ValueError(f"A batch has {_MAX_BYTES >> 20} MiB at most; this file has {file.content.size} bytes.")
    requests: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(file.content.read().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise ValueError(f"Line {number} is not JSON.") from None
        id, body = (value.get("custom_id"), value.get("body")) if isinstance(value, dict) else (None, None)
        if not isinstance(id, str) or not 1 <= len(id) <= 64 or id in requests:
            raise ValueError(f"Line {number}: custom_id must be a string of 1 to 64 characters, different on each line.")
        if not isinstance(body, dict):
            raise ValueError(f"Line {number}: body must be an object.")
        requests[id] = body
    if not 1 <= len(requests) <= _MAX_REQUESTS:
        raise ValueError(f"A batch contains 1 to {_MAX_REQUESTS} requests; this file has {len(requests)}.")
    return requests


def _process(context: RequestContext, batch: EmulatedBatch, requests: dict[str, dict[str, Any]], limit: int | None) -> None:
    """Answers the requests, or the first `limit` of them."""
    outputs, errors = [], []
    for number, (id, body) in enumerate(islice(requests.items(), limit)):
        if context.stores.threads.closed:
            return
        if batch.is_cancelled:
            break
        parameters = {**({"model": batch.model_id} if batch.model_id else {}), **body, "stream": False}
        fault = context.state.faults.take(_LINES, 1, False, None, _LINE_FAULTS) if context.state.faults.pending else None
        if fault is not None and fault.kind == "drop":
            continue
        try:
            if fault is not None:
                error = typical(int(fault.kind))
                raise replace(error, code=fault.code or fault.kind, message=fault.message or error.message)
            line_id = f"o{number:06X}b-{batch.id}"
            charge = context.charge.for_line(line_id)
            response = _respond(replace(context, body=parameters, id=line_id, charge=charge), batch.endpoint)
            charge.end()
            outputs.append({"custom_id": id, "response": {"status_code": 200, "body": response}})
        except ApiError as error:
            errors.append({"custom_id": id, "error": {"message": error.message, "code": error.code}})
        batch.progress = round(100 * (number + 1) / len(requests), 1)
    # The API promises no order, so the lines come in another one than those of the input.
    batch.output_file_id = _write(context, batch, "output", outputs[::-1]) if outputs else None
    batch.error_file_id = _write(context, batch, "errors", errors) if errors else None


def _respond(context: RequestContext, endpoint: str) -> Any:
    handler = _HANDLERS.get(endpoint)
    if handler is None:
        raise bad_request(f"{endpoint} is not emulated in batches.")
    response = call(handler, context)
    if isinstance(response, Pending):
        response = response.result()
    return json.loads(bytes(response.body)) if isinstance(response, Response) else response


def _write(context: RequestContext, batch: EmulatedBatch, kind: str, lines: list[dict[str, Any]]) -> str:
    data = b"".join(compact(line) + b"\n" for line in lines)
    return context.stores.files.generate(f"batch-{batch.id}-{kind}.jsonl", "batch-api", data).id


ROUTES: Any = [
    json_route("/v1/batches", _create),
    json_route("/v1/batches", _list, "GET"),
    json_route("/v1/batches/{id}", lambda context: context.stores.batches.find(context.path_id).to_dict(), "GET"),
    json_route("/v1/batches/{id}/cancel", _cancel, needs_object=False),
]
