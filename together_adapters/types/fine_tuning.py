"""Fine-tuning: jobs with their events, checkpoints, metrics, limits and prices.

Nothing here is an enum: the service's values change, and old jobs keep old ones. Compare `kind` and `status` in lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr, ValidationInfo, field_validator

from together_adapters.types.files import FileObject
from together_adapters.types.progress import Progress
from together_adapters.types.response import MaskedResponse, ResponseList, ResponseModel

NANODOLLARS: Final = 1_000_000_000
"""In a dollar. The `total_price` of a job is in nanodollars, an estimate in dollars."""

_NEW_KINDS: Final = {"compressing_model": "model_compressing"}


@dataclass(frozen=True)
class FinetuneProgress(Progress):
    """The progress of a job in steps; `stage` is its status, `message` the last event that the service sent with it."""

    message: str = ""


class FinetuneEvent(MaskedResponse):
    """One event of a job. `type` may be in upper case, see `kind`; `level` is info, warning, error or an older value."""

    object: str | None = None
    created_at: str | None = None
    level: str | None = None
    message: str | None = None
    type: str | None = None
    hash: str | None = None
    param_count: int | None = None
    token_count: int | None = None
    step: int | None = None
    total_steps: int | None = None
    wandb_url: str | None = None
    checkpoint_path: str | None = None
    early_stopping_best_step: int | None = None
    early_stopping_best_metric_value: float | None = None

    @property
    def kind(self) -> str:
        """The type as the newest version of the service sends it."""
        kind = (self.type or "").lower()
        return _NEW_KINDS.get(kind, kind)


class FinetuneListEvents(ResponseModel):
    """The events of a job, oldest first."""

    object: str | None = None
    data: list[FinetuneEvent] = Field(default_factory=list)


class TrainingType(ResponseModel):
    """`type` is `Lora` or `Full`; old jobs have an empty one for `Full`."""

    type: str | None = None
    lora_r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    lora_trainable_modules: str | None = None

    @property
    def is_full(self) -> bool:
        """Whether all weights are trained."""
        return self.type is not None and self.type.lower() in ("full", "")

    @property
    def is_lora(self) -> bool:
        """Whether an adapter is trained."""
        return (self.type or "").lower() == "lora"


class TrainingMethod(ResponseModel):
    """`method` is `sft` or `dpo`."""

    method: str | None = None
    train_on_inputs: bool | str | None = None
    dpo_beta: float | None = None
    dpo_normalize_logratios_by_length: bool | None = None
    dpo_reference_free: bool | None = None
    rpo_alpha: float | None = None
    simpo_gamma: float | None = None


class LRScheduler(ResponseModel):
    """The schedule of the learning rate; `lr_scheduler_type` may be empty."""

    lr_scheduler_type: str | None = None
    lr_scheduler_args: dict[str, Any] | None = None


class JobProgress(ResponseModel):
    """The service's estimate of the remaining time."""

    estimate_available: bool | None = None
    seconds_remaining: float | None = None


class FinetunePriceEstimate(ResponseModel):
    """The estimated price of a job, and the account's limit, in dollars; `allowed_to_proceed` is whether the limit covers it.

    `estimation_available` is False without an estimate; see `unavailable_reason`. Old versions of the service do not send it.
    """

    estimated_total_price: float | None = None
    user_limit: float | None = None
    estimated_train_token_count: float | None = None
    estimated_eval_token_count: float | None = None
    allowed_to_proceed: bool | None = None
    estimation_available: bool | None = None
    unavailable_reason: str | None = None

    @property
    def available(self) -> bool:
        """Whether there is a price, in either format of the response."""
        return self.estimation_available is not False and self.estimated_total_price is not None


