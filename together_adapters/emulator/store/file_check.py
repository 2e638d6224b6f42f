"""What the service refuses in an uploaded file: written from its documentation, independently of `together_adapters.finetune`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import from_json

_PARQUET_COLUMNS: Final = {"input_ids", "attention_mask", "labels", "position_ids"}
_MAX_IMAGES: Final = 10
_IMAGES: Final = r"^data:image/(jpeg|png|webp);base64,"
M = TypeVar("M", bound=BaseModel)


class _Object(BaseModel):
    model_config = ConfigDict(strict=True)


class _TextPart(_Object):
    type: Literal["text"]
    text: str


class _Image(_Object):
    url: str = Field(pattern=_IMAGES, max_length=14_000_000)


class _ImagePart(_Object):
    type: Literal["image_url"]
    image_url: _Image


_Content = str | list[Annotated[_TextPart | _ImagePart, Field(discriminator="type")]]


class _Function(_Object):
    name: str
    arguments: str


class _ToolCall(_Object):
    id: str | None = None
    type: Literal["function"] = "function"
    function: _Function


class _Message(_Object, extra="forbid"):
    role: Literal["system", "user", "assistant", "tool"]
    content: _Content | None = None
    weight: int | None = Field(None, ge=0, le=1)
    name: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def images(self) -> int:
        return sum(part.type == "image_url" for part in self.content) if isinstance(self.content, list) else 0


def _check_messages(messages: list[_Message]) -> list[_Message]:
    """Checks the order of roles, and what each role may contain."""
    previous, pending = "", set[str | None]()
    for index, message in enumerate(messages):
        role = message.role
        if role == "system" and index:
            raise ValueError(f"message {index}: a system message must be the first")
        if role == previous and role != "tool":
            raise ValueError(f"message {index}: two messages of role {role} follow each other")
        if role == "assistant" and previous in ("", "system"):
            raise ValueError("the first message must not be an answer")
        if role == "tool" and message.tool_call_id not in pending:
            raise ValueError(f"message {index}: tool_call_id matches no tool call")
        if message.tool_calls and role != "assistant":
            raise ValueError(f"message {index}: only an assistant calls tools")
        if message.content is None and not message.tool_calls:
            raise ValueError(f"message {index} has no content")
        if message.images and (role != "user" or message.weight):
            raise ValueError(f"message {index}: only a user message without a weight may have images")
        if role == "tool":
            pending.remove(message.tool_call_id)
        elif pending:
            raise ValueError(f"message {index}: a tool call has no result")
        pending |= {call.id for call in message.tool_calls or ()}
        previous = role
    if sum(message.images for message in messages) > _MAX_IMAGES:
        raise ValueError(f"there are more than {_MAX_IMAGES} images")
    return messages


def _check_training_messages(messages: list[_Message]) -> list[_Message]:
    answers = [message for message in _check_messages(messages) if message.role == "assistant"]
    if not any(message.weight != 0 for message in answers):
        raise ValueError("no assistant message to train on")
    return messages


def _check_answer(messages: list[_Message]) -> list[_Message]:
    if messages[0].role != "assistant" or (messages[0].content is None and not messages[0].tool_calls):
        raise ValueError("must be one assistant message with content")
    return messages


_Messages = Annotated[list[_Message], Field(min_length=1)]
_Answer = Annotated[list[_Message], Field(min_length=1, max_length=1), AfterValidator(_check_answer)]


class _TrainingRow(_Object):
    weight: float | None = Field(None, ge=0, allow_inf_nan=False)


class _TextRow(_TrainingRow):
    text: _Content


class _InstructionRow(_TrainingRow):
    prompt: _Content
    completion: _Content


class _ConversationRow(_TrainingRow):
    messages: Annotated[_Messages, AfterValidator(_check_training_messages)]
    tools: list[dict[str, Any]] | None = None


class _PreferenceInput(_Object, extra="forbid"):
    messages: Annotated[_Messages, AfterValidator(_check_messages)]
    tools: list[dict[str, Any]] | None = None


class _PreferenceRow(_TrainingRow):
    input: _PreferenceInput
    preferred_output: _Answer
    non_preferred_output: _Answer

    @field_validator("non_preferred_output")
    @classmethod
    def _check_difference(cls, value: list[_Message], info: ValidationInfo) -> list[_Message]:
        if value == info.data.get("preferred_output"):
            raise ValueError("both answers are the same")
        return value


class _BatchRow(_Object, extra="forbid"):
    custom_id: str = Field(min_length=1, max_length=64)
    body: dict[str, Any]
    method: Any = None
    url: Any = None


_FORMATS: Final[dict[str, type[_TrainingRow]]] = {
    "CONVERSATION": _ConversationRow, "PREFERENCE_OPENAI": _PreferenceRow, "INSTRUCTION": _InstructionRow, "GENERAL": _TextRow,
}  # fmt: skip
_REQUIRED: Final = {
    name: frozenset(field for field, info in model.model_fields.items() if info.is_required()) for name, model in _FORMATS.items()
}


def check_file(path: Path, type: str, purpose: str) -> dict[str, Any]:
    """Returns the validation report of a file, without its id."""
    if (type == "csv" and purpose != "eval") or (type == "parquet" and purpose != "fine-tune"):
        return invalid_report(f"A {type} file cannot be used for {purpose}.")
    return _check_csv(path) if type == "csv" else _check_parquet(path) if type == "parquet" else _check_jsonl(path, purpose)


def invalid_report(message: str, **fields: Any) -> dict[str, Any]:
    """Returns the report of a file with an error."""
    return {"valid": False, **fields, "error_type": "INVALID_FORMAT", "error": message}


def _check_jsonl(path: Path, purpose: str) -> dict[str, Any]:
    error, count, ids, format, flags = "", 0, set[str](), "", _flags({})
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            count += 1
            try:
                if error:
                    continue
                row = _parse_row(line)
                if purpose == "fine-tune":
                    format = _check_training_row(row, format)
                    flags = {name: flags[name] or flag for name, flag in _flags(row).items()}
                elif purpose == "batch-api":
                    id = _validate(_BatchRow, row).custom_id
                    if id in ids:
                        raise ValueError(f"`custom_id`: {id!r} is not unique")
                    ids.add(id)
            except ValueError as invalid:
                error = f"Line {number}: {invalid}"
    if error or not count:
        return invalid_report(error or "The file has no rows.", nlines=count)
    return {"valid": True, "nlines": count} | ({"dataset_format": format, **flags} if purpose == "fine-tune" else {})


def _parse_row(line: bytes) -> dict[str, Any]:
    try:
        row = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"the line is not JSON: {str(error)[:200]}") from None
    if not isinstance(row, dict):
        raise ValueError("the row is not an object")
    return row


def _validate(model: type[M], row: dict[str, Any]) -> M:
    try:
        return model.model_validate(row)
    except ValidationError as error:
        # Of the errors for the types of a union, the deepest helps. These types are part of the location.
        deepest = max(error.errors(include_url=False, include_input=False), key=lambda problem: len(problem["loc"]))
        path = [part for part in deepest["loc"] if isinstance(part, int) or (part.isidentifier() and part != "str")]
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        raise ValueError(f"`{name}`: {deepest['msg'].removeprefix('Value error, ')}") from None


def formats_of(row: dict[str, Any]) -> list[str]:
    """Returns the formats whose required columns a row has."""
    return [name for name, fields in _REQUIRED.items() if fields <= row.keys()]


def _check_training_row(row: dict[str, Any], format: str) -> str:
    """Validates a row and returns its format, which must be that of the rows before."""
    formats = formats_of(row)
    if len(formats) != 1:
        raise ValueError(f"the columns {', '.join(map(repr, list(row)[:10]))} match no format, or several")
    if format not in ("", formats[0]):
        raise ValueError(f"the format is {formats[0]}; the rows before have {format}")
    _validate(_FORMATS[formats[0]], row)
    return formats[0]


def _flags(row: dict[str, Any]) -> dict[str, bool]:
    """Returns what the report says about the features that a valid row uses."""
    source = row.get("input", row)
    messages = [*source.get("messages", ()), *row.get("preferred_output", ()), *row.get("non_preferred_output", ())]
    calls = [message.get("tool_calls") or () for message in messages]
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    return {
        "dataset_is_multimodal": any(part["type"] == "image_url" for part in parts),
        "dataset_has_message_weights": any("weight" in message for message in messages),
        "dataset_has_sample_weights": "weight" in row,
        "dataset_has_tools": bool(source.get("tools")) or any(calls),
        "dataset_has_parallel_tool_calls": any(len(message_calls) > 1 for message_calls in calls),
        "dataset_has_reasoning": any(message.get("reasoning") or message.get("reasoning_content") for message in messages),
    }


def _check_csv(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
        except (csv.Error, UnicodeDecodeError) as error:
            return invalid_report(f"The file is not CSV: {error}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            return invalid_report(
                f"Line {number}: the row has {len(row)} cell{'s' * (len(row) != 1)}, the header {len(header)}", nlines=len(rows)
            )
    return {"valid": True, "nlines": len(rows)} if rows else invalid_report("The file has no rows.", nlines=0)


def _check_parquet(path: Path) -> dict[str, Any]:
    """Checks tokenized data, as far as it can be read: pyarrow may be missing."""
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return invalid_report("The file is not Parquet.")
    report = {"valid": True, "dataset_format": "TOKENIZED", **_flags({})}
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        return {**report, "nlines": 0}
    try:
        file_metadata = parquet.read_metadata(path)
    except (ArrowException, OSError) as error:
        return invalid_report(f"The file cannot be read: {str(error)[:200]}")
    names = set(file_metadata.schema.to_arrow_schema().names)
    if "input_ids" not in names or not names <= _PARQUET_COLUMNS:
        return invalid_report(f"The columns must be input_ids, and any of {', '.join(sorted(_PARQUET_COLUMNS))}.")
    return {**report, "nlines": file_metadata.num_rows}
