"""A local server that speaks Together's HTTP API, so that programs and tests run with no key and no network.

It is no language model: its answers are drawn, by fixed rules, from the words of the request. What is faithful is the wire:
shapes, headers, streams, errors, and the ways in which they go wrong.

    from together_adapters.emulator import serve

    with serve() as emulator:
        client = Together(base_url=emulator.base_url, api_key="any")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from together_adapters.emulator.http.behaviour import Behaviour
    from together_adapters.emulator.http.faults import Fault
    from together_adapters.emulator.http.request_log import RecordedRequest
    from together_adapters.emulator.server import Emulator, serve

__all__ = ["Behaviour", "Emulator", "Fault", "RecordedRequest", "serve"]

_HOMES = {
    "Behaviour": "http.behaviour",
    "Emulator": "server",
    "Fault": "http.faults",
    "RecordedRequest": "http.request_log",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    """Import on first use: importing the package must not cost a web framework."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module
    from importlib.util import find_spec

    if missing := [package for package in ("starlette", "uvicorn") if find_spec(package) is None]:
        raise ImportError(f'the emulator needs {" and ".join(missing)}: pip install "together-adapters[emulator]"')
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
