"""Validates the parameters of a fine-tuning job, and builds the body of the request that creates it.

The service finds most of these errors itself, but late: after the data is downloaded and the job has waited in its queue. Every
message names the parameter, its value and the limit. Limits that the service does not publish for a model are not checked.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from together_adapters.types.files import check_file_id
from together_adapters.types.fine_tuning import FinetuneModelLimits, FullTrainingLimits, LoraTrainingLimits
from together_adapters.types.training import TRAINING_DEFAULTS, TrainingParams

_log = logging.getLogger(__name__)

METHODS: Final = ("sft", "dpo")
MAX_SUFFIX_LENGTH: Final = 40
_SAME_NAME: Final = (
    "training_file", "validation_file", "packing", "max_seq_length", "model", "n_epochs", "n_evals", "n_checkpoints",
    "batch_size", "gradient_accumulation_steps", "max_grad_norm", "weight_decay", "random_seed", "early_stopping_enabled",
    "early_stopping_patience", "early_stopping_min_delta", "early_stopping_warmup_evals", "suffix", "wandb_base_url",
    "wandb_project_name", "wandb_name", "wandb_entity", "from_checkpoint", "from_hf_model", "hf_model_revision", "hf_api_token",
    "hf_output_repo_name",
)  # fmt: skip
"""Parameters that are fields of the body under their own name."""
_DPO_ONLY: Final = ("dpo_beta", "dpo_normalize_logratios_by_length", "rpo_alpha", "simpo_gamma")
_RANGES: Final = {
    **dict.fromkeys(("warmup_ratio", "min_lr_ratio"), (0, 1)),
    **dict.fromkeys(("max_grad_norm", "weight_decay", "rpo_alpha", "simpo_gamma"), (0, None)),
}
"""Minimum and maximum for every model."""
_EARLY_STOPPING_RANGES: Final = {
    "early_stopping_patience": (1, None),
    "early_stopping_warmup_evals": (0, None),
    "early_stopping_min_delta": (0, None),
}
_DEFAULT_LEARNING_RATE: Final = TRAINING_DEFAULTS.get("learning_rate")
_JOB_DEFAULTS: Final = {"validation_file": "", "model": None, "suffix": None, "training_method": "sft"}

Params = Mapping[str, Any]


def with_defaults(params: Params) -> dict[str, Any]:
    """Returns the parameters of a job with a value for each; None where there is no default."""
    return {**dict.fromkeys(TrainingParams.__annotations__), **TRAINING_DEFAULTS, **_JOB_DEFAULTS, **params}


def source_model(params: Params) -> str:
    """Returns the name that the model's limits are requested for: the model, or the job of the checkpoint."""
    model, checkpoint, hf_model = params["model"], params["from_checkpoint"], params["from_hf_model"]
    if not params["training_file"]:
        raise ValueError("training_file must be the id of an uploaded file")
    for name in ("training_file", "validation_file"):
        check_file_id(params[name], name, "fine-tune")
    if model is not None and checkpoint is not None:
        raise ValueError(f"pass either model={model!r} or from_checkpoint={checkpoint!r}: a job starts from one of them")
    if model is None and hf_model is not None and checkpoint is None:
        raise ValueError(f"from_hf_model={hf_model!r} needs model=, the base model with the same architecture")
    if not model and not checkpoint:
        raise ValueError("model= or from_checkpoint= is required")
    if checkpoint is not None and hf_model is not None:
        raise ValueError(
            f"pass either from_checkpoint={checkpoint!r} or from_hf_model={hf_model!r}: a job starts from one of them"
        )
    return str(model or str(checkpoint).partition(":")[0])


