"""Which archive of a fine-tuned model is meant, and how it is called on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from together_adapters.resources.downloads import DownloadInfo, normalized_name
from together_adapters.types.fine_tuning import FinetuneResponse

CHECKPOINT_TYPES: Final = ("default", "merged", "adapter")
_WITH_STEP: Final = re.compile(r"(ft-[\da-f-]+):(\d+)")


def job_and_step(id: str, step: int | None) -> tuple[str, int | None]:
    """Part `ft-...:100` into the job and the step.

    Raises:
        ValueError: The step is given twice.
    """
    found = _WITH_STEP.fullmatch(id)
    if found is None:
        return id, step
    if step is not None:
        raise ValueError(f"id={id!r} names a step, and so does checkpoint_step={step!r}: leave one of them out")
    return found[1], int(found[2])


def checkpoint_type_of(given: Any) -> str:
    """Return a type of checkpoint as a lower-case word, from one or from an enum.

    Raises:
        ValueError: There is no such type.
    """
    name = str(getattr(given, "value", given)).lower()
    if name not in CHECKPOINT_TYPES:
        raise ValueError(f"checkpoint_type={given!r} must be one of {', '.join(CHECKPOINT_TYPES)}")
    return name


def checkpoint_of(job: FinetuneResponse, kind: str) -> str | None:
    """Return the service's word for what is to be downloaded; None leaves it to the service.

    Raises:
        ValueError: A model that was trained in full has no adapter.
    """
    trained = job.training_type
    if trained is not None and trained.is_full:
        if kind != "default":
            raise ValueError(f"checkpoint_type={kind!r}: {job.id} was trained in full, so there is only 'default'")
        return "model_output_path"
    if trained is not None and trained.is_lora:
        return "merged" if kind == "default" else kind
    return None if kind == "default" else kind


def target_of(output: Path | None, job: FinetuneResponse, id: str, step: int | None, probed: DownloadInfo) -> Path:
    """Return where the archive is to stand: in a folder, or without an output, under a name made of the model's."""
    if output is not None and not output.is_dir():
        return output
    ending = ".tar.gz" if "x-tar" in probed.content_type else ".tar.zst"
    checkpoint = f"-checkpoint-{step}" if step else ""
    return (output or Path()) / f"{normalized_name(job.model_output_name or id)}{checkpoint}{ending}"
