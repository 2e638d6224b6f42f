"""The examples of docs/control.md run on the emulator."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import KEY
from together_adapters.emulator import Emulator

PAGE = (Path(__file__).parents[2] / "docs/control.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples(
    example: str, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("langchain", "llama_index"):
        if package in example:
            pytest.importorskip(f"{package}_together_adapters.{'llms' if package == 'langchain' else 'llm'}")
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "control.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert bool(printed) == ("print" in example)
    if "ledger=" in example:
        assert printed.startswith("openai/gpt-oss-120b primes 1 calls $0.0000")
        assert (tmp_path / "usage.sqlite").exists()
