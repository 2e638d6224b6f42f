"""Valid bodies of every route with a wrong value in one place: an error that says so, or an answer; never a 5xx, never a hang."""

from __future__ import annotations

import copy
import gzip
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.emulator.conftest import KEY, MODEL, WEATHER
from together_adapters.emulator import Emulator, serve

pytestmark = pytest.mark.long

TUNABLE = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
SAMPLES = 2  # of the values at each place; all of them take half a minute
MISSING: Any = object()
VALUES: list[Any] = [
    MISSING, None, True, 0, -1, 10**30, 1e308, "", "x", "\0", "💥" * 30_000, [], [None], [[]], ["x"] * 3_000, {}, {"x": None}, {"": [{}]},
]  # fmt: skip
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"location": "Oslo"}'}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "array", "items": {"enum": [1, 2]}}}, "required": ["a"]}
JUDGE = {"model": MODEL, "model_source": "serverless", "system_template": "x", "num_workers": 1}
ANSWERER = {**JUDGE, "input_template": "{{text}}", "max_tokens": 5, "temperature": 0.5}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"model": "Qwen/Qwen3.5-9B", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "weather in Oslo"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
                      {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "call_1", "content": "4"}],
         "tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "stream": True, "stream_options": {"include_usage": True}},
        {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, "max_tokens": 20, "stop": ["x"], "n": 2,
         "logprobs": 1, "echo": True, "seed": 1, "temperature": 0.1, "top_p": 1, "logit_bias": {"1": 1}, "reasoning": {"enabled": True}, "chat_template_kwargs": {"a": 1}},
    ],
    "/v1/completions": [{"model": MODEL, "prompt": "One, two", "max_tokens": 5, "stop": ["x"], "logprobs": 1, "echo": True, "n": 1, "stream": False}],
    "/v1/embeddings": [{"model": "BAAI/bge-base-en-v1.5", "input": ["a", "b"], "encoding_format": "base64"}],
    "/v1/rerank": [{"model": "Salesforce/Llama-Rank-V1", "query": "a", "documents": [{"title": "a", "text": "b"}], "rank_fields": ["title"], "top_n": 1, "return_documents": True}],
    "/v1/images/generations": [{"model": "black-forest-labs/FLUX.1-schnell", "prompt": "x", "n": 1, "width": 16, "height": 16, "size": "16x16", "seed": 1, "image_loras": [{"path": "x", "scale": 1}], "reference_images": ["x"], "response_format": "base64"}],
    "/v1/audio/speech": [{"model": "cartesia/sonic", "input": "Hi.", "voice": "x", "sample_rate": 8000, "extra_params": {"a": 1}, "stream": True, "response_format": "raw", "alignment": "word"}],
    "/v2/videos": [{"model": "minimax/video-01-director", "prompt": "x", "width": 16, "height": 16, "seconds": "1", "frame_images": [{"input_image": "x", "frame": 0}], "media": {"source_video": "x"}, "reference_images": ["x"]}],
    "/v1/tci/execute": [{"code": "1", "language": "python", "session_id": None, "files": [{"name": "a", "encoding": "base64", "content": "AA=="}]}],
    "/v1/files": [{"file_name": "a.jsonl", "purpose": "fine-tune", "file_type": "jsonl", "checksum": "x"}],
    "/v1/files/multipart/initiate": [{"file_name": "a.jsonl", "purpose": "eval", "file_type": "jsonl", "checksum": "y", "file_size": 5, "num_parts": 2}],
    "/v1/files/multipart/complete": [{"upload_id": "x", "file_id": "y", "parts": [{"part_number": 1, "etag": "x"}]}],
    "/v1/files/multipart/abort": [{"upload_id": "x", "file_id": "y"}],
    "/v1/fine-tunes": [
        {"training_file": "TRAINING", "validation_file": "TRAINING", "model": TUNABLE, "n_epochs": 1, "n_evals": 1, "n_checkpoints": 1, "batch_size": 8, "learning_rate": 1e-5, "suffix": "x", "wandb_name": "x",
         "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": 0.1, "num_cycles": 0.5}}, "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16, "lora_trainable_modules": "all-linear"},
         "training_method": {"method": "dpo", "dpo_beta": 0.1, "train_on_inputs": True}, "multimodal_params": {"train_vision": True}},
        {"training_file": "TRAINING", "from_checkpoint": "ft-x:1"},
    ],
    "/v1/fine-tunes/estimate-price": [{"training_file": "TRAINING", "validation_file": "TRAINING", "model": TUNABLE, "n_epochs": 1, "n_evals": 1, "training_type": {"type": "Full"}}],
    "/v1/fine-tunes/preview": [{"training_file": "TRAINING", "model": TUNABLE, "top_k": 2, "train_on_inputs": True, "training_method": "sft"}],
    "/v1/batches": [{"input_file_id": "BATCH", "endpoint": "/v1/chat/completions", "completion_window": "24h", "model_id": MODEL}],
    "/v1/evaluation": [
        {"type": "classify", "parameters": {"judge": JUDGE, "input_data_file_path": "EVAL", "labels": ["a", "b"], "pass_labels": ["a"], "model_to_evaluate": ANSWERER}},
        {"type": "score", "parameters": {"judge": JUDGE, "input_data_file_path": "EVAL", "min_score": 0, "max_score": 1, "pass_threshold": 1, "model_to_evaluate": "text"}},
        {"type": "compare", "parameters": {"judge": JUDGE, "input_data_file_path": "EVAL", "model_a": "text", "model_b": ANSWERER, "disable_position_bias_correction": True}},
    ],
    "/v1/endpoints": [{"model": "essentialai/rnj-1-instruct", "hardware": "1x_nvidia_h100_80gb_sxm", "autoscaling": {"min_replicas": 1, "max_replicas": 2}, "inactive_timeout": 5, "display_name": "x", "state": "STARTED"}],
    "/v1/models": [{"model_name": "m", "model_source": "org/repo", "model_type": "model", "description": "x"}],
    "/v2/projects/p/models": [{"name": "m", "baseModelId": "x", "type": "adapter", "description": "x"}],
    "/v2/projects/p/endpoints": [{"name": "m", "visibility": "VISIBILITY_PRIVATE"}],
}  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of every value inside a body."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def mutated(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if value is MISSING:
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(value)
    return changed


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with serve(job_seconds=0) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def http(running: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.base_url.removesuffix("/v1"), headers=KEY, timeout=20, verify=False) as client:
        yield client


