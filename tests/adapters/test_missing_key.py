"""What is said to somebody without a key: in the client and in every adapter, the way to go on."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from together_adapters import AsyncTogether, ConfigurationError, Together

langchain: Any = pytest.importorskip("langchain_together_adapters")
llama_index: Any = pytest.importorskip("llama_index_together_adapters")

PROGRAM = """
import subprocess, sys
process = subprocess.Popen([sys.executable, "-m", "together_adapters.cli", *{command!r}.split()[1:]], stdout=subprocess.PIPE, text=True)
print([process.stdout.readline() for _ in range(3)])
process.terminate()
process.wait(60)
"""
MAKERS: dict[str, Callable[[], Any]] = {
    "Together": Together,
    "AsyncTogether": AsyncTogether,
    **{name: getattr(langchain, name) for name in ("ChatTogether", "TogetherEmbeddings", "TogetherRerank")},
    "Together of LangChain": langchain.Together,
    "TogetherLLM": llama_index.TogetherLLM,
    "TogetherEmbedding": llama_index.TogetherEmbedding,
    "TogetherRerank of LlamaIndex": llama_index.TogetherRerank,
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_emulator_is_named(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"TOGETHER_API_KEY.*`together-adapters emulator`; a test gets its own by @pytest.mark.together$"
    ):
        MAKERS[name]()


def test_what_the_error_names_prints_what_it_says() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Together()
    command = re.findall("`(.*)`", str(caught.value))[0]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(command=command)], capture_output=True, text=True, timeout=120, check=True
    )
    assert "export TOGETHER_BASE_URL=" in run.stdout and "export TOGETHER_API_KEY=any" in run.stdout


def test_a_server_of_this_machine_takes_any_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ConfigurationError, match="the emulator and most servers of this machine take any word"):
        Together()
