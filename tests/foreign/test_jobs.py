"""The vendor's SDKs and OpenAI's work with the emulator: fine-tunes, evaluations, models, endpoints, hardware."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

ROWS = [
    {"messages": [{"role": "user", "content": f"What is the code word of gate number {at}?"},
                  {"role": "assistant", "content": f"The word is zebra-{at}."}]}
    for at in range(12)
]  # fmt: skip
DATA = "".join(json.dumps(row) + "\n" for row in ROWS)

TOGETHER_1 = """
import asyncio, os, time
from together import AsyncTogether, Together
client = Together(api_key="k", base_url=os.environ["BASE"])
file = client.files.upload("train.jsonl", purpose="fine-tune", check=True)
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
assert client.fine_tuning.get_model_limits(model=MODEL).lora_training.max_rank == 64
assert client.fine_tuning.estimate_price(training_file=file.id, model=MODEL).allowed_to_proceed
job = client.fine_tuning.create(training_file=file.id, model=MODEL, n_checkpoints=2, suffix="s", verbose=False)
assert job.id in [one.id for one in client.fine_tuning.list().data]
for _ in range(100):
    done = client.fine_tuning.retrieve(job.id)
    if done.status.value == "completed":
        break
    time.sleep(0.1)
assert done.status.value == "completed", done.status
events = client.fine_tuning.list_events(job.id).data
assert events[0].type.value == "JOB_PENDING" and events[-1].type.value == "JOB_COMPLETE"
points = client.fine_tuning.list_checkpoints(job.id)
assert points[0].name == job.id and points[-1].name.startswith(job.id + ":")
result = client.fine_tuning.download(job.id, output="model.tar.gz")
assert result.size == os.path.getsize("model.tar.gz") > 1000
assert client.fine_tuning.download(points[-1].name).filename.endswith(".tar.gz")
said = client.chat.completions.create(model=done.output_name,
                                      messages=[{"role": "user", "content": "What is the code word of gate number 4?"}])
assert said.choices[0].message.content == "The word is zebra-4."
written = client.completions.create(model=done.output_name, prompt="What is the code word of gate number 7?")
assert written.choices[0].text.strip() == "The word is zebra-7."
models = client.models.list()
assert done.output_name in [one.id for one in models] and len(client.models.list(dedicated=True)) < len(models)
further = client.fine_tuning.create(training_file=file.id, from_checkpoint=job.id, validation_file=file.id, n_evals=1,
                                    training_method="dpo", dpo_beta=0.2, rpo_alpha=0.1)
assert further.training_method.method == "dpo" if hasattr(further.training_method, "method") else further.training_method["method"] == "dpo"
other = client.fine_tuning.create(training_file=file.id, model=MODEL, lora=False)
assert client.fine_tuning.cancel(other.id).status.value in ("cancelled", "cancel_requested")
assert client.fine_tuning.delete(other.id).message

data = client.files.upload("eval.jsonl", purpose="eval", check=False)
made = client.evaluation.create(type="classify", judge_model="openai/gpt-oss-120b", judge_model_source="serverless",
    judge_system_template="Is it kind?", input_data_file_path=data.id, labels=["kind", "rude"], pass_labels=["kind"],
    model_to_evaluate="response")
for _ in range(100):
    if client.evaluation.status(made.workflow_id).status.value == "completed":
        break
    time.sleep(0.1)
results = client.evaluation.retrieve(made.workflow_id).results
assert results["pass_percentage"] == 50.0, results
assert made.workflow_id in [one.workflow_id for one in client.evaluation.list(limit=50)]
config = {"model": "openai/gpt-oss-120b", "model_source": "serverless", "max_tokens": 50, "temperature": 0.1,
          "system_template": "Be brief.", "input_template": "{{prompt}}"}
judge = {"judge_model": "openai/gpt-oss-120b", "judge_model_source": "serverless", "judge_system_template": "Which is better?"}
for kind, more in (("score", {"min_score": 0, "max_score": 10, "pass_threshold": 5, "model_to_evaluate": config}),
                   ("compare", {"model_a": "response", "model_b": config})):
    made = client.evaluation.create(type=kind, input_data_file_path=data.id, **judge, **more)
    for _ in range(100):
        if client.evaluation.status(made.workflow_id).status.value == "completed":
            break
        time.sleep(0.1)
    assert client.evaluation.retrieve(made.workflow_id).results["result_file_id"]

