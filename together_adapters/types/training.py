"""Parameters of a fine-tuning job: described once for the client, for `finetune.start` and for the command line."""

from __future__ import annotations

from typing import Final, Literal, TypedDict

from together_adapters.types.requests import ExtraOptions, RequestOptions


class TrainingParams(TypedDict, total=False):
    """Parameters of training.

    Attributes:
        n_epochs: Passes over the training data.
        n_evals: Number of evaluations on the validation file.
        n_checkpoints: Number of checkpoints to keep.
        packing: Whether to pack several rows into one sequence; the service does by default.
        max_seq_length: Tokens at which a row is truncated.
        batch_size: Rows per step, or `max` for the largest batch that the model takes.
        gradient_accumulation_steps: Steps over which gradients are accumulated.
        learning_rate: Peak learning rate.
        lr_scheduler_type: `cosine`, or `linear` for any other value.
        min_lr_ratio: Final learning rate as a fraction of the peak, 0 to 1.
        scheduler_num_cycles: Cycles of the cosine scheduler.
        warmup_ratio: Fraction of the steps with a rising learning rate, 0 to 1.
        max_grad_norm: Norm to which gradients are clipped; 0 for no clipping.
        weight_decay: Weight decay.
        lora: True trains a LoRA adapter, False all weights, None leaves it to the service.
        lora_r: Rank of the adapter; the maximum of the model by default, as in the `together` 1.x SDK.
        lora_dropout: Dropout of the adapter, from 0 to below 1.
        lora_alpha: Scaling of the adapter; twice the rank by default.
        lora_trainable_modules: `all-linear`, or names of modules, separated by commas.
        train_vision: Whether to train on the images, too.
        train_on_inputs: Whether prompts contribute to the loss; `auto`, the default, decides by the format of the data.
        dpo_beta: With `dpo`: weight of the penalty for diverging from the original model.
        dpo_normalize_logratios_by_length: With `dpo`: whether to normalize log ratios by the number of tokens.
        rpo_alpha: With `dpo`: weight of the preferred output's own loss (RPO).
        simpo_gamma: With `dpo`: reward margin of SimPO, which uses no reference model. Values above 0 enable SimPO.
        early_stopping_enabled: Whether to stop when the validation loss no longer falls.
        early_stopping_patience: Evaluations without improvement before training stops; 2 by default.
        early_stopping_min_delta: Minimum decrease of the loss that counts as improvement; 0 by default.
        early_stopping_warmup_evals: Evaluations at the start that do not count; 1 by default.
        random_seed: Seed for reproducible training.
        from_checkpoint: A job or a model to continue from: `ft-...`, `ft-...:step`, `name:step`.
        from_hf_model: A Hugging Face repository with the architecture of the model, to start from.
        hf_model_revision: Branch or commit of that repository.
        hf_api_token: A Hugging Face token; it appears in no error, log or repr.
        hf_output_repo_name: A Hugging Face repository to upload the result to.
        wandb_api_key: A Weights & Biases key; it appears in no error, log or repr.
        wandb_base_url: Address of a Weights & Biases server of your own.
        wandb_project_name: Weights & Biases project.
        wandb_name: Weights & Biases run.
        wandb_entity: Weights & Biases team.
    """

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


class CreateParams(TrainingParams, RequestOptions, total=False):
    """Keywords of `client.fine_tuning.create`."""


class StartParams(TrainingParams, ExtraOptions, total=False):
    """Keywords of `finetune.start`, whose `timeout` is that of a wait."""


TRAINING_DEFAULTS: Final[TrainingParams] = {
    "n_epochs": 1, "n_evals": 0, "n_checkpoints": 1, "batch_size": "max", "learning_rate": 1e-5, "lr_scheduler_type": "cosine",
    "min_lr_ratio": 0.0, "scheduler_num_cycles": 0.5, "warmup_ratio": 0.0, "max_grad_norm": 1.0, "weight_decay": 0.0,
    "lora": True, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear", "train_vision": False,
    "dpo_normalize_logratios_by_length": False,
}  # fmt: skip
"""Values of parameters that are not passed; the others are then not sent."""
