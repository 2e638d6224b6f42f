"""What a job may be told about its training, for the signatures of `start` and `astart`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict


class TrainingOptions(TypedDict, total=False):
    """Parameters of `client.fine_tuning.create` that a job takes as they are; it describes each."""

    n_epochs: int
    n_evals: int | None
    n_checkpoints: int | None
    packing: bool | None
    max_seq_length: int | None
    batch_size: int | Literal["max"]
    gradient_accumulation_steps: int | None
    learning_rate: float | None
    lr_scheduler_type: Literal["linear", "cosine"] | str
    min_lr_ratio: float | None
    scheduler_num_cycles: float
    warmup_ratio: float | None
    max_grad_norm: float
    weight_decay: float | None
    lora: bool | None
    lora_r: int | None
    lora_dropout: float | None
    lora_alpha: float | None
    lora_trainable_modules: str | None
    train_vision: bool
    train_on_inputs: bool | Literal["auto"] | None
    dpo_beta: float | None
    dpo_normalize_logratios_by_length: bool
    rpo_alpha: float | None
    simpo_gamma: float | None
    early_stopping_enabled: bool | None
    early_stopping_patience: int | None
    early_stopping_min_delta: float | None
    early_stopping_warmup_evals: int | None
    random_seed: int | None
    from_checkpoint: str | None
    from_hf_model: str | None
    hf_model_revision: str | None
    hf_api_token: str | None
    hf_output_repo_name: str | None
    wandb_api_key: str | None
    wandb_base_url: str | None
    wandb_project_name: str | None
    wandb_name: str | None
    wandb_entity: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    extra_query: Mapping[str, Any] | None