class FinetuneResponse(MaskedResponse):
    """A fine-tuning job. Some fields come only from `retrieve`, not from lists and `create`.

    `status` is pending, queued, running, compressing, uploading, completed, cancel_requested, cancelled, error, user_error or newer.
    `model` is the base model, `model_output_name` the new one, for chats when the job has completed; `total_price` is in
    nanodollars, `price` in dollars; of `total_steps`, `steps_completed` are done.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str | None = None
    job_id: str | None = None
    status: str | None = None
    created_at: str | None = None
    updated_at: str | None = None
    started_at: str | None = None
    user_id: str | None = None
    model: str | None = None
    model_output_name: str | None = Field(None, validation_alias=AliasChoices("model_output_name", "output_name"))
    model_output_path: str | None = None
    adapter_output_name: str | None = None
    training_file: str | None = None
    validation_file: str | None = None
    training_type: TrainingType | None = None
    training_method: TrainingMethod | None = None
    train_on_inputs: bool | str | None = None
    lr_scheduler: LRScheduler | None = None
    n_epochs: int | None = None
    n_checkpoints: int | None = None
    n_evals: int | None = None
    eval_steps: int | None = None
    batch_size: int | str | None = None
    learning_rate: float | None = None
    warmup_ratio: float | None = None
    max_grad_norm: float | None = None
    weight_decay: float | None = None
    suffix: str | None = None
    from_checkpoint: str | None = None
    from_hf_model: str | None = None
    hf_model_revision: str | None = None
    multimodal_params: dict[str, Any] | None = None
    token_count: int | None = None
    param_count: int | None = None
    total_price: int | float | None = None
    total_steps: int | None = None
    steps_completed: int | None = None
    epochs_completed: int | None = None
    evals_completed: int | None = None
    queue_depth: int | None = None
    progress: JobProgress | None = None
    events: list[FinetuneEvent] | None = None
    wandb_url: str | None = None
    wandb_base_url: str | None = None
    wandb_project_name: str | None = None
    wandb_name: str | None = None
    training_file_num_lines: int | None = Field(
        None, validation_alias=AliasChoices("TrainingFileNumLines", "trainingfile_numlines", "training_file_num_lines")
    )
    training_file_size: int | None = Field(
        None, validation_alias=AliasChoices("TrainingFileSize", "trainingfile_size", "training_file_size")
    )

    _estimate: FinetunePriceEstimate | None = PrivateAttr(None)

    @field_validator("training_type", "training_method", mode="before")
    @classmethod
    def _parse_name(cls, value: Any, info: ValidationInfo) -> Any:
        return {str(info.field_name).removeprefix("training_"): value} if isinstance(value, str) else value

    @property
    def output_name(self) -> str | None:
        """`model_output_name`, under its name in the `together` 1.x SDK."""
        return self.model_output_name

    @property
    def price(self) -> float | None:
        """The total price in dollars."""
        return None if self.total_price is None else self.total_price / NANODOLLARS

    @property
    def price_estimate(self) -> FinetunePriceEstimate | None:
        """The estimate before the job was created; only in the result of `create`."""
        return self._estimate


class FinetuneList(ResponseModel):
    """The jobs of an account."""

    object: str | None = None
    data: list[FinetuneResponse] = Field(default_factory=list)


class FinetuneDeleteResponse(ResponseModel):
    """Confirms that a job was deleted."""

    message: str | None = None


class FinetuneCheckpoint(ResponseModel):
    """A checkpoint of a model, for `download` or `from_checkpoint=name`.

    `type` is the service's label, such as `Intermediate`; `name` the job's id, with `:step` for an intermediate checkpoint.
    """

    type: str | None = None
    timestamp: str | None = None
    name: str | None = None
    step: int | None = None
    path: str | None = None


class FinetuneCheckpoints(ResponseList[FinetuneCheckpoint]):
    """The checkpoints of a job, newest first."""


class FinetuneMetrics(ResponseModel):
    """The metrics of a job, oldest first: dicts such as `{"train/global_step": 7, "train/loss": 0.5}`."""

    metrics: list[dict[str, Any]] = Field(default_factory=list)


class FullTrainingLimits(ResponseModel):
    """Batch sizes of full training."""

    min_batch_size: int | None = None
    max_batch_size: int | None = None
    max_batch_size_dpo: int | None = None

    def max_batch_size_for(self, method: str) -> int | None:
        """Returns the maximum batch size of a method. Without one for DPO, it is half the other, rounded down to a multiple of 8."""
        if method != "dpo" or self.max_batch_size is None:
            return self.max_batch_size
        if self.max_batch_size_dpo is not None and self.max_batch_size_dpo >= 0:
            return self.max_batch_size_dpo
        return max(self.min_batch_size or 0, self.max_batch_size // 2 // 8 * 8)


class LoraTrainingLimits(FullTrainingLimits):
    """Limits of LoRA training."""

    max_rank: int | None = None
    default_rank: int | None = None
    target_modules: list[str] | None = None


class FinetuneModelLimits(ResponseModel):
    """The limits of jobs on a model. Those that the service does not publish are None, and not checked."""

    model_name: str | None = None
    max_num_epochs: int | None = None
    max_num_evals: int | None = None
    max_num_checkpoints: int | None = None
    min_learning_rate: float | None = None
    max_learning_rate: float | None = None
    full_training: FullTrainingLimits | None = None
    lora_training: LoraTrainingLimits | None = None
    supports_vision: bool | None = None
    supports_tools: bool | None = None
    supports_reasoning: bool | None = None
    supports_full_training: bool | None = None
    merge_output_lora: bool | None = None
    min_max_seq_length: int | None = None
    max_seq_length_sft: int | None = None
    max_seq_length_dpo: int | None = None
    default_gradient_accumulation_steps: int | None = None


class TrainableModels(ResponseModel):
    """The names of models that can be fine-tuned."""

    models: list[str] = Field(default_factory=list)


class PreviewRow(ResponseModel):
    """One row as tokens; `labels` are -100 for tokens that do not contribute to the loss."""

    input_ids: list[int] | None = None
    labels: list[int] | None = None
    tokens: list[str] | None = None
    num_tokens: int | None = None
    num_trained_tokens: int | None = None
    trained_spans: list[list[int]] | None = None
    truncated: bool | None = None


class FinetunePreview(ResponseModel):
    """The first rows of a training file, as tokens."""

    model: str | None = None
    dataset_format: str | None = None
    max_seq_length: int | None = None
    train_on_inputs: bool | str | None = None
    rows: list[PreviewRow] = Field(default_factory=list)


class TokenizedDataset(ResponseModel):
    """The tokenized training data of a job, as an archive. `url` is a secret: it needs no key, until `expires_at` (ISO 8601)."""

    url: str | None = Field(None, repr=False)
    filename: str | None = None
    content_type: str | None = None
    size: int | None = None
    expires_at: str | None = None


class FinetuneDownloadResult(FileObject):
    """A downloaded model; `filename` is the absolute path of the archive, which is not unpacked."""

    checkpoint_step: int | None = None
