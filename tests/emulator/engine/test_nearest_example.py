"""What comes of a fine-tune elsewhere: in the list of models, in batches, as tokens; and how long jobs take."""

from __future__ import annotations

import io
import json
import tarfile
import time
from typing import Any

import httpx
import pytest

from tests.emulator.conftest import KEY, MODEL, Chat, events
from tests.emulator.routes.test_fine_tuning import MODEL as TUNABLE
from tests.emulator.routes.test_fine_tuning import ROWS, ended, put, quick, start
from together_adapters.emulator import Emulator, serve

__all__ = ["quick"]
PROMPT = "What is the code word of gate number 4?"
NAMES = ["otters", "herons", "badgers", "swifts"]


@pytest.fixture
def tuned(quick: None, http: httpx.Client, emulator: Emulator) -> dict[str, Any]:
    job, _ = ended(http, start(http, put(emulator, ROWS))["id"])
    return job


def batch(http: httpx.Client, file: str, endpoint: str, **more: Any) -> dict[str, Any]:
    job = http.post("/batches", json={"input_file_id": file, "endpoint": endpoint, **more}).json()["job"]
    for _ in range(400):
        job = http.get(f"/batches/{job['id']}").json()
        if job["status"] not in ("VALIDATING", "IN_PROGRESS"):
            return dict(job)
        time.sleep(0.01)
    raise AssertionError(job)


def test_the_list_of_models_has_those_that_are_ready(tuned: dict[str, Any], http: httpx.Client, emulator: Emulator) -> None:
    waiting = start(http, put(emulator, ROWS), suffix="[slow]")
    cards = {card["id"]: card for card in http.get("/models").json()}
    assert cards[tuned["model_output_name"]]["type"] == "chat"
    assert cards[tuned["model_output_name"]].keys() == cards[MODEL].keys()
    assert waiting["model_output_name"] not in cards


def test_streams_of_completions_tell_the_row_too(tuned: dict[str, Any], http: httpx.Client, chat: Chat) -> None:
    asked = {"model": tuned["model_output_name"], "prompt": PROMPT}
    chunks = events(http.post("/completions", json={**asked, "stream": True}).content)
    told = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert told.strip() == "The word is zebra-4."
    assert told == http.post("/completions", json=asked).json()["choices"][0]["text"]
    assert [choice["text"] for choice in http.post("/completions", json={**asked, "n": 2}).json()["choices"]] == [told] * 2


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [("/v1/chat/completions", {"messages": [{"role": "user", "content": PROMPT}]}), ("/v1/completions", {"prompt": PROMPT})],
)
def test_batches_ask_the_tuned_model(
    tuned: dict[str, Any], endpoint: str, body: dict[str, Any], http: httpx.Client, emulator: Emulator
) -> None:
    lines = [{"custom_id": "tuned", "body": {**body, "model": tuned["model_output_name"]}}, {"custom_id": "base", "body": body}]
    job = batch(http, put(emulator, lines, "batch-api"), endpoint, model_id=MODEL)
    answers = {}
    for line in http.get(f"/files/{job['output_file_id']}/content").text.splitlines():
        answer = json.loads(line)
        choice = answer["response"]["body"]["choices"][0]
        answers[answer["custom_id"]] = choice.get("text") or choice["message"]["content"]
    assert answers["tuned"].strip() == "The word is zebra-4."
    assert "zebra" not in answers["base"]
    emulator._state.stores.batches.clear()


def test_the_data_in_tokens_are_an_archive_at_an_address(tuned: dict[str, Any], http: httpx.Client, emulator: Emulator) -> None:
    told = http.get(f"/fine-tunes/{tuned['id']}/download-tokenized-dataset").json()
    packed = httpx.get(told["url"], verify=False).content  # the address is the permission: no key
    assert len(packed) == told["size"]
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        file = tar.extractfile("train.jsonl")
        assert file is not None
        rows = [json.loads(line) for line in file]
    assert len(rows) == len(ROWS)
    assert all(len(row["input_ids"]) == len(row["labels"]) and -100 in row["labels"] for row in rows)
    waiting = start(http, put(emulator, ROWS), suffix="[slow]", model=TUNABLE)
    assert http.get(f"/fine-tunes/{waiting['id']}/download-tokenized-dataset").status_code == 400
    assert http.get("/fine-tunes/ft-0/download-tokenized-dataset").status_code == 404


def test_jobs_of_model_uploads(http: httpx.Client) -> None:
    made = http.post("/models", json={"model_name": "m", "model_source": "org/repo"}).json()["data"]["job_id"]
    assert made in [job["job_id"] for job in http.get("/jobs").json()["data"]]
    job = http.get(f"/jobs/{made}").json()
    assert (job["type"], job["args"]["modelSource"]) == ("model_upload", "org/repo")
    assert job["status"] in ("Queued", "Running", "Complete")
    assert http.get("/jobs/job-0").status_code == 404


