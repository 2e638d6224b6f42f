"""Replayed exchanges: a client whose every request gets one recorded response, and cassettes with readable bodies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.recordings import cassettes
from tests.recordings.replay import Recording, Replay
from together_adapters.transport import retry


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without delay: delays are tested with the retry policy."""
    monkeypatch.setattr(retry, "INITIAL_DELAY", 0.0)
    monkeypatch.setattr(retry, "MAX_HINT", 0.0)


@pytest.fixture
def replay(flavour: Any, no_waiting: None) -> Iterator[Callable[..., tuple[Any, Replay]]]:
    """Returns a function that makes a client of one recording, and the transport that responds."""
    opened: list[Any] = []

    def client_of(recording: Recording, **options: Any) -> tuple[Any, Replay]:
        player = Replay(recording)
        transport = httpx.MockTransport(player.asynchronous if flavour.is_async else player.sync)
        opened.append((httpx.AsyncClient if flavour.is_async else httpx.Client)(transport=transport))
        return flavour.client(http_client=opened[-1], **options), player

    yield client_of
    for client in opened:
        flavour.run(client.aclose() if flavour.is_async else client.close())


def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    vcr.register_serializer(cassettes.SERIALIZER, cassettes)
