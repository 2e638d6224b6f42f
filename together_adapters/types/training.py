"""Parameters of a fine-tuning job: described once for the client, for `finetune.start` and for the command line."""

from typing import Annotated, Final, Literal, TypedDict

from together_adapters.types.requests import ExtraOptions, RequestOptions


class TrainingParams(TypedDict, total=False):
    """Parameters of training."""

    n_epochs: Annotated[int, "Passes over the training data."]
    n_evals: Annotated[int | None, "Number of evaluations on the validation file."]
    n_checkpoints: Annotated[int | None, "Number of checkpoints to keep."]
    packing: Annotated[bool | None, "Whether to pack several rows into one sequence; the service does by default."]
    max_seq_length: Annotated[int | None, "Tokens at which a row is truncated."]
    batch_size: Annotated[int | Literal["max"], "Rows per step, or `max` for the largest batch that the model takes."]
    gradient_accumulation_steps: Annotated[int | None, "Steps over which gradients are accumulated."]
    learning_rate: Annotated[float | None, "Peak learning rate."]
    lr_scheduler_type: Annotated[Literal["linear", "cosine"] | str, "`cosine`, or `linear` for any other value."]
    min_lr_ratio: Annotated[float | None, "Final learning rate as a fraction of the peak, 0 to 1."]
    scheduler_num_cycles: Annotated[float, "Cycles of the cosine scheduler."]
    warmup_ratio: Annotated[float | None, "Fraction of the steps with a rising learning rate, 0 to 1."]
    max_grad_norm: Annotated[float, "Norm to which gradients are clipped; 0 for no clipping."]
    weight_decay: Annotated[float | None, "Weight decay."]
    lora: Annotated[bool | None, "True trains a LoRA adapter, False all weights, None leaves it to the service."]
    lora_r: Annotated[int | None, "Rank of the adapter; the maximum of the model by default, as in the `together` 1.x SDK."]
    lora_dropout: Annotated[float | None, "Dropout of the adapter, from 0 to below 1."]
    lora_alpha: Annotated[float | None, "Scaling of the adapter; twice the rank by default."]
    lora_trainable_modules: Annotated[str | None, "`all-linear`, or names of modules, separated by commas."]
    train_vision: Annotated[bool, "Whether to train on the images, too."]
    train_on_inputs: Annotated[
        bool | Literal["auto"] | None, "Whether prompts contribute to the loss; by default `auto`: by the format of the data."
    ]
    dpo_beta: Annotated[float | None, "With `dpo`: weight of the penalty for diverging from the original model."]
    dpo_normalize_logratios_by_length: Annotated[bool, "With `dpo`: whether to normalize log ratios by the number of tokens."]
    rpo_alpha: Annotated[float | None, "With `dpo`: weight of the preferred output's own loss (RPO)."]
    simpo_gamma: Annotated[float | None, "With `dpo`: reward margin of SimPO, which has no reference model; 0 for no SimPO."]
    early_stopping_enabled: Annotated[bool | None, "Whether to stop when the validation loss no longer falls."]
    early_stopping_patience: Annotated[int | None, "Evaluations without improvement before training stops; 2 by default."]
    early_stopping_min_delta: Annotated[float | None, "Minimum decrease of the loss that counts as improvement; 0 by default."]
    early_stopping_warmup_evals: Annotated[int | None, "Evaluations at the start that do not count; 1 by default."]
    random_seed: Annotated[int | None, "Seed for reproducible training."]
    from_checkpoint: Annotated[str | None, "A job or a model to continue from: `ft-...`, `ft-...:step`, `name:step`."]
    from_hf_model: Annotated[str | None, "A Hugging Face repository with the architecture of the model, to start from."]
    hf_model_revision: Annotated[str | None, "Branch or commit of that repository."]
    hf_api_token: Annotated[str | None, "A Hugging Face token; it appears in no error, log or repr."]
    hf_output_repo_name: Annotated[str | None, "A Hugging Face repository to upload the result to."]
    wandb_api_key: Annotated[str | None, "A Weights & Biases key; it appears in no error, log or repr."]
    wandb_base_url: Annotated[str | None, "Address of a Weights & Biases server of your own."]
    wandb_project_name: Annotated[str | None, "Weights & Biases project."]
    wandb_name: Annotated[str | None, "Weights & Biases run."]
    wandb_entity: Annotated[str | None, "Weights & Biases team."]


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
