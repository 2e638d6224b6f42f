"""Recordings in a temporary folder, and clients that reach no server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from together_adapters.testing import record, replay
from together_adapters.transport import observation

NOWHERE = "http://127.0.0.1:9/v1"
"""A base URL at which nobody listens."""

MODEL = "deepseek-ai/DeepSeek-V4.1-Flash"


def chat(text: str = "Say hello to Ann.", **params: Any) -> dict[str, Any]:
    """Parameters of a small chat."""
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **params}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recordings" / "session.yaml"


@pytest.fixture(autouse=True)
def nothing_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """No tape stays in place after a test."""
    yield
    assert observation.tape is None or request.node.get_closest_marker("together_record")


class Session:
    """A scenario that is run twice: recorded with the emulator, and replayed without a server."""

    def __init__(self, path: Path, flavour: Any) -> None:
        self.path = path
        self.flavour = flavour

    def record(self, scenario: Any, **options: Any) -> Any:
        with record(self.path, overwrite=True):
            return scenario(self.flavour.client(**options))

    def replay(self, scenario: Any, **options: Any) -> Any:
        with replay(self.path, pace=options.pop("pace", 0.0)) as session:
            result = scenario(self.flavour.client(**{"base_url": NOWHERE, **options}))
        assert not session.misses
        return result

    def both(self, scenario: Any, **options: Any) -> Any:
        """Returns the result, which is the same both times."""
        recorded = self.record(scenario, **options)
        assert self.replay(scenario, **options) == recorded
        return recorded


@pytest.fixture
def session(path: Path, flavour: Any) -> Session:
    return Session(path, flavour)
