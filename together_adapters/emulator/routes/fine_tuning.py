"""`/v1/fine-tunes`: jobs from their creation to the download of what they made."""

from __future__ import annotations

import json
import re
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.responses import Response

from together_adapters.emulator.http.errors import ApiError, bad_request
from together_adapters.emulator.http.routing import RequestContext, json_route
from together_adapters.emulator.http.validation import check, flag, number, one_of, table, text, whole
from together_adapters.emulator.routes.public_files import keep
from together_adapters.emulator.store.byte_ranges import content
from together_adapters.emulator.store.clock import Clock, real_seconds, stamp
from together_adapters.emulator.store.dataset import Dataset, dataset
from together_adapters.emulator.store.disk import Stored
from together_adapters.emulator.store.fine_tune_job import OWNER, FineTune, by_output, jobs_of
from together_adapters.emulator.store.model_archive import MEDIA_TYPE, archive, tokenized
from together_adapters.emulator.store.model_limits import limits_of, trainable
from together_adapters.emulator.store.training_preview import row_preview

_ENDED: Final = ("completed", "error", "user_error", "cancelled", "cancel_requested")
_PER_MILLION: Final = {"Lora": 0.48, "Full": 0.54}
_LEAST_PRICE: Final = 0.01
_USER_LIMIT: Final = 100.0
_SECRET: Final = ("wandb_key", "wandb_api_key", "hf_api_token")
_JOB: Final = {
    "training_file": text(200, required=True),
    "model": text(500),
    "n_epochs": whole(1, 1_000),
    "n_checkpoints": whole(0, 1_000),
    "n_evals": whole(0, 1_000),
    "learning_rate": number(0, 10),
    "lr_scheduler": table(),
    "warmup_ratio": number(0, 1),
    "max_grad_norm": number(0, 1e9),
    "weight_decay": number(0, 1e9),
    "training_type": table(),
    "training_method": table(),
    "multimodal_params": table(),
    "suffix": text(40),
    "from_checkpoint": text(500),
    "from_hf_model": text(500),
    "packing": flag(),
    "max_seq_length": whole(1, 10_000_000),
    "random_seed": whole(-(2**63), 2**63),
    "early_stopping_enabled": flag(),
}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "validation_file": "",
    "n_epochs": 1,
    "n_evals": 0,
    "n_checkpoints": 1,
    "learning_rate": 1e-5,
    "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": 0.0, "num_cycles": 0.5}},
    "warmup_ratio": 0.0,
    "max_grad_norm": 1.0,
    "weight_decay": 0.0,
    "training_method": {"method": "sft", "train_on_inputs": "auto"},
}
_SHOWN: Final = (
    *_DEFAULTS, "training_file", "training_type", "multimodal_params", "suffix", "from_checkpoint", "from_hf_model",
    "hf_model_revision", "packing", "max_seq_length", "random_seed", "wandb_base_url", "wandb_project_name", "wandb_name",
    "wandb_entity", "early_stopping_enabled",
)  # fmt: skip


def create(context: RequestContext) -> dict[str, Any]:
    """Start a job."""
    body = dict(_DEFAULTS) | {name: value for name, value in check(context, context.body, _JOB).items() if value is not None}
    base, limits = _base(context, body)
    body["training_type"] = _training_type(context, body, limits)
    batch = _batch(body, limits)
    if body["n_epochs"] > limits["max_num_epochs"]:
        raise bad_request(f"n_epochs may be {limits['max_num_epochs']} at most.", param="n_epochs")
    data, checks = _data(context, body)
    if body["n_evals"] and checks is None:
        raise bad_request("n_evals needs a validation_file.", param="validation_file")
    suffix = str(body.get("suffix") or "")
    name = "-".join(filter(None, (base.rpartition("/")[2], re.sub(r"[^\w.-]", "", suffix), secrets.token_hex(4))))
    job = FineTune(
        id=f"ft-{uuid.uuid4()}",
        body={name: body[name] for name in _SHOWN if name in body},
        clock=Clock(real_seconds(context.state.shelf), 1_800.0, stuck="[slow]" in suffix),
        data=data,
        checks=checks,
        base=base,
        output=f"{OWNER}/{name}",
        batch=batch,
        price=_price(data, checks, body),
        fails="[fail]" in suffix,
        wandb=any(body.get(name) for name in ("wandb_key", "wandb_api_key")),
    )
    jobs_of(context)[job.id] = job
    return job.shown(whole=False)


