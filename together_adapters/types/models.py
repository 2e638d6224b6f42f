"""The catalogue of models."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field, model_validator

from together_adapters.types import old_type
from together_adapters.types.capabilities import TABLE_DATE, Capabilities, ModelType, Prices, capabilities, is_known
from together_adapters.types.response import MaskedResponse, ResponseList, ResponseModel

if not TYPE_CHECKING:
    __getattr__ = old_type


class Pricing(ResponseModel):
    """US dollars per million tokens; `hourly` per hour."""

    hourly: float | None = None
    input: float | None = None
    output: float | None = None
    base: float | None = None
    finetune: float | None = None
    cached_input: float | None = None


class ModelObject(ResponseModel):
    """One model of the catalogue. `type` is chat, language, code, image, embedding, moderation, rerank, audio or a newer value."""

    id: str | None = None
    object: str | None = None
    created: int | None = None
    type: str | None = None
    display_name: str | None = None
    organization: str | None = None
    link: str | None = None
    license: str | None = None
    context_length: int | None = None
    pricing: Pricing | None = None


class ModelList(ResponseList[ModelObject]):
    """The models of the catalogue."""


class UploadJob(ResponseModel):
    """The job of an upload. `model_source` is the source of the weights, such as `huggingface`."""

    job_id: str | None = None
    model_name: str | None = None
    model_id: str | None = None
    model_source: str | None = None


class ModelUpload(UploadJob):
    """The response to an upload. The service sends the job flat or nested in `data`; either is read."""

    message: str = ""
    data: UploadJob | None = None

    @model_validator(mode="after")
    def _from_data(self) -> ModelUpload:
        for name in UploadJob.model_fields:
            if getattr(self, name) is None and self.data is not None:
                self.__dict__[name] = getattr(self.data, name)  # pyright: ignore[reportIndexIssue]
        return self


class UploadStatusUpdate(ResponseModel):
    """A change of an upload's status."""

    status: str | None = None
    message: str | None = None
    timestamp: str | None = None


class ModelUploadStatus(MaskedResponse):
    """The job of an upload. `args` has `modelName`, `modelSource` and `description`."""

    job_id: str | None = None
    type: str | None = None
    status: str | None = None
    status_updates: list[UploadStatusUpdate] = Field(default_factory=list)
    args: dict[str, Any] | None = None
    created_at: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo(Capabilities):
    """What is known of a model: the service's catalogue over the table of capabilities.

    Attributes:
        name: The name that was asked for.
        source: Who says so: `service`, `table` with its date, or `unknown` where nobody does and the fields are defaults.
        display_name: The name for people, of the catalogue.
    """

    name: str = ""
    source: str = "unknown"
    display_name: str | None = None


_LENGTHS = ("context_length", "max_model_len", "max_context_length")  # of Together, of vLLM, of LM Studio


def model_info(name: str, entry: ModelObject | None) -> ModelInfo:
    """Returns what the table knows of a model, and what the service's entry in the catalogue says instead.

    Fields of an entry that was kept without validation may be anything; what is not of its type counts as not said.
    """
    row = capabilities(name)
    facts: dict[str, Any] = {field.name: getattr(row, field.name) for field in fields(Capabilities)}
    info = ModelInfo(**facts, name=name, source=f"table {TABLE_DATE}" if is_known(name) else "unknown")
    if entry is None:
        return info
    lengths = [length for key in _LENGTHS if type(length := getattr(entry, key, None)) is int and length > 0]
    return replace(
        info,
        source="service",
        display_name=_text(entry.display_name),
        type=cast("ModelType", _text(entry.type) or info.type),  # or another one, such as `image`
        context_length=lengths[0] if lengths else info.context_length,
        prices=_prices(entry.pricing, info.prices) if isinstance(entry.pricing, Pricing) else info.prices,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _prices(pricing: Pricing, default: Prices) -> Prices:
    """Returns the prices of the catalogue; it has zeros for models that it does not sell by the token."""
    if not (pricing.input or pricing.output):
        return default
    return Prices(pricing.input, pricing.output, pricing.cached_input or default.cached_input)