@pytest.fixture(scope="module")
def files(http: httpx.Client) -> dict[str, str]:
    """The ids of files, by the names that stand for them in bodies."""
    rows = {
        "TRAINING": ("fine-tune", {"text": "a row"}),
        "EVAL": ("eval", {"text": "a"}),
        "BATCH": ("batch-api", {"custom_id": "a", "body": {"model": MODEL}}),
    }
    ids = {}
    for name, (purpose, row) in rows.items():
        form = {"purpose": purpose, "file_name": "a.jsonl", "file_type": "jsonl"}
        ids[name] = http.post("/v1/files/upload", data=form, files={"file": ("a.jsonl", json.dumps(row).encode())}).json()["id"]
    return ids


def test_mutated_bodies(running: Emulator, http: httpx.Client, files: dict[str, str]) -> None:
    choose = random.Random(1)
    failures, slowest = {}, 0.0
    for route, bodies in BODIES.items():
        for body in bodies:
            text = json.dumps(body)
            for name, id in files.items():
                text = text.replace(f'"{name}"', f'"{id}"')
            valid = json.loads(text)
            for path in paths(valid):
                for value in choose.sample(VALUES, SAMPLES):
                    content = json.dumps(mutated(valid, path, value)).encode()
                    start = time.monotonic()
                    answer = http.post(route, content=content, headers={"content-type": "application/json"})
                    slowest = max(slowest, time.monotonic() - start)
                    if answer.status_code >= 500 or (answer.status_code >= 400 and not answer.json()["error"]["message"]):
                        failures[f"{route} {path} {str(value)[:20]}"] = answer.status_code
    assert failures == {}
    assert running.errors == []
    assert slowest < 10


def test_bodies_that_are_bombs(running: Emulator, http: httpx.Client) -> None:
    """Compressed, deep, not JSON after all: a 400 in the form of the service, at once and in little memory."""
    json_type = {"content-type": "application/json"}
    bomb = gzip.compress(bytes(10_000_000_000 // 1000), 9)
    bodies: list[tuple[bytes, dict[str, str]]] = [
        *((bomb, {**json_type, "content-encoding": encoding}) for encoding in ("gzip", "br", "zstd", "deflate", "gzip, gzip")),
        (bomb, json_type),
        (b"[" * 100_000 + b"]" * 100_000, json_type),
        (b'{"model":' * 100_000, json_type),
        (b'{"model": "\\ud800"}', json_type),
        (b'{"model": NaN}', json_type),
        (b'{"model": -Infinity}', json_type),
        (b"x", {"content-type": "multipart/form-data; boundary=" + "b" * 10_000}),
    ]
    for route in BODIES:
        for content, headers in bodies:
            answer = http.post(route, content=content, headers=headers)
            assert answer.status_code == 400, (route, content[:20], answer.text)
            assert answer.json()["error"]["type"] == "invalid_request_error"
    assert running.errors == []