def _base(context: RequestContext, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The model that is trained, with its limits; for a checkpoint, the one of its job."""
    model, checkpoint = body.get("model"), body.get("from_checkpoint")
    if model and checkpoint:
        raise bad_request("model and from_checkpoint exclude each other.", param="from_checkpoint")
    if not model and not checkpoint:
        raise bad_request("model is required.", param="model")
    limits = _limits(context, str(model or str(checkpoint).partition(":")[0]))
    return limits["model_name"], limits


def _limits(context: RequestContext, name: str) -> dict[str, Any]:
    """The limits of a model, or of what a job was made of."""
    job = jobs_of(context).get(name) or by_output(context, name)
    if job is None and name.startswith("ft-"):
        raise _missing(name)
    return limits_of(job.base if job else name)


def _training_type(context: RequestContext, body: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    rank = limits["lora_training"]["default_rank"]
    usual = {"type": "Lora", "lora_r": rank, "lora_alpha": 2 * rank, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear"}
    given = body.get("training_type")
    if given is None:
        parent = jobs_of(context).get(str(body.get("from_checkpoint") or "").partition(":")[0])
        return parent.body["training_type"] if parent else usual
    if given.get("type") not in ("Lora", "Full"):
        raise bad_request("training_type.type must be Lora or Full.", param="training_type")
    if given["type"] == "Full":
        if limits["full_training"] is None:
            raise bad_request(f"{limits['model_name']} cannot be trained in full.", param="training_type")
        return {"type": "Full"}
    most = limits["lora_training"]["max_rank"]
    merged = {**usual, **given}
    if not whole(1, most).holds(merged["lora_r"]):
        raise bad_request(f"training_type.lora_r must be a whole number from 1 to {most}.", param="training_type")
    return merged


def _batch(body: Mapping[str, Any], limits: Mapping[str, Any]) -> int:
    """Rows per step."""
    bounds = limits["lora_training" if body["training_type"]["type"] == "Lora" else "full_training"]
    method = body["training_method"].get("method")
    if method not in ("sft", "dpo"):
        raise bad_request("training_method.method must be sft or dpo.", param="training_method")
    most: int = bounds["max_batch_size_dpo" if method == "dpo" else "max_batch_size"]
    size = body.get("batch_size", "max")
    if size == "max":
        return most
    if not whole(bounds["min_batch_size"], most).holds(size):
        raise bad_request(f"batch_size must be max, or a whole number from {bounds['min_batch_size']} to {most}.", "batch_size")
    return int(size)


def _data(context: RequestContext, body: Mapping[str, Any]) -> tuple[Dataset, Dataset | None]:
    checks = body.get("validation_file")
    return (
        dataset(context, body["training_file"], "fine-tune", "training_file"),
        dataset(context, checks, "fine-tune", "validation_file") if checks else None,
    )


def _price(data: Dataset, checks: Dataset | None, body: Mapping[str, Any]) -> float:
    """In dollars."""
    trained = data.tokens * body["n_epochs"]
    measured = checks.tokens * body["n_evals"] if checks else 0
    kind = str((body.get("training_type") or {}).get("type"))
    price = (trained + measured) / 1e6 * _PER_MILLION.get(kind, _PER_MILLION["Lora"])
    return round(max(_LEAST_PRICE, float(price)), 6)


def estimate_price(context: RequestContext) -> dict[str, Any]:
    """Estimate a price; without one, the fields of the older answer are there all the same."""
    body = dict(_DEFAULTS) | check(context, context.body, {name: _JOB[name] for name in ("training_file", "n_epochs", "n_evals")})
    if body.get("model"):
        _limits(context, str(body["model"]))
    data, checks = _data(context, body)
    reason = _unavailable("train", data) or (_unavailable("eval", checks) if checks else "")
    price = 0.0 if reason else _price(data, checks, body)
    told = {
        "estimated_total_price": price,
        "user_limit": _USER_LIMIT,
        "estimated_train_token_count": data.tokens * body["n_epochs"],
        "estimated_eval_token_count": checks.tokens * body["n_evals"] if checks else 0,
        "allowed_to_proceed": price <= _USER_LIMIT,
        "estimation_available": not reason,
    }
    return told | {"unavailable_reason": reason} if reason else told


def _unavailable(which: str, data: Dataset) -> str:
    return f"{which}_file_invalid" if data.fault else "" if data.ready else f"{which}_file_not_validated"


def listed(context: RequestContext) -> dict[str, Any]:
    """List jobs, the newest first."""
    return {"object": "list", "data": [job.shown(whole=False) for job in reversed(jobs_of(context).values())]}


def retrieve(context: RequestContext) -> dict[str, Any]:
    """Show a job."""
    return _find(context).shown(whole=True)


def cancel(context: RequestContext) -> dict[str, Any]:
    """Cancel a job that has not ended."""
    job = _find(context)
    if job.status() in _ENDED:
        raise bad_request(f"The job {job.id} is {job.status()}; there is nothing to cancel.", param="id")
    job.cancel()
    return job.shown(whole=False)


def delete(context: RequestContext) -> dict[str, Any]:
    """Delete a job."""
    job = _find(context)
    if job.status() not in _ENDED and context.request.query_params.get("force", "").lower() != "true":
        job.cancel()
    del jobs_of(context)[job.id]
    return {"message": f"The job {job.id} is deleted."}


def events(context: RequestContext) -> dict[str, Any]:
    """Tell a job's diary."""
    return {"object": "list", "data": _find(context).events()}


def checkpoints(context: RequestContext) -> dict[str, Any]:
    """List what a job has kept."""
    return {"object": "list", "data": _find(context).checkpoints()}


def metrics(context: RequestContext) -> dict[str, Any]:
    """Show what was measured; what is wanted stands in the query, or in a body as the first description had it."""
    asked = {**(context.body if isinstance(context.body, dict) else {}), **context.request.query_params}
    bounds = {name: _number(asked, name) for name in ("global_step_from", "global_step_to", "resolution")}
    first, last = bounds["global_step_from"], bounds["global_step_to"]
    since, until = str(asked.get("logged_at_from") or ""), str(asked.get("logged_at_to") or "~")
    rows = [
        row
        for at, row in _find(context).metrics()
        if (first is None or row["train/global_step"] >= first)
        and (last is None or row["train/global_step"] <= last)
        and since.rstrip("Z") <= at.rstrip("Z") <= until.rstrip("Z")
    ]
    points = bounds["resolution"]
    if points and len(rows) > points:
        rows = [rows[round(at * (len(rows) - 1) / max(points - 1, 1))] for at in range(points)]
    return {"metrics": rows}


def _number(asked: Mapping[str, Any], name: str) -> int | None:
    value = asked.get(name)
    if value is None or value == "":
        return None
    if not re.fullmatch(r"-?\d{1,18}", str(value)):
        raise bad_request(f"{name} must be a whole number.", param=name)
    return int(value)


def model_limits(context: RequestContext) -> dict[str, Any]:
    """Show what a model takes."""
    query = context.request.query_params
    # The asynchronous half of the 1.x SDK has the other word.
    name = query.get("model_name") or query.get("model")
    if not name:
        raise bad_request("model_name is required.", param="model_name")
    return _limits(context, name)


def supported(context: RequestContext) -> dict[str, Any]:
    """Name the models that can be trained."""
    return {"models": trainable()}


def preview(context: RequestContext) -> dict[str, Any]:
    """Show rows in tokens."""
    body = check(
        context,
        context.body,
        {
            "model": text(500, required=True),
            "training_file": text(200, required=True),
            "top_k": whole(1, 1_000),
            "train_on_inputs": flag(),
            "training_method": one_of("sft"),
        },
    )
    limits = _limits(context, body["model"])
    data = dataset(context, body["training_file"], "fine-tune", "training_file")
    if data.fault:
        raise bad_request(f"{data.id} cannot be shown: {data.fault}", param="training_file")
    longest = limits["max_seq_length_sft"]
    on_inputs = body.get("train_on_inputs", False)
    return {
        "model": limits["model_name"],
        "dataset_format": data.kind,
        "max_seq_length": longest,
        "train_on_inputs": on_inputs,
        "rows": [row_preview(row, on_inputs, longest) for row in data.rows[: body.get("top_k", 5)]],
    }


def download(context: RequestContext) -> Response:
    """Give the archive of a model, or a stretch of it."""
    query = context.request.query_params
    job = jobs_of(context).get(query.get("ft_id", ""))
    if job is None:
        raise _missing(query.get("ft_id", ""))
    step, kind = _wanted(job, query.get("checkpoint_step", ""), query.get("checkpoint", ""))
    name = f"{job.id} {kind} {step}"
    kept: dict[str, Stored] = context.state.shelf.setdefault("archives", {})
    if name not in kept:
        kept[name] = Stored.of(context.state, archive(job, kind, step))
    return content(context, kept[name], MEDIA_TYPE)


def tokenized_dataset(context: RequestContext) -> dict[str, Any]:
    """Give the address of the training data in tokens, once they have been read."""
    job = _find(context)
    if job.fault or job.steps_done() == 0:
        raise bad_request(f"The job {job.id} is {job.status()}; its data are not in tokens yet.", param="id")
    name, data = f"{job.id}-tokenized.tar.gz", tokenized(job)
    expires = stamp(datetime.now(UTC) + timedelta(hours=1))
    facts = {"filename": name, "content_type": MEDIA_TYPE, "size": len(data), "expires_at": expires}
    return {"url": keep(context, name, data, MEDIA_TYPE), **facts}


def _wanted(job: FineTune, step: str, kind: str) -> tuple[int, str]:
    """Which state is meant. A step wins over a kind."""
    if step:
        at = _number({"checkpoint_step": step}, "checkpoint_step")
        if at not in [checkpoint["step"] for checkpoint in job.checkpoints()]:
            raise ApiError(
                404, f"The job {job.id} has no checkpoint at step {step[:20]}.", param="checkpoint_step", code="not_found"
            )
        assert at is not None
        return at, "adapter" if kind == "adapter" else "model"
    allowed = ("merged", "adapter") if job.is_lora else ("model_output_path",)
    if kind not in allowed:
        raise bad_request(f"checkpoint must be {' or '.join(allowed)} for this job.", param="checkpoint")
    if job.status() != "completed":
        raise bad_request(f"The job {job.id} is {job.status()}; its model is not ready.", param="ft_id")
    return job.steps, "adapter" if kind == "adapter" else "model"


def _find(context: RequestContext) -> FineTune:
    id = context.request.path_params["id"]
    found = jobs_of(context).get(id)
    if found is None:
        raise _missing(id)
    return found


def _missing(id: str) -> ApiError:
    return ApiError(404, f"There is no fine-tuning job {json.dumps(id[:100])}.", param="id", code="not_found")


ROUTES: Any = [
    json_route("/v1/fine-tunes", listed, method="GET"),
    json_route("/v1/fine-tunes", create),
    json_route("/v1/fine-tunes/estimate-price", estimate_price),
    json_route("/v1/fine-tunes/preview", preview),
    json_route("/v1/fine-tunes/models/limits", model_limits, method="GET"),
    json_route("/v1/fine-tunes/models/supported", supported, method="GET"),
    json_route("/v1/fine-tunes/{id}", retrieve, method="GET"),
    json_route("/v1/fine-tunes/{id}", delete, method="DELETE"),
    json_route("/v1/fine-tunes/{id}/cancel", cancel, needs_object=False),
    json_route("/v1/fine-tunes/{id}/events", events, method="GET"),
    json_route("/v1/fine-tunes/{id}/checkpoints", checkpoints, method="GET"),
    json_route("/v1/fine-tunes/{id}/metrics", metrics, method="GET"),
    json_route("/v1/fine-tunes/{id}/download-tokenized-dataset", tokenized_dataset, method="GET"),
    json_route("/v1/finetune/download", download, method="GET"),
]
