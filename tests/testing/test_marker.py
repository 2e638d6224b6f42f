"""The marker in the session of our own tests, where vcrpy is used as well.

To record anew, with the emulator: `python -m pytest tests/testing/test_marker.py --together-record --disable-recording`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.testing.conftest import NOWHERE, chat
from together_adapters.emulator import Emulator
from together_adapters.testing import RecordSession, ReplaySession


@pytest.fixture
def base_url(request: pytest.FixtureRequest, emulator: Emulator) -> Iterator[str]:
    yield emulator.base_url if request.config.getoption("--together-record") else NOWHERE
    assert request.config.getoption("--together-record") or not emulator.requests


@pytest.mark.together_record
def test_a_conversation(flavour: Any, base_url: str, together_recording: ReplaySession | RecordSession) -> None:
    client = flavour.client(base_url=base_url)
    answer = flavour.run(client.chat.completions.create(**chat()))
    assert answer.choices[0].message.content == "Hello to Ann."
    chunks = list(flavour.iterate(flavour.run(client.chat.completions.create(**chat(stream=True)))))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello to Ann."
    assert isinstance(together_recording, RecordSession) or not together_recording.unused


@pytest.mark.vcr
@pytest.mark.together_record
def test_beside_vcrpy(flavour: Any, base_url: str, vcr: Any) -> None:
    """vcrpy stands beneath: it would see what goes to the network."""
    pytest.importorskip("pytest_recording")
    assert flavour.run(flavour.client(base_url=base_url).chat.completions.create(**chat())).usage.total_tokens > 0
    assert not vcr  # nothing came to it
