"""Names of a fine-tuned model's archive: in the request, and on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from together_adapters.resources.downloads import DownloadInfo, normalized_name
from together_adapters.types.fine_tuning import FinetuneResponse

CHECKPOINT_TYPES: Final = ("default", "merged", "adapter")
_CHECKPOINT: Final = re.compile(r"(ft-[\da-f-]+):(\d+)")


def split_job_id(id: str, step: int | None) -> tuple[str, int | None]:
    """Splits `ft-...:100` into the id of the job and the step; two steps are a ValueError."""
    checkpoint = _CHECKPOINT.fullmatch(id)
    if checkpoint is None:
        return id, step
    if step is not None:
        raise ValueError(f"id={id!r} names a step, and so does checkpoint_step={step!r}: leave one of them out")
    return checkpoint[1], int(checkpoint[2])


def parse_checkpoint_type(value: Any) -> str:
    """Returns a checkpoint type in lower case, from a string or an enum; an unknown one is a ValueError."""
    name = str(getattr(value, "value", value)).lower()
    if name not in CHECKPOINT_TYPES:
        raise ValueError(f"checkpoint_type={value!r} must be one of {', '.join(CHECKPOINT_TYPES)}")
    return name


def checkpoint_query(job: FinetuneResponse, checkpoint_type: str) -> str | None:
    """Returns the query parameter for a checkpoint type; None leaves it to the service."""
    training = job.training_type
    if training is not None and training.is_full:
        if checkpoint_type != "default":
            raise ValueError(f"checkpoint_type={checkpoint_type!r}: {job.id} was trained in full, so there is only 'default'")
        return "model_output_path"
    if training is not None and training.is_lora:
        return "merged" if checkpoint_type == "default" else checkpoint_type
    return None if checkpoint_type == "default" else checkpoint_type


def archive_path(output: Path | None, job: FinetuneResponse, id: str, step: int | None, info: DownloadInfo) -> Path:
    """Returns the path of the archive: the output, or a name made from the model's in the output folder."""
    if output is not None and not output.is_dir():
        return output
    suffix = ".tar.gz" if "x-tar" in info.content_type else ".tar.zst"
    checkpoint = f"-checkpoint-{step}" if step else ""
    return (output or Path()) / f"{normalized_name(job.model_output_name or id)}{checkpoint}{suffix}"
