"""Fine-tuning: validation before anything is billed, request bodies, and complete jobs of the emulator."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters import APITimeoutError, JobFailedError, NotFoundError
from together_adapters.emulator import Emulator
from together_adapters.types.fine_tuning import FinetuneModelLimits, FinetuneProgress

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
SECRET = "wandb-7f3a91c2d4"
TOKEN = "hf_Qm83kd02mZ"
LIMITS: dict[str, Any] = {
    "model_name": MODEL, "max_num_epochs": 20, "max_num_evals": 100, "max_num_checkpoints": 10, "min_learning_rate": 1e-8,
    "max_learning_rate": 0.1, "full_training": {"min_batch_size": 8, "max_batch_size": 96, "max_batch_size_dpo": 48},
    "lora_training": {
        "min_batch_size": 8, "max_batch_size": 128, "max_batch_size_dpo": 64, "max_rank": 64, "default_rank": 8,
        "target_modules": ["q_proj", "k_proj"],
    },
    "supports_vision": False, "supports_full_training": True, "min_max_seq_length": 64, "max_seq_length_sft": 32768,
    "max_seq_length_dpo": 16384,
}  # fmt: skip
PRICE = {"estimated_total_price": 1.25, "user_limit": 100.0, "allowed_to_proceed": True, "estimation_available": True}
JOB: dict[str, Any] = {"id": "ft-1", "status": "pending", "training_type": {"type": "Lora"}}


def reply(body: Any) -> Any:
    if body is None:
        return LIMITS
    return PRICE if "lr_scheduler" not in body else JOB


def request_body(service: Any) -> dict[str, Any]:
    """Returns the body of the request that creates the job."""
    last = service.requests[-1]
    assert (last.method, last.url.path) == ("POST", "/v1/fine-tunes")
    body: dict[str, Any] = json.loads(last.content)
    return body


def create(flavour: Any, stub_client: Any, **changes: Any) -> tuple[Any, Any]:
    client, service = stub_client(reply)
    kwargs = {"training_file": "file-1", "model": MODEL, **changes}
    return flavour.run(client.fine_tuning.create(**kwargs)), service


def test_the_body_of_a_job_with_every_default(flavour: Any, stub_client: Any) -> None:
    _, service = create(flavour, stub_client)
    assert [request.url.path for request in service.requests] == [
        "/v1/fine-tunes/models/limits", "/v1/fine-tunes/estimate-price", "/v1/fine-tunes",
    ]  # fmt: skip
    assert service.requests[0].url.params["model_name"] == MODEL
    assert request_body(service) == {
        "training_file": "file-1", "validation_file": "", "model": MODEL, "n_epochs": 1, "learning_rate": 1e-05,
        "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"min_lr_ratio": 0.0, "num_cycles": 0.5}},
        "warmup_ratio": 0.0, "max_grad_norm": 1.0, "weight_decay": 0.0, "n_checkpoints": 1, "n_evals": 0, "batch_size": "max",
        "training_type": {
            "type": "Lora", "lora_r": 64, "lora_alpha": 128, "lora_dropout": 0.0, "lora_trainable_modules": "all-linear",
        },
        "training_method": {"method": "sft", "train_on_inputs": "auto"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lora": False}, {"training_type": {"type": "Full"}}),
        ({"lora_r": 4, "lora_alpha": 6.0}, {"training_type": {"lora_r": 4, "lora_alpha": 6}}),
        ({"lr_scheduler_type": "linear"}, {"lr_scheduler": {"lr_scheduler_type": "linear"}}),
        ({"training_method": "dpo", "simpo_gamma": 0.5},
         {"training_method": {"dpo_reference_free": True, "dpo_normalize_logratios_by_length": True, "simpo_gamma": 0.5}}),
        ({"training_method": "dpo", "simpo_gamma": 0.0}, {"training_method": {"dpo_reference_free": False}}),
        ({"train_on_inputs": False}, {"training_method": {"train_on_inputs": False}}),
        ({"wandb_api_key": SECRET}, {"wandb_key": SECRET}),
        ({"learning_rate": None}, {"learning_rate": 1e-5}),
        ({"warmup_ratio": None}, {"warmup_ratio": 0.0}),
        ({"packing": False, "random_seed": 3, "max_seq_length": 64}, {"packing": False, "random_seed": 3, "max_seq_length": 64}),
        ({"extra_body": {"brand_new": 1}}, {"brand_new": 1}),
    ],
)  # fmt: skip
def test_what_arguments_become(changes: Any, expected: Any, flavour: Any, stub_client: Any) -> None:
    _, service = create(flavour, stub_client, **changes)
    body = request_body(service)
    for name, value in expected.items():
        assert body[name] == value if not isinstance(value, dict) else value.items() <= body[name].items()


def test_the_service_decides_on_the_type(flavour: Any, stub_client: Any) -> None:
    _, service = create(flavour, stub_client, lora=None, batch_size=500)
    assert "training_type" not in request_body(service)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"from_checkpoint": "ft-1"}, ["model=", "from_checkpoint='ft-1'"]),
        ({"model": None}, ["model=", "from_checkpoint="]),
        ({"model": None, "from_checkpoint": "ft-1", "from_hf_model": "a/b"}, ["from_hf_model='a/b'"]),
        ({"model": None, "from_hf_model": "a/b"}, ["from_hf_model", "model="]),
        ({"training_file": ""}, ["training_file"]),
        ({"lora_dropout": 1.0}, ["lora_dropout=1.0"]),
        ({"lora_dropout": -0.1}, ["lora_dropout=-0.1"]),
        ({"lora_r": 65}, ["lora_r=65", "64"]),
        ({"lora": False, "lora_r": 8}, ["lora_r=8", "lora=False"]),
        ({"lora_trainable_modules": "q_proj,nose"}, ["'nose'", "q_proj, k_proj"]),
        ({"batch_size": 129}, ["batch_size=129", "128"]),
        ({"batch_size": 65, "training_method": "dpo"}, ["batch_size=65", "64"]),
        ({"batch_size": 4}, ["batch_size=4", "8"]),
        ({"batch_size": 97, "lora": False}, ["batch_size=97", "96"]),
        ({"batch_size": "min"}, ["batch_size='min'"]),
        ({"warmup_ratio": 1.5}, ["warmup_ratio=1.5"]),
        ({"min_lr_ratio": -0.5}, ["min_lr_ratio=-0.5"]),
        ({"max_grad_norm": -1}, ["max_grad_norm=-1"]),
        ({"weight_decay": -1.0}, ["weight_decay=-1.0"]),
        ({"training_method": "rpo"}, ["'rpo'", "rpo_alpha"]),
        ({"training_method": "dpo", "train_on_inputs": True}, ["train_on_inputs=True"]),
        ({"train_on_inputs": 1}, ["train_on_inputs=1"]),
        ({"dpo_beta": 0.1}, ["dpo_beta=0.1"]),
        ({"dpo_normalize_logratios_by_length": True}, ["dpo_normalize_logratios_by_length=True"]),
        ({"rpo_alpha": 0.0}, ["rpo_alpha=0.0"]),
        ({"training_method": "dpo", "rpo_alpha": -1.0}, ["rpo_alpha=-1.0"]),
        ({"training_method": "dpo", "simpo_gamma": float("nan")}, ["simpo_gamma=nan"]),
        ({"scheduler_num_cycles": 0}, ["scheduler_num_cycles=0"]),
        ({"max_seq_length": 63}, ["max_seq_length=63", "64"]),
        ({"max_seq_length": 20_000, "training_method": "dpo"}, ["max_seq_length=20000", "16384"]),
        ({"train_vision": True}, ["train_vision=True"]),
        ({"learning_rate": 0.2}, ["learning_rate=0.2", "0.1"]),
        ({"learning_rate": float("nan")}, ["learning_rate=nan"]),
        ({"n_epochs": 21}, ["n_epochs=21", "20"]),
        ({"n_epochs": 0}, ["n_epochs=0"]),
        ({"n_evals": 101, "validation_file": "file-2"}, ["n_evals=101", "100"]),
        ({"n_evals": 1}, ["n_evals=1", "validation_file"]),
        ({"n_checkpoints": 11}, ["n_checkpoints=11", "10"]),
        ({"suffix": "x" * 41}, ["41", "40"]),
        ({"early_stopping_enabled": True}, ["validation_file"]),
        ({"early_stopping_enabled": True, "validation_file": "f", "n_evals": 3}, ["n_evals=3", "4"]),
        ({"early_stopping_enabled": True, "early_stopping_patience": 0}, ["early_stopping_patience=0"]),
        ({"early_stopping_enabled": True, "early_stopping_min_delta": -0.1}, ["early_stopping_min_delta=-0.1"]),
    ],
)  # fmt: skip
def test_refused_before_anything_is_billed(changes: Any, words: Any, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(reply)
    with pytest.raises(ValueError) as error_info:
        flavour.run(client.fine_tuning.create(**{"training_file": "file-1", "model": MODEL, **changes}))
    assert all(word in str(error_info.value) for word in words), str(error_info.value)
    assert all(request.method == "GET" for request in service.requests)


@pytest.mark.parametrize(
    ("limits", "changes", "words"),
    [
        ({"full_training": None}, {"lora": False}, "does not support full training"),
        ({"supports_full_training": False}, {"lora": False}, "does not support full training"),
        ({"lora_training": None}, {}, "does not support LoRA"),
    ],
)
def test_what_a_model_cannot(limits: Any, changes: Any, words: str, flavour: Any, stub_client: Any) -> None:
    with pytest.raises(ValueError, match=words):
        create(flavour, stub_client, model_limits={**LIMITS, **limits}, **changes)


@pytest.mark.parametrize(("missing", "largest"), [({}, 64), ({"max_batch_size_dpo": -1}, 64), ({"max_batch_size": 20}, 8)])
def test_dpo_batches_where_the_service_does_not_say(missing: Any, largest: int) -> None:
    lora = {"min_batch_size": 8, "max_batch_size": 128, **missing}
    limits = FinetuneModelLimits.model_validate({"lora_training": lora}).lora_training
    assert limits is not None
    assert limits.max_batch_size_for("dpo") == largest


def test_known_limits_save_a_request_and_checkpoints_ask_for_their_job(flavour: Any, stub_client: Any) -> None:
    _, service = create(flavour, stub_client, model_limits=FinetuneModelLimits.model_validate(LIMITS))
    assert len(service.requests) == 2
    _, service = create(flavour, stub_client, model=None, from_checkpoint="ft-9:12")
    assert service.requests[0].url.params["model_name"] == "ft-9"
    assert json.loads(service.requests[1].content)["model"] == ""
    assert "model" not in request_body(service)


def test_the_price_is_reported_before_and_can_stop_everything(flavour: Any, stub_client: Any) -> None:
    estimates: list[Any] = []
    job, _ = create(flavour, stub_client, on_price=estimates.append)
    assert estimates[0].estimated_total_price == job.price_estimate.estimated_total_price == 1.25

    def too_much(estimate: Any) -> None:
        raise RuntimeError("too much")

    client, service = stub_client(reply)
    with pytest.raises(RuntimeError, match="too much"):
        flavour.run(client.fine_tuning.create(training_file="file-1", model=MODEL, on_price=too_much))
    assert service.requests[-1].url.path.endswith("estimate-price")


def test_a_service_without_prices_still_trains(flavour: Any, stub_client: Any) -> None:
    def without(body: Any) -> Any:
        return httpx.Response(404, json={}) if body and "lr_scheduler" not in body else reply(body)

    client, _ = stub_client(without)
    assert flavour.run(client.fine_tuning.create(training_file="file-1", model=MODEL)).price_estimate is None
    with pytest.raises(NotFoundError):
        flavour.run(client.fine_tuning.create(training_file="file-1", model=MODEL, on_price=print))


def test_secrets_show_nowhere(flavour: Any, stub_client: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(body: Any) -> Any:
        if body and "lr_scheduler" in body:
            nested = {"message": f"bad key {SECRET}, bad token {TOKEN}", "code": None}
            return httpx.Response(400, json={"error": nested}) if body.get("suffix") else {**JOB, **body}
        return reply(body)

    client, service = stub_client(echo)
    kwargs = {"training_file": "f", "model": MODEL, "wandb_api_key": SECRET, "hf_api_token": TOKEN, "verbose": True}
    job = flavour.run(client.fine_tuning.create(**kwargs))
    assert json.loads(service.requests[-1].content)["wandb_key"] == SECRET
    with pytest.raises(Exception, match="bad key") as error_info:
        flavour.run(client.fine_tuning.create(**kwargs, suffix="x"))
    error = error_info.value
    texts = [repr(job), str(job), str(job.model_dump()), str(error), repr(error), str(vars(error)), caplog.text]
    assert not [text for text in texts if SECRET in text or TOKEN in text]


def test_a_lost_response_says_that_the_job_may_exist(flavour: Any, stub_client: Any) -> None:
    def lose_response(body: Any) -> Any:
        return httpx.Response(500, json={}) if body and "lr_scheduler" in body else reply(body)

    client, service = stub_client(lose_response, max_retries=2)
    with pytest.raises(Exception, match="fine_tuning.list"):
        flavour.run(client.fine_tuning.create(training_file="f", model=MODEL))
    assert sum(request.url.path == "/v1/fine-tunes" for request in service.requests) == 1


def test_unexpected_jobs_are_read(flavour: Any, stub_client: Any) -> None:
    odd = {
        "id": "ft-1", "status": "hibernating", "batch_size": "max", "training_type": {"type": ""}, "lr_scheduler": None,
        "training_method": "kto", "events": [{"type": "BRAND_NEW", "level": "odd", "message": None}], "total_price": 1_250_000_000,
        "trainingfile_numlines": 42, "progress": None, "new": {"x": 1}, "owner": None,
    }  # fmt: skip
    client, _ = stub_client(odd)
    job = flavour.run(client.fine_tuning.retrieve("ft-1"))
    assert (job.status, job.batch_size, job.training_type.is_full, job.price) == ("hibernating", "max", True, 1.25)
    assert (job.events[0].kind, job.training_file_num_lines, job.new) == ("brand_new", 42, {"x": 1})
    client, _ = stub_client({})
    assert flavour.run(client.fine_tuning.retrieve("ft-1")).output_name is None
    assert flavour.run(client.fine_tuning.list()).data == []
    assert flavour.run(client.fine_tuning.list_checkpoints("ft-1")) == []


def test_checkpoints_are_named_and_sorted(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"data": [
        {"step": 5, "created_at": "2025-06-01T12:10:00Z", "path": "s3://a", "checkpoint_type": "Intermediate (step 5)"},
        {"step": 20, "created_at": "2025-06-01T12:30:00.5Z", "path": "s3://b", "checkpoint_type": "Final Merged"},
        {"step": 10, "created_at": "2025-06-01T12:30:00Z", "path": "s3://c", "checkpoint_type": "intermediate"},
        {"step": None, "created_at": None, "checkpoint_type": None},
    ]})  # fmt: skip
    result = flavour.run(client.fine_tuning.list_checkpoints("ft-1"))
    assert [checkpoint.name for checkpoint in result.data] == ["ft-1", "ft-1:10", "ft-1:5", "ft-1"]
    assert (result[0].type, result[0].timestamp) == ("Final Merged", "2025-06-01T12:30:00.5Z")


def test_both_formats_of_a_price(flavour: Any, stub_client: Any) -> None:
    def estimate(answer: Any, **kwargs: Any) -> Any:
        client, service = stub_client(answer)
        result = flavour.run(client.fine_tuning.estimate_price(training_file="f", model=MODEL, **kwargs))
        return result, json.loads(service.requests[-1].content)

    old, body = estimate({name: value for name, value in PRICE.items() if name != "estimation_available"})
    assert (old.available, old.estimated_total_price, body["training_type"]["type"]) == (True, 1.25, "Lora")
    new, body = estimate({"estimation_available": False, "unavailable_reason": "multimodal_dataset"}, training_type="full")
    assert (new.available, new.unavailable_reason, body["training_type"]) == (False, "multimodal_dataset", {"type": "Full"})
    with pytest.raises(ValueError, match="training_method='ppo'"):
        estimate({}, training_method="ppo")


@pytest.mark.parametrize(
    ("name", "kwargs", "method", "path"),
    [
        ("delete", {"id": "ft-1"}, "DELETE", "/ft-1?force=false"),
        ("delete", {"id": "ft-1", "force": True}, "DELETE", "/ft-1?force=true"),
        ("cancel", {"id": "ft-1"}, "POST", "/ft-1/cancel"),
        ("list_events", {"id": "ft-1"}, "GET", "/ft-1/events"),
        ("list_metrics", {"id": "ft-1", "global_step_from": 1, "resolution": 5},
         "GET", "/ft-1/metrics?global_step_from=1&resolution=5"),
        ("get_model_limits", {"model": "m"}, "GET", "/models/limits?model_name=m"),
        ("model_limits", {"model_name": "m"}, "GET", "/models/limits?model_name=m"),
        ("preview", {"model": "m", "training_file": "f"}, "POST", "/preview"),
        ("list_supported_models", {}, "GET", "/models/supported"),
        ("retrieve_tokenized_dataset", {"id": "ft-1"}, "GET", "/ft-1/download-tokenized-dataset"),
    ],
)  # fmt: skip
def test_plain_calls(name: str, kwargs: Any, method: str, path: str, flavour: Any, stub_client: Any) -> None:
    client, service = stub_client({"message": "so be it"})
    flavour.run(getattr(client.fine_tuning, name)(**kwargs))
    request = service.requests[-1]
    assert (request.method, request.url.raw_path.decode()) == (method, f"/v1/fine-tunes{path}")


def test_the_address_of_tokens_is_not_shown(flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"url": "https://s.example/t?X-Signature=abc", "filename": "t.tar.gz", "size": 5})
    updates = flavour.run(client.fine_tuning.retrieve_tokenized_dataset("ft-1"))
    assert (updates.url, updates.size) == ("https://s.example/t?X-Signature=abc", 5)
    assert "abc" not in repr(updates)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": f"Who keeps lighthouse number {at}?"},
                      {"role": "assistant", "content": f"Keeper {at} does."}]}
        for at in range(12)
    ]  # fmt: skip
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def file_id(flavour: Any, data: Path) -> str:
    client = flavour.client()
    file = flavour.run(client.files.upload(data))
    flavour.run(client.files.wait(file.id, poll_interval=0.02))
    return str(file.id)


def test_a_job_from_its_start_to_its_model(flavour: Any, file_id: str, emulator: Emulator, tmp_path: Path) -> None:
    client = flavour.client()
    job = flavour.run(client.fine_tuning.create(training_file=file_id, model=MODEL, n_checkpoints=3, suffix="lights"))
    assert job.status == "pending"
    with pytest.raises(APITimeoutError, match="continues"):
        flavour.run(client.fine_tuning.wait(job.id, timeout=0))
    updates: list[FinetuneProgress] = []
    done = flavour.run(client.fine_tuning.wait(job.id, poll_interval=0.02, timeout=HANG, progress=updates.append))
    assert done.status == updates[-1].stage == "completed"
    assert updates[-1].fraction == 1.0
    assert updates[-1].message
    assert [step.done for step in updates] == sorted(step.done for step in updates)
    events = flavour.run(client.fine_tuning.list_events(job.id)).data
    assert (events[0].kind, events[-1].kind) == ("job_pending", "job_complete")
    losses = [row["train/loss"] for row in flavour.run(client.fine_tuning.list_metrics(job.id)).metrics]
    assert losses[-1] < losses[0]
    checkpoints = flavour.run(client.fine_tuning.list_checkpoints(job.id))
    assert {checkpoint.name for checkpoint in checkpoints[:2]} == {job.id}
    result = flavour.run(client.fine_tuning.download(checkpoints[-1].name, output=tmp_path))
    assert Path(result.filename).name.endswith(f"-checkpoint-{checkpoints[-1].step}.tar.gz")
    assert Path(result.filename).stat().st_size == result.size
    question = [{"role": "user", "content": "Who keeps lighthouse number 7?"}]
    answer = flavour.run(client.chat.completions.create(model=done.output_name, messages=question))
    assert answer.choices[0].message.content == "Keeper 7 does."
    assert emulator.errors == []


def test_downloads(flavour: Any, file_id: str, emulator: Emulator, tmp_path: Path) -> None:
    client = flavour.client()
    job = flavour.run(client.fine_tuning.create(training_file=file_id, model=MODEL))
    done = flavour.run(client.fine_tuning.wait(job.id, poll_interval=0.02))
    merged = flavour.run(client.fine_tuning.download(job.id, output=tmp_path / "merged.tgz"))

    def kill(progress: Any) -> None:
        if progress.done > 60_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flavour.run(client.fine_tuning.download(job.id, output=tmp_path / "again.tgz", progress=kill))
    again = flavour.run(client.fine_tuning.download(job.id, output=tmp_path / "again.tgz"))
    assert emulator.requests[-1].headers["range"] != "bytes=0-1"
    assert Path(merged.filename).read_bytes() == Path(again.filename).read_bytes()
    adapter = flavour.run(client.fine_tuning.download(job.id, output=tmp_path, checkpoint_type="ADAPTER"))
    assert done.output_name.rpartition("/")[2].lower() in Path(adapter.filename).name
    assert Path(adapter.filename).read_bytes() != Path(merged.filename).read_bytes()
    with pytest.raises(FileExistsError):
        flavour.run(client.fine_tuning.download(job.id, output=tmp_path / "merged.tgz"))
    assert not list(tmp_path.glob("*.part*")) + list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize(
    ("kwargs", "kind", "words"),
    [
        ({"id": "ft-ab:10", "checkpoint_step": 5}, "Lora", "checkpoint_step=5"),
        ({"id": "ft-ab", "checkpoint_type": "intermediate"}, "Lora", "'intermediate'"),
        ({"id": "ft-ab", "checkpoint_type": "merged"}, "Full", "trained in full"),
        ({"id": "ft-ab", "checkpoint_type": "adapter"}, "", "trained in full"),
    ],
)
def test_downloads_that_make_no_sense(kwargs: Any, kind: str, words: str, flavour: Any, stub_client: Any) -> None:
    client, _ = stub_client({"id": "ft-ab", "training_type": {"type": kind}})
    with pytest.raises(ValueError, match=words):
        flavour.run(client.fine_tuning.download(**kwargs))


def test_full_jobs_are_downloaded_by_their_path(flavour: Any, file_id: str, emulator: Emulator, tmp_path: Path) -> None:
    client = flavour.client()
    job = flavour.run(client.fine_tuning.create(training_file=file_id, model=MODEL, lora=False))
    flavour.run(client.fine_tuning.wait(job.id, poll_interval=0.02))
    flavour.run(client.fine_tuning.download(job.id, output=tmp_path))
    assert "checkpoint=model_output_path" in emulator.requests[-1].query


@pytest.mark.parametrize(("suffix", "status"), [("[fail]", "error"), ("[slow]", "cancelled")])
def test_a_failure_has_its_last_events(suffix: str, status: str, flavour: Any, file_id: str) -> None:
    client = flavour.client()
    job = flavour.run(client.fine_tuning.create(training_file=file_id, model=MODEL, suffix=suffix))
    if status == "cancelled":
        assert flavour.run(client.fine_tuning.cancel(job.id)).status in ("cancelled", "cancel_requested")
    with pytest.raises(JobFailedError) as error_info:
        flavour.run(client.fine_tuning.wait(job.id, poll_interval=0.02, timeout=HANG))
    error = error_info.value
    assert error.completed.status == status
    assert error.events[-1].message in str(error)
    assert pickle.loads(pickle.dumps(error)).events == error.events


def test_a_failure_whose_events_cannot_be_read(flavour: Any, stub_client: Any) -> None:
    client, service = stub_client(None, max_retries=0)
    service.reply = lambda body: (
        httpx.Response(404, json={}) if service.requests[-1].url.path.endswith("events") else {"id": "ft-1", "status": "error"}
    )
    with pytest.raises(JobFailedError, match="no events"):
        flavour.run(client.fine_tuning.wait("ft-1"))


def test_missing_jobs_and_files(flavour: Any) -> None:
    client = flavour.client()
    with pytest.raises(NotFoundError):
        flavour.run(client.fine_tuning.retrieve("ft-0000"))
    with pytest.raises(NotFoundError):
        flavour.run(client.fine_tuning.create(training_file="file-none", model=MODEL))
