"""Archives of fine-tuned models: the same job has the same bytes, so that a download can be verified and resumed.

They are gzipped tars, since the standard library has no zstd before Python 3.14. Their content type says so to clients that
otherwise take an archive for `.tar.zst`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Final

from together_adapters.emulator.store.fine_tune_job import FineTuneJob
from together_adapters.emulator.store.model_limits import limits_of
from together_adapters.emulator.store.training_preview import row_preview

MEDIA_TYPE: Final = "application/x-tar"
_WEIGHTS_SIZE: Final = 256 * 1024
_MAX_TOKENS: Final = 1_000_000
"""Of a tokenized dataset, so that it is ready within a second."""


def model_archive(job: FineTuneJob, kind: str, step: int) -> bytes:
    """Returns the model of a job at a step: its configuration, its training history, and random bytes as weights."""
    config = {"base_model": job.base_model, "kind": kind, "step": step, "training_type": job.parameters["training_type"]}
    history = [row for _, row in job.metrics() if row["train/global_step"] <= step]
    weights = "adapter_model.safetensors" if kind == "adapter" else "model.safetensors"
    files = {
        "adapter_config.json" if kind == "adapter" else "config.json": json.dumps(config, indent=1).encode(),
        "trainer_state.json": json.dumps({"global_step": step, "log_history": history}, indent=1).encode(),
        weights: hashlib.shake_256(f"{job.data.digest}{job.id}{kind}{step}".encode()).digest(_WEIGHTS_SIZE),
    }
    return _archive(files)


def tokenized_archive(job: FineTuneJob) -> bytes:
    """Returns the training data of a job in tokens and labels, up to a limit."""
    max_length = limits_of(job.base_model)["max_seq_length_sft"]
    on_inputs = job.parameters["training_method"].get("train_on_inputs") is True
    lines, tokens_left = [], _MAX_TOKENS
    for row in job.data.rows:
        preview = row_preview(row, on_inputs, max_length)
        lines.append(json.dumps({"input_ids": preview["input_ids"], "labels": preview["labels"]}) + "\n")
        tokens_left -= preview["num_tokens"]
        if tokens_left < 0:
            break
    return _archive({"train.jsonl": "".join(lines).encode()})


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0)