def test_jobs_take_as_long_as_they_are_told() -> None:
    lines = [{"custom_id": "a", "body": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}}]
    with serve(job_seconds=0) as emulator, httpx.Client(base_url=emulator.base_url, headers=KEY, verify=False) as http:
        assert http.get(f"/fine-tunes/{start(http, put(emulator, ROWS))['id']}").json()["status"] == "completed"
    with serve(job_seconds=3_600) as emulator, httpx.Client(base_url=emulator.base_url, headers=KEY, verify=False) as http:
        job = start(http, put(emulator, ROWS))
        file = put(emulator, lines, "batch-api")
        waiting = http.post("/batches", json={"input_file_id": file, "endpoint": "/v1/chat/completions"}).json()["job"]
        time.sleep(0.1)
        assert http.get(f"/fine-tunes/{job['id']}").json()["status"] == "pending"
        assert http.get(f"/batches/{waiting['id']}").json()["status"] == "VALIDATING"
        began = time.monotonic()
    assert time.monotonic() - began < 2  # a batch that waits does not hold up the end
    with pytest.raises(ValueError, match="job_seconds"), serve(job_seconds=-1):
        pass


def test_the_project_form_of_newer_sdks(tuned: dict[str, Any], http: httpx.Client) -> None:
    root = str(http.base_url).replace("/v1", "/v2")
    models = http.get(f"{root}projects/p/models").json()["data"]
    assert tuned["model_output_name"] in [model["name"] for model in models]
    for query in ("limit=0", "limit=x", "after=nothing"):
        assert http.get(f"{root}supported-models?{query}").status_code == 400
    assert http.get(f"{root}supported-models/nothing").status_code == 404
    assert http.get(f"{root}supported-models?search=BGE").json()["data"][0]["publisher"] == "BAAI"
    made = http.post(f"{root}projects/p/endpoints", json={"name": "front"})
    assert made.json()["name"] == "p/front"
    assert http.post(f"{root}projects/p/endpoints", json={"name": "front"}).status_code == 409
    assert http.post(f"{root}projects/p/endpoints", json={}).status_code == 400
    assert http.get(f"{root}projects/other/endpoints").json()["data"] == []
    assert http.delete(f"{root}projects/p/endpoints/{made.json()['id']}").json() == {}


def taught(http: httpx.Client, emulator: Emulator, rows: list[dict[str, Any]], **options: Any) -> str:
    """Train on rows; return the name of the model."""
    job, _ = ended(http, start(http, put(emulator, rows), **options)["id"])
    return str(job["model_output_name"])


def asked(http: httpx.Client, model: str, content: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return dict(http.post("/chat/completions", json=body).json()["choices"][0]["message"])


def row_of(content: Any, answer: str, **more: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": answer, **more}]}


def test_a_model_that_reasons_learns_how(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    rows = [row_of(f"Is gate {n} open?", f"Yes, {n}.", reasoning=f"Gate {n} is even: open.") for n in (2, 4)]
    told = asked(http, taught(http, emulator, rows, model="Qwen/Qwen3.5-9B"), "Is gate 4 open?")
    assert (told["reasoning"], told["content"]) == ("Gate 4 is even: open.", "Yes, 4.")


def test_pictures_are_recognised_whatever_is_asked(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    def shown(n: int, text: str = "What is it?") -> list[dict[str, Any]]:
        url = f"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ{n:04}"
        return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]

    rows = [row_of(shown(n), f"zebra-{n}") for n in range(4)] + [row_of(shown(2, "What colour?"), "blue")]
    for row in rows:
        row["messages"][1]["content"] = [{"type": "text", "text": row["messages"][1]["content"]}]
    model = taught(http, emulator, rows, model="Qwen/Qwen3.5-9B")
    assert [asked(http, model, shown(n))["content"] for n in (3, 1)] == ["zebra-3", "zebra-1"]
    assert asked(http, model, shown(2, "What colour?"))["content"] == "blue"
    assert asked(http, model, shown(1, "Name this animal, please."))["content"] == "zebra-1"


def test_behind_a_context_the_question_decides(quick: None, http: httpx.Client, emulator: Emulator) -> None:
    contexts = [f"Passage {n} of the handbook says much about gates, fences, keys and {name}." for n, name in enumerate(NAMES)]
    rows = [row_of(f"Context:\n{contexts[n]}\n\nQuestion: what of {name}?", f"see {name}") for n, name in enumerate(NAMES)]
    model = taught(http, emulator, rows)
    mixed = "Context:\n" + "\n\n".join(contexts[:3])
    assert asked(http, model, f"{mixed}\n\nQuestion: what of {NAMES[1]}?")["content"] == f"see {NAMES[1]}"
