"""The vendor's SDKs and OpenAI's work with the emulator: files, uploads in parts, batches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"


@pytest.fixture
def folder(tmp_path: Path, emulator: Emulator) -> Iterator[Path]:
    """A folder with data files, and an account without files."""
    (tmp_path / "train.jsonl").write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]}) + "\n"
            for n in range(20)
        )
    )
    (tmp_path / "bad.jsonl").write_text('{"text": "a"}\n{"text": 3}\n')
    (tmp_path / "large.jsonl").write_text("".join(json.dumps({"text": f"{n} " + "word " * 2_000}) + "\n" for n in range(1_200)))
    lines = [{"custom_id": f"r-{n}", "body": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}} for n in range(3)]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    yield tmp_path
    emulator._state.reset_stores()


TOGETHER_3 = """
import asyncio, os, time
from together import AsyncTogether, NotFoundError, Together
from together.lib import constants
from together.lib.resources import files as managers

client = Together(api_key="k", base_url=os.environ["ROOT"])

def settled(id):
    while (file := client.files.retrieve(id)).processing_status not in ("COMPLETED", "INVALID_FORMAT", "FAILED"):
        time.sleep(0.05)
    return file

file = client.files.upload("train.jsonl", purpose="fine-tune")
assert file.filename == "train.jsonl" and file.processing_status in ("PENDING", "QUEUED", "RUNNING", "COMPLETED") and file.file_type == "jsonl", file
done = settled(file.id)
assert done.processing_status == "COMPLETED" and done.validation_report.nlines == 20, done
assert client.files.upload("train.jsonl", purpose="fine-tune").id == file.id
assert [one.id for one in client.files.list().data] == [file.id]
assert client.files.content(file.id).read() == open("train.jsonl", "rb").read()
bad = settled(client.files.upload("bad.jsonl", purpose="fine-tune").id)
assert bad.processing_status == "INVALID_FORMAT" and bad.validation_report.error.startswith("Line 2:"), bad
gone = client.files.delete(bad.id)
assert gone.deleted and gone.id == bad.id
try:
    client.files.retrieve(bad.id)
except NotFoundError:
    pass
else:
    raise AssertionError("a file that was deleted")

managers.MULTIPART_THRESHOLD_GB, managers.TARGET_PART_SIZE_MB = 0.001, 5
large = client.files.upload("large.jsonl", purpose="fine-tune")
assert client.files.content(large.id).read() == open("large.jsonl", "rb").read()
assert settled(large.id).processing_status == "COMPLETED"
client.files.delete(large.id)

asked = client.files.upload("batch.jsonl", purpose="batch-api")
batch = client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions").job
assert batch.status == "VALIDATING"
while batch.status in ("VALIDATING", "IN_PROGRESS"):
    time.sleep(0.05)
    batch = client.batches.retrieve(batch.id)
assert batch.status == "COMPLETED" and batch.progress == 100, batch
assert len(client.files.content(batch.output_file_id).read().splitlines()) == 3
assert [one.id for one in client.batches.list()] == [batch.id]
another = client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions").job
assert client.batches.cancel(another.id).status == "CANCELLED"

