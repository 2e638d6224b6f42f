"""A local server that speaks Together's HTTP API, so that programs and tests run with no key and no network.

It is no language model: its answers are drawn, by fixed rules, from the words of the request. What is faithful is the wire:
shapes, headers, streams, errors, and the ways in which they go wrong.

    from together_adapters.emulator import serve

    with serve() as emulator:
        client = Together(base_url=emulator.base_url, api_key="any")
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from together_adapters._lazy import attach, require

__all__ = ["Behaviour", "Emulator", "Fault", "RecordedRequest", "serve"]

if TYPE_CHECKING:
    from together_adapters.emulator.http.behaviour import Behaviour
    from together_adapters.emulator.http.faults import Fault
    from together_adapters.emulator.http.request_log import RecordedRequest
    from together_adapters.emulator.server import Emulator, serve
else:
    __getattr__, __dir__ = attach(
        __name__,
        {
            "Behaviour": ".http.behaviour",
            "Emulator": ".server",
            "Fault": ".http.faults",
            "RecordedRequest": ".http.request_log",
            "serve": ".server",
        },
        before_import=partial(require, "the emulator", "emulator", "starlette", "uvicorn"),
    )
