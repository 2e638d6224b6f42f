"""Fixtures of training data, and an emulator with quick jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import conversation
from together_adapters.emulator import Emulator, serve


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator of its own: files and jobs stay at a service."""
    with serve(job_seconds=0.2) as running:
        yield running


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(map(conversation, range(60))), "utf-8")
    return path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