async def later():
    client = AsyncTogether(api_key="k", base_url=os.environ["BASE"])
    assert done.output_name in [one.id for one in await client.models.list()]
    made = await client.fine_tuning.create(training_file=file.id, model=MODEL)
    assert (await client.fine_tuning.retrieve(made.id)).id == made.id
    assert (await client.fine_tuning.list_events(made.id)).data[0].type.value == "JOB_PENDING"
    assert await client.fine_tuning.list_checkpoints(made.id) == []
    assert (await client.fine_tuning.get_model_limits(model=MODEL)).max_num_epochs
    assert (await client.fine_tuning.cancel(made.id)).id == made.id
    made = await client.evaluation.create(type="score", input_data_file_path=data.id, min_score=0, max_score=1, pass_threshold=1, **judge)
    assert (await client.evaluation.retrieve(made.workflow_id)).workflow_id == made.workflow_id
    assert await client.evaluation.list(limit=1)
asyncio.run(later())
"""

TOGETHER_3 = """
import asyncio, io, os, tarfile, time
import httpx
from together import AsyncTogether, ConflictError, NotFoundError, Together
client = Together(api_key="k", base_url=os.environ["ROOT"], project_id="proj-1")
file = client.files.upload("train.jsonl", purpose="fine-tune", check=False)
MODEL = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
assert client.fine_tuning.model_limits(model_name=MODEL).lora_training.default_rank == 8
job = client.fine_tuning.create(training_file=file.id, model=MODEL, n_checkpoints=2, lora=True)
assert job.id in [one.id for one in client.fine_tuning.list().data]
for _ in range(100):
    done = client.fine_tuning.retrieve(job.id)
    if done.status == "completed":
        break
    time.sleep(0.1)
assert done.status == "completed"
assert client.fine_tuning.list_events(job.id).data[-1].type.lower() == "job_complete"
assert len(client.fine_tuning.list_checkpoints(job.id).data) == 3
assert client.fine_tuning.list_metrics(job.id, resolution=2).metrics
assert client.fine_tuning.preview(model=MODEL, training_file=file.id, top_k=1).rows
assert client.fine_tuning.estimate_price(training_file=file.id, model=MODEL).estimation_available
with client.fine_tuning.with_streaming_response.content(ft_id=job.id, checkpoint="merged") as reply:
    assert len(b"".join(reply.iter_bytes())) > 1000
said = client.chat.completions.create(model=done.x_model_output_name if hasattr(done, "x_model_output_name") else done.model_output_name,
                                      messages=[{"role": "user", "content": "What is the code word of gate number 4?"}])
assert said.choices[0].message.content == "The word is zebra-4."
written = client.completions.create(model=done.model_output_name, prompt="What is the code word of gate number 7?")
assert written.choices[0].text.strip() == "The word is zebra-7."
tokenized = client.fine_tuning.retrieve_tokenized_dataset(job.id)
packed = httpx.get(tokenized.url).content
assert len(packed) == tokenized.size and tarfile.open(fileobj=io.BytesIO(packed)).getnames() == ["train.jsonl"]
with open("batch.jsonl", "w") as lines:
    lines.write('{"custom_id": "r-1", "body": {"messages": [{"role": "user", "content": "What is the code word of gate number 5?"}]}}\\n')
asked = client.files.upload("batch.jsonl", purpose="batch-api", check=False)
batch = client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions", model_id=done.model_output_name).job
while batch.status in ("VALIDATING", "IN_PROGRESS"):
    time.sleep(0.05)
    batch = client.batches.retrieve(batch.id)
assert b"zebra-5" in client.files.content(batch.output_file_id).read()
further = client.fine_tuning.create(training_file=file.id, from_checkpoint=job.id, validation_file=file.id, n_evals=4,
                                    early_stopping_enabled=True, training_method="dpo", dpo_beta=0.2, simpo_gamma=0.5, lora=True)
assert further.id
other = client.fine_tuning.create(training_file=file.id, model=MODEL)
assert client.fine_tuning.cancel(other.id).status in ("cancelled", "cancel_requested")
client.fine_tuning.delete(other.id)

