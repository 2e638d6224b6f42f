"""What a fine-tuning job may ask for, checked before anything is paid, and the body that says it.

The service finds most of these faults itself, but late: after the data is downloaded and the job has waited in its queue. Every
refusal names the argument, its value and the limit. What the service does not tell about a model is not checked.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from together_adapters.types.fine_tuning import FinetuneModelLimits, FullTrainingLimits, LoraTrainingLimits

_log = logging.getLogger(__name__)

METHODS: Final = ("sft", "dpo")
SUFFIX_LENGTH: Final = 40
DEFAULT_LEARNING_RATE: Final = 1e-5
_PLAIN: Final = (
    "training_file", "validation_file", "packing", "max_seq_length", "model", "n_epochs", "n_evals", "n_checkpoints",
    "batch_size", "gradient_accumulation_steps", "max_grad_norm", "weight_decay", "random_seed", "early_stopping_enabled",
    "early_stopping_patience", "early_stopping_min_delta", "early_stopping_warmup_evals", "suffix", "wandb_base_url",
    "wandb_project_name", "wandb_name", "wandb_entity", "from_checkpoint", "from_hf_model", "hf_model_revision", "hf_api_token",
    "hf_output_repo_name",
)  # fmt: skip
_DPO_ONLY: Final = ("dpo_beta", "dpo_normalize_logratios_by_length", "rpo_alpha", "simpo_gamma")
_LORA_ONLY: Final = ("lora_r", "lora_alpha")

Given = Mapping[str, Any]


def check_source(given: Given) -> str:
    """Return the name to ask limits for: the model, or the job that is gone on with.

    Raises:
        ValueError: There is none, or there are two.
    """
    model, checkpoint, hub = given["model"], given["from_checkpoint"], given["from_hf_model"]
    if not given["training_file"]:
        raise ValueError("training_file must be the id of an uploaded file")
    if model is not None and checkpoint is not None:
        raise ValueError(
            f"a job starts from a model or from a checkpoint: model={model!r} and from_checkpoint={checkpoint!r} clash"
        )
    if model is None and hub is not None and checkpoint is None:
        raise ValueError(f"from_hf_model={hub!r} needs model=, the base model that it is like")
    if not model and not checkpoint:
        raise ValueError("model= or from_checkpoint= is needed: a job must start from something")
    if checkpoint is not None and hub is not None:
        raise ValueError(f"from_checkpoint={checkpoint!r} and from_hf_model={hub!r} clash: a job starts from one of them")
    return str(model or str(checkpoint).partition(":")[0])


def job_body(given: Given, limits: FinetuneModelLimits) -> dict[str, Any]:
    """Check everything, and return the body of the request.

    Raises:
        ValueError: An argument is beyond what the model or the method takes.
    """
    name = check_source(given)
    kind = _training_type(given, limits, name)
    method = _method_name(given["training_method"])
    _check_batch(given["batch_size"], kind, method, limits)
    _check_course(given)
    chosen = _training_method(given)
    _check_counts(given, limits, name)
    _check_early_stopping(given)
    scheduler = _scheduler(given)
    _check_length(given["max_seq_length"], method, limits, name)
    body = {field: given[field] for field in _PLAIN}
    body["learning_rate"] = _learning_rate(given["learning_rate"], limits, name)
    body["warmup_ratio"] = given["warmup_ratio"] or 0.0
    body["wandb_key"] = given["wandb_api_key"]
    body |= {"lr_scheduler": scheduler, "training_type": kind, "training_method": chosen, **_vision(given, limits, name)}
    return {field: value for field, value in body.items() if value is not None}


def within(name: str, value: Any, least: float | None, most: float | None, whose: str = "") -> None:
    """Raise where a number is out of bounds; one that is no number, such as NaN, always is.

    Raises:
        ValueError: It names the argument, its value and the bounds.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and (least is None or value >= least) and (most is None or value <= most) and not math.isnan(value):
        return
    if least is not None and most is not None:
        bounds = f"between {least:g} and {most:g}"
    else:
        bounds = f"at least {least:g}" if least is not None else f"at most {most:g}" if most is not None else "a number"
    raise ValueError(f"{name}={value!r} must be {bounds}{whose and f' for {whose}'}")


