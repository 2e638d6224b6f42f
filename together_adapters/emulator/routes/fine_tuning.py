"""`/v1/fine-tunes`: jobs, from their creation to the download of their models."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import Field
from starlette.responses import Response

from together_adapters.emulator.errors import ApiError, bad_request
from together_adapters.emulator.http.responses import content_response
from together_adapters.emulator.http.routing import Name, RequestContext, RequestModel, json_route, refuse_long_body
from together_adapters.emulator.routes.served_models import check_exists
from together_adapters.emulator.store.artifacts import MEDIA_TYPE, model_archive, row_preview, tokenized_archive
from together_adapters.emulator.store.bill import PICODOLLARS
from together_adapters.emulator.store.catalogue import OWNER, limits_of, trainable_models
from together_adapters.emulator.store.dataset import DatasetFile, open_dataset
from together_adapters.emulator.store.fine_tune_job import FineTuneJob
from together_adapters.emulator.store.records import JobClock, timestamp

_ENDED: Final = ("completed", "error", "user_error", "cancelled", "cancel_requested")
_PRICES_PER_MILLION: Final = {"Lora": 0.48, "Full": 0.54}
_USER_LIMIT: Final = 100.0
_SCHEDULER: Final = {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": 0.0, "num_cycles": 0.5}}


class _JobData(RequestModel):
    """What decides the price of a job."""

    model: Name | None = None
    training_file: Name
    validation_file: Any = ""
    n_epochs: int = Field(1, ge=1, le=1_000)
    n_evals: int = Field(0, ge=0, le=1_000)
    training_type: dict[str, Any] | None = None


class _PriceRequest(_JobData):
    refuses_unknown = False
    model: str | None = None  # the vendor's SDK sends an empty one for a checkpoint


class _JobRequest(_JobData):
    batch_size: Any = "max"
    n_checkpoints: int = Field(1, ge=0, le=1_000)
    learning_rate: float = Field(1e-5, ge=0, le=10)
    lr_scheduler: dict[str, Any] = _SCHEDULER
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    max_grad_norm: float = Field(1.0, ge=0, le=1e9)
    weight_decay: float = Field(0.0, ge=0, le=1e9)
    training_method: dict[str, Any] = {"method": "sft", "train_on_inputs": "auto"}
    multimodal_params: dict[str, Any] | None = None
    suffix: str | None = Field(None, min_length=1, max_length=40)
    from_checkpoint: Name | None = None
    from_hf_model: Name | None = None
    hf_model_revision: Any = None
    hf_api_token: Any = Field(None, exclude=True)
    packing: bool | None = None
    max_seq_length: int | None = Field(None, ge=1, le=10_000_000)
    random_seed: int | None = Field(None, ge=-(2**63), le=2**63)
    early_stopping_enabled: bool | None = None
    wandb_base_url: Any = None
    wandb_project_name: Any = None
    wandb_name: Any = None
    wandb_entity: Any = None
    wandb_key: Any = Field(None, exclude=True)
    wandb_api_key: Any = Field(None, exclude=True)


class _PreviewRequest(RequestModel):
    model: Name
    training_file: Name
    top_k: int = Field(5, ge=1, le=1_000)
    train_on_inputs: bool = False
    training_method: Literal["sft"] = "sft"


def _create(context: RequestContext) -> dict[str, Any]:
    refuse_long_body(context)
    request = _JobRequest.read(context)
    base_model, limits = _base_model(context, request)
    training_type = _training_type(context, request, limits)
    batch_size = _batch_size(request, training_type, limits)
    if request.n_epochs > limits["max_num_epochs"]:
        raise bad_request(f"n_epochs may be {limits['max_num_epochs']} at most.", param="n_epochs")
    data, validation_data = _datasets(context, request)
    if request.n_evals and validation_data is None:
        raise bad_request("n_evals needs a validation_file.", param="validation_file")
    suffix = request.suffix or ""
    names = (base_model.rpartition("/")[2], re.sub(r"[^\w.-]", "", suffix), secrets.token_hex(4))
    job = FineTuneJob(
        id=f"ft-{uuid.uuid4()}",
        parameters={**request.model_dump(exclude_none=True, exclude={"model", "batch_size"}), "training_type": training_type},
        clock=JobClock(context.state.job_seconds, stuck="[slow]" in suffix),
        data=data,
        validation_data=validation_data,
        base_model=base_model,
        output_name=f"{OWNER}/{'-'.join(filter(None, names))}",
        batch_size=batch_size,
        price=_price(request, data, validation_data, str(training_type["type"])),
        fails="[fail]" in suffix,
        uses_wandb=bool(request.wandb_key or request.wandb_api_key),
    )
    for file in filter(None, (data, validation_data)):
        file.retain()
    context.charge.bill_as("fine-tune", base_model)
    context.charge.count({"prompt_tokens": data.tokens * job.epochs}, price=round(job.price * PICODOLLARS))
    return context.stores.jobs.add(job.id, job).summary()


def _base_model(context: RequestContext, request: _JobRequest) -> tuple[str, dict[str, Any]]:
    """Returns the model to train, with its limits; for a checkpoint, the model of its job."""
    if request.model and request.from_checkpoint:
        raise bad_request("model and from_checkpoint exclude each other.", param="from_checkpoint")
    if not request.model and not request.from_checkpoint:
        raise bad_request("model is required.", param="model")
    limits = _limits(context, request.model or str(request.from_checkpoint).partition(":")[0])
    return limits["model_name"], limits


def _limits(context: RequestContext, name: str) -> dict[str, Any]:
    """Returns the limits of a model, of a job, or of a fine-tuned model."""
    jobs = context.stores.jobs
    job = jobs.find(name) if name.startswith("ft-") else jobs.by_output(name)
    if job is None:
        check_exists(context, name, names=trainable_models())
    return limits_of(job.base_model if job else name)


def _training_type(context: RequestContext, request: _JobRequest, limits: Mapping[str, Any]) -> dict[str, Any]:
    rank = limits["lora_training"]["default_rank"]
    default = {
        "type": "Lora",
        "lora_r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "lora_trainable_modules": "all-linear",
    }
    training_type = request.training_type
    if training_type is None:
        parent = context.stores.jobs.get((request.from_checkpoint or "").partition(":")[0])
        return parent.parameters["training_type"] if parent else default
    if training_type.get("type") not in ("Lora", "Full"):
        raise bad_request("training_type.type must be Lora or Full.", param="training_type")
    if training_type["type"] == "Full":
        if limits["full_training"] is None:
            raise bad_request(f"{limits['model_name']} does not support full training.", param="training_type")
        return {"type": "Full"}
    max_rank = limits["lora_training"]["max_rank"]
    training_type = {**default, **training_type}
    if not _is_int(training_type["lora_r"], 1, max_rank):
        raise bad_request(f"training_type.lora_r must be a whole number from 1 to {max_rank}.", param="training_type")
    return training_type


def _batch_size(request: _JobRequest, training_type: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
    bounds = limits["lora_training" if training_type["type"] == "Lora" else "full_training"]
    method = request.training_method.get("method")
    if method not in ("sft", "dpo"):
        raise bad_request("training_method.method must be sft or dpo.", param="training_method")
    max_size: int = bounds["max_batch_size_dpo" if method == "dpo" else "max_batch_size"]
    if request.batch_size == "max":
        return max_size
    if not _is_int(request.batch_size, bounds["min_batch_size"], max_size):
        message = f"batch_size must be max, or a whole number from {bounds['min_batch_size']} to {max_size}."
        raise bad_request(message, param="batch_size")
    return int(request.batch_size)


def _is_int(value: Any, minimum: int, maximum: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def _datasets(context: RequestContext, request: _JobData) -> tuple[DatasetFile, DatasetFile | None]:
    files = context.stores.files
    data = open_dataset(files, request.training_file, "fine-tune", "training_file")
    if not request.validation_file:
        return data, None
    return data, open_dataset(files, request.validation_file, "fine-tune", "validation_file")


def _price(request: _JobData, data: DatasetFile, validation_data: DatasetFile | None, training_type: str) -> float:
    """Returns the price in US dollars."""
    tokens = data.tokens * request.n_epochs + (validation_data.tokens * request.n_evals if validation_data else 0)
    price = tokens / 1e6 * _PRICES_PER_MILLION.get(training_type, _PRICES_PER_MILLION["Lora"])
    return round(float(price), 6)


def _estimate_price(context: RequestContext) -> dict[str, Any]:
    """Estimates a price. Where there is none, the response still has the fields of older versions."""
    request = _PriceRequest.read(context)
    if request.model:
        _limits(context, request.model)
    data, validation_data = _datasets(context, request)
    reason = _unavailable_reason("train", data) or (_unavailable_reason("eval", validation_data) if validation_data else "")
    training_type = str((request.training_type or {}).get("type"))
    price = 0.0 if reason else _price(request, data, validation_data, training_type)
    estimate = {
        "estimated_total_price": price,
        "user_limit": _USER_LIMIT,
        "estimated_train_token_count": data.tokens * request.n_epochs,
        "estimated_eval_token_count": validation_data.tokens * request.n_evals if validation_data else 0,
        "allowed_to_proceed": price <= _USER_LIMIT,
        "estimation_available": not reason,
    }
    return estimate | {"unavailable_reason": reason} if reason else estimate


def _unavailable_reason(kind: str, data: DatasetFile) -> str:
    return f"{kind}_file_invalid" if data.error else "" if data.is_checked else f"{kind}_file_not_validated"


def _list(context: RequestContext) -> dict[str, Any]:
    return {"object": "list", "data": [job.summary() for job in context.stores.jobs.newest_first()]}


def _cancel(context: RequestContext) -> dict[str, Any]:
    job = _job(context)
    if job.status() in _ENDED:
        raise bad_request(f"The job {job.id} is {job.status()}; there is nothing to cancel.", param="id")
    job.cancel()
    return job.summary()


def _delete(context: RequestContext) -> dict[str, Any]:
    job = _job(context)
    context.stores.jobs.discard(job.id)
    return {"message": f"The job {job.id} is deleted."}


def _metrics(context: RequestContext) -> dict[str, Any]:
    """Returns metrics. Filters are in the query, or in a body as in the first version of the API."""
    filters = {**(context.body if isinstance(context.body, dict) else {}), **context.request.query_params}
    first, last, count = (_optional_int(filters, name) for name in ("global_step_from", "global_step_to", "resolution"))
    since, until = str(filters.get("logged_at_from") or ""), str(filters.get("logged_at_to") or "~")
    rows = [
        row
        for at, row in _job(context).metrics()
        if (first is None or row["train/global_step"] >= first)
        and (last is None or row["train/global_step"] <= last)
        and since.rstrip("Z") <= at.rstrip("Z") <= until.rstrip("Z")
    ]
    if count and len(rows) > count:
        rows = [rows[round(index * (len(rows) - 1) / max(count - 1, 1))] for index in range(count)]
    return {"metrics": rows}


def _optional_int(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if value is None or value == "":
        return None
    if not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise bad_request(f"{name} must be a whole number.", param=name)
    return int(value)


def _model_limits(context: RequestContext) -> dict[str, Any]:
    query = context.request.query_params
    name = query.get("model_name") or query.get("model")  # the asynchronous client of the 1.x SDK sends the latter
    if not name:
        raise bad_request("model_name is required.", param="model_name")
    return _limits(context, name)


def _preview(context: RequestContext) -> dict[str, Any]:
    request = _PreviewRequest.read(context)
    limits = _limits(context, request.model)
    data = open_dataset(context.stores.files, request.training_file, "fine-tune", "training_file")
    if data.error:
        raise bad_request(f"There is no preview of {data.id}: {data.error}", param="training_file")
    max_length = limits["max_seq_length_sft"]
    return {
        "model": limits["model_name"],
        "dataset_format": data.format,
        "max_seq_length": max_length,
        "train_on_inputs": request.train_on_inputs,
        "rows": [row_preview(row, request.train_on_inputs, max_length) for row in data.rows()[: request.top_k]],
    }


def _download(context: RequestContext) -> Response:
    query = context.request.query_params
    job = context.stores.jobs.find(query.get("ft_id", ""))
    step, kind = _checkpoint(job, query.get("checkpoint_step", ""), query.get("checkpoint", ""))
    name, archives = f"{job.id} {kind} {step}", context.stores.archives
    if name not in archives:
        archives[name] = context.state.folder.write(model_archive(job, kind, step))
    return content_response(context.request, archives[name], MEDIA_TYPE)


def _checkpoint(job: FineTuneJob, step: str, kind: str) -> tuple[int, str]:
    """Returns the requested step and kind of model. A step takes precedence over a kind."""
    if step:
        number = _optional_int({"checkpoint_step": step}, "checkpoint_step")
        if number is None or number not in [checkpoint["step"] for checkpoint in job.checkpoints()]:
            message = f"The job {job.id} has no checkpoint at step {step[:20]}."
            raise ApiError(404, message, param="checkpoint_step", code="not_found")
        return number, "adapter" if kind == "adapter" else "model"
    kinds = ("merged", "adapter") if job.is_lora else ("model_output_path",)
    if kind not in kinds:
        raise bad_request(f"checkpoint must be {' or '.join(kinds)} for this job.", param="checkpoint")
    if job.status() != "completed":
        raise bad_request(f"The job {job.id} is {job.status()}; its model is not ready.", param="ft_id")
    return job.steps, "adapter" if kind == "adapter" else "model"


def _tokenized_dataset(context: RequestContext) -> dict[str, Any]:
    """Returns the URL of the training data in tokens, once training has started."""
    job = _job(context)
    if job.error or job.steps_done() == 0:
        raise bad_request(f"The job {job.id} is {job.status()}; its data is not tokenized yet.", param="id")
    name, data = f"{job.id}-tokenized.tar.gz", tokenized_archive(job)
    return {
        "url": context.publish(name, data, MEDIA_TYPE),
        "filename": name,
        "content_type": MEDIA_TYPE,
        "size": len(data),
        "expires_at": timestamp(datetime.now(UTC) + timedelta(hours=1)),
    }


def _job(context: RequestContext) -> FineTuneJob:
    return context.stores.jobs.find(context.path_id)


def _events(context: RequestContext) -> dict[str, Any]:
    case = context.state.record.event_type
    return {"object": "list", "data": [{**event, "type": case(event["type"])} for event in _job(context).events()]}


ROUTES: Any = [
    json_route("/v1/fine-tunes", _list, method="GET"),
    json_route("/v1/fine-tunes", _create),
    json_route("/v1/fine-tunes/estimate-price", _estimate_price),
    json_route("/v1/fine-tunes/preview", _preview),
    json_route("/v1/fine-tunes/models/limits", _model_limits, method="GET"),
    json_route("/v1/fine-tunes/models/supported", lambda _: {"models": trainable_models()}, "GET"),
    json_route("/v1/fine-tunes/{id}", lambda context: _job(context).details(), "GET"),
    json_route("/v1/fine-tunes/{id}", _delete, method="DELETE"),
    json_route("/v1/fine-tunes/{id}/cancel", _cancel, needs_object=False),
    json_route("/v1/fine-tunes/{id}/events", _events, "GET"),
    json_route("/v1/fine-tunes/{id}/checkpoints", lambda context: {"object": "list", "data": _job(context).checkpoints()}, "GET"),
    json_route("/v1/fine-tunes/{id}/metrics", _metrics, method="GET"),
    json_route("/v1/fine-tunes/{id}/download-tokenized-dataset", _tokenized_dataset, method="GET"),
    json_route("/v1/finetune/download", _download, method="GET"),
]
