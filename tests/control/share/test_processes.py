"""Several processes that share limits: together they send no more than one alone may."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import KEY, eventually
from tests.control.share.counting_server import MODEL, TOKENS, CountingServer, serve_counting
from tests.control.share.program import begin, programs, run
from together_adapters import Control, RateLimitError, Together
from together_adapters.control.share import state

pytestmark = pytest.mark.long

BURST = 0.1  # seconds' worth
LATE = 1.0


def arguments(server: CountingServer, count: int, *, requests: int, flavours: str, **control: Any) -> list[dict[str, Any]]:
    """Returns the arguments of programs, whose flavours take turns."""
    kinds = {"sync": ["sync"], "async": ["async"], "both": ["sync", "async"]}[flavours]
    return [
        {
            "control": control,
            "base_url": server.base_url,
            "name": f"program {number}",
            "requests": requests,
            "flavour": kinds[number % len(kinds)],
        }
        for number in range(count)
    ]


def assert_paced(server: CountingServer, per_second: float) -> None:
    """Checks that no more arrived by any time than may be sent; the first may have arrived late."""
    first = server.arrivals[0][0]
    for number, (at, _) in enumerate(server.arrivals):
        assert number <= (at - first + LATE + BURST) * per_second


FLAVOURS = pytest.mark.parametrize(
    ("flavours", "count"),
    [pytest.param("sync", 2, marks=pytest.mark.slow), pytest.param("async", 2, marks=pytest.mark.slow), ("both", 3)],
)


@FLAVOURS
def test_requests_in_a_minute_are_those_of_all(share: str, flavours: str, count: int) -> None:
    with serve_counting() as server:
        settings = arguments(server, count, requests=72 // count, flavours=flavours, share=share, requests_per_minute=30.0 * 60)
        with programs(*settings) as processes:
            assert run(processes) == [[0, 0, 72 // count]] * count
    assert_paced(server, 30.0)


def test_tokens_in_a_minute_are_those_of_all(share: str) -> None:
    with serve_counting() as server:
        settings = arguments(server, 3, requests=24, flavours="both", share=share, tokens_per_minute=30.0 * TOKENS * 60)
        with programs(*settings) as processes:
            run(processes)
    assert_paced(server, 30.0)


@FLAVOURS
def test_requests_in_flight_are_those_of_all(share: str, flavours: str, count: int) -> None:
    with serve_counting(seconds=0.05) as server:
        settings = arguments(server, count, requests=24, flavours=flavours, share=share, max_concurrency=3)
        with programs(*settings) as processes:
            assert run(processes) == [[0, 0, 24]] * count
    assert server.peak == 3


def test_who_is_killed_frees_its_places(share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MEMBER_SECONDS", 1.0)
    with serve_counting(seconds=3600.0) as server:
        with programs(*arguments(server, 1, requests=4, flavours="async", share=share, max_concurrency=2)) as processes:
            begin(processes)
            assert eventually(lambda: server.in_progress == 2)
            server.seconds = 0.0
            os.kill(processes[0].pid, signal.SIGKILL)
        control = Control(share=share, max_concurrency=2)
        with Together(api_key=KEY, base_url=server.base_url, control=control) as client:
            for _ in range(3):
                client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "survivor"}])
        assert control.ledger.total().waited > 0.1
        control.close()


def test_a_time_to_wait_that_the_service_names_is_for_all(share: str) -> None:
    with serve_counting() as server:
        first, second = (Control(share=share) for _ in range(2))
        server.refusals = 1
        with Together(api_key=KEY, base_url=server.base_url, control=first, max_retries=0) as client:
            start = time.monotonic()
            with pytest.raises(RateLimitError):
                client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "refused"}])
        first.close()
        with Together(api_key=KEY, base_url=server.base_url, control=second) as client:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "later"}])
        second.close()
        assert server.arrivals[-1][0] - start >= 1.0


FORK = """
import os, sys
from together_adapters import Control

def takes(control, seconds=0.0):
    turn = control.limiter.turn(1)
    return turn if turn.wait(control.limiter.clock() + seconds) else None

control = Control(share=sys.argv[1], max_concurrency=2)
turn = takes(control, 30)
assert turn, "the parent has one place"
child = os.fork()
if not child:
    assert control.state().in_flight == 0, "the child has none"
    assert takes(control, 30), "the child has the other place"
    assert takes(control, 0.3) is None, "there are no more"
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert control.state().in_flight == 1
turn.release(status=200)
assert takes(control, 30)
"""


def test_a_fork_shares_with_its_parent(share: str, tmp_path: Path) -> None:
    flags = ["-W", "error", "-W", "ignore:.*fork:DeprecationWarning"]
    subprocess.run([sys.executable, *flags, "-c", FORK, share], check=True, timeout=60)
