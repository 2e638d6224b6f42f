"""Fine-tuning: jobs that train a model on an uploaded file, and their events, checkpoints and downloads."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Unpack

from together_adapters.errors import (
    APIConnectionError,
    APIStatusError,
    BadRequestError,
    JobFailedError,
    NotFoundError,
    TogetherError,
)
from together_adapters.resources.downloads import download_file, normalized_name, probe
from together_adapters.resources.fine_tuning_request import job_body, source_model, with_defaults
from together_adapters.resources.waiting import wait_for_job
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, segment, split_options
from together_adapters.transport.model_parser import ResponseParser
from together_adapters.types.capabilities import nearest_names
from together_adapters.types.files import check_file_id
from together_adapters.types.fine_tuning import (
    FinetuneCheckpoint,
    FinetuneCheckpoints,
    FinetuneDeleteResponse,
    FinetuneDownloadResult,
    FinetuneEvent,
    FinetuneList,
    FinetuneListEvents,
    FinetuneMetrics,
    FinetuneModelLimits,
    FinetunePreview,
    FinetunePriceEstimate,
    FinetuneProgress,
    FinetuneResponse,
    TokenizedDataset,
    TrainableModels,
)
from together_adapters.types.progress import Progress, is_failed
from together_adapters.types.requests import RequestOptions
from together_adapters.types.response import mask_secrets, secrets_in
from together_adapters.types.training import TRAINING_DEFAULTS, CreateParams

_log = logging.getLogger(__name__)
_PATH = "/v1/fine-tunes"
_EVENTS_IN_ERROR = 5
_CHECKPOINT_TYPES = ("default", "merged", "adapter")
_CHECKPOINT = re.compile(r"(ft-[\da-f-]+):(\d+)")
_parse = ResponseParser(FinetuneResponse)
_parse_list = ResponseParser(FinetuneList)
_parse_events = ResponseParser(FinetuneListEvents)
_parse_limits = ResponseParser(FinetuneModelLimits)
_parse_price = ResponseParser(FinetunePriceEstimate)


def create(
    *,
    training_file: str,
    model: str | None = None,
    validation_file: str | None = "",
    suffix: str | None = None,
    training_method: Literal["sft", "dpo"] | str = "sft",
    model_limits: FinetuneModelLimits | Mapping[str, Any] | None = None,
    on_price: Callable[[FinetunePriceEstimate], object] | None = None,
    verbose: bool = False,
    **params: Unpack[CreateParams],
) -> Flow[FinetuneResponse]:
    """Creates a fine-tuning job. This costs money, so the request is not retried where it may have been accepted.

    The limits of the model are requested, the parameters validated, the price estimated; then the job is created. An error of the
    connection says whether the job may have been created.

    Args:
        training_file: The id of an uploaded file.
        model: The model to train. Either this or `from_checkpoint`.
        validation_file: The id of a file for evaluation, used if `n_evals` is not 0.
        suffix: Up to 40 characters for the name of the new model.
        training_method: `sft`, or `dpo` on preferences.
        model_limits: The limits of the model, if known: saves a request.
        on_price: Called with the estimate before the job is created. An exception from it prevents the job.
        verbose: Whether to log the parameters (`TOGETHER_LOG=info` shows them).

    Returns:
        The pending job; `price_estimate` is its estimated price, in dollars.

    Raises:
        ValueError: A parameter is outside its limits; no job was created.

    Example:
        ```python
        from together_adapters import Together

        client = Together()
        file = client.files.upload("train.jsonl")
        job = client.fine_tuning.create(training_file=file.id, model="meta-llama/Meta-Llama-3.1-8B-Instruct-Reference", n_epochs=2)
        job = client.fine_tuning.wait(job.id, poll_interval=1)
        print(job.model_output_name)
        ```
    """
    training, options = split_options({**params}, CreateParams, inspect.signature(create).parameters)
    extra_body = options.pop("extra_body", None)
    named = {"training_file": training_file, "model": model, "validation_file": validation_file, "suffix": suffix}
    job_params = with_defaults({**named, "training_method": training_method, **training})
    model_name = source_model(job_params)
    if model_limits is None:
        limits = yield from limits_for_job(model_name, **options)
    else:
        # A model of another library may be passed, too.
        dump = getattr(model_limits, "model_dump", None)
        limits = FinetuneModelLimits.model_validate(dump() if dump else model_limits)
    body = job_body(job_params, limits)
    if verbose:
        _log.info("fine-tuning job: %s", mask_secrets(body))
    estimate = yield from _estimate_price(body, options, required=on_price is not None)
    if estimate is not None and estimate.allowed_to_proceed is False:
        _log.warning("the account's limit does not cover the estimated price of %s dollars", estimate.estimated_total_price)
    if on_price is not None and estimate is not None:
        on_price(estimate)
    call = request("POST", _PATH, _parse, body, billable="fine_tuning.list()", options={**options, "extra_body": extra_body})
    price = estimate.estimated_total_price if estimate is not None and estimate.available else None
    job: FinetuneResponse = yield replace(call, secrets=secrets_in(call.body), price=price)
    job._estimate = estimate
    return job


def limits_for_job(model: str, **options: Unpack[RequestOptions]) -> Flow[FinetuneModelLimits]:
    """Retrieves the limits of jobs on a model; the error for a model that cannot be fine-tuned names those like it that can."""
    try:
        return (yield model_limits(model, **options))
    except (BadRequestError, NotFoundError) as error:
        try:
            names: list[str] = (yield list_supported_models(**options)).models
        except TogetherError:
            raise error from None
        if names and not model.startswith("ft-") and model not in names:
            similar = ", ".join(nearest_names(model, names, with_removed=True))
            all_names = "client.fine_tuning.list_supported_models() lists all models that can"
            nearest = f"; of similar names: {similar}" if similar else ""
            error.message = f"{model} cannot be fine-tuned: {all_names}{nearest} ({error.status_code} from the service)"
            error.args = (error.message,)
        raise


def _estimate_price(body: Mapping[str, Any], options: Mapping[str, Any], *, required: bool) -> Flow[FinetunePriceEstimate | None]:
    """Estimates the price of a job; a service without estimates is an error only if one is required."""
    names = ("training_file", "validation_file", "n_epochs", "training_type", "training_method", "from_checkpoint")
    params = {
        **{name: body.get(name) or None for name in names},
        "model": body.get("model", ""),
        "n_evals": body.get("n_evals", 0),
    }
    try:
        return (yield request("POST", f"{_PATH}/estimate-price", _parse_price, params, options=options))
    except (APIStatusError, APIConnectionError) as error:
        if required:
            raise
        _log.info("the price could not be estimated: %s", type(error).__name__)
        return None


def list_jobs(**options: Unpack[RequestOptions]) -> Call[FinetuneList]:
    """Lists the jobs of the account in `data`, without the details of `retrieve`."""
    return request("GET", _PATH, _parse_list, options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneResponse]:
    """Retrieves a job. Its `total_price` is in nanodollars."""
    return request("GET", _job_path(id), _parse, options=options)


def cancel(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneResponse]:
    """Cancels a job that has not ended; its cost so far is charged. Its status is `cancel_requested`, then `cancelled`."""
    return request("POST", f"{_job_path(id)}/cancel", _parse, options=options)


def delete(id: str, force: bool = False, **options: Unpack[RequestOptions]) -> Call[FinetuneDeleteResponse]:
    """Deletes a job and its models.

    Args:
        id: The job's id.
        force: Whether to delete it although it is in use. Newer versions of the service ignore this.
    """
    return request("DELETE", _job_path(id), ResponseParser(FinetuneDeleteResponse), query={"force": force}, options=options)


def list_events(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneListEvents]:
    """Lists the events of a job in `data`, oldest first. Their `kind` is in lower case; times are ISO 8601."""
    return request("GET", f"{_job_path(id)}/events", _parse_events, options=options)


def list_checkpoints(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneCheckpoints]:
    """Lists the checkpoints of a job, newest first. Pass `name` to `from_checkpoint=` or `download`."""
    return request("GET", f"{_job_path(id)}/checkpoints", lambda response: _read_checkpoints(response, id), options=options)


def list_metrics(
    id: str,
    *,
    global_step_from: int | None = None,
    global_step_to: int | None = None,
    logged_at_from: str | datetime | None = None,
    logged_at_to: str | datetime | None = None,
    resolution: int | None = None,
    **options: Unpack[RequestOptions],
) -> Call[FinetuneMetrics]:
    """Lists the metrics of a job, oldest first, as dicts: `train/global_step`, `train/loss`, `eval/loss`, ...

    Args:
        id: The job's id.
        global_step_from: First step.
        global_step_to: Last step, included.
        logged_at_from: Start time, as ISO 8601 or a datetime.
        logged_at_to: End time.
        resolution: Number of points, sampled evenly.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("id", "options")}
    query = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in arguments.items()}
    return request("GET", f"{_job_path(id)}/metrics", ResponseParser(FinetuneMetrics), query=query, options=options)


