"""The pytest fixture `together_emulator`, available wherever this package is installed. Nothing is imported until it is used.

def test_my_program(together_emulator):
    my_program.main()  # its clients use the emulator, because of environment variables
    assert together_emulator.requests[0].json["model"] == "..."
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from together_adapters.emulator.server import Emulator


@pytest.fixture
def together_emulator_options() -> dict[str, Any]:
    """Arguments for `together_adapters.emulator.serve`; override this fixture to change them."""
    return {}


@pytest.fixture
def together_emulator(together_emulator_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A local Together API for one test. `TOGETHER_BASE_URL` and `TOGETHER_API_KEY` are set for clients."""
    try:
        from together_adapters.emulator import serve
    except ImportError as error:
        pytest.fail(str(error), pytrace=False)
    with serve(**together_emulator_options) as emulator:
        monkeypatch.setenv("TOGETHER_BASE_URL", emulator.base_url)
        monkeypatch.setenv("TOGETHER_API_KEY", emulator.api_key)
        yield emulator
