"""Files at the service: purposes, file types, and the state of their validation."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from pydantic import AliasChoices, ConfigDict, Field, PrivateAttr

from together_adapters.types import old_type
from together_adapters.types.response import ResponseModel

if not TYPE_CHECKING:
    __getattr__ = old_type

Purpose = Literal["fine-tune", "calibration", "eval", "batch-api"]

FILE_TYPES: Final = {".jsonl": "jsonl", ".parquet": "parquet", ".csv": "csv"}
PURPOSES: Final[tuple[str, ...]] = get_args(Purpose)
_OLD_PURPOSES: Final = {"fine-tunes": "fine-tune", "finetune": "fine-tune", "batch": "batch-api", "evaluation": "eval"}

FINAL_STATUSES: Final = frozenset({"COMPLETED", "INVALID_FORMAT", "FAILED"})
"""Values of `processing_status` with which the validation has ended."""


def check_file_id(id: Any, name: str, purpose: str) -> None:
    """Raises a ValueError for the path of a file where the id of an uploaded one belongs."""
    if isinstance(id, str) and id.lower().endswith((".jsonl", ".csv", ".parquet")):
        raise ValueError(f"{name}={id!r} is the path of a file: client.files.upload({id!r}, purpose={purpose!r}).id is an id")


def parse_purpose(value: Any) -> str:
    """Returns a purpose in the service's spelling, from a string or an enum; older spellings are accepted."""
    name = str(getattr(value, "value", value))
    purpose = _OLD_PURPOSES.get(name, name)
    if purpose not in PURPOSES:
        raise ValueError(f"unknown purpose {name!r}: files can be uploaded for {', '.join(PURPOSES)}")
    return purpose


def detect_file_type(path: PurePath) -> str | None:
    """Returns the service's name for the type of a file, by its suffix in lower case; None if it is not supported."""
    return FILE_TYPES.get(path.suffix)


class ValidationReport(ResponseModel):
    """The result of the service's validation of a data file. `dataset_format` comes in upper or in lower case."""

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

    `processing_status` is PENDING, QUEUED, RUNNING, COMPLETED, FAILED, INVALID_FORMAT or a newer value, or None where the service
    does not validate files; `processed` is its older form.
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

    _is_duplicate: bool = PrivateAttr(False)  # an upload whose content the account had already


class FileList(ResponseModel):
    """The files of an account."""

    object: str | None = None
    data: list[FileResponse] = Field(default_factory=list)


class FileDeleteResponse(ResponseModel):
    """Confirms that a file was deleted."""

    id: str | None = None
    object: str | None = None
    deleted: bool | None = None


class FileObject(ResponseModel):
    """A downloaded file on this machine; `filename` is its absolute path, `size` in bytes."""

    object: str = "local"
    id: str | None = None
    filename: str | None = None
    size: int | None = None


class UploadTarget(ResponseModel):
    """The storage address for a file."""

    file_id: str
    url: str


class PartTarget(ResponseModel):
    """The storage address and the headers for one part of a large file."""

    number: int = Field(validation_alias=AliasChoices("PartNumber", "part_number"))
    url: str = Field(validation_alias=AliasChoices("URL", "UploadURL", "url"))
    headers: dict[str, str] | None = Field(None, validation_alias=AliasChoices("Headers", "headers"))


class MultipartUpload(ResponseModel):
    """An upload in parts that was started."""

    upload_id: str = Field(min_length=1)
    file_id: str = Field(min_length=1)
    parts: list[PartTarget] = Field(default_factory=list)
