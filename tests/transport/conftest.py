"""What the transport's scenarios share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import anyio
import pytest


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff of a millisecond, where a test is about what is repeated and not about when."""
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the drivers, in seconds, which take no time."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("together_adapters.transport.sync_driver.time", SimpleNamespace(**{**vars(time), "sleep": pauses.append}))
    monkeypatch.setattr("together_adapters.transport.async_driver.anyio", _AnyioWithSleep(sleep))
    return pauses


class _AnyioWithSleep:
    """The module `anyio` with another function `sleep`."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.sleep = sleep

    def __getattr__(self, name: str) -> object:
        return getattr(anyio, name)
