"""Fine-tuning: a model is trained on a file of yours, in a job that is started, watched and brought home."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Unpack

from together_adapters.errors import APIConnectionError, APIStatusError
from together_adapters.resources.downloads import DownloadInfo, LocalFile, download_file, probe
from together_adapters.resources.fine_tuning_checks import check_source, job_body
from together_adapters.resources.fine_tuning_download import checkpoint_of, checkpoint_type_of, job_and_step, target_of
from together_adapters.resources.fine_tuning_wait import wait_for_job
from together_adapters.transport.binding import D, R, Resource, method
from together_adapters.transport.call import Call, Flow, Response, request, response_parser, segment
from together_adapters.types.fine_tuning import (
    FinetuneCheckpoint,
    FinetuneCheckpoints,
    FinetuneDeleteResponse,
    FinetuneDownloadResult,
    FinetuneList,
    FinetuneListEvents,
    FinetuneMetrics,
    FinetuneModelLimits,
    FinetunePreview,
    FinetunePriceEstimate,
    FinetuneResponse,
    TokenizedDataset,
    TrainableModels,
)
from together_adapters.types.masking import masked, secrets_in
from together_adapters.types.progress import Progress
from together_adapters.types.requests import RequestOptions

_log = logging.getLogger(__name__)
_PATH = "/v1/fine-tunes"
_parse = response_parser(FinetuneResponse)
_parse_list = response_parser(FinetuneList)
_parse_events = response_parser(FinetuneListEvents)
_parse_limits = response_parser(FinetuneModelLimits)
_parse_price = response_parser(FinetunePriceEstimate)


def create(
    *,
    training_file: str,
    model: str | None = None,
    n_epochs: int = 1,
    validation_file: str | None = "",
    packing: bool | None = None,
    max_seq_length: int | None = None,
    n_evals: int | None = 0,
    n_checkpoints: int | None = 1,
    batch_size: int | Literal["max"] = "max",
    gradient_accumulation_steps: int | None = None,
    learning_rate: float | None = 1e-5,
    lr_scheduler_type: Literal["linear", "cosine"] | str = "cosine",
    min_lr_ratio: float | None = 0.0,
    scheduler_num_cycles: float = 0.5,
    warmup_ratio: float | None = 0.0,
    max_grad_norm: float = 1.0,
    weight_decay: float | None = 0.0,
    lora: bool | None = True,
    lora_r: int | None = None,
    lora_dropout: float | None = 0,
    lora_alpha: float | None = None,
    lora_trainable_modules: str | None = "all-linear",
    train_vision: bool = False,
    suffix: str | None = None,
    wandb_api_key: str | None = None,
    wandb_base_url: str | None = None,
    wandb_project_name: str | None = None,
    wandb_name: str | None = None,
    wandb_entity: str | None = None,
    random_seed: int | None = None,
    early_stopping_enabled: bool | None = None,
    early_stopping_patience: int | None = None,
    early_stopping_min_delta: float | None = None,
    early_stopping_warmup_evals: int | None = None,
    verbose: bool = False,
    model_limits: FinetuneModelLimits | Mapping[str, Any] | None = None,
    train_on_inputs: bool | Literal["auto"] | None = None,
    training_method: Literal["sft", "dpo"] | str = "sft",
    dpo_beta: float | None = None,
    dpo_normalize_logratios_by_length: bool = False,
    rpo_alpha: float | None = None,
    simpo_gamma: float | None = None,
    from_checkpoint: str | None = None,
    from_hf_model: str | None = None,
    hf_model_revision: str | None = None,
    hf_api_token: str | None = None,
    hf_output_repo_name: str | None = None,
    on_price: Callable[[FinetunePriceEstimate], object] | None = None,
    **options: Unpack[RequestOptions],
) -> Flow[FinetuneResponse]:
    """Start a fine-tuning job. It costs money, so the request that starts it is not repeated where it may have arrived.

    The model's limits are fetched, the arguments checked against them, the price estimated, and only then is the job started.

    Args:
        training_file: The id of an uploaded file.
        model: The model to train. Either this or `from_checkpoint`.
        n_epochs: How often to go through the data.
        validation_file: The id of a file that the loss is measured on, `n_evals` times.
        packing: Whether to train on several rows at once; the service does by itself.
        max_seq_length: Tokens of a row beyond which it is cut.
        n_evals: How often to measure the loss on `validation_file`.
        n_checkpoints: How many states of the model to keep.
        batch_size: Rows per step, or `max` for as many as the model takes.
        gradient_accumulation_steps: Steps whose gradients are added up.
        learning_rate: At its peak.
        lr_scheduler_type: `cosine`, or `linear` as any other word.
        min_lr_ratio: The learning rate at the end, as a part of that at its peak, 0 to 1.
        scheduler_num_cycles: Waves of the cosine.
        warmup_ratio: The part of the steps in which the learning rate rises, 0 to 1.
        max_grad_norm: Longer gradients are cut; 0 cuts none.
        weight_decay: Pull of the weights towards 0.
        lora: True trains an adapter, False all weights; None leaves it to the service.
        lora_r: Rank of the adapter; the highest that the model takes when None, as in the `together` 1.x SDK.
        lora_dropout: 0 up to, not including, 1.
        lora_alpha: Weight of the adapter; twice the rank when None.
        lora_trainable_modules: `all-linear`, or names of modules with commas between them.
        train_vision: Whether to train on the images as well.
        suffix: Up to 40 characters for the name of the new model.
        wandb_api_key: A key of Weights & Biases; no error, log or repr shows it.
        wandb_base_url: Where Weights & Biases is, if not at its usual place.
        wandb_project_name: The project there.
        wandb_name: The run there.
        wandb_entity: The team there.
        random_seed: The same seed trains the same way.
        early_stopping_enabled: Whether to stop when the loss on `validation_file` no longer falls.
        early_stopping_patience: Measurements without progress before it stops; 2 by itself.
        early_stopping_min_delta: By how much it must fall to count; 0 by itself.
        early_stopping_warmup_evals: Measurements at the beginning that do not count; 1 by itself.
        verbose: Whether to log the parameters (`TOGETHER_LOG=info` shows them).
        model_limits: What the model takes, if known already: saves a request.
        train_on_inputs: Whether prompts are learnt too; `auto`, which depends on the data, when None.
        training_method: `sft`, or `dpo` on preferences.
        dpo_beta: How closely to stay with the original model.
        dpo_normalize_logratios_by_length: Whether to compare per token.
        rpo_alpha: Weight of the preferred answer's own loss, as in RPO.
        simpo_gamma: Margin of rewards, as in SimPO, which does without the original model. More than 0 turns SimPO on.
        from_checkpoint: A job or a model to go on with: `ft-...`, `ft-...:step`, `name:step`.
        from_hf_model: A Hugging Face repository like `model` to start from.
        hf_model_revision: Its branch or commit.
        hf_api_token: A Hugging Face token; no error, log or repr shows it.
        hf_output_repo_name: A repository to send the result to.
        on_price: Given the estimate before the job is started. What it raises ends everything; nothing was started then.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`; `extra_body` joins the request that starts the job.

    Returns:
        The job, pending; `price_estimate` is what it will cost, in dollars.

    Raises:
        ValueError: An argument is out of its limits; nothing was started.
        APIStatusError: The service refused.
        APIConnectionError: No answer came; the message says whether the job may have been started.
    """
    given = {name: value for name, value in locals().items() if name not in ("options", "on_price", "verbose", "model_limits")}
    lookups: dict[str, Any] = {name: value for name, value in options.items() if name != "extra_body"}
    name = check_source(given)
    if model_limits is None:
        limits = yield request("GET", f"{_PATH}/models/limits", _parse_limits, query={"model_name": name}, options=lookups)
    else:
        limits = FinetuneModelLimits.model_validate(_plain(model_limits))
    body = job_body(given, limits)
    if verbose:
        _log.info("fine-tuning job: %s", masked(body))
    estimate = yield from _estimate(body, lookups, strict=on_price is not None)
    if estimate is not None and estimate.allowed_to_proceed is False:
        _log.warning("the account's limit does not cover the estimated price of %s dollars", estimate.estimated_total_price)
    if on_price is not None and estimate is not None:
        on_price(estimate)
    described = request("POST", _PATH, _parse, body, billable="fine_tuning.list()", options=options)
    job: FinetuneResponse = yield replace(described, secrets=secrets_in(described.body))
    job._estimate = estimate
    return job


def _plain(limits: Any) -> Any:
    """Limits as a mapping, from a model of any library."""
    return limits.model_dump() if hasattr(limits, "model_dump") else limits


def _estimate(body: Mapping[str, Any], options: Mapping[str, Any], *, strict: bool) -> Flow[FinetunePriceEstimate | None]:
    """Estimate a job's price. Where nobody waits for it, a service that cannot tell it is no reason not to train."""
    wanted = ("training_file", "validation_file", "n_epochs", "n_evals", "training_type", "training_method", "from_checkpoint")
    params = {name: body.get(name) or None for name in wanted} | {
        "model": body.get("model", ""),
        "n_evals": body.get("n_evals", 0),
    }
    try:
        return (yield request("POST", f"{_PATH}/estimate-price", _parse_price, params, options=options))
    except (APIStatusError, APIConnectionError) as problem:
        if strict:
            raise
        _log.info("the price could not be estimated: %s", type(problem).__name__)
        return None


def list_jobs(**options: Unpack[RequestOptions]) -> Call[FinetuneList]:
    """List the jobs of the account.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The jobs in `data`, without what only `retrieve` knows.

    Raises:
        APIStatusError: The service refused.
    """
    return request("GET", _PATH, _parse_list, options=options)


def retrieve(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneResponse]:
    """Look at a job.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The job as it is now. `total_price` is in nanodollars.

    Raises:
        NotFoundError: There is no such job.
    """
    return request("GET", _place(id), _parse, options=options)


def cancel(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneResponse]:
    """End a job before it is done. What it has cost so far is paid.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The job: `cancel_requested`, or `cancelled` at once.

    Raises:
        APIStatusError: There is no such job, or it has ended.
    """
    return request("POST", f"{_place(id)}/cancel", _parse, options=options)


def delete(id: str, force: bool = False, **options: Unpack[RequestOptions]) -> Call[FinetuneDeleteResponse]:
    """Delete a job with its models.

    Args:
        id: As `create` gave it.
        force: Whether to delete it even if something still hangs on it. New versions of the service pay no heed to this.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        What the service says to that, in `message`.

    Raises:
        NotFoundError: There is no such job.
    """
    return request("DELETE", _place(id), response_parser(FinetuneDeleteResponse), query={"force": force}, options=options)


def list_events(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneListEvents]:
    """Read a job's diary.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The events in `data`, oldest first. Their `kind` is in lower case; times are ISO 8601.

    Raises:
        NotFoundError: There is no such job.
    """
    return request("GET", f"{_place(id)}/events", _parse_events, options=options)


def list_checkpoints(id: str, **options: Unpack[RequestOptions]) -> Call[FinetuneCheckpoints]:
    """List what a job has kept of its model.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        A list, the newest first, which also answers to `.data`. `name` goes into `from_checkpoint=` and `download`.

    Raises:
        NotFoundError: There is no such job.
    """
    return request("GET", f"{_place(id)}/checkpoints", lambda response: _checkpoints(response, id), options=options)


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
    """Read what was measured in training.

    Args:
        id: As `create` gave it.
        global_step_from: The first step that counts.
        global_step_to: The last one, included.
        logged_at_from: From when on, in ISO 8601 or as a datetime.
        logged_at_to: Until when.
        resolution: How many points to pick, evenly.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        Dicts in `metrics`, oldest first: `train/global_step`, `train/loss`, `eval/loss`, ...

    Raises:
        NotFoundError: There is no such job.
    """
    query = {
        "global_step_from": global_step_from,
        "global_step_to": global_step_to,
        "logged_at_from": _moment(logged_at_from),
        "logged_at_to": _moment(logged_at_to),
        "resolution": resolution,
    }
    return request("GET", f"{_place(id)}/metrics", response_parser(FinetuneMetrics), query=query, options=options)


def model_limits(
    model: str | None = None, *, model_name: str | None = None, **options: Unpack[RequestOptions]
) -> Call[FinetuneModelLimits]:
    """Ask what a job on a model may ask for.

    Args:
        model: The model.
        model_name: The same, under the name of newer SDKs.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The limits; None where the service tells nothing.

    Raises:
        ValueError: No model is named, or two are.
        APIStatusError: The model cannot be trained.
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
    """Estimate what a job would cost.

    Args:
        training_file: The id of an uploaded file.
        model: The model to train.
        validation_file: The id of a file to measure the loss on.
        n_epochs: How often to go through the data.
        n_evals: How often to measure.
        training_type: `lora`, `full`, the service's own object, or None for what the service would take.
        training_method: `sft`, `dpo`, or the service's own object.
        from_checkpoint: What to go on with, in place of a model.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The estimate, in dollars. `available` is False where there is none; `unavailable_reason` says why.

    Raises:
        ValueError: There is no such type or method.
        APIStatusError: The service refused.
    """
    params = {
        "training_file": training_file,
        "validation_file": validation_file or None,
        "model": model,
        "n_epochs": n_epochs,
        "n_evals": n_evals,
        "training_type": _named("training_type", training_type, _TYPES),
        "training_method": _named("training_method", training_method, _METHODS),
        "from_checkpoint": from_checkpoint,
    }
    return request("POST", f"{_PATH}/estimate-price", _parse_price, params, options=options)


_TYPES: Mapping[str, Mapping[str, Any]] = {
    "lora": {"type": "Lora", "lora_r": 16, "lora_alpha": 16, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear"},
    "full": {"type": "Full"},
}
"""The rank has no part in the price, but the service wants one."""
_METHODS: Mapping[str, Mapping[str, Any]] = {
    "sft": {"method": "sft", "train_on_inputs": "auto"},
    "dpo": {"method": "dpo", "dpo_normalize_logratios_by_length": False, "dpo_reference_free": False},
}


def _named(name: str, given: Any, known: Mapping[str, Mapping[str, Any]]) -> Any:
    if not isinstance(given, str):
        return given
    if given.lower() not in known:
        raise ValueError(f"{name}={given!r} must be one of {', '.join(known)}")
    return known[given.lower()]


def preview(
    *,
    model: str,
    training_file: str,
    top_k: int | None = None,
    train_on_inputs: bool | None = None,
    training_method: Literal["sft"] | str | None = None,
    **options: Unpack[RequestOptions],
) -> Call[FinetunePreview]:
    """See the first rows of a training file as the model will see them.

    Args:
        model: The model whose tokens and chat template count.
        training_file: The id of an uploaded file.
        top_k: How many rows.
        train_on_inputs: Whether prompts would be learnt.
        training_method: `sft`, so far.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        Rows in tokens, with what of them is learnt.

    Raises:
        APIStatusError: The service refused.
    """
    params = {name: value for name, value in locals().items() if name != "options"}
    return request("POST", f"{_PATH}/preview", response_parser(FinetunePreview), params, options=options)


def retrieve_tokenized_dataset(id: str, **options: Unpack[RequestOptions]) -> Call[TokenizedDataset]:
    """Ask where the training data of a job lie in tokens.

    Args:
        id: As `create` gave it.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        An address in `url`, which works for a while and needs no key.

    Raises:
        NotFoundError: There is no such job.
        APIStatusError: The data are not in tokens yet.
    """
    return request("GET", f"{_place(id)}/download-tokenized-dataset", response_parser(TokenizedDataset), options=options)


def list_supported_models(**options: Unpack[RequestOptions]) -> Call[TrainableModels]:
    """List the models that can be trained.

    Args:
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        Their names in `models`.

    Raises:
        APIStatusError: The service refused.
    """
    return request("GET", f"{_PATH}/models/supported", response_parser(TrainableModels), options=options)


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
    """Download a trained model as an archive. A broken connection is resumed, within the call and by the next one.

    Args:
        id: The job, or `job:step` as checkpoints are named.
        output: Where to: a path, or a folder. Without it a name made of the model's, in the working directory.
        checkpoint_step: The step whose state is wanted; else the final one.
        checkpoint_type: `merged` for the whole model, `adapter` for what was trained alone, `default` for the former. After
            training in full there is only `default`.
        overwrite: Whether a file that is there may be replaced.
        progress: Told how many bytes have arrived, perhaps from another thread.
        **options: `extra_body`, `extra_headers`, `extra_query`, `timeout`.

    Returns:
        The archive on this machine: `filename`, `size`. It is not unpacked.

    Raises:
        ValueError: The type or the step makes no sense for this job.
        FileExistsError: Something is there already.
        APIStatusError: There is no such job, or it is not done.
        DownloadError: What came is not what was promised.
        APIConnectionError: The connection broke again and again; the next call goes on from there.
    """
    id, step = job_and_step(id, checkpoint_step)
    kind = checkpoint_type_of(checkpoint_type)
    job: FinetuneResponse = yield retrieve(id, **options)
    query = {"ft_id": id, "checkpoint_step": step, "checkpoint": checkpoint_of(job, kind)}
    call = request("GET", "/v1/finetune/download", _no_answer, query=query, options=options)
    probed: DownloadInfo = yield from probe(call)
    target = target_of(None if output is None else Path(output), job, id, step, probed)
    fetched: LocalFile = yield from download_file(call, target, overwrite=overwrite, progress=progress)
    return FinetuneDownloadResult(id=id, checkpoint_step=step, filename=str(fetched.path), size=fetched.size)


def wait(
    id: str,
    *,
    poll_interval: float = 10.0,
    timeout: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    extra_query: Mapping[str, Any] | None = None,
) -> Flow[FinetuneResponse]:
    """Wait until a job is done.

    Args:
        id: As `create` gave it.
        poll_interval: Seconds between two looks.
        timeout: Seconds to wait at most; None waits as long as it takes.
        progress: Given a `FinetuneProgress` whenever status or steps have changed.
        extra_headers: Headers for each look.
        extra_query: Query parameters for each look.

    Returns:
        The completed job; chats take its `model_output_name`.

    Raises:
        JobFailedError: The job failed or was cancelled; `events` are its last ones, `completed` is the job.
        APITimeoutError: The time is up; the job goes on.
        NotFoundError: There is no such job.
    """
    options: RequestOptions = {"extra_headers": extra_headers, "extra_query": extra_query}
    return wait_for_job(
        id, retrieve(id, **options), list_events(id, **options), poll_interval=poll_interval, timeout=timeout, progress=progress
    )


def _place(id: str) -> str:
    return f"{_PATH}/{segment(id, 'id')}"


def _moment(when: str | datetime | None) -> str | None:
    return when.isoformat() if isinstance(when, datetime) else when


def _no_answer(response: Response) -> None:
    return None


def _checkpoints(response: Response, id: str) -> FinetuneCheckpoints:
    """Name and sort checkpoints. A final one is addressed by the job alone."""
    found = response.json()
    items = found.get("data") if isinstance(found, dict) else found
    made = FinetuneCheckpoints(_checkpoint(item, id) for item in items or () if isinstance(item, dict))
    # Without its Z a time sorts before the same time with a fraction.
    made.sort(key=lambda checkpoint: ((checkpoint.timestamp or "").rstrip("Z"), checkpoint.step or 0), reverse=True)
    return made


def _checkpoint(item: dict[str, Any], id: str) -> FinetuneCheckpoint:
    own = {name: value for name, value in item.items() if name not in ("checkpoint_type", "created_at") and value is not None}
    kind, step = str(item.get("checkpoint_type") or ""), item.get("step")
    name = f"{id}:{step}" if "intermediate" in kind.lower() and step is not None else id
    return FinetuneCheckpoint.model_validate({**own, "type": kind, "timestamp": item.get("created_at"), "name": name})


class FineTuning(Resource[D, R]):
    """`client.fine_tuning`."""

    with_raw_response: FineTuning[R, R]
    create = method(create)
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
