"""Importing the package is cheap, and needs no extra until one is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from together_adapters.emulator import Emulator

ROOT = Path(__file__).parent.parent.parent
EXTRAS = (
    "langchain_core",
    "llama_index",
    "numpy",
    "starlette",
    "uvicorn",
    "orjson",
    "simdjson",
    "pybase64",
    "msgspec",
    "httpx_aiohttp",
    "httpx2",
    "wreq",
    "httpcore2",
    "opentelemetry",
    "tqdm",
    "tiktoken",
    "openai",
)
BLOCK = """
import sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in sys.argv[1:] else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Without, sys.meta_path)
"""


def run(code: str, *missing: str, fails: bool = False) -> str:
    """Runs code in an interpreter without some modules; returns its output, or its traceback."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK + code, *missing],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stderr
    return done.stderr if fails else done.stdout


def imported_by(code: str) -> set[str]:
    output = run(f"{code}\nimport json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))")
    return set(json.loads(output))


@pytest.mark.parametrize(
    "code",
    ["import together_adapters", "import together_adapters; dir(together_adapters); together_adapters.__version__"],
    ids=["import", "look"],
)
def test_importing_the_package_imports_no_dependency(code: str) -> None:
    heavy = {"httpx", "httpcore", "pydantic", "pydantic_core", "anyio", "asyncio", "ssl", "filelock", *EXTRAS}
    assert imported_by(code) & heavy == set()


def test_errors_are_imported_without_http() -> None:
    assert imported_by("from together_adapters import TogetherError, RateLimitError") & {"httpx", "pydantic", *EXTRAS} == set()


def test_a_client_imports_no_extra() -> None:
    assert imported_by("from together_adapters import Together; Together(api_key='any')") & set(EXTRAS) == set()


@pytest.mark.parametrize("kind", ["Together", "AsyncTogether"])
@pytest.mark.parametrize(
    ("option", "package", "extra"),
    [
        ("http_library='httpx2'", "httpx2", '"together-adapters[httpx2]" (".[httpx2]" in a clone)'),
        ("transport='fast'", "wreq", '"together-adapters[fast]"'),
    ],
)
def test_a_missing_http_library_is_a_configuration_error_that_names_its_extra(
    kind: str, option: str, package: str, extra: str
) -> None:
    code = f"from together_adapters import {kind}; {kind}(api_key='any-key', {option})"
    message = run(code, package, fails=True).strip()
    assert message.splitlines()[-1].startswith(f"together_adapters.errors.ConfigurationError: {option}")
    assert f"pip install {extra}" in message
    assert message.count("Traceback") == 1


def test_importing_the_emulator_imports_no_web_framework() -> None:
    assert imported_by("import together_adapters.emulator") & {"starlette", "uvicorn", "httpx"} == set()


CORE = """
import asyncio
from together_adapters import AsyncTogether, Together, NotFoundError
url = {url!r}
question = {{"model": "acme/any", "messages": [{{"role": "user", "content": "Say hello to Ann."}}]}}
with Together(api_key="any-key", base_url=url) as client:
    print(client.chat.completions.create(**question).choices[0].message.content)
    print("".join(chunk.choices[0].delta.content for chunk in client.chat.completions.create(**question, stream=True)))
    print(len(client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=["a", "b"]).data))
    print(client.rerank.create(model="acme/ranker", query="a", documents=["b", "a"]).results[0].index)
    print(len(client.models.list()) > 3)
async def main():
    async with AsyncTogether(api_key="any-key", base_url=url) as client:
        stream = await client.chat.completions.create(**question, stream=True)
        print("".join([chunk.choices[0].delta.content async for chunk in stream]))
        print(len((await client.embeddings.create(model="BAAI/bge-base-en-v1.5", input=["a", "b"])).data))
asyncio.run(main())
"""


def test_the_core_works_without_any_extra(emulator: Emulator) -> None:
    output = run(CORE.format(url=emulator.base_url), *EXTRAS).splitlines()
    assert output == ["Hello to Ann.", "Hello to Ann.", "2", "1", "True", "Hello to Ann.", "2"]
    assert emulator.errors == []


FEATURES = {
    "langchain": ("import langchain_together_adapters; langchain_together_adapters.ChatTogether", ["langchain_core"]),
    "langchain-embeddings": ("from langchain_together_adapters import TogetherEmbeddings", ["langchain_core"]),
    "llama-index": ("import llama_index_together_adapters; llama_index_together_adapters.TogetherLLM", ["llama_index"]),
    "llama-index-rerank": ("from llama_index_together_adapters import TogetherRerank", ["llama_index"]),
    "emulator": ("import together_adapters.emulator; together_adapters.emulator.serve", ["starlette", "uvicorn"]),
    "emulator-uvicorn": ("from together_adapters.emulator import serve", ["uvicorn"]),
    "otel": ("from together_adapters import telemetry; telemetry.instrument()", ["opentelemetry"]),
    "numpy": (
        "from together_adapters.types.embeddings import EmbeddingResponse; EmbeddingResponse(data=[]).to_numpy()",
        ["numpy"],
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_a_missing_extra_is_named_in_one_line(feature: str) -> None:
    code, missing = FEATURES[feature]
    extra = feature.removesuffix("-embeddings").removesuffix("-rerank").removesuffix("-uvicorn")
    message = run(code, *missing, fails=True).strip()
    last = message.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"together-adapters[{extra}]" in last
    assert "During handling" not in message
    assert "direct cause" not in message
    assert message.count("Traceback") == 1


def test_the_emulator_as_a_program_names_its_extra_too() -> None:
    code = "import runpy; runpy.run_module('together_adapters.emulator', run_name='__main__')"
    last = run(code, "starlette", "uvicorn", fails=True).strip().splitlines()[-1]
    assert "together-adapters[emulator]" in last