def _training_type(given: Given, limits: FinetuneModelLimits, model: str) -> dict[str, Any] | None:
    """Full, LoRA, or None where the service is to decide."""
    if given["lora"]:
        return _lora(given, limits.lora_training, model)
    for name in _LORA_ONLY:
        if given[name] is not None:
            raise ValueError(f"{name}={given[name]!r} goes with lora=True, not with lora={given['lora']!r}")
    if given["lora"] is None:
        return None
    if limits.full_training is None or limits.supports_full_training is False:
        raise ValueError(f"lora=False: {model} cannot be trained in full; train an adapter with lora=True")
    return {"type": "Full"}


def _lora(given: Given, limits: LoraTrainingLimits | None, model: str) -> dict[str, Any]:
    if limits is None:
        raise ValueError(f"lora=True: {model} cannot be trained with LoRA; train it in full with lora=False")
    dropout = given["lora_dropout"] or 0.0
    if not 0 <= dropout < 1:
        raise ValueError(f"lora_dropout={dropout!r} must be at least 0 and below 1")
    rank = given["lora_r"] if given["lora_r"] is not None else limits.max_rank or limits.default_rank
    if rank is None:
        raise ValueError(f"lora_r is needed: the service tells no rank for {model}")
    within("lora_r", rank, 1, limits.max_rank, model)
    alpha = given["lora_alpha"] if given["lora_alpha"] is not None else 2 * rank
    within("lora_alpha", alpha, 0, None)
    modules = given["lora_trainable_modules"] or "all-linear"
    _check_modules(modules, limits.target_modules, model)
    return {
        "type": "Lora",
        "lora_r": rank,
        "lora_alpha": int(alpha),
        "lora_dropout": dropout,
        "lora_trainable_modules": modules,
    }


def _check_modules(modules: str, known: list[str] | None, model: str) -> None:
    wanted = [name.strip() for name in modules.split(",")]
    unknown = [name for name in wanted if name != "all-linear" and name not in (known or [])]
    if known and unknown:
        raise ValueError(
            f"lora_trainable_modules={modules!r}: {model} has no {', '.join(map(repr, unknown))}; "
            f"there are all-linear, {', '.join(known)}"
        )


def _check_batch(size: Any, kind: dict[str, Any] | None, method: str, limits: FinetuneModelLimits) -> None:
    if size is None or size == "max":
        return
    if isinstance(size, str):
        raise ValueError(f"batch_size={size!r} must be a whole number or 'max'")
    bounds: FullTrainingLimits | None = None
    if kind is not None:
        bounds = limits.lora_training if kind["type"] == "Lora" else limits.full_training
    # Where the service decides between LoRA and full, nobody knows yet which bounds count.
    least = bounds.min_batch_size if bounds else None
    most = bounds.largest_batch(method) if bounds else None
    within("batch_size", size, least or 1, most, f"{method} training" if bounds else "")


def _check_course(given: Given) -> None:
    if given["warmup_ratio"] is not None:
        within("warmup_ratio", given["warmup_ratio"], 0, 1)
    if given["min_lr_ratio"] is not None:
        within("min_lr_ratio", given["min_lr_ratio"], 0, 1)
    for name in ("max_grad_norm", "weight_decay"):
        if given[name] is not None:
            within(name, given[name], 0, None)


def _check_counts(given: Given, limits: FinetuneModelLimits, model: str) -> None:
    """Counts that the service alone has checked so far."""
    within("n_epochs", given["n_epochs"], 1, limits.max_num_epochs, model)
    if given["n_evals"] is not None:
        within("n_evals", given["n_evals"], 0, limits.max_num_evals, model)
    if given["n_checkpoints"] is not None:
        within("n_checkpoints", given["n_checkpoints"], 0, limits.max_num_checkpoints, model)
    if given["n_evals"] and not given["validation_file"]:
        raise ValueError(f"n_evals={given['n_evals']} needs validation_file=: there is nothing to evaluate on")
    if given["validation_file"] and not given["n_evals"]:
        _log.warning("validation_file is not used, since n_evals is 0")
    suffix = given["suffix"]
    if suffix is not None and len(suffix) > SUFFIX_LENGTH:
        raise ValueError(f"suffix={suffix!r} has {len(suffix)} characters; {SUFFIX_LENGTH} are allowed")


