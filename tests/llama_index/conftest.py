"""Warnings of llama-index-core itself are ignored; all others are errors."""

from __future__ import annotations

import pytest

OF_CORE = (
    "ignore::DeprecationWarning:inspect",  # workflows look at every attribute of an agent
    "ignore:is_running called from within a step:DeprecationWarning",  # ReActAgent
)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let warnings of llama-index-core pass in the tests of this folder."""
    for warning in OF_CORE:
        item.add_marker(pytest.mark.filterwarnings(warning))
