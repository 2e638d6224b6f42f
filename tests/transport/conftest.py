"""What the transport's scenarios share."""

from __future__ import annotations

import pytest


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff of a millisecond, where a test is about what is repeated and not about when."""
    monkeypatch.setattr("together_adapters.transport.retry.INITIAL_DELAY", 0.001)
