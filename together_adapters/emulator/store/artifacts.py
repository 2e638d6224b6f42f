"""What a fine-tuning job works on and produces: rows as its model sees them, in tokens, and archives, whose bytes never change."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from together_adapters.emulator.store.catalogue import limits_of
from together_adapters.emulator.store.fine_tune_job import FineTuneJob
from together_adapters.emulator.text.features import token_id, tokenize

MEDIA_TYPE: Final = "application/x-tar"  # of gzipped tars: the standard library has no zstd before Python 3.14
_WEIGHTS_SIZE: Final = 256 * 1024
_MAX_TOKENS: Final = 1_000_000  # of a tokenized dataset, so that it is ready within a second
_IGNORE_LABEL: Final = -100
_MAX_TOKEN_LENGTH: Final = 40  # characters per token beyond which a text is not read


def row_preview(row: Mapping[str, Any], train_on_inputs: bool, max_length: int) -> dict[str, Any]:
    """Returns the tokens of a row, each with a label: its own id where it is trained on."""
    tokens: list[str] = []
    mask: list[bool] = []
    for text, is_answer in _segments(row):
        segment = tokenize(text[: _MAX_TOKEN_LENGTH * max_length])
        tokens += segment
        mask += [is_answer or train_on_inputs] * len(segment)
    is_truncated = len(tokens) > max_length
    tokens, mask = tokens[:max_length], mask[:max_length]
    ids = [token_id(token) for token in tokens]
    return {
        "input_ids": ids,
        "labels": [id if is_trained else _IGNORE_LABEL for id, is_trained in zip(ids, mask, strict=True)],
        "tokens": tokens,
        "num_tokens": len(tokens),
        "num_trained_tokens": sum(mask),
        "trained_spans": _spans(mask),
        "truncated": is_truncated,
    }


def _segments(row: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yields the texts of a row, each with whether it is an answer."""
    if isinstance(row.get("messages"), list):
        for message in filter(lambda message: isinstance(message, Mapping), row["messages"]):
            role = str(message.get("role"))
            yield f"<|{role}|>\n", False
            content = message.get("content")
            yield f"{content if isinstance(content, str) else ''}\n", role == "assistant" and message.get("weight") != 0
    elif "prompt" in row:
        yield str(row["prompt"]), False
        yield str(row.get("completion", "")), True
    else:
        yield str(row.get("text", "")), True


def _spans(flags: list[bool]) -> list[list[int]]:
    """Returns the runs of true flags, as `[start, end)`."""
    runs = [(flag, list(indices)) for flag, indices in groupby(range(len(flags)), flags.__getitem__)]
    return [[indices[0], indices[-1] + 1] for flag, indices in runs if flag]


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
    for row in job.data.rows():
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
