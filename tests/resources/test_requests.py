"""Requests for text, files, batches, fine-tunes and evaluations are valid in the vendor's description of the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.resources.api_description import DEVIATIONS, NOT_IN_DESCRIPTION, description, validate
from together_adapters import APIError
from together_adapters.emulator import Emulator

CHAT, TUNABLE = "deepseek-ai/DeepSeek-V4.1-Flash", "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
MESSAGES = [
    {"role": "system", "content": "s", "name": "n"},
    {"role": "user", "content": [{"type": "text", "text": "t"}, PICTURE]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "4"},
    {"role": "assistant", "content": "a", "reasoning": "r"},
    {"role": "user", "content": "u", "name": "n"},
]
SAMPLING: dict[str, Any] = {
    "max_tokens": 5, "stop": ["x"], "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": 0.1,
    "frequency_penalty": 0.1, "logit_bias": {"5": -10.5}, "seed": 7, "n": 2, "logprobs": 3, "echo": True, "safety_model": "a/guard",
}  # fmt: skip
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True, "description": "d"}}
JUDGE = {"judge_model": CHAT, "judge_model_source": "serverless", "judge_system_template": "Judge."}
MODEL = {
    "model": CHAT,
    "model_source": "serverless",
    "max_tokens": 5,
    "temperature": 0.5,
    "system_template": "s",
    "input_template": "{{q}}",
}
JOB: dict[str, Any] = {"training_file": "FILE", "model": TUNABLE}
TEXT: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("chat.completions.create", {"model": CHAT, "messages": [{"role": "user", "content": "hi"}]}),
    "chat, whole": ("chat.completions.create", {
        "model": CHAT, "messages": MESSAGES, **SAMPLING, "response_format": SCHEMA, "tools": [TOOL], "tool_choice": "auto", "reasoning": {"enabled": True},
        "reasoning_effort": "low", "chat_template_kwargs": {"thinking": True}, "context_length_exceeded_behavior": "truncate", "compliance": "hipaa",
    }),
    "chat, streamed": ("chat.completions.create", {"model": CHAT, "messages": MESSAGES[-1:], "stream": True, "stream_options": {"include_usage": True}}),
    "chat, newer": ("chat.completions.create", {
        "model": CHAT, "messages": MESSAGES[-1:], "logprobs": True, "top_logprobs": 2, "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }),
    "completion": ("completions.create", {"model": CHAT, "prompt": "p"}),
    "completion, whole": ("completions.create", {"model": CHAT, "prompt": "p", **SAMPLING, "response_format": SCHEMA}),
    "completion, streamed": ("completions.create", {"model": CHAT, "prompt": "p", "stream": True}),
    "embedding": ("embeddings.create", {"model": "BAAI/bge-base-en-v1.5", "input": "a"}),
    "embeddings": ("embeddings.create", {"model": "BAAI/bge-base-en-v1.5", "input": ["a", "b"]}),
    "rerank": ("rerank.create", {"model": "acme/ranker", "query": "q", "documents": ["a", "b"]}),
    "rerank, whole": ("rerank.create", {
        "model": "acme/ranker", "query": "q", "documents": [{"a": "b"}], "top_n": 1, "return_documents": True, "rank_fields": ["a"],
    }),
    "models": ("models.list", {}),
    "dedicated models": ("models.list", {"dedicated": True}),
}  # fmt: skip
DATA: dict[str, tuple[str, dict[str, Any]]] = {
    "upload": ("files.upload", {"file": "train.jsonl"}),
    "upload in parts": ("files.upload", {"file": "large.jsonl", "multipart_threshold": 1}),
    "files": ("files.list", {}),
    "a file": ("files.retrieve", {"id": "FILE"}),
    "content": ("files.content", {"id": "FILE"}),
    "download": ("files.retrieve_content", {"id": "FILE", "output": "got.jsonl"}),
    "file, deleted": ("files.delete", {"id": "file-x"}),
    "file, awaited": ("files.wait", {"id": "FILE"}),
    "batch": ("batches.create", {"input_file_id": "FILE", "endpoint": "/v1/chat/completions"}),
    "batch, whole": ("batches.create", {
        "input_file_id": "FILE", "endpoint": "/v1/chat/completions", "completion_window": "24h", "model_id": CHAT, "priority": 1,
    }),
    "batches": ("batches.list", {}),
    "a batch": ("batches.retrieve", {"id": "b"}),
    "batch, cancelled": ("batches.cancel", {"id": "b"}),
    "job": ("fine_tuning.create", JOB),
    "job in full": ("fine_tuning.create", {**JOB, "lora": False}),
    "job from a checkpoint": ("fine_tuning.create", {"training_file": "FILE", "from_checkpoint": "ft-0:5"}),
    "job of preferences": ("fine_tuning.create", {
        **JOB, "training_method": "dpo", "dpo_beta": 0.1, "rpo_alpha": 0.1, "simpo_gamma": 0.5, "dpo_normalize_logratios_by_length": True,
    }),
    "job, whole": ("fine_tuning.create", {
        **JOB, "validation_file": "FILE", "n_epochs": 2, "n_evals": 4, "n_checkpoints": 2, "batch_size": 8, "learning_rate": 1e-4, "lr_scheduler_type": "linear",
        "min_lr_ratio": 0.1, "warmup_ratio": 0.1, "max_grad_norm": 2.0, "weight_decay": 0.1, "lora": True, "lora_r": 8, "lora_alpha": 16, "lora_dropout": 0.1,
        "lora_trainable_modules": "q_proj,k_proj", "suffix": "s", "wandb_api_key": "w", "wandb_base_url": "https://w.example", "wandb_project_name": "p",
        "wandb_name": "n", "wandb_entity": "e", "packing": True, "max_seq_length": 1024, "random_seed": 1, "train_on_inputs": True, "hf_model_revision": "r",
        "from_hf_model": "a/b", "hf_api_token": "h", "hf_output_repo_name": "o", "gradient_accumulation_steps": 1, "early_stopping_enabled": True,
        "early_stopping_patience": 2, "early_stopping_min_delta": 0.1, "early_stopping_warmup_evals": 1,
    }),
    "price": ("fine_tuning.estimate_price", JOB),
    "price, whole": ("fine_tuning.estimate_price", {
        **JOB, "validation_file": "FILE", "n_epochs": 2, "n_evals": 1, "training_type": "full", "training_method": "dpo",
    }),
    "price of a continuation": ("fine_tuning.estimate_price", {"training_file": "FILE", "from_checkpoint": "ft-0", "training_type": None}),
    "jobs": ("fine_tuning.list", {}),
    "a job": ("fine_tuning.retrieve", {"id": "ft-0"}),
    "job, cancelled": ("fine_tuning.cancel", {"id": "ft-0"}),
    "job, deleted": ("fine_tuning.delete", {"id": "ft-0", "force": True}),
    "events": ("fine_tuning.list_events", {"id": "ft-0"}),
    "checkpoints": ("fine_tuning.list_checkpoints", {"id": "ft-0"}),
    "metrics": ("fine_tuning.list_metrics", {
        "id": "ft-0", "global_step_from": 1, "global_step_to": 2, "logged_at_from": "2025-01-01T00:00:00Z", "logged_at_to": "2026-01-01T00:00:00Z", "resolution": 5,
    }),
    "limits": ("fine_tuning.model_limits", {"model": TUNABLE}),
    "trainable models": ("fine_tuning.list_supported_models", {}),
    "preview": ("fine_tuning.preview", {"model": TUNABLE, "training_file": "FILE", "top_k": 1, "train_on_inputs": True, "training_method": "sft"}),
    "tokenized": ("fine_tuning.retrieve_tokenized_dataset", {"id": "ft-0"}),
    "classify": ("evaluation.create", {
        "type": "classify", **JUDGE, "input_data_file_path": "FILE", "labels": ["a", "b"], "pass_labels": ["a"], "model_to_evaluate": MODEL,
    }),
    "score": ("evaluation.create", {
        "type": "score", **JUDGE, "input_data_file_path": "FILE", "min_score": 0, "max_score": 10, "pass_threshold": 5, "model_to_evaluate": "column",
    }),
    "compare": ("evaluation.create", {
        "type": "compare", **JUDGE, "input_data_file_path": "FILE", "model_a": "one", "model_b": {**MODEL, "model_source": "external", "external_api_token": "t",
                                                                                                  "external_base_url": "https://e.example"},
    }),
    "external judge": ("evaluation.create", {
        "type": "compare", **JUDGE, "judge_model_source": "external", "judge_external_api_token": "t", "judge_external_base_url": "https://e.example",
        "input_data_file_path": "FILE", "model_a": "one", "model_b": "two",
    }),
    "evaluations": ("evaluation.list", {"status": "completed", "limit": 5}),
    "an evaluation": ("evaluation.retrieve", {"evaluation_id": "e"}),
    "evaluation, status": ("evaluation.status", {"evaluation_id": "e"}),
}  # fmt: skip
CALLS = TEXT | DATA


@pytest.fixture
def train(name: str, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Returns the id of a file at the service, and writes other files to the working directory."""
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    line = json.dumps(row).encode() + b"\n"
    (tmp_path / "train.jsonl").write_bytes(line)
    if "large.jsonl" in str(CALLS[name]):
        (tmp_path / "large.jsonl").write_bytes(line * 70_000)
    monkeypatch.chdir(tmp_path)
    yield emulator._state.stores.files.generate("train.jsonl", "fine-tune", line).id
    emulator._state.stores.files.clear()


@pytest.mark.parametrize("name", CALLS)
def test_every_request_is_what_the_description_allows(name: str, flavour: Any, emulator: Emulator, train: str) -> None:
    description()
    method, kwargs = CALLS[name]
    target = flavour.client()
    for step in method.split("."):
        target = getattr(target, step)
    # what the emulator thinks of these ids is another matter
    with suppress(APIError):
        answer = flavour.run(target(**{key: train if value == "FILE" else value for key, value in kwargs.items()}))
        if kwargs.get("stream"):
            list(flavour.iterate(answer))
    assert emulator.requests
    for request_body in emulator.requests:
        validate(request_body)


def test_each_deviation_is_still_one() -> None:
    paths = description()["paths"]
    for (template, field), reason in DEVIATIONS.items():
        (operation,) = (
            methods[verb] for methods in (paths[template],) for verb in ("post", "get") if "requestBody" in methods.get(verb, {})
        )
        ((_, content),) = operation["requestBody"]["content"].items()
        schema = content["schema"]
        schema = description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        assert (field in schema["properties"]) is reason.startswith("described as"), (template, field)
    operations = {f"{verb.upper()} {path}" for path, methods in paths.items() for verb in methods}
    assert not operations & set(NOT_IN_DESCRIPTION)
