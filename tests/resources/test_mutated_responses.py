"""Responses of every resource with a wrong value at every place: a result or a documented error, the same from both clients."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.adapters.test_mutated_answers import mutations
from together_adapters import AsyncTogether, Together, TogetherError
from together_adapters.emulator import Emulator

ROWS = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}."}]} for n in range(12)]
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
CALLS: dict[str, Callable[[Any, dict[str, str]], Any]] = {
    "models.list": lambda client, ids: client.models.list(),
    "models.upload_status": lambda client, ids: client.models.upload_status(ids["upload"]),
    "whoami": lambda client, ids: client.whoami(),
    "usage.costs": lambda client, ids: client.usage.costs(),
    "evaluation.models": lambda client, ids: client.evaluation.models(),
    "request": lambda client, ids: client.request("GET", f"/v1/jobs/{ids['upload']}"),
    "projects.list": lambda client, ids: client.projects.list(),
    "projects.endpoints.list": lambda client, ids: client.projects.endpoints.list(project_id="p"),
    "endpoints.deployments.list": lambda client, ids: client.endpoints.deployments.list(ids["endpoint"], project_id="p"),
    "endpoints.deployments.retrieve": lambda client, ids: client.endpoints.deployments.retrieve(
        ids["deployment"], endpoint_id=ids["endpoint"], project_id="p"
    ),
    "endpoints.adapters.list": lambda client, ids: client.endpoints.adapters.list(
        ids["endpoint"], ids["deployment"], project_id="p"
    ),
    "files.list": lambda client, ids: client.files.list(),
    "files.retrieve": lambda client, ids: client.files.retrieve(ids["file"]),
    "fine_tuning.list": lambda client, ids: client.fine_tuning.list(),
    "fine_tuning.retrieve": lambda client, ids: client.fine_tuning.retrieve(ids["job"]),
    "fine_tuning.list_events": lambda client, ids: client.fine_tuning.list_events(ids["job"]),
    "fine_tuning.list_checkpoints": lambda client, ids: client.fine_tuning.list_checkpoints(ids["job"]),
    "fine_tuning.list_metrics": lambda client, ids: client.fine_tuning.list_metrics(ids["job"]),
    "fine_tuning.model_limits": lambda client, ids: client.fine_tuning.model_limits(model=MODEL),
    "fine_tuning.list_supported_models": lambda client, ids: client.fine_tuning.list_supported_models(),
    "batches.list": lambda client, ids: client.batches.list(),
    "batches.retrieve": lambda client, ids: client.batches.retrieve(ids["batch"]),
    "batches.create": lambda client, ids: client.batches.create(input_file_id=ids["input"], endpoint="/v1/chat/completions"),
    "endpoints.list": lambda client, ids: client.endpoints.list(),
    "endpoints.list_hardware": lambda client, ids: client.endpoints.list_hardware(),
    "endpoints.list_avzones": lambda client, ids: client.endpoints.list_avzones(),
    "evaluation.list": lambda client, ids: client.evaluation.list(),
    "images.generate": lambda client, ids: client.images.generate(
        model="black-forest-labs/FLUX.1-schnell", prompt="a", width=64, height=64, response_format="base64"
    ),
    "videos.create": lambda client, ids: client.videos.create(model="minimax/video-01-director", prompt="a"),
    "audio.voices.list": lambda client, ids: client.audio.voices.list(),
    "code_interpreter.sessions.list": lambda client, ids: client.code_interpreter.sessions.list(),
}


class Replies:
    """Forwards requests to the emulator until it has a body to answer with; keeps the last response."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.last: Any = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.body is None:
            with httpx.Client() as service:
                response = service.send(request)
            self.last = response.json()
            return httpx.Response(response.status_code, json=self.last)
        return httpx.Response(200, content=self.body, headers={"content-type": "application/json"})


@pytest.fixture(scope="module")
def ids(shared_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the ids of a file, a job and a batch."""
    client = Together(api_key="k" * 16, base_url=shared_emulator.base_url)
    folder: Path = tmp_path_factory.mktemp("mutated")
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    file = client.files.upload(folder / "train.jsonl", check=False)
    job = client.fine_tuning.create(training_file=file.id, model=MODEL)
    bodies = [{"custom_id": "a", "body": {"model": MODEL, "messages": ROWS[0]["messages"][:1]}}]
    (folder / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bodies))
    source = client.files.upload(folder / "batch.jsonl", purpose="batch-api", check=False)
    batch = client.batches.create(input_file_id=source.id, endpoint="/v1/chat/completions")
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "for the costs"}])
    upload = client.models.upload(model_name="mine", model_source="me/mine")
    endpoint = str(client.projects.endpoints.create("mutated", project_id="p").id)
    model, scale = "projects/p/models/m", {"min_replicas": 1}
    deployment = client.endpoints.deployments.create(endpoint, name="d", model=model, autoscaling=scale, project_id="p")
    where: Any = {"endpoint_id": endpoint, "deployment_id": str(deployment.id), "project_id": "p"}
    client.endpoints.adapters.create(adapter_model_id="lora", **where)
    return {
        "endpoint": endpoint,
        "deployment": str(deployment.id),
        "upload": str(upload.job_id),
        "file": file.id,
        "job": str(job.id),
        "input": source.id,
        "batch": str(batch.id),
    }


async def check(name: str, shared_emulator: Emulator, ids: dict[str, str], count: int | None) -> int:
    replies = Replies()
    transport = httpx.MockTransport(replies)
    options: Any = {"api_key": "k" * 16, "base_url": shared_emulator.base_url, "max_retries": 0}
    client = Together(http_client=httpx.Client(transport=transport), **options)
    other = AsyncTogether(http_client=httpx.AsyncClient(transport=transport), **options)
    CALLS[name](client, ids)
    answers = list(mutations(_small(replies.last)))
    if count is not None:
        answers = random.Random(name).sample(answers, min(count, len(answers)))
    problems = []
    for answer in answers:
        replies.body = json.dumps(answer).encode()
        outcomes = []
        for flavour in (client, other):
            try:
                result = CALLS[name](flavour, ids)
                result = result if flavour is client else await result
                outcomes.append(repr(result))
            except Exception as error:  # of any kind: only documented ones are right
                outcomes.append(type(error).__name__)
                if not isinstance(error, TogetherError):
                    problems.append(f"{error!r} for {json.dumps(answer)}")
        if outcomes[0] != outcomes[1]:
            problems.append(f"{outcomes} for {json.dumps(answer)}")
    assert not problems, "\n".join([f"{len(problems)} of {len(answers)} answers", *(text[:600] for text in problems[:8])])
    return len(answers)


def _small(value: Any) -> Any:
    """Returns a response with two entries at most in each list."""
    if isinstance(value, list):
        return [_small(item) for item in value[:2]]
    return {key: _small(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", CALLS)
async def test_mutated_responses(name: str, shared_emulator: Emulator, ids: dict[str, str]) -> None:
    assert await check(name, shared_emulator, ids, 25) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
async def test_all_mutated_responses(name: str, shared_emulator: Emulator, ids: dict[str, str]) -> None:
    assert await check(name, shared_emulator, ids, None) > 0
