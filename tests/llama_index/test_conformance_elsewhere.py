"""The conformance kit runs in the project of another provider, which has its own package `tests`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
MODULE = """
import pytest
from conformance import Provider
from conformance.checks import *
from llama_index_together_adapters import TogetherLLM

@pytest.fixture
def provider():
    return Provider(llm=TogetherLLM, key_variable="TOGETHER_API_KEY", lacks=frozenset({"C17"}))
"""


@pytest.mark.slow
def test_the_kit_runs_from_a_clone(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()
    (tmp_path / "tests" / "test_conformance.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "c01 or t06 or c17 or b01 or g01", "tests"]
    result = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(FOLDER)}, capture_output=True, text=True, timeout=200
    )
    assert "2 passed, 3 skipped" in result.stdout, result.stdout + result.stderr
