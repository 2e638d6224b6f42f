"""Checks E01-E09: retries, timeouts, broken streams."""

from __future__ import annotations

from typing import Any

import pytest

from together_adapters.emulator import Fault

from .provider import KEY, Factory, run, user
from .wire import WireServer, error


class ResilienceChecks:
    """Failures are retried exactly as often as configured, and never hidden."""

    def test_e01_rate_limit(self, llm_factory: Factory, wire: WireServer) -> None:
        """Two 429 with `Retry-After: 0`, then a response: three requests."""
        wire.script(error(429, "slow down", retry_after=0, times=2))
        assert llm_factory(max_retries=2).chat(user()).message.content
        assert len(wire.requests) == 3

    def test_e02_server_error(self, llm_factory: Factory, wire: WireServer) -> None:
        """A 500, then a response."""
        wire.script(error(500, "oops"))
        assert run(llm_factory(max_retries=2).achat(user())).message.content
        assert len(wire.requests) == 2

    def test_e03_bad_request(self, llm_factory: Factory, wire: WireServer) -> None:
        """A 400 is sent once, and its message surfaces."""
        wire.script(error(400, "no such parameter", times=4))
        with pytest.raises(Exception, match="no such parameter"):
            llm_factory(max_retries=2).chat(user())
        assert len(wire.requests) == 1

    def test_e04_no_multiplied_retries(self, llm_factory: Factory, wire: WireServer) -> None:
        """`max_retries=2` means at most three requests."""
        wire.script(error(500, "oops", retry_after=0, times=12))
        with pytest.raises(Exception, match="oops"):
            llm_factory(max_retries=2).chat(user())
        assert len(wire.requests) <= 3

    def test_e05_error_inside_a_stream(self, llm: Any, wire: WireServer) -> None:
        """An error event raises; it does not end the stream silently."""
        wire.script(Fault("stream-error", message="engine died"))
        with pytest.raises(Exception, match="engine died"):
            list(llm.stream_chat(user()))

    def test_e06_cut_stream(self, llm: Any, wire: WireServer) -> None:
        """A stream without finish reason and end marker raises."""
        wire.script(Fault("no-done"))
        with pytest.raises(Exception, match=r"\S"):
            list(llm.stream_chat(user()))

    def test_e07_timeout(self, llm_factory: Factory, wire: WireServer) -> None:
        """The timeout is enforced."""
        wire.delay(60)
        with pytest.raises(Exception, match=r"(?i)time"):
            llm_factory(timeout=0.5, max_retries=0).chat(user())

    def test_e08_no_retries(self, llm_factory: Factory, wire: WireServer) -> None:
        """`max_retries=0` sends one request; with more, opening a stream is retried too."""
        wire.script(error(500, "oops"))
        with pytest.raises(Exception, match="oops"):
            llm_factory(max_retries=0).chat(user())
        assert len(wire.requests) == 1
        wire.script(error(500, "oops", retry_after=0))
        assert list(llm_factory(max_retries=1).stream_chat(user()))[-1].message.content
        assert len(wire.requests) == 3

    def test_e09_no_key_in_errors(self, llm_factory: Factory, wire: WireServer) -> None:
        """No error shows the key, even if the service repeats it."""
        wire.script(error(401, f"invalid key {KEY}"))
        with pytest.raises(Exception, match=r"\S") as error_info:
            llm_factory(max_retries=0).chat(user())
        assert KEY not in f"{error_info.value} {error_info.value!r} {error_info.value.__dict__}"
