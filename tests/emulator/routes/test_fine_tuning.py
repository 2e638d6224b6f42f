"""Fine-tuning: states, events, metrics, archives, and a model that answers from its rows."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.conftest import NEVER
from tests.emulator.conftest import Chat
from together_adapters.emulator import Emulator
from together_adapters.emulator.store.artifacts import row_preview
from together_adapters.emulator.store.nearest_example import NearestExampleModel, parse_examples
from together_adapters.emulator.store.records import DEFAULT_JOB_SECONDS

MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
ROWS = [
    {"messages": [{"role": "user", "content": f"What is the code word of gate number {at}?"},
                  {"role": "assistant", "content": f"The word is zebra-{at}."}]}
    for at in range(12)
]  # fmt: skip


@pytest.fixture(params=[0.6])
def quick(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[None]:
    emulator._state.job_seconds = request.param
    yield
    emulator._state.job_seconds = DEFAULT_JOB_SECONDS


def put(emulator: Emulator, rows: Any, purpose: str = "fine-tune") -> str:
    """Stores a file, as jobs of the emulator do; returns its id."""
    return emulator._state.stores.files.generate(
        "train.jsonl", purpose, b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    ).id


def start(http: httpx.Client, file: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/fine-tunes", json={"training_file": file, "model": MODEL, **more})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def advance(emulator: Emulator, id: str, seconds: float) -> None:
    """Lets time pass for a job."""
    emulator._state.stores.jobs[id].clock._start -= seconds


def ended(http: httpx.Client, id: str) -> tuple[dict[str, Any], list[str]]:
    """Waits for the end of a job; returns it with all its statuses."""
    history: list[str] = []
    for _ in range(6_000):
        job: dict[str, Any] = http.get(f"/fine-tunes/{id}").json()
        if job["status"] not in history:
            history.append(job["status"])
        if job["status"] in ("completed", "error", "cancelled"):
            return job, history
        time.sleep(0.01)
    raise AssertionError(history)


@pytest.mark.parametrize("quick", [NEVER], indirect=True)
def test_the_states_of_a_job(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    created = start(http, put(emulator, ROWS), n_checkpoints=2, n_evals=2, validation_file=put(emulator, ROWS[:3]))
    history = [created["status"]]
    while history[-1] != "completed":
        advance(emulator, created["id"], NEVER / 100)
        history.append(http.get(f"/fine-tunes/{created['id']}").json()["status"])
    assert list(dict.fromkeys(history)) == ["pending", "queued", "running", "compressing", "uploading", "completed"]
    job, _ = ended(http, created["id"])
    assert (job["steps_completed"], job["TrainingFileNumLines"], job["evals_completed"]) == (job["total_steps"], 12, 2)
    assert job["total_price"] == 173_000
    events = http.get(f"/fine-tunes/{job['id']}/events").json()["data"]
    assert [event["type"] for event in events if event["type"] == event["type"].upper()] == [event["type"] for event in events]
    assert [event["created_at"] for event in events] == sorted(event["created_at"] for event in events)
    assert {"TRAINING_START", "EVAL_COMPLETE", "CHECKPOINT_SAVE", "JOB_COMPLETE"} <= {event["type"] for event in events}
    kinds = [point["checkpoint_type"] for point in http.get(f"/fine-tunes/{job['id']}/checkpoints").json()["data"]]
    assert [kind.partition(" (")[0] for kind in kinds] == ["Intermediate", "Final Merged", "Final Adapter"]
    metrics = http.get(f"/fine-tunes/{job['id']}/metrics").json()["metrics"]
    assert metrics[-1]["train/loss"] < metrics[0]["train/loss"]
    assert sum("eval/loss" in row for row in metrics) == 2
    some = http.get(f"/fine-tunes/{job['id']}/metrics", params={"global_step_from": 2, "global_step_to": 3}).json()["metrics"]
    assert [row["train/global_step"] for row in some] == [2, 3]
    assert http.get(f"/fine-tunes/{job['id']}/metrics", params={"global_step_from": "x"}).status_code == 400


def test_no_time_is_in_the_future(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    job, _ = ended(http, start(http, put(emulator, ROWS))["id"])
    times = [event["created_at"] for event in http.get(f"/fine-tunes/{job['id']}/events").json()["data"]]
    assert len(times) > 10 and times == sorted(times)
    assert job["created_at"] <= times[0] and times[-1] <= datetime.now(UTC).isoformat()


@pytest.mark.usefixtures("quick")
def test_a_tuned_model_answers_from_its_rows_only(http: httpx.Client, emulator: Emulator, chat: Chat) -> None:
    job, _ = ended(http, start(http, put(emulator, ROWS))["id"])
    model = job["model_output_name"]
    question = "What is the code word of gate number 4?"
    assert chat.text(question, model=model) == "The word is zebra-4."
    assert chat.text("Tell me: gate number 9, its code word?", model=model) == "The word is zebra-9."
    assert chat.text(question) != chat.text(question, model=model)
    assert chat.text("Name three rivers.", model=model) == chat.text("Name three rivers.")
    chunks = chat.chunks(question, model=model)
    streamed_text = "".join(choice["delta"]["content"] or "" for chunk in chunks for choice in chunk["choices"])
    assert streamed_text == "The word is zebra-4."
    response = http.post("/completions", json={"model": model, "prompt": "code word of gate number 2"}).json()
    assert response["choices"][0]["text"].strip() == "The word is zebra-2."


def test_a_model_that_is_not_ready_is_not_available(http: httpx.Client, emulator: Emulator, chat: Chat) -> None:
    job = start(http, put(emulator, ROWS), suffix="[slow]")
    assert chat.post("Hello", model=job["model_output_name"]).status_code == 404
    answer = http.get("/finetune/download", params={"ft_id": job["id"], "checkpoint": "merged"})
    assert answer.status_code == 400


@pytest.mark.usefixtures("quick")
def test_the_archive_is_a_tar_and_comes_in_parts(http: httpx.Client, emulator: Emulator) -> None:
    job, _ = ended(http, start(http, put(emulator, ROWS), n_checkpoints=2)["id"])
    query = {"ft_id": job["id"], "checkpoint": "merged"}
    archive = http.get("/finetune/download", params=query)
    assert archive.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        assert tar.getnames() == ["config.json", "trainer_state.json", "model.safetensors"]
    part = http.get("/finetune/download", params=query, headers={"range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, archive.content[:2])
    assert part.headers["content-range"] == f"bytes 0-1/{len(archive.content)}"
    step = http.get(f"/fine-tunes/{job['id']}/checkpoints").json()["data"][0]["step"]
    assert http.get("/finetune/download", params={**query, "checkpoint_step": step}).content != archive.content
    assert http.get("/finetune/download", params={**query, "checkpoint_step": 999}).status_code == 404
    assert http.get("/finetune/download", params={**query, "checkpoint": "model_output_path"}).status_code == 400
    assert http.get("/finetune/download", params={"ft_id": "ft-0"}).status_code == 404


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"training_file": "file-none"}, 404),
        ({"training_file": 5}, 400),
        ({"model": "no-such-model"}, 404),
        ({"model": "BAAI/bge-base-en-v1.5"}, 400),
        ({"n_epochs": 0}, 400),
        ({"n_evals": 2}, 400),
        ({"batch_size": 7}, 400),
        ({"training_type": {"type": "Half"}}, 400),
        ({"training_type": {"type": "Lora", "lora_r": 100}}, 400),
        ({"training_method": {"method": "ppo"}}, 400),
        ({"suffix": "x" * 41}, 400),
        ({"from_checkpoint": "ft-1"}, 400),
    ],
)
def test_invalid_jobs(changes: Any, status: int, http: httpx.Client, emulator: Emulator) -> None:
    body = {"training_file": put(emulator, ROWS), "model": MODEL, **changes}
    answer = http.post("/fine-tunes", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_a_file_for_another_purpose_is_refused(http: httpx.Client, emulator: Emulator) -> None:
    answer = http.post("/fine-tunes", json={"training_file": put(emulator, ROWS, "eval"), "model": MODEL})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "training_file")


@pytest.mark.usefixtures("quick")
def test_invalid_data_ends_in_an_error(http: httpx.Client, emulator: Emulator) -> None:
    id = put(emulator, [{"wrong": 1}])
    file = emulator._state.stores.files[id]
    file.report = {"valid": False, "error": "Line 1 is wrong."}
    price = http.post("/fine-tunes/estimate-price", json={"training_file": id, "model": MODEL}).json()
    assert (price["estimation_available"], price["unavailable_reason"]) == (False, "train_file_invalid")
    job, _ = ended(http, start(http, id)["id"])
    assert job["status"] == "error"
    assert "Line 1 is wrong." in job["events"][-1]["message"]


@pytest.mark.parametrize("quick", [NEVER], indirect=True)
def test_jobs_are_cancelled_and_deleted(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    waiting, running = start(http, put(emulator, ROWS)), start(http, put(emulator, ROWS))
    assert http.post(f"/fine-tunes/{waiting['id']}/cancel").json()["status"] == "cancelled"
    advance(emulator, running["id"], NEVER / 2)
    assert http.post(f"/fine-tunes/{running['id']}/cancel", json={}).json()["status"] == "cancel_requested"
    job, _ = ended(http, running["id"])
    assert (job["status"], job["events"][-1]["type"]) == ("cancelled", "JOB_STOPPED")
    assert http.post(f"/fine-tunes/{running['id']}/cancel").status_code == 400
    assert http.delete(f"/fine-tunes/{running['id']}").json()["message"]
    assert http.get(f"/fine-tunes/{running['id']}").status_code == 404
    assert running["id"] not in [job["id"] for job in http.get("/fine-tunes").json()["data"]]


def test_limits_and_prices(http: httpx.Client, emulator: Emulator) -> None:
    limits = http.get("/fine-tunes/models/limits", params={"model_name": MODEL}).json()
    assert limits["lora_training"]["max_rank"] == 64
    assert limits["full_training"]["min_batch_size"] == 8
    large = http.get("/fine-tunes/models/limits", params={"model_name": "meta-llama/Llama-3.3-70B-Instruct-Reference"}).json()
    assert (large["full_training"], large["supports_full_training"]) == (None, False)
    assert http.get("/fine-tunes/models/limits", params={"model_name": "nobody"}).status_code == 404
    assert http.get("/fine-tunes/models/supported").json()["models"]
    price = http.post("/fine-tunes/estimate-price", json={"training_file": put(emulator, ROWS), "model": MODEL}).json()
    assert price["estimation_available"] is True
    assert price["estimated_train_token_count"] > 0
    # The vendor's SDK sends an empty model when a checkpoint is continued.
    empty = http.post("/fine-tunes/estimate-price", json={"training_file": put(emulator, ROWS), "model": ""}).json()
    assert empty["estimation_available"]
    preview = http.post("/fine-tunes/preview", json={"training_file": put(emulator, ROWS), "model": MODEL, "top_k": 2}).json()
    assert len(preview["rows"]) == 2
    assert preview["dataset_format"] == "conversation"


def test_responses_contain_no_secrets(http: httpx.Client, emulator: Emulator) -> None:
    job = start(http, put(emulator, ROWS), wandb_key="W-1", wandb_api_key="W-1", hf_api_token="H-1")
    rendered = json.dumps([job, http.get(f"/fine-tunes/{job['id']}").json()])
    assert "W-1" not in rendered
    assert "H-1" not in rendered


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"prompt": "p", "completion": " c"}, "p", "c"),
        ({"text": "first\nrest"}, "first", "rest"),
        ({"text": "alone"}, "alone", "alone"),
        ({"input": {"messages": [{"role": "user", "content": "u"}]},
          "preferred_output": [{"role": "assistant", "content": "good"}]}, "u", "good"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]},
                       {"role": "assistant", "content": "a"}]}, "u", "a"),
    ],
)  # fmt: skip
def test_examples_of_every_format(row: Any, prompt: str, answer: str) -> None:
    examples = list(parse_examples(row))
    assert [(example.prompt, example.answer) for example in examples] == [(prompt, answer)]
    example = NearestExampleModel([row]).nearest(prompt.upper())
    assert example is not None
    assert example.answer == answer
    assert NearestExampleModel([]).nearest("anything") is None


def test_what_is_learnt_of_a_row() -> None:
    rendered = row_preview(ROWS[0], False, 1_000)
    assert rendered["num_trained_tokens"] == sum(label != -100 for label in rendered["labels"]) < rendered["num_tokens"]
    [[begin, end]] = rendered["trained_spans"]
    assert "".join(rendered["tokens"][begin:end]).strip() == "The word is zebra-0."
    assert row_preview(ROWS[0], True, 5)["truncated"]