def model_limits(
    model: str | None = None, *, model_name: str | None = None, **options: Unpack[RequestOptions]
) -> Call[FinetuneModelLimits]:
    """Retrieves the limits of jobs on a model; those that the service does not publish are None.

    Args:
        model: The model.
        model_name: The same, under its name in newer SDKs.

    Raises:
        ValueError: No model was passed, or two.
    """
    if (model is None) == (model_name is None):
        raise ValueError("model_limits takes the name of one model")
    return request("GET", f"{_PATH}/models/limits", _parse_limits, query={"model_name": model or model_name}, options=options)


def estimate_price(
    *,
    training_file: str,
    model: str | None = None,
    validation_file: str | None = None,
    n_epochs: int | None = 1,
    n_evals: int | None = 0,
    training_type: Literal["lora", "full"] | str | Mapping[str, Any] | None = "lora",
    training_method: Literal["sft", "dpo"] | str | Mapping[str, Any] = "sft",
    from_checkpoint: str | None = None,
    **options: Unpack[RequestOptions],
) -> Call[FinetunePriceEstimate]:
    """Estimates the price of a job.

    Args:
        training_file: The id of an uploaded file.
        model: The model to train.
        validation_file: The id of a file for evaluation.
        n_epochs: Passes over the training data.
        n_evals: Number of evaluations.
        training_type: `lora`, `full`, the service's own object, or None for the service's default.
        training_method: `sft`, `dpo`, or the service's own object.
        from_checkpoint: A job or a model to continue from, instead of a model.

    Returns:
        The estimate, in dollars. `available` is False where there is none; `unavailable_reason` is the reason.

    Raises:
        ValueError: The type or the method is unknown.
    """
    params = {name: value for name, value in locals().items() if name != "options"} | {
        "validation_file": validation_file or None,
        "training_type": _object_named("training_type", training_type, _TYPES),
        "training_method": _object_named("training_method", training_method, _METHODS),
    }
    check_file_id(training_file, "training_file", "fine-tune")
    return request("POST", f"{_PATH}/estimate-price", _parse_price, params, options=options)


