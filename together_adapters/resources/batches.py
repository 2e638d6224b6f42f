"""Batches: requests in one file, answered within a day at a lower price."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from together_adapters.errors import APIResponseValidationError, JobFailedError, NotFoundError
from together_adapters.resources.batch_files import in_order, write_input
from together_adapters.resources.files import content
from together_adapters.resources.waiting import wait_for
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Local, Response, request, response_parser, segment
from together_adapters.types.batches import FINAL, BatchCreateResponse, BatchJob, BatchList, BatchResult
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

CHAT = "/v1/chat/completions"
_read = response_parser(BatchJob)


def create(
    input_file_id: str,
    endpoint: str = CHAT,
    *,
    completion_window: str = "24h",
    model_id: str | None = None,
    priority: int | None = None,
    **options: Unpack[RequestOptions],
) -> Call[BatchCreateResponse]:
    """Start a batch. It costs money once it has started, so the request is not repeated where it may have arrived.

    Args:
        input_file_id: A file that was uploaded for `batch-api`; `batches.write_input` writes one.
        endpoint: Where its requests go: `/v1/chat/completions`, `/v1/completions`, `/v1/audio/transcriptions`, ...
        completion_window: When it must be done.
        model_id: The model, where the requests name none.
        priority: Its rank among the account's batches.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The batch; also as `.job`, with `.warning` beside it.

    Raises:
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the batch may have been started.
    """
    params = {
        "input_file_id": input_file_id,
        "endpoint": endpoint,
        "completion_window": completion_window,
        "model_id": model_id,
        "priority": priority,
    }
    return request("POST", "/v1/batches", _read_created, params, billable="batches.list()", options=options)


def create_batch(file_id: str, endpoint: str = CHAT, **options: Unpack[RequestOptions]) -> Call[BatchCreateResponse]:
    """Start a batch: `create` under the name of the `together` 1.x SDK.

    Args:
        file_id: A file that was uploaded for `batch-api`.
        endpoint: Where its requests go.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return create(file_id, endpoint, **options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[BatchJob]:
    """Look at a batch.

    Args:
        id: The batch's id.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("GET", f"/v1/batches/{segment(id, 'id')}", _read, options=options)


def list_batches(**options: Unpack[RequestOptions]) -> Call[BatchList]:
    """List the batches of the account.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("GET", "/v1/batches", _read_list, options=options)


def cancel(id: str, **options: Unpack[RequestOptions]) -> Call[BatchJob]:
    """Cancel a batch. What was answered by then stays in its output file.

    Args:
        id: The batch's id.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.
    """
    return request("POST", f"/v1/batches/{segment(id, 'id')}/cancel", _read, options=options)


def wait(
    id: str,
    *,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[BatchJob]:
    """Wait until a batch has ended.

    Args:
        id: The batch's id.
        poll_interval: Seconds between two looks.
        timeout: Seconds until it gives up; None for never. The batch goes on.
        progress: Told whenever the state or the percentage changes.

    Returns:
        The batch. Single requests may have failed: see `results`.

    Raises:
        JobFailedError: It failed, expired or was cancelled; `completed` is the batch, which may hold some answers.
        APITimeoutError: The time is up.
    """
    batch: BatchJob = yield from wait_for(
        retrieve(id),
        done=lambda batch: (batch.status or "").upper() in FINAL,
        poll_interval=poll_interval,
        timeout=timeout,
        progress=progress,
        describe=lambda batch: Progress(batch.progress or 0.0, 100.0, (batch.status or "unknown").lower()),
        name=f"batch {id}",
    )
    if (batch.status or "").upper() != "COMPLETED":
        why = f": {batch.error}" if batch.error else ""
        partly = " Its output file holds what was answered." if batch.output_file_id else ""
        raise JobFailedError(f"batch {id} ended as {batch.status}{why}.{partly}", completed=batch, body=batch.model_dump())
    return batch


def results(
    batch: BatchJob | str, *, input: str | PathLike[str] | None = None, **options: Unpack[RequestOptions]
) -> Flow[list[BatchResult]]:
    """Return what became of every request of a batch, in the order of its input file.

    Args:
        batch: The batch, or its id.
        input: The input file on this machine; without it, it is fetched from the service.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        One result for each request: its answer in `body`, or its `error`.

    Raises:
        APIResponseValidationError: An output file cannot be read.
    """
    job: BatchJob = (yield retrieve(batch, **options)) if isinstance(batch, str) else batch
    output: bytes = (yield content(job.output_file_id, **options)) if job.output_file_id else b""
    errors: bytes = (yield content(job.error_file_id, **options)) if job.error_file_id else b""
    asked = yield from _input(job, input, options)
    try:
        return in_order(asked, output, errors)
    except ValueError as problem:
        raise APIResponseValidationError(f"the results of batch {job.id} cannot be read: {problem}") from None


def _input(job: BatchJob, path: str | PathLike[str] | None, options: Any) -> Flow[bytes | None]:
    if path is not None:
        return (yield Local(Path(path).read_bytes))
    if not job.input_file_id:
        return None
    try:
        return (yield content(job.input_file_id, **options))
    except NotFoundError:
        return None


def _read_created(response: Response) -> BatchCreateResponse:
    body = response.json()
    if not isinstance(body, dict):
        raise ValueError("an object was expected")
    job = body.get("job")
    return BatchCreateResponse.model_validate({**(job if isinstance(job, dict) else body), "warning": body.get("warning")})


def _read_list(response: Response) -> BatchList:
    body = response.json()
    items = body.get("data") if isinstance(body, dict) else body
    if not isinstance(items, list | None):
        raise ValueError("a list of batches was expected")
    return BatchList(BatchJob.model_validate(item) for item in items or ())


class Batches(Resource[D, R]):
    """`client.batches`."""

    with_raw_response: Batches[R, R]
    create = method(create)
    retrieve = method(retrieve)
    list = method(list_batches)
    cancel = method(cancel)
    wait = method(wait)
    results = method(results)
    write_input = staticmethod(write_input)

    # The names of the `together` 1.x SDK.
    create_batch = method(create_batch)
    get_batch = retrieve
    list_batches = method(list_batches)
    cancel_batch = cancel