def job_body(params: Params, limits: FinetuneModelLimits) -> dict[str, Any]:
    """Validates all parameters, and returns the body of the request."""
    model = source_model(params)
    training_type = _training_type(params, limits, model)
    method = params["training_method"]
    if method not in METHODS:
        hint = "; rpo and simpo are dpo with rpo_alpha= or simpo_gamma=" if method in ("rpo", "simpo") else ""
        raise ValueError(f"training_method={method!r} must be one of {', '.join(METHODS)}{hint}")
    _check_batch_size(params["batch_size"], training_type, method, limits)
    training_method = _training_method(params)
    _check_ranges(params, _RANGES)
    _check_counts(params, limits, model)
    _check_early_stopping(params)
    max_length = limits.max_seq_length_dpo if method == "dpo" else limits.max_seq_length_sft
    _check_ranges(params, {"max_seq_length": (limits.min_max_seq_length or 1, max_length)}, f"{method} training of {model}")
    learning_rate = _DEFAULT_LEARNING_RATE if params["learning_rate"] is None else params["learning_rate"]
    check_range("learning_rate", learning_rate, limits.min_learning_rate or 0, limits.max_learning_rate, model)
    if params["train_vision"] and limits.supports_vision is False:
        raise ValueError(f"train_vision=True: {model} does not support images")
    vision = limits.supports_vision or params["train_vision"]
    body = {
        **{name: params[name] for name in _SAME_NAME},
        "learning_rate": learning_rate,
        "warmup_ratio": params["warmup_ratio"] or 0.0,
        "wandb_key": params["wandb_api_key"],
        "lr_scheduler": _scheduler(params),
        "training_type": training_type,
        "training_method": training_method,
        "multimodal_params": {"train_vision": params["train_vision"]} if vision else None,
    }
    return {name: value for name, value in body.items() if value is not None}