_TYPES: Mapping[str, Mapping[str, Any]] = {
    "lora": {"type": "Lora", "lora_r": 16, "lora_alpha": 16, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear"},
    "full": {"type": "Full"},
}
"""The rank does not change the price, but the service requires one."""
_METHODS: Mapping[str, Mapping[str, Any]] = {
    "sft": {"method": "sft", "train_on_inputs": "auto"},
    "dpo": {"method": "dpo", "dpo_normalize_logratios_by_length": False, "dpo_reference_free": False},
}


def _object_named(parameter: str, value: Any, objects: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() not in objects:
        raise ValueError(f"{parameter}={value!r} must be one of {', '.join(objects)}")
    return objects[value.lower()]


def preview(
    *,
    model: str,
    training_file: str,
    top_k: int | None = None,
    train_on_inputs: bool | None = None,
    training_method: Literal["sft"] | str | None = None,
    **options: Unpack[RequestOptions],
) -> Call[FinetunePreview]:
    """Previews the first rows of a training file as tokens, and which of them contribute to the loss.

    Args:
        model: The model whose tokenizer and chat template are applied.
        training_file: The id of an uploaded file.
        top_k: Number of rows.
        train_on_inputs: Whether prompts would contribute to the loss.
        training_method: Only `sft` so far.
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    return request("POST", f"{_PATH}/preview", ResponseParser(FinetunePreview), params, options=options)


def retrieve_tokenized_dataset(id: str, **options: Unpack[RequestOptions]) -> Call[TokenizedDataset]:
    """Retrieves a temporary address, which needs no key, of a job's training data as tokens."""
    return request("GET", f"{_job_path(id)}/download-tokenized-dataset", ResponseParser(TokenizedDataset), options=options)


def list_supported_models(**options: Unpack[RequestOptions]) -> Call[TrainableModels]:
    """Lists the names of the models that can be fine-tuned, in `models`."""
    return request("GET", f"{_PATH}/models/supported", ResponseParser(TrainableModels), options=options)


def download(
    id: str,
    *,
    output: str | PathLike[str] | None = None,
    checkpoint_step: int | None = None,
    checkpoint_type: Literal["default", "merged", "adapter"] | Any = "default",
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[FinetuneDownloadResult]:
    """Downloads a fine-tuned model as an archive. An interrupted download is resumed, within the call and by the next one.

    Args:
        id: The job, or a checkpoint: `job:step`.
        output: The target: a path or a folder. The default is a name made from the model's, in the working directory.
        checkpoint_step: The step of a checkpoint; the final model by default.
        checkpoint_type: `merged` for the whole model, `adapter` for the adapter alone, `default` for the former. After full
            training only `default` exists.
        overwrite: Whether an existing file may be replaced.
        progress: Called with the bytes received, possibly from another thread.

    Returns:
        The archive on this machine, not unpacked: `filename`, `size`.

    Raises:
        ValueError: The type or the step does not apply to this job.
        FileExistsError: The target exists.
        DownloadError: Length or checksum are not as expected.
    """
    id, step = _split_job_id(id, checkpoint_step)
    kind = _parse_checkpoint_type(checkpoint_type)
    job: FinetuneResponse = yield retrieve(id, **options)
    query = {"ft_id": id, "checkpoint_step": step, "checkpoint": _checkpoint_query(job, kind)}
    call = request("GET", "/v1/finetune/download", lambda response: None, query=query, options=options)
    response: Response = yield from probe(call)
    target = _archive_path(None if output is None else Path(output), job, id, step, response)
    path: Path = yield from download_file(call, target, overwrite=overwrite, progress=progress)
    return FinetuneDownloadResult(id=id, checkpoint_step=step, filename=str(path), size=path.stat().st_size)


def _split_job_id(id: str, step: int | None) -> tuple[str, int | None]:
    """Splits `ft-...:100` into the id of the job and the step; two steps are a ValueError."""
    checkpoint = _CHECKPOINT.fullmatch(id)
    if checkpoint is None:
        return id, step
    if step is not None:
        raise ValueError(f"id={id!r} names a step, and so does checkpoint_step={step!r}: leave one of them out")
    return checkpoint[1], int(checkpoint[2])


def _parse_checkpoint_type(value: Any) -> str:
    """Returns a checkpoint type in lower case, from a string or an enum; an unknown one is a ValueError."""
    name = str(getattr(value, "value", value)).lower()
    if name not in _CHECKPOINT_TYPES:
        raise ValueError(f"checkpoint_type={value!r} must be one of {', '.join(_CHECKPOINT_TYPES)}")
    return name


def _checkpoint_query(job: FinetuneResponse, checkpoint_type: str) -> str | None:
    """Returns the query parameter for a checkpoint type; None leaves it to the service."""
    training = job.training_type
    if training is not None and training.is_full:
        if checkpoint_type != "default":
            raise ValueError(f"checkpoint_type={checkpoint_type!r}: {job.id} was trained in full, so there is only 'default'")
        return "model_output_path"
    if training is not None and training.is_lora:
        return "merged" if checkpoint_type == "default" else checkpoint_type
    return None if checkpoint_type == "default" else checkpoint_type


def _archive_path(output: Path | None, job: FinetuneResponse, id: str, step: int | None, response: Response) -> Path:
    """Returns the path of the archive: the output, or a name made from the model's in the output folder."""
    if output is not None and not output.is_dir():
        return output
    suffix = ".tar.gz" if "x-tar" in response.headers.get("content-type", "") else ".tar.zst"
    checkpoint = f"-checkpoint-{step}" if step else ""
    return (output or Path()) / f"{normalized_name(job.model_output_name or id)}{checkpoint}{suffix}"


def wait(
    id: str,
    *,
    poll_interval: float = 10.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[FinetuneResponse]:
    """Waits until a job has completed.

    Args:
        id: The job's id.
        progress: Called with a `FinetuneProgress` whenever status or steps have changed.

    Returns:
        The completed job; chats take its `model_output_name`.

    Raises:
        JobFailedError: The job failed or was cancelled; `events` are its last ones, `completed` is the job.
    """
    options: RequestOptions = {"extra_headers": extra_headers, "extra_query": extra_query}
    job = yield from wait_for_job(
        retrieve(id, **options), f"fine-tuning job {id}", poll_interval, timeout, progress, describe=_progress
    )
    if is_failed(job.status):
        events = yield from _last_events(job, list_events(id, **options))
        lines = [f"  {event.created_at or ''} {event.kind}: {event.message or ''}" for event in events]
        reason = "its last events:\n" + "\n".join(lines) if lines else "it has no events"
        raise JobFailedError(
            f"fine-tuning job {id} ended as {job.status}; {reason}", completed=job, body=job.model_dump(), events=events
        )
    return job


def _progress(job: FinetuneResponse) -> Progress:
    message = job.events[-1].message if job.events else None
    return FinetuneProgress(job.steps_completed or 0, job.total_steps or None, job.status or "unknown", message or "")


def _last_events(job: FinetuneResponse, events: Call[FinetuneListEvents]) -> Flow[list[FinetuneEvent]]:
    """Returns the last events of a failed job. An error here must not hide the failure of the job."""
    try:
        response: FinetuneListEvents = yield events
    except TogetherError:
        return (job.events or [])[-_EVENTS_IN_ERROR:]
    return response.data[-_EVENTS_IN_ERROR:]


def _job_path(id: str) -> str:
    if "/" in id:
        raise ValueError(f"id={id!r} is the name of a model; the id of a job begins with ft-")
    return f"{_PATH}/{segment(id, 'id')}"


def _read_checkpoints(response: Response, id: str) -> FinetuneCheckpoints:
    """Names and sorts checkpoints. A final one is addressed by the id of the job alone."""
    body = response.json()
    items = body.get("data") if isinstance(body, dict) else body
    checkpoints = FinetuneCheckpoints(_checkpoint(item, id) for item in items or () if isinstance(item, dict))
    # Without its Z a time sorts before the same time with a fraction.
    checkpoints.sort(key=lambda checkpoint: ((checkpoint.timestamp or "").rstrip("Z"), checkpoint.step or 0), reverse=True)
    return checkpoints


def _checkpoint(item: dict[str, Any], id: str) -> FinetuneCheckpoint:
    fields = {name: value for name, value in item.items() if name not in ("checkpoint_type", "created_at") and value is not None}
    kind, step = str(item.get("checkpoint_type") or ""), item.get("step")
    name = f"{id}:{step}" if "intermediate" in kind.lower() and step is not None else id
    return FinetuneCheckpoint.model_validate({**fields, "type": kind, "timestamp": item.get("created_at"), "name": name})


class FineTuning(Resource[D, R]):
    """`client.fine_tuning`."""

    with_raw_response: FineTuning[R, R]
    create = method(create, defaults=TRAINING_DEFAULTS)
    list = method(list_jobs)
    retrieve = method(retrieve)
    cancel = method(cancel)
    delete = method(delete)
    list_events = method(list_events)
    list_checkpoints = method(list_checkpoints)
    list_metrics = method(list_metrics)
    model_limits = method(model_limits)
    get_model_limits = model_limits
    estimate_price = method(estimate_price)
    list_supported_models = method(list_supported_models)
    preview = method(preview)
    retrieve_tokenized_dataset = method(retrieve_tokenized_dataset)
    download = method(download)
    wait = method(wait)
