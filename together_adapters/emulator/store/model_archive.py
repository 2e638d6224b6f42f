"""Archives of tuned models: the same job has the same bytes, so that a download can be checked and resumed.

They are gzipped tars, since the standard library knows no zstd before Python 3.14; the content type says so to clients, which
else take an archive for `.tar.zst`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Final

from together_adapters.emulator.store.fine_tune_job import FineTune
from together_adapters.emulator.store.model_limits import limits_of
from together_adapters.emulator.store.training_preview import row_preview

MEDIA_TYPE: Final = "application/x-tar"
_WEIGHTS: Final = 256 * 1024
_MOST_TOKENS: Final = 1_000_000
"""Of a tokenized dataset, so that it is there within a second."""


def archive(job: FineTune, kind: str, step: int) -> bytes:
    """Pack a state of a job's model: its settings, its history, and bytes in place of weights."""
    settings = {"base_model": job.base, "kind": kind, "step": step, "training_type": job.body["training_type"]}
    history = [row for _, row in job.metrics() if row["train/global_step"] <= step]
    weights = "adapter_model.safetensors" if kind == "adapter" else "model.safetensors"
    files = {
        "adapter_config.json" if kind == "adapter" else "config.json": json.dumps(settings, indent=1).encode(),
        "trainer_state.json": json.dumps({"global_step": step, "log_history": history}, indent=1).encode(),
        weights: _noise(f"{job.data.digest}{job.id}{kind}{step}", _WEIGHTS),
    }
    return _packed(files)


def tokenized(job: FineTune) -> bytes:
    """Pack the training data of a job as its model sees them: tokens and labels of each row, as far as there is room."""
    longest = limits_of(job.base)["max_seq_length_sft"]
    on_inputs = job.body["training_method"].get("train_on_inputs") is True
    lines, room = [], _MOST_TOKENS
    for row in job.data.rows:
        seen = row_preview(row, on_inputs, longest)
        lines.append(json.dumps({"input_ids": seen["input_ids"], "labels": seen["labels"]}) + "\n")
        room -= seen["num_tokens"]
        if room < 0:
            break
    return _packed({"train.jsonl": "".join(lines).encode()})


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), 1, mtime=0)


def _noise(seed: str, length: int) -> bytes:
    """Bytes that look random and never change."""
    return hashlib.shake_256(seed.encode()).digest(length)
