"""The examples of docs/testing.md about recorded tests run, and what they show is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.testing.conftest import NOWHERE
from together_adapters import APIConnectionError, Together
from together_adapters.emulator import Emulator
from together_adapters.testing import replay

SECTION = (
    (Path(__file__).parents[2] / "docs" / "testing.md")
    .read_text("utf-8")
    .partition("## Recorded tests\n")[2]
    .partition("\n## ")[0]
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


MARKER, CONTEXT = blocks("python")
"""The first example is run by `test_pytest_plugin`."""


def test_context_managers(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
    monkeypatch.setenv("TOGETHER_API_KEY", emulator.api_key)
    for _ in range(2):
        exec(compile(CONTEXT, "testing.md", "exec"), {})
        assert capsys.readouterr().out == blocks("text")[0]


def test_the_file_is_one(tmp_path: Path) -> None:
    path = tmp_path / "france.yaml"
    path.write_text(blocks("yaml")[0], "utf-8")
    question: Any = {"model": "openai/gpt-oss-120b", "messages": [{"role": "user", "content": "Name the capital of France."}]}
    with replay(path) as session, Together(base_url=NOWHERE, max_retries=0) as client:
        chunks = client.chat.completions.create(**question, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Paris."
        with pytest.raises(APIConnectionError, match="ConnectError: Connection refused"):
            client.models.list()
    assert not session.unused
