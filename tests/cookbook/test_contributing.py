"""The example endpoint of CONTRIBUTING.md works, and its tests pass with both clients."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from together_adapters import AsyncTogether, Together
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.routes import models

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
TYPES, RESOURCE, ROUTE, TESTS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SCENARIOS: dict[str, Any] = {}
exec(compile(TESTS, "CONTRIBUTING.md", "exec"), SCENARIOS)


def create_module(monkeypatch: pytest.MonkeyPatch, name: str, source: str) -> ModuleType:
    """Creates a module from a code block of the page."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source, "CONTRIBUTING.md", "exec"), module.__dict__)
    return module


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An emulator with the new route, and clients with the new resource."""
    create_module(monkeypatch, "together_adapters.types.voices", TYPES)
    resource = create_module(monkeypatch, "together_adapters.resources.voices", RESOURCE)
    route = create_module(monkeypatch, "together_adapters.emulator.routes.voices", ROUTE)
    for client in (Together, AsyncTogether):
        monkeypatch.setattr(client, "voices", property(lambda self: resource.VoiceCatalogue(self._driver)), raising=False)
    monkeypatch.setattr(models, "ROUTES", [*models.ROUTES, *route.ROUTES])  # as if `ROUTE_MODULES` named the new module
    with serve() as running:
        yield running


@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name.startswith("test_")])
def test_example_endpoint(scenario: str, flavour: Any, emulator: Emulator) -> None:
    SCENARIOS[scenario](flavour, emulator)
    assert emulator.errors == []