def check_range(name: str, value: Any, minimum: float | None, maximum: float | None, subject: str = "") -> None:
    """Raises if a value is not a number between the bounds; NaN never is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (minimum is None or value >= minimum) and (maximum is None or value <= maximum) and not math.isnan(value):
        return
    if minimum is not None and maximum is not None:
        bounds = f"between {minimum:g} and {maximum:g}"
    else:
        bounds = f"at least {minimum:g}" if minimum is not None else f"at most {maximum:g}" if maximum is not None else "a number"
    if not is_number:
        bounds = (
            f"a number, not {type(value).__name__}" if bounds == "a number" else f"a number {bounds}, not {type(value).__name__}"
        )
    raise ValueError(f"{name}={value!r} must be {bounds}{subject and f' for {subject}'}")


def _check_ranges(params: Params, ranges: Mapping[str, tuple[float, float | None]], subject: str = "") -> None:
    for name, (minimum, maximum) in ranges.items():
        if params[name] is not None:
            check_range(name, params[name], minimum, maximum, subject)


def _training_type(params: Params, limits: FinetuneModelLimits, model: str) -> dict[str, Any] | None:
    """Returns the object for full or LoRA training, or None where the service is to decide."""
    if params["lora"]:
        return _lora(params, limits.lora_training, model)
    for name in ("lora_r", "lora_alpha"):
        if params[name] is not None:
            raise ValueError(f"{name}={params[name]!r} requires lora=True, not lora={params['lora']!r}")
    if params["lora"] is None:
        return None
    if limits.full_training is None or limits.supports_full_training is False:
        raise ValueError(f"lora=False: {model} does not support full training; train an adapter with lora=True")
    return {"type": "Full"}


def _lora(params: Params, limits: LoraTrainingLimits | None, model: str) -> dict[str, Any]:
    if limits is None:
        raise ValueError(f"lora=True: {model} does not support LoRA; train all weights with lora=False")
    dropout = params["lora_dropout"] or 0.0
    if not 0 <= dropout < 1:
        raise ValueError(f"lora_dropout={dropout!r} must be at least 0 and below 1")
    rank = params["lora_r"] if params["lora_r"] is not None else limits.max_rank or limits.default_rank
    if rank is None:
        raise ValueError(f"lora_r= is required: the service publishes no rank for {model}")
    check_range("lora_r", rank, 1, limits.max_rank, model)
    alpha = params["lora_alpha"] if params["lora_alpha"] is not None else 2 * rank
    check_range("lora_alpha", alpha, 0, None)
    modules = params["lora_trainable_modules"] or "all-linear"
    _check_modules(modules, limits.target_modules, model)
    adapter = {"lora_r": rank, "lora_alpha": int(alpha), "lora_dropout": dropout, "lora_trainable_modules": modules}
    return {"type": "Lora", **adapter}


def _check_modules(modules: str, available: list[str] | None, model: str) -> None:
    names = [name.strip() for name in modules.split(",")]
    unknown = [name for name in names if name != "all-linear" and name not in (available or [])]
    if available and unknown:
        raise ValueError(
            f"lora_trainable_modules={modules!r}: {model} has no {', '.join(map(repr, unknown))}; "
            f"available are all-linear, {', '.join(available)}"
        )


def _check_batch_size(size: Any, training_type: dict[str, Any] | None, method: str, limits: FinetuneModelLimits) -> None:
    if size is None or size == "max":
        return
    if isinstance(size, str):
        raise ValueError(f"batch_size={size!r} must be a whole number or 'max'")
    bounds: FullTrainingLimits | None = None
    if training_type is not None:
        bounds = limits.lora_training if training_type["type"] == "Lora" else limits.full_training
    # Where the service decides between LoRA and full training, it is not known which bounds apply.
    minimum = bounds.min_batch_size if bounds else None
    maximum = bounds.max_batch_size_for(method) if bounds else None
    check_range("batch_size", size, minimum or 1, maximum, f"{method} training" if bounds else "")


def _check_counts(params: Params, limits: FinetuneModelLimits, model: str) -> None:
    check_range("n_epochs", params["n_epochs"], 1, limits.max_num_epochs, model)
    _check_ranges(params, {"n_evals": (0, limits.max_num_evals), "n_checkpoints": (0, limits.max_num_checkpoints)}, model)
    if params["n_evals"] and not params["validation_file"]:
        raise ValueError(f"n_evals={params['n_evals']} requires validation_file=")
    if params["validation_file"] and not params["n_evals"]:
        _log.warning("validation_file= is not used, since n_evals=0: pass the number of evaluations")
    suffix = params["suffix"]
    if suffix is not None and len(suffix) > MAX_SUFFIX_LENGTH:
        raise ValueError(f"suffix={suffix!r} has {len(suffix)} characters; {MAX_SUFFIX_LENGTH} are allowed")


def _check_early_stopping(params: Params) -> None:
    if not params["early_stopping_enabled"]:
        return
    _check_ranges(params, _EARLY_STOPPING_RANGES)
    if not params["validation_file"]:
        raise ValueError("early_stopping_enabled=True requires validation_file=, whose loss it observes")
    max_stale_evals, warmup = params["early_stopping_patience"], params["early_stopping_warmup_evals"]
    min_evals = (2 if max_stale_evals is None else max_stale_evals) + (1 if warmup is None else warmup) + 1
    if (params["n_evals"] or 0) < min_evals:
        raise ValueError(
            f"n_evals={params['n_evals'] or 0} must be at least {min_evals} for early stopping: "
            "early_stopping_patience= (2) + early_stopping_warmup_evals= (1) + 1"
        )


def _training_method(params: Params) -> dict[str, Any]:
    inputs = params["train_on_inputs"]
    if params["training_method"] == "sft":
        for name in _DPO_ONLY:
            if params[name] is not None and params[name] is not False:
                raise ValueError(f"{name}={params[name]!r} requires training_method='dpo', not 'sft'")
        if inputs is not None and not isinstance(inputs, bool) and inputs != "auto":
            raise ValueError(f"train_on_inputs={inputs!r} must be True, False or 'auto'")
        return {"method": "sft", "train_on_inputs": "auto" if inputs is None else inputs}
    if inputs is not None:
        raise ValueError(f"train_on_inputs={inputs!r} requires training_method='sft', not 'dpo'")
    # SimPO has no reference model, and compares rewards per token.
    is_simpo = bool(params["simpo_gamma"])
    method = {
        "method": "dpo",
        "dpo_beta": params["dpo_beta"],
        "dpo_normalize_logratios_by_length": params["dpo_normalize_logratios_by_length"] or is_simpo,
        "dpo_reference_free": is_simpo,
        "rpo_alpha": params["rpo_alpha"],
        "simpo_gamma": params["simpo_gamma"],
    }
    return {name: value for name, value in method.items() if value is not None}


def _scheduler(params: Params) -> dict[str, Any]:
    arguments = {"min_lr_ratio": params["min_lr_ratio"] or 0.0}
    if params["lr_scheduler_type"] != "cosine":
        return {"lr_scheduler_type": "linear", "lr_scheduler_args": arguments}
    cycles = params["scheduler_num_cycles"]
    if not cycles > 0:
        raise ValueError(f"scheduler_num_cycles={cycles!r} must be more than 0")
    return {"lr_scheduler_type": "cosine", "lr_scheduler_args": {**arguments, "num_cycles": cycles}}