data = client.files.upload("eval.jsonl", purpose="eval", check=False)
made = client.evals.create(type="score", parameters={"judge": {"model": "openai/gpt-oss-120b", "model_source": "serverless",
    "system_template": "Is it kind?"}, "input_data_file_path": data.id, "min_score": 0, "max_score": 10, "pass_threshold": 5,
    "model_to_evaluate": "response"})
for _ in range(100):
    job = client.evals.retrieve(made.workflow_id)
    if client.evals.status(made.workflow_id).status == "completed":
        break
    time.sleep(0.1)
job = client.evals.retrieve(made.workflow_id)
assert job.results.aggregated_scores.mean_score >= 0 and job.results.result_file_id
assert made.workflow_id in [one.workflow_id for one in client.evals.list()]
parameters = {"judge": {"model": "openai/gpt-oss-120b", "model_source": "serverless", "system_template": "Is it kind?"},
              "input_data_file_path": data.id}
for kind, more in (("classify", {"labels": ["kind", "rude"], "pass_labels": ["kind"], "model_to_evaluate": "response"}),
                   ("compare", {"model_a": "response", "model_b": "prompt"})):
    made = client.evals.create(type=kind, parameters={**parameters, **more})
    for _ in range(100):
        if client.evals.status(made.workflow_id).status == "completed":
            break
        time.sleep(0.1)
    assert client.evals.status(made.workflow_id).results.result_file_id

supported = list(client.models.list_supported(limit=5))  # pages of five
assert len(supported) > 10 and client.models.retrieve_supported(supported[7].id).name == supported[7].name
assert done.model_output_name in [one.name for one in client.models.list()]
own = client.models.create(name="mine", base_model_id=supported[0].id, type="model")
assert client.models.retrieve(own.id).name == "proj-1/mine"
client.models.delete(own.id)
hardware = client.endpoints.hardware.list().data
assert client.endpoints.hardware.retrieve(hardware[0].id).gpu_count == hardware[0].gpu_count
made = client.endpoints.create(name="front")
assert client.chat.completions.create(model=made.name, messages=[{"role": "user", "content": "Say hello to Ann."}]).choices
assert client.endpoints.update(made.id, visibility="VISIBILITY_INTERNAL", etag=made.etag).visibility == "VISIBILITY_INTERNAL"
try:
    client.with_options(max_retries=0).endpoints.update(made.id, name="back", etag=made.etag)
except ConflictError:
    pass
else:
    raise AssertionError("an old etag")
assert [one.id for one in client.endpoints.list()] == [made.id]
client.endpoints.delete(made.id)
try:
    client.endpoints.retrieve(made.id)
except NotFoundError:
    pass
else:
    raise AssertionError("an endpoint that was deleted")

async def later():
    async with AsyncTogether(api_key="k", base_url=os.environ["ROOT"], project_id="proj-1") as client:
        made = await client.fine_tuning.create(training_file=file.id, model=MODEL)
        assert (await client.fine_tuning.retrieve(made.id)).id == made.id
        assert (await client.fine_tuning.list_events(made.id)).data
        assert (await client.fine_tuning.model_limits(model_name=MODEL)).max_num_epochs
        assert (await client.fine_tuning.cancel(made.id)).id == made.id
        made = await client.evals.create(type="compare", parameters={**parameters, "model_a": "response", "model_b": "prompt"})
        assert (await client.evals.status(made.workflow_id)).status
        assert [one.id async for one in client.models.list_supported(limit=20)] == [one.id for one in supported]
asyncio.run(later())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.jsonl").write_text(DATA)
    rows = [{"prompt": "Say it.", "response": "That was kind of you."}, {"prompt": "Say it.", "response": "What a rude man."}]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_together_1(emulator: Emulator, folder: Path) -> None:
    drive(python_with("together", "1", "TOGETHER_SDK_PYTHON_1"), TOGETHER_1, emulator, folder)


def test_together_3(emulator: Emulator, folder: Path) -> None:
    drive(python_with("together", "3", "TOGETHER_SDK_PYTHON_3"), TOGETHER_3, emulator, folder)
