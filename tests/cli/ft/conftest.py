"""Fixtures of training data, and an emulator with quick jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import RunResult, conversation
from together_adapters.emulator import Emulator, serve


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator for one test: files and jobs remain in an account."""
    with serve(job_seconds=0.2) as running:
        yield running


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(map(conversation, range(60))), "utf-8")
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def report_of(result: RunResult) -> Any:
    """The document on stdout, whatever the exit code."""
    return json.loads(result.out)
