"""The names of the package, and the cost of importing it."""

from __future__ import annotations

import json
import subprocess
import sys

import llama_index_together_adapters
import pytest


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=100)


def test_names() -> None:
    assert llama_index_together_adapters.__all__ == ["TogetherEmbedding", "TogetherLLM", "TogetherRerank"]
    assert dir(llama_index_together_adapters) == llama_index_together_adapters.__all__
    with pytest.raises(AttributeError, match="Nothing"):
        llama_index_together_adapters.Nothing  # noqa: B018


@pytest.mark.long
def test_nothing_heavy_is_imported() -> None:
    done = python(
        "import json, sys; import llama_index_together_adapters as here; lazy = 'llama_index.core' in sys.modules;"
        "import llama_index.core.llms.function_calling, httpx; before = set(sys.modules); here.TogetherLLM; here.TogetherRerank;"
        "here.TogetherEmbedding; print(json.dumps([lazy, sorted(set(sys.modules) - before), 'openai' in sys.modules]))"
    )
    lazy, modules, openai = json.loads(done.stdout)
    assert not lazy
    assert not openai
    of_the_client = {name for name in modules if name.split(".")[0] == "together_adapters"}
    assert len(of_the_client) <= 44
    assert len(modules) - len(of_the_client) <= 25
    assert not {"together_adapters.client", "together_adapters.emulator", "together_adapters.finetune"} & of_the_client
    assert not {"requests", "tiktoken", "transformers"} & set(modules)


@pytest.mark.parametrize("missing", ["llama_index", "llama_index.core"])
def test_without_core(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from llama_index_together_adapters import TogetherLLM"
    done = python(code)
    assert done.returncode == 1
    assert 'pip install "together-adapters[llama-index]"' in done.stderr.splitlines()[-1]
    assert "another exception" not in done.stderr
    assert "direct cause" not in done.stderr
