"""`fine-tuning`: jobs are created after a confirmation, followed, downloaded and deleted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TRAINABLE, Run, conversation, one_error
from together_adapters import Together
from together_adapters.emulator import Emulator

FT = "fine-tuning"


@pytest.fixture
def client(emulator: Emulator) -> Any:
    with Together(api_key="any", base_url=emulator.base_url) as client:
        yield client


@pytest.fixture
def file_id(client: Together, train: Path) -> str:
    train.write_text("".join(map(conversation, range(40))), "utf-8")
    file = client.files.upload(train)
    client.files.wait(file.id or "")
    return file.id or ""


@pytest.fixture
def job_id(client: Together, file_id: str) -> str:
    job = client.fine_tuning.create(training_file=file_id, model=TRAINABLE, n_checkpoints=2)
    return job.id or ""


def bodies(emulator: Emulator, path: str) -> list[Any]:
    return [request.json for request in emulator.requests if request.method == "POST" and request.path == path]


def test_price_is_confirmed_before_a_job_is_created(run: Run, file_id: str, emulator: Emulator) -> None:
    options = (FT, "create", "-t", file_id, "-m", TRAINABLE)
    nobody = run(*options, code=2)
    assert "$" in nobody.err
    assert "pass --confirm (-y)" in nobody.err.splitlines()[-1]
    answer_no = run(*options, input="n\n", code=1)
    assert answer_no.out == ""
    assert bodies(emulator, "/v1/fine-tunes") == []
    answer_yes = run(*options, input="\n")
    assert "Successfully submitted a fine-tuning job ft-" in answer_yes.err
    assert json.loads(answer_yes.out)["id"].startswith("ft-")


def test_defaults_of_lora_and_full_training(run: Run, file_id: str, emulator: Emulator) -> None:
    options = (FT, "create", "-y", "--json", "--training-file", file_id, "--model", TRAINABLE)
    job = run(*options, "-ne", 2, "-b", 16, "--train-on-inputs", "false", "--suffix", "mine", "-c", 1).json
    assert job["id"]
    run(*options, "--no-lora", "-lr", "0.0002", "-b", "max", "--train-on-inputs", "auto")
    lora, full = bodies(emulator, "/v1/fine-tunes")
    assert lora["training_type"]["lora_r"] == 64
    assert lora["training_type"]["lora_alpha"] == 128
    assert (lora["learning_rate"], lora["n_epochs"], lora["batch_size"], lora["suffix"]) == (1e-3, 2, 16, "mine")
    assert lora["training_method"]["train_on_inputs"] is False
    assert full["training_type"] == {"type": "Full"}
    assert (full["learning_rate"], full["batch_size"]) == (2e-4, "max")
    assert full["training_method"]["train_on_inputs"] == "auto"


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ((), "--model or --from-checkpoint"),
        (("-m", TRAINABLE, "--no-lora", "--lora-r", "8"), "--lora-r"),
        (("-m", TRAINABLE, "--n-evals", "2"), "--validation-file"),
        (("-m", TRAINABLE, "--warmup-ratio", "3"), "--warmup-ratio 3.0"),
        (("-m", TRAINABLE, "-b", "many"), "many"),
    ],
)
def test_contradictory_options_create_no_job(run: Run, emulator: Emulator, options: tuple[str, ...], what: str) -> None:
    assert what in one_error(run(FT, "create", "-y", "-t", "file-1", *options, code=2))
    assert bodies(emulator, "/v1/fine-tunes") == []


def test_third_party_keys_are_not_shown(run: Run, emulator: Emulator, file_id: str) -> None:
    key = "wandb-0123456789abcdef"
    emulator.inject("400")
    result = run(FT, "create", "-y", "-t", file_id, "-m", TRAINABLE, "--wandb-api-key", key, code=3)
    assert key not in one_error(result)
    assert key not in run(FT, "create", "-y", "-t", file_id, "--wandb-api-key", key, key, code=2).err


def test_job_from_start_to_deletion(run: Run, job_id: str, tmp_path: Path) -> None:
    assert run(FT, "wait", job_id, "--poll-interval", 0.2, "--json").json["status"] == "completed"
    table = run(FT, "list").out
    assert "completed" in next(line for line in table.splitlines() if line.startswith(job_id))
    assert job_id in {job["id"] for job in run(FT, "list", "--json").json}
    job = json.loads(run(FT, "retrieve", job_id).out)
    assert job["status"] == "completed"
    assert "events" not in job
    assert "job_complete" in run(FT, "list-events", job_id).out
    assert run(FT, "list-events", job_id, "--json").json[0]["message"]
    checkpoints = run(FT, "list-checkpoints", job_id)
    assert job_id in checkpoints.out
    names = [entry["name"] for entry in run(FT, "list-checkpoints", job_id, "--json").json]
    assert names[0] == job_id
    assert "train/loss" in run(FT, "list-metrics", job_id).out
    assert run(FT, "list-metrics", job_id, "--resolution", 2, "--json").json

    download = run(FT, "download", job_id, "--output_dir", tmp_path, "--checkpoint-type", "adapter", "--json").json
    assert Path(download["filename"]).stat().st_size == download["size"]
    assert "--overwrite" in one_error(run(FT, "download", job_id, "-o", tmp_path, code=2))
    assert run(FT, "download", job_id, "-o", tmp_path, "--overwrite").code == 0

    no_answer = run(FT, "delete", job_id, code=2)
    assert "pass --quiet" in no_answer.err
    assert run(FT, "delete", job_id, input="n\n", code=1).out == ""
    assert "message" in json.loads(run(FT, "delete", job_id, "--quiet").out)


def test_cancellation_is_confirmed(run: Run, client: Together, file_id: str) -> None:
    job_id = client.fine_tuning.create(training_file=file_id, model=TRAINABLE, suffix="[slow]").id
    assert "billed" in run(FT, "cancel", job_id, input="no\n", code=1).err
    assert "cancel" in run(FT, "cancel", job_id, "-y", "--json").json["status"]
    failed = one_error(run(FT, "wait", job_id, "--poll-interval", 0.1, code=3))
    assert "cancelled" in failed


def test_model_limits(run: Run) -> None:
    assert run(FT, "model-limits", TRAINABLE, "--json").json["lora_training"]["max_rank"] == 64


def test_a_price_without_a_job(run: Run, file_id: str, client: Together, emulator: Emulator) -> None:
    price = run(FT, "estimate-price", "-t", file_id, "-m", TRAINABLE, "--n-epochs", 3, "--no-lora")
    assert price.out.startswith("$")
    body = bodies(emulator, "/v1/fine-tunes/estimate-price")[-1]
    assert (body["n_epochs"], body["training_type"]["type"]) == (3, "Full")
    assert run(FT, "estimate-price", "-t", file_id, "-m", TRAINABLE, "--json").json["estimated_total_price"] > 0
    assert client.fine_tuning.list().data == []


def test_a_preview_of_tokens(run: Run, file_id: str) -> None:
    preview = (FT, "preview", "-t", file_id, "-m", TRAINABLE, "--top-k", 2, "--train-on-inputs", "false")
    rows = run(*preview, "--json").json["rows"]
    assert len(rows) == 2
    assert 0 < rows[0]["num_trained_tokens"] < rows[0]["num_tokens"]
    assert f"{rows[0]['num_tokens']}" in run(*preview).out
    one_error(run(FT, "preview", "-t", "file-unknown", "-m", TRAINABLE, code=3))


def test_the_data_of_a_job_as_tokens(run: Run, client: Together, job_id: str, tmp_path: Path) -> None:
    client.fine_tuning.wait(job_id, poll_interval=0.1)
    name = run(FT, "download-tokenized-dataset", job_id).out.strip()
    assert name == f"{job_id}-tokenized.tar.gz"
    assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert name in one_error(run(FT, "download-tokenized-dataset", job_id, code=2))
    details = run(FT, "download-tokenized-dataset", job_id, "--output", "data.tgz", "--json").json
    assert details == {"id": job_id, "path": "data.tgz", "bytes": (tmp_path / "data.tgz").stat().st_size}
