"""The SDKs run the examples that `docs/emulator.md` has for them, and fail where it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.foreign.driving import drive, python_with
from together_adapters.emulator import Emulator

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text("utf-8").partition("## Other programs")[2]
URL = "http://127.0.0.1:8000/v1"
CHECK = """
try:
    client.models.list()
    raise SystemExit("it was listed")
except {error}:
    pass
"""


@pytest.mark.parametrize(
    ("package", "major", "variable", "error"),
    [
        ("openai", "", "OPENAI_SDK_PYTHON", "AttributeError"),
        ("together", "3", "TOGETHER_SDK_PYTHON_3", "ValueError"),
        ("together", "1", "TOGETHER_SDK_PYTHON_1", ""),
    ],
)
def test_the_page(package: str, major: str, variable: str, error: str, emulator: Emulator, tmp_path: Path) -> None:
    python = python_with(package, major, variable)
    (block,) = re.findall(rf"```py\n(from {package} import .*?)```", PAGE, re.DOTALL)
    assert URL in block
    script = block.replace(URL, emulator.base_url) + (CHECK.format(error=error) if error else "")
    drive(python, script, emulator, tmp_path)
    assert emulator.requests[0].path.endswith("/chat/completions")
