"""Batches: many requests in one file, processed within a day at a lower price."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, Unpack, overload

from together_adapters.errors import APIResponseValidationError, JobFailedError, NotFoundError
from together_adapters.resources.batch_files import read_results, write_input
from together_adapters.resources.files import content
from together_adapters.resources.waiting import wait_for_job
from together_adapters.transport.binding import Async, D, R, Resource, Sync, method
from together_adapters.transport.call import Call, Flow, Local, Response, Settings, request, segment
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.batches import BatchCreateResponse, BatchJob, BatchList, BatchResult
from together_adapters.types.capabilities import removal_warning
from together_adapters.types.files import check_file_id
from together_adapters.types.progress import Progress, is_failed
from together_adapters.types.requests import RequestOptions

if TYPE_CHECKING:
    from together_adapters.bulk.results import BulkProgress, BulkResults
    from together_adapters.types.chat import ChatCompletion

CHAT: Final = "/v1/chat/completions"
ChatEndpoint = Literal["/v1/chat/completions"]
Bodies = Iterable[Mapping[str, Any]] | str | PathLike[str]
_parse = ResponseParser(BatchJob)

load_runner: Callable[[], Callable[..., Flow[BulkResults[Any]]]] | None = None
"""Imports the function that runs requests as jobs. The clients set it: resources do not know `bulk`."""


def create(
    input_file_id: str,
    endpoint: str = CHAT,
    *,
    completion_window: str = "24h",
    model_id: str | None = None,
    priority: int | None = None,
    **options: Unpack[RequestOptions],
) -> Call[BatchCreateResponse]:
    """Creates a batch. This costs money, so the request is not retried where it may have been accepted.

    Args:
        input_file_id: A file uploaded for `batch-api`; `batches.write_input` writes one.
        endpoint: The endpoint of its requests: `/v1/chat/completions`, `/v1/completions`, `/v1/audio/transcriptions`, ...
        completion_window: The time in which it must be processed.
        model_id: The model, where the requests have none.
        priority: Its priority among the account's batches.

    Returns:
        The batch, also as `.job`, and a possible `.warning`.

    Raises:
        APIConnectionError: No response arrived; the message says whether the batch may have been created.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        bodies = [
            {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": f"Translate {word!r} into French."}]}
            for word in ("train", "boat")
        ]
        path = client.batches.write_input(bodies, "requests.jsonl", overwrite=True)
        batch = client.batches.create(client.files.upload(path, purpose="batch-api").id)
        for result in client.batches.results(client.batches.wait(batch.id, poll_interval=1)):
            print(result.custom_id, result.body or result.error)
        ```
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    check_file_id(input_file_id, "input_file_id", "batch-api")
    return request(
        "POST",
        "/v1/batches",
        _read_created,
        params,
        billable="batches.list()",
        options=options,
        warning=removal_warning(model_id),
    )


def warn_of_removed(models: Iterable[str]) -> Flow[None]:
    """Warns of the models of requests that are gone, before the requests are uploaded and paid."""
    config = yield Settings()
    for warning in filter(None, map(removal_warning, models)):
        config.warn(warning)


def create_batch(file_id: str, endpoint: str = CHAT, **options: Unpack[RequestOptions]) -> Call[BatchCreateResponse]:
    """Creates a batch: `create` under its name in the `together` 1.x SDK.

    Args:
        file_id: A file uploaded for `batch-api`.
        endpoint: The endpoint of its requests.
    """
    return create(file_id, endpoint, **options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[BatchJob]:
    """Retrieves a batch."""
    return request("GET", f"/v1/batches/{segment(id, 'id')}", _parse, options=options)


def list_batches(**options: Unpack[RequestOptions]) -> Call[BatchList]:
    """Lists the batches of the account."""
    return request("GET", "/v1/batches", lambda response: BatchList.parse(response.json(), BatchJob), options=options)


def cancel(id: str, **options: Unpack[RequestOptions]) -> Call[BatchJob]:
    """Cancels a batch. Requests that were processed stay in its output file."""
    return request("POST", f"/v1/batches/{segment(id, 'id')}/cancel", _parse, options=options)


def wait(
    id: str,
    *,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Flow[BatchJob]:
    """Waits until a batch has ended.

    Args:
        id: The batch's id.
        progress: Called whenever the status or the percentage has changed.

    Returns:
        The batch. Single requests may have failed: see `results`.

    Raises:
        JobFailedError: The batch failed, expired or was cancelled; `completed` is the batch, which may have some results.
    """
    batch = yield from wait_for_job(
        retrieve(id),
        f"batch {id}",
        poll_interval,
        timeout,
        progress,
        describe=lambda batch: Progress(batch.progress or 0.0, 100.0, (batch.status or "unknown").lower()),
    )
    if is_failed(batch.status):
        reason = f": {batch.error}" if batch.error else ""
        hint = " Its output file has the requests that were processed." if batch.output_file_id else ""
        raise JobFailedError(f"batch {id} ended as {batch.status}{reason}.{hint}", completed=batch, body=batch.model_dump())
    return batch


def results(
    batch: BatchJob | str, *, input: str | PathLike[str] | None = None, **options: Unpack[RequestOptions]
) -> Flow[list[BatchResult]]:
    """Returns the result of every request of a batch, in the order of its input file.

    Args:
        batch: The batch, or its id.
        input: The input file on this machine; without it, it is downloaded from the service.

    Returns:
        One result for each request: its response in `body`, or its `error`.

    Raises:
        APIResponseValidationError: An output file is not valid.
    """
    job: BatchJob = (yield retrieve(batch, **options)) if isinstance(batch, str) else batch
    output: bytes = (yield content(job.output_file_id, **options)) if job.output_file_id else b""
    errors: bytes = (yield content(job.error_file_id, **options)) if job.error_file_id else b""
    requests = yield from _read_input(job, input, options)
    try:
        return read_results(requests, output, errors)
    except ValueError as error:
        raise APIResponseValidationError(f"the results of batch {job.id} are not valid: {error}") from None


def run(
    bodies: Bodies,
    *,
    endpoint: str = CHAT,
    checkpoint: str | PathLike[str] | None = None,
    model: str | None = None,
    poll_interval: float = 30.0,
    timeout: float | None = None,
    max_price: float | None = None,
    max_jobs: int = 4,
    progress: Callable[[BulkProgress], object] | None = None,
) -> Flow[BulkResults[Any]]:
    """Runs any number of requests as batch jobs, and returns their results in the order of the requests.

    With a checkpoint, a run that was interrupted at any moment continues when it is started again with the same inputs: nothing that
    is done is uploaded or paid twice. Equal requests are sent once. Requests that fail for a passing reason are sent a second time.

    Args:
        bodies: Request bodies, of any iterable, or the path of a JSON Lines file of bodies or of lines of a batch. They are read once
            and kept on disk.
        endpoint: The endpoint of all requests.
        checkpoint: The file that keeps the state of the run, on a local disk; None for a temporary one.
        model: The model of bodies that name none.
        poll_interval: The most seconds between two looks at a job: they come after 1, 1.5, 2.3 and so on.
        timeout: Seconds until waiting ends with an `APITimeoutError`; None waits without limit. The jobs continue.
        max_price: Dollars that the run may cost by its estimate, which is made before anything is uploaded; None for no limit.
        max_jobs: Jobs that run at the same time.
        progress: Called with a `BulkProgress`, possibly from another thread.

    Returns:
        A result for each input, to be iterated over: `index`, `id`, `response` or `error`. Failed requests raise nothing; when a run that
        has ended is started again, they are sent again, except those that were refused for their content.

    Raises:
        BudgetExceededError: The run may cost more than `max_price`, or than the budget of the client's control leaves.
        ConfigurationError: A price is unknown, or the checkpoint is damaged, of another run, or used by another process.
        DatasetError: A body is not valid, or an input of the run before is missing. Nothing was sent.
        APIError: The service refuses the files or the jobs. Start the run again to continue it.
    """
    if load_runner is None:
        raise RuntimeError("no runner is set: make a client first")
    options = {name: value for name, value in locals().items() if name != "bodies"}
    return load_runner()(bodies, **options)


class RunParams(TypedDict, total=False):
    """The keywords of `run` besides the endpoint, for type checkers."""

    checkpoint: str | PathLike[str] | None
    model: str | None
    poll_interval: float
    timeout: float | None
    max_price: float | None
    max_jobs: int
    progress: Callable[[BulkProgress], object] | None


def _read_input(job: BatchJob, path: str | PathLike[str] | None, options: Any) -> Flow[bytes | None]:
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
    created = BatchCreateResponse.model_validate({**(job if isinstance(job, dict) else body), "warning": body.get("warning")})
    if not created.id:
        raise ValueError(f"it has no id of a batch{f', but an error: {created.error}' if created.error else ''}")
    return created


class Batches(Resource[D, R]):
    """`client.batches`."""

    with_raw_response: Batches[R, R]
    create = method(create)
    retrieve = method(retrieve)
    list = method(list_batches)
    cancel = method(cancel)
    wait = method(wait)
    results = method(results)
    if TYPE_CHECKING:  # a signature for each type of response

        @overload
        def run(
            self: Batches[Sync, Any], bodies: Bodies, *, endpoint: ChatEndpoint = CHAT, **params: Unpack[RunParams]
        ) -> BulkResults[ChatCompletion]: ...
        @overload
        def run(self: Batches[Sync, Any], bodies: Bodies, *, endpoint: str, **params: Unpack[RunParams]) -> BulkResults[Any]: ...
        @overload
        def run(
            self: Batches[Async, Any], bodies: Bodies, *, endpoint: ChatEndpoint = CHAT, **params: Unpack[RunParams]
        ) -> Coroutine[Any, Any, BulkResults[ChatCompletion]]: ...
        @overload
        def run(
            self: Batches[Async, Any], bodies: Bodies, *, endpoint: str, **params: Unpack[RunParams]
        ) -> Coroutine[Any, Any, BulkResults[Any]]: ...
        @overload
        def run(self, bodies: Bodies, *, endpoint: str = CHAT, **params: Unpack[RunParams]) -> Any: ...
        def run(self, bodies: Bodies, *, endpoint: str = CHAT, **params: Unpack[RunParams]) -> Any: ...

    else:
        run = method(run)
    write_input = staticmethod(write_input)

    # The names of the `together` 1.x SDK.
    create_batch = method(create_batch)
    get_batch = retrieve
    list_batches = method(list_batches)
    cancel_batch = cancel
