"""A fine-tuned model on other endpoints: the list of models, batches, tokenized data; and the duration of jobs."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import time
from typing import Any

import httpx
import pytest

from tests.conftest import NEVER, eventually
from tests.emulator.conftest import KEY, MODEL, Chat, events
from tests.emulator.routes.test_fine_tuning import MODEL as TUNABLE
from tests.emulator.routes.test_fine_tuning import ROWS, ended, put, quick, start
from together_adapters.emulator import Emulator, serve

__all__ = ["quick"]
PROMPT = "What is the code word of gate number 4?"
NAMES = ["otters", "herons", "badgers", "swifts"]


@pytest.fixture
def tuned_job(quick: None, http: httpx.Client, emulator: Emulator) -> dict[str, Any]:
    job, _ = ended(http, start(http, put(emulator, ROWS))["id"])
    return job


def batch(http: httpx.Client, file: str, endpoint: str, **more: Any) -> dict[str, Any]:
    job = http.post("/batches", json={"input_file_id": file, "endpoint": endpoint, **more}).json()["job"]
    for _ in range(6_000):
        job = http.get(f"/batches/{job['id']}").json()
        if job["status"] not in ("VALIDATING", "IN_PROGRESS"):
            return dict(job)
        time.sleep(0.01)
    raise AssertionError(job)


def test_list_of_models_has_completed_models(tuned_job: dict[str, Any], http: httpx.Client, emulator: Emulator) -> None:
    pending = start(http, put(emulator, ROWS), suffix="[slow]")
    cards = {card["id"]: card for card in http.get("/models").json()}
    assert cards[tuned_job["model_output_name"]]["type"] == "chat"
    assert cards[tuned_job["model_output_name"]].keys() == cards[MODEL].keys()
    assert pending["model_output_name"] not in cards


def test_completion_streams_answer_with_the_row(tuned_job: dict[str, Any], http: httpx.Client, chat: Chat) -> None:
    body = {"model": tuned_job["model_output_name"], "prompt": PROMPT}
    chunks = events(http.post("/completions", json={**body, "stream": True}).content)
    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert text.strip() == "The word is zebra-4."
    assert text == http.post("/completions", json=body).json()["choices"][0]["text"]
    assert [choice["text"] for choice in http.post("/completions", json={**body, "n": 2}).json()["choices"]] == [text] * 2


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT}]}), ("/v1/completions", {"prompt": PROMPT})],
)
def test_batches_use_the_tuned_model(
    tuned_job: dict[str, Any], endpoint: str, body: dict[str, Any], http: httpx.Client, emulator: Emulator
) -> None:
    lines = [
        {"custom_id": "tuned", "body": {**body, "model": tuned_job["model_output_name"]}},
        {"custom_id": "base", "body": body},
    ]
    job = batch(http, put(emulator, lines, "batch-api"), endpoint, model_id=MODEL)
    answers = {}
    for line in http.get(f"/files/{job['output_file_id']}/content").text.splitlines():
        answer = json.loads(line)
        choice = answer["response"]["body"]["choices"][0]
        answers[answer["custom_id"]] = choice.get("text") or choice["message"]["content"]
    assert answers["tuned"].strip() == "The word is zebra-4."
    assert "zebra" not in answers["base"]
    emulator._state.stores.batches.clear()


def test_tokenized_dataset_is_an_archive_at_a_url(tuned_job: dict[str, Any], http: httpx.Client, emulator: Emulator) -> None:
    archive = http.get(f"/fine-tunes/{tuned_job['id']}/download-tokenized-dataset").json()
    content = httpx.get(archive["url"], verify=False).content  # the URL needs no API key
    assert len(content) == archive["size"]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        file = tar.extractfile("train.jsonl")
        assert file is not None
        rows = [json.loads(line) for line in file]
    assert len(rows) == len(ROWS)
    assert all(len(row["input_ids"]) == len(row["labels"]) and -100 in row["labels"] for row in rows)
    pending = start(http, put(emulator, ROWS), suffix="[slow]", model=TUNABLE)
    assert http.get(f"/fine-tunes/{pending['id']}/download-tokenized-dataset").status_code == 400
    assert http.get("/fine-tunes/ft-0/download-tokenized-dataset").status_code == 404


def test_jobs_of_model_uploads(http: httpx.Client) -> None:
    job_id = http.post("/models", json={"model_name": "m", "model_source": "org/repo"}).json()["data"]["job_id"]
    assert job_id in [job["job_id"] for job in http.get("/jobs").json()["data"]]
    job = http.get(f"/jobs/{job_id}").json()
    assert (job["type"], job["args"]["modelSource"]) == ("model_upload", "org/repo")
    assert job["status"] in ("Queued", "Running", "Complete")
    assert http.get("/jobs/job-0").status_code == 404


def test_duration_of_jobs() -> None:
    lines = [{"custom_id": "a", "body": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}}]
    with serve(job_seconds=0) as emulator, httpx.Client(base_url=emulator.base_url, headers=KEY, verify=False) as http:
        assert http.get(f"/fine-tunes/{start(http, put(emulator, ROWS))['id']}").json()["status"] == "completed"
    threads = set(threading.enumerate())
    with serve(job_seconds=NEVER) as emulator, httpx.Client(base_url=emulator.base_url, headers=KEY, verify=False) as http:
        job = start(http, put(emulator, ROWS))
        file = put(emulator, lines, "batch-api")
        pending = http.post("/batches", json={"input_file_id": file, "endpoint": "/v1/chat/completions"}).json()["job"]
        assert http.get(f"/fine-tunes/{job['id']}").json()["status"] == "pending"
        assert http.get(f"/batches/{pending['id']}").json()["status"] == "VALIDATING"
    assert eventually(lambda: set(threading.enumerate()) <= threads), "a pending batch delays the end"
    with pytest.raises(ValueError, match="job_seconds"), serve(job_seconds=-1):
        pass


def test_project_endpoints_of_newer_sdks(tuned_job: dict[str, Any], http: httpx.Client) -> None:
    root = str(http.base_url).replace("/v1", "/v2")
    models = http.get(f"{root}projects/p/models").json()["data"]
    assert tuned_job["model_output_name"] in [model["name"] for model in models]
    for query in ("limit=0", "limit=x", "after=nothing"):
        assert http.get(f"{root}supported-models?{query}").status_code == 400
    assert http.get(f"{root}supported-models/nothing").status_code == 404
    assert http.get(f"{root}supported-models?search=BGE").json()["data"][0]["publisher"] == "BAAI"
    endpoint = http.post(f"{root}projects/p/endpoints", json={"name": "front"})
    assert endpoint.json()["name"] == "p/front"
    assert http.post(f"{root}projects/p/endpoints", json={"name": "front"}).status_code == 409
    assert http.post(f"{root}projects/p/endpoints", json={}).status_code == 400
    assert http.get(f"{root}projects/other/endpoints").json()["data"] == []
    assert http.delete(f"{root}projects/p/endpoints/{endpoint.json()['id']}").json() == {}


def train_model(http: httpx.Client, emulator: Emulator, rows: list[dict[str, Any]], **options: Any) -> str:
    """Trains a model on rows; returns its name."""
    job, _ = ended(http, start(http, put(emulator, rows), **options)["id"])
    return str(job["model_output_name"])


def send(http: httpx.Client, model: str, content: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return dict(http.post("/chat/completions", json=body).json()["choices"][0]["message"])


def make_row(content: Any, answer: str, **more: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer, **more}]}


def test_reasoning_of_the_row(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    rows = [make_row(f"Is gate {n} open?", f"Yes, {n}.", reasoning=f"Gate {n} is even: open.") for n in (2, 4)]
    message = send(http, train_model(http, emulator, rows, model="Qwen/Qwen3.5-9B"), "Is gate 4 open?")
    assert (message["reasoning"], message["content"]) == ("Gate 4 is even: open.", "Yes, 4.")


def test_images_are_recognised_with_any_question(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    def content(n: int, text: str = "What is it?") -> list[dict[str, Any]]:
        url = f"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ{n:04}"
        return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]

    rows = [make_row(content(n), f"zebra-{n}") for n in range(4)] + [make_row(content(2, "What colour?"), "blue")]
    for row in rows:
        row["messages"][1]["content"] = [{"type": "text", "text": row["messages"][1]["content"]}]
    model = train_model(http, emulator, rows, model="Qwen/Qwen3.5-9B")
    assert [send(http, model, content(n))["content"] for n in (3, 1)] == ["zebra-3", "zebra-1"]
    assert send(http, model, content(2, "What colour?"))["content"] == "blue"
    assert send(http, model, content(1, "Name this animal, please."))["content"] == "zebra-1"


def test_question_after_a_context_decides(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    contexts = [f"Passage {n} of the handbook says much about gates, fences, keys and {name}." for n, name in enumerate(NAMES)]
    rows = [make_row(f"Context:\n{contexts[n]}\n\nQuestion: what of {name}?", f"see {name}") for n, name in enumerate(NAMES)]
    model = train_model(http, emulator, rows)
    context = "Context:\n" + "\n\n".join(contexts[:3])
    assert send(http, model, f"{context}\n\nQuestion: what of {NAMES[1]}?")["content"] == f"see {NAMES[1]}"
