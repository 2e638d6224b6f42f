"""What pages run against."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from together_adapters.emulator import Emulator


@pytest.fixture
def emulator(emulator: Emulator) -> Iterator[Emulator]:
    """The emulator as users have it: a page names models that exist."""
    with emulator.behave(any_model=False):
        yield emulator
