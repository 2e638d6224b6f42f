"""Files at the service: what they are for, of which type they are, and how far the service has looked into them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, Final, Literal

from pydantic import AliasChoices, ConfigDict, Field

from together_adapters.types.response import ResponseModel

Purpose = Literal["fine-tune", "calibration", "eval", "batch-api"]

FILE_TYPES: Final = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}
PURPOSES: Final = ("fine-tune", "calibration", "eval", "batch-api")
_OLD_PURPOSES: Final = {"fine-tunes": "fine-tune", "finetune": "fine-tune", "batch": "batch-api", "evaluation": "eval"}

PROCESSED: Final = frozenset({"COMPLETED", "INVALID_FORMAT", "FAILED"})
"""States in which the service has done with a file."""


def purpose_of(given: Any) -> str:
    """Return a purpose as the service calls it; the names of older documents are known as well.

    Raises:
        ValueError: There is no such purpose.
    """
    name = str(getattr(given, "value", given))
    purpose = _OLD_PURPOSES.get(name, name)
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {name!r}: files can be uploaded for {', '.join(PURPOSES)}")
    return purpose


def file_type_of(path: PurePath) -> str | None:
    """Return the service's word for the type that a name's ending shows, or None; case counts, as it does there."""
    return FILE_TYPES.get(path.suffix)


class ValidationReport(ResponseModel):
    """What the service found in a data file. `dataset_format` comes in upper or in lower case."""

    valid: bool | None = None
    file_id: str | None = None
    error: str | None = None
    error_type: str | None = None
    dataset_format: str | None = None
    nlines: int | None = None
    dataset_has_tools: bool | None = None
    dataset_has_parallel_tool_calls: bool | None = None
    dataset_has_reasoning: bool | None = None
    dataset_has_message_weights: bool | None = None
    dataset_has_sample_weights: bool | None = None
    dataset_is_multimodal: bool | None = None


class FileResponse(ResponseModel):
    """A file at the service.

    Attributes:
        processing_status: `PENDING, QUEUED, RUNNING, COMPLETED, FAILED, INVALID_FORMAT`, or a newer word; None where the
            service does not look into files.
        processed: The older form of the same.
    """

    model_config = ConfigDict(populate_by_name=True)

    id: str | None = None
    object: str | None = None
    created_at: int | None = None
    filename: str | None = None
    bytes: int | None = None
    purpose: str | None = None
    file_type: str | None = Field(None, validation_alias=AliasChoices("FileType", "file_type"))
    processed: bool | None = Field(None, validation_alias=AliasChoices("Processed", "processed"))
    line_count: int | None = Field(None, validation_alias=AliasChoices("LineCount", "line_count"))
    processing_status: str | None = None
    validation_report: ValidationReport | None = None


class FileList(ResponseModel):
    """The files of an account."""

    object: str | None = None
    data: list[FileResponse] = Field(default_factory=list)


class FileDeleteResponse(ResponseModel):
    """A file that is gone."""

    id: str | None = None
    object: str | None = None
    deleted: bool | None = None


class FileObject(ResponseModel):
    """A file on this machine that came from the service.

    Attributes:
        filename: Its absolute path.
        size: Its length in bytes.
    """

    object: str = "local"
    id: str | None = None
    filename: str | None = None
    size: int | None = None


class StartedUpload(ResponseModel):
    """Where the service wants a file."""

    file_id: str
    url: str


class UploadPart(ResponseModel):
    """Where the service wants one part of a large file, and with which headers."""

    number: int = Field(validation_alias=AliasChoices("PartNumber", "part_number"))
    url: str = Field(validation_alias=AliasChoices("URL", "UploadURL", "url"))
    headers: dict[str, str] | None = Field(None, validation_alias=AliasChoices("Headers", "headers"))


class MultipartUpload(ResponseModel):
    """A large file under way in parts."""

    upload_id: str = Field(min_length=1)
    file_id: str = Field(min_length=1)
    parts: list[UploadPart] = Field(default_factory=list)
