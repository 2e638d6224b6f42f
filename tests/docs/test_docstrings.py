"""The examples of docstrings, which the reference shows, run on the emulator."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import KEY
from tests.docs.pages import ROOT
from together_adapters import AsyncTogether, Together, telemetry
from together_adapters.emulator import Emulator
from together_adapters.emulator.media import audio

ROOTS = (ROOT, ROOT / "integrations")


FENCE = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
BARE_IMPORT = re.compile(r"^ *(?:from [\w.]+ )?import \w|^ *>>> ", re.MULTILINE)


def docstrings() -> Iterator[tuple[str, str, str]]:
    """Module, name and text of each docstring."""
    for root, pattern in zip(ROOTS, ("together_adapters/**/*.py", "*_adapters/**/*.py"), strict=True):
        for path in sorted(root.glob(pattern)):
            module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    yield module, getattr(node, "name", ""), ast.get_docstring(node) or ""


DOCSTRINGS = list(docstrings())
EXAMPLES = [(module, name, inspect.cleandoc("\n" + code)) for module, name, text in DOCSTRINGS for code in FENCE.findall(text)]


def stand_ins() -> dict[str, Any]:
    """What examples take for granted: an agent, an index, documents."""

    def ask(question: str) -> None:
        messages = [{"role": "user", "content": question}]
        Together().chat.completions.create(model="openai/gpt-oss-120b", messages=messages)

    engine = SimpleNamespace(as_query_engine=lambda **_: None)
    return {"my_agent": SimpleNamespace(run=ask), "index": engine, "documents": []}


@pytest.fixture
def uninstrumented() -> Iterator[None]:
    yield
    telemetry.uninstrument()


@pytest.mark.usefixtures("uninstrumented")
@pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")
def test_examples_of_docstrings_run_and_run_again(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    monkeypatch.chdir(tmp_path)
    Path("train.jsonl").write_text('{"prompt": "2 + 2 =", "completion": " 4"}\n')
    Path("interview.wav").write_bytes(audio.wav("So you play the violin?", 8_000))
    asyncio.set_event_loop(None)  # LlamaIndex would make one that nobody closes
    for module, name, code in EXAMPLES * 2:
        if "langchain_core.decisions" in code and find_spec("langchain_core.decisions") is None:  # before langchain-core 1.8
            continue
        exec(compile(code, f"{module}.{name}", "exec", dont_inherit=True), {**vars(import_module(module)), **stand_ins()})
    assert emulator.errors == []


def test_there_are_examples_and_no_code_that_is_not_one() -> None:
    assert len(EXAMPLES) > 15
    assert [(module, name) for module, name, text in DOCSTRINGS if BARE_IMPORT.search(FENCE.sub("", text))] == []


USUAL = [
    "chat.completions.create", "completions.create", "embeddings.create", "rerank.create", "images.generate", "audio.speech.create",
    "audio.transcriptions.create", "files.upload", "fine_tuning.create", "batches.create", "models.list",
]  # fmt: skip
SECTION = re.compile(r"^(Args|Returns|Raises|Warns|Example):$", re.MULTILINE)


@pytest.mark.parametrize("kind", [Together, AsyncTogether])
@pytest.mark.parametrize("name", USUAL)
def test_help_of_usual_methods_ends_with_an_example(name: str, kind: Any, capsys: pytest.CaptureFixture[str]) -> None:
    method = attrgetter(name)(kind(api_key="k"))
    text = inspect.getdoc(method) or ""
    sections = SECTION.findall(text)
    assert sections == [section for section in ("Args", "Returns", "Raises", "Warns", "Example") if section in sections]
    assert {"Raises", "Example"} <= set(sections)
    assert "APIConnectionError: " in text.partition("\nRaises:\n")[2].partition("\n\n")[0]
    assert f"client.{name}(" in text.partition("\nExample:\n")[2]
    help(method)
    assert f"client.{name}(" in capsys.readouterr().out