def _learning_rate(rate: float | None, limits: FinetuneModelLimits, model: str) -> float:
    rate = DEFAULT_LEARNING_RATE if rate is None else rate
    within("learning_rate", rate, limits.min_learning_rate or 0, limits.max_learning_rate, model)
    return rate


def _check_early_stopping(given: Given) -> None:
    if not given["early_stopping_enabled"]:
        return
    patience, warmup = given["early_stopping_patience"], given["early_stopping_warmup_evals"]
    if patience is not None:
        within("early_stopping_patience", patience, 1, None)
    if warmup is not None:
        within("early_stopping_warmup_evals", warmup, 0, None)
    if given["early_stopping_min_delta"] is not None:
        within("early_stopping_min_delta", given["early_stopping_min_delta"], 0, None)
    if not given["validation_file"]:
        raise ValueError("early_stopping_enabled=True needs validation_file=: it looks at the loss there")
    least = (2 if patience is None else patience) + (1 if warmup is None else warmup) + 1
    if (given["n_evals"] or 0) < least:
        raise ValueError(
            f"n_evals={given['n_evals'] or 0} must be at least {least} for early stopping: "
            "early_stopping_patience (2) + early_stopping_warmup_evals (1) + 1"
        )


def _method_name(method: str) -> str:
    if method not in METHODS:
        hint = "; rpo and simpo are dpo with rpo_alpha= or simpo_gamma=" if method in ("rpo", "simpo") else ""
        raise ValueError(f"training_method={method!r} must be one of {', '.join(METHODS)}{hint}")
    return method


def _training_method(given: Given) -> dict[str, Any]:
    inputs = given["train_on_inputs"]
    if given["training_method"] == "sft":
        for name in _DPO_ONLY:
            if given[name] is not None and given[name] is not False:
                raise ValueError(f"{name}={given[name]!r} goes with training_method='dpo', not with 'sft'")
        if inputs is not None and not isinstance(inputs, bool) and inputs != "auto":
            raise ValueError(f"train_on_inputs={inputs!r} must be True, False or 'auto'")
        return {"method": "sft", "train_on_inputs": "auto" if inputs is None else inputs}
    if inputs is not None:
        raise ValueError(f"train_on_inputs={inputs!r} goes with training_method='sft', not with 'dpo'")
    for name in ("rpo_alpha", "simpo_gamma"):
        if given[name] is not None:
            within(name, given[name], 0, None)
    # SimPO has no reference model, and compares rewards per token.
    simpo = bool(given["simpo_gamma"])
    method = {
        "method": "dpo",
        "dpo_beta": given["dpo_beta"],
        "dpo_normalize_logratios_by_length": given["dpo_normalize_logratios_by_length"] or simpo,
        "dpo_reference_free": simpo,
        "rpo_alpha": given["rpo_alpha"],
        "simpo_gamma": given["simpo_gamma"],
    }
    return {name: value for name, value in method.items() if value is not None}


def _scheduler(given: Given) -> dict[str, Any]:
    least = given["min_lr_ratio"] or 0.0
    if given["lr_scheduler_type"] != "cosine":
        return {"lr_scheduler_type": "linear", "lr_scheduler_args": {"min_lr_ratio": least}}
    cycles = given["scheduler_num_cycles"]
    if not cycles > 0:
        raise ValueError(f"scheduler_num_cycles={cycles!r} must be more than 0")
    return {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": least, "num_cycles": cycles}}


def _check_length(length: int | None, method: str, limits: FinetuneModelLimits, model: str) -> None:
    if length is not None:
        most = limits.max_seq_length_dpo if method == "dpo" else limits.max_seq_length_sft
        within("max_seq_length", length, limits.min_max_seq_length or 1, most, f"{method} training of {model}")


def _vision(given: Given, limits: FinetuneModelLimits, model: str) -> dict[str, Any]:
    if given["train_vision"] and limits.supports_vision is False:
        raise ValueError(f"train_vision=True: {model} sees no images")
    return (
        {"multimodal_params": {"train_vision": given["train_vision"]}} if limits.supports_vision or given["train_vision"] else {}
    )
