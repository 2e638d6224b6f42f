"""The catalogue of models."""

from __future__ import annotations

from pydantic import model_validator

from together_adapters.types.response import ResponseList, ResponseModel


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