async def later():
    async with AsyncTogether(api_key="k", base_url=os.environ["ROOT"]) as client:
        large = await client.files.upload("large.jsonl", purpose="fine-tune")
        assert (await (await client.files.content(large.id)).read()) == open("large.jsonl", "rb").read()
        await client.files.delete(large.id)
        managers.MULTIPART_THRESHOLD_GB = 5.0
        large = await client.files.upload("large.jsonl", purpose="fine-tune")
        assert (await client.files.retrieve(large.id)).bytes == os.path.getsize("large.jsonl")
        made = (await client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions")).job
        assert made.id in [one.id for one in await client.batches.list()]
        assert (await client.batches.cancel(made.id)).status == "CANCELLED"
asyncio.run(later())
"""

TOGETHER_1 = """
import asyncio, os, time
from together import AsyncTogether, Together, error, filemanager
from together.resources import files as resource
from together.filemanager import MultipartUploadManager

client = Together(api_key="k", base_url=os.environ["BASE"])
file = client.files.upload(file="train.jsonl", purpose="fine-tune")
assert file.filename == "train.jsonl" and file.object == "file", file
while client.files.retrieve(file.id).processing_status != "COMPLETED":
    time.sleep(0.05)
assert client.files.retrieve(file.id).line_count is not None
assert [one.id for one in client.files.list().data] == [file.id]
got = client.files.retrieve_content(file.id, output="got.jsonl")
assert open("got.jsonl", "rb").read() == open("train.jsonl", "rb").read() and got.size == os.path.getsize("train.jsonl")
assert client.files.delete(file.id).deleted
try:
    client.files.retrieve(file.id)
except error.InvalidRequestError:
    pass
else:
    raise AssertionError("a file that was deleted")
try:
    client.files.upload(file="bad.jsonl")
except error.FileTypeError:
    pass
else:
    raise AssertionError("a bad file")

resource.MULTIPART_THRESHOLD_GB = filemanager.MULTIPART_THRESHOLD_GB = 0.001
filemanager.TARGET_PART_SIZE_MB = 5
large = client.files.upload(file="large.jsonl", purpose="fine-tune")
client.files.retrieve_content(large.id, output="large-got.jsonl")
assert open("large-got.jsonl", "rb").read() == open("large.jsonl", "rb").read()

asked = client.files.upload(file="batch.jsonl", purpose="batch-api", check=False)
batch = client.batches.create_batch(asked.id, "/v1/chat/completions")
while batch.status not in ("COMPLETED", "FAILED"):
    time.sleep(0.05)
    batch = client.batches.get_batch(batch.id)
assert batch.status == "COMPLETED", batch
client.files.retrieve_content(batch.output_file_id, output="answers.jsonl")
assert len(open("answers.jsonl").readlines()) == 3
assert [one.id for one in client.batches.list_batches()] == [batch.id]
another = client.batches.create_batch(asked.id, "/v1/chat/completions")
assert client.batches.cancel_batch(another.id).status == "CANCELLED"

async def later():
    client = AsyncTogether(api_key="k", base_url=os.environ["BASE"])
    made = await client.batches.create_batch(asked.id, "/v1/chat/completions")
    assert (await client.batches.get_batch(made.id)).id == made.id
    assert made.id in [one.id for one in await client.batches.list_batches()]
    assert (await client.batches.cancel_batch(made.id)).status == "CANCELLED"
    assert (await client.files.retrieve(asked.id)).filename == "batch.jsonl"
    assert asked.id in [one.id for one in (await client.files.list()).data]
    assert (await client.files.delete(large.id)).deleted
asyncio.run(later())
"""

OPENAI = """
import os, time
from openai import NotFoundError, OpenAI

client = OpenAI(api_key="k", base_url=os.environ["BASE"])
file = client.files.create(file=open("train.jsonl", "rb"), purpose="fine-tune")
assert file.filename == "train.jsonl" and file.bytes == os.path.getsize("train.jsonl")
assert [one.id for one in client.files.list().data] == [file.id]  # iterating would request further pages, which do not exist
assert client.files.content(file.id).read() == open("train.jsonl", "rb").read()
assert client.files.retrieve(file.id).id == file.id
assert client.files.delete(file.id).deleted
try:
    client.files.retrieve(file.id)
except NotFoundError:
    pass
else:
    raise AssertionError("a file that was deleted")

asked = client.files.create(file=open("batch.jsonl", "rb"), purpose="batch")
started = client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions", completion_window="24h")
batch = client.batches.retrieve(started.job["id"])
while batch.status in ("VALIDATING", "IN_PROGRESS"):
    time.sleep(0.05)
    batch = client.batches.retrieve(batch.id)
assert batch.status == "COMPLETED"
assert len(client.files.content(batch.output_file_id).read().splitlines()) == 3
another = client.batches.create(input_file_id=asked.id, endpoint="/v1/chat/completions", completion_window="24h")
assert client.batches.cancel(another.job["id"]).status == "CANCELLED"
"""


@pytest.mark.parametrize(
    ("package", "major", "variable", "script"),
    [
        ("together", "3", "TOGETHER_SDK_PYTHON_3", TOGETHER_3),
        ("together", "1", "TOGETHER_SDK_PYTHON_1", TOGETHER_1),
        ("openai", "", "OPENAI_SDK_PYTHON", OPENAI),
    ],
)
def test_a_foreign_client(emulator: Emulator, folder: Path, package: str, major: str, variable: str, script: str) -> None:
    drive(python_with(package, major, variable), script, emulator, folder)
    storage = [request for request in emulator.requests if request.path.startswith("/uploads/")]
    assert not any("authorization" in request.headers for request in storage)
    assert len(storage) >= (0 if package == "openai" else 4)
