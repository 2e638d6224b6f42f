"""Runs that are killed at random moments and started again. The emulator, which is in another process, says what they sent and paid."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.bulk.interrupted_run import bodies
from tests.conftest import eventually
from together_adapters.emulator import Emulator, serve

COUNT = 48
SCRIPT = Path(__file__).with_name("interrupted_run.py")
DIFFERENT = len({json.dumps(body) for body in bodies(COUNT)})


def start(emulator: Emulator, via: str, checkpoint: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, str(SCRIPT), emulator.base_url, via, str(checkpoint), str(COUNT)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=SCRIPT.parents[2])


def until_first_request(emulator: Emulator, process: subprocess.Popen[bytes]) -> None:
    before = len(emulator.requests)
    while len(emulator.requests) == before and process.poll() is None:
        time.sleep(0.002)


def run_with_kills(emulator: Emulator, via: str, checkpoint: Path, delays: list[float]) -> tuple[list[Any], int]:
    """Kills a run once for each delay after its first request, then lets it end; returns its results and the number of kills."""
    kills = 0
    for delay in delays:
        process = start(emulator, via, checkpoint)
        until_first_request(emulator, process)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        process.communicate()
    process = start(emulator, via, checkpoint)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    lines = [json.loads(line) for line in output.splitlines()]
    assert lines.pop() == {"end": COUNT}
    return lines, kills


def check(emulator: Emulator, lines: list[Any]) -> None:
    """Checks the results against the inputs, and against what the emulator has counted."""
    assert [line["index"] for line in lines] == list(range(COUNT))
    assert [line["answer"] for line in lines] == [body["messages"][0]["content"] for body in bodies(COUNT)]
    assert [line["error"] for line in lines] == [None] * COUNT


def check_jobs(emulator: Emulator, lines: list[Any]) -> None:
    check(emulator, lines)
    stores = emulator._state.stores
    files = Counter(file.name for file in stores.files.complete() if file.name.startswith("bulk-"))
    assert max(files.values()) == 1, "a finished shard was uploaded twice"
    jobs = Counter(batch.input_file_id for batch in stores.batches.values())
    assert max(jobs.values()) == 1, "a shard has two jobs"
    assert len(files) == len(jobs) == -(-DIFFERENT // 10)
    assert emulator.bill.total(kind="batch").requests == DIFFERENT, "a request was paid twice"


def kill_jobs(seed: int, kills: int, tmp_path: Path) -> int:
    generator = random.Random(seed)
    count = number = 0
    while count < kills:
        with serve(job_seconds=1.0) as emulator:
            emulator.reply(lambda request: request["messages"][-1]["content"])
            delays = [generator.uniform(0, 0.6) for _ in range(4)]
            lines, killed = run_with_kills(emulator, "batch", tmp_path / f"run-{number}.sqlite", delays)
            check_jobs(emulator, lines)
        count, number = count + killed, number + 1
    return count


@pytest.mark.long
def test_killed_runs_of_jobs_continue(tmp_path: Path) -> None:
    assert kill_jobs(7, 3, tmp_path) >= 3


@pytest.mark.slow
def test_a_hundred_kills(tmp_path: Path) -> None:
    assert kill_jobs(11, 100, tmp_path) >= 100


@pytest.mark.long
def test_killed_online_runs_continue_as_jobs(tmp_path: Path) -> None:
    """What a killed run had answered is not sent again; of what was under way, nobody knows, and it is paid twice."""
    with serve(job_seconds=0.5) as emulator:
        emulator.reply(lambda request: request["messages"][-1]["content"])
        emulator.behave(delay=0.03)
        process = start(emulator, "online", tmp_path / "run.sqlite")
        under_way = 4
        assert eventually(lambda: emulator.bill.total(kind="chat").requests > 2 * under_way)
        process.kill()
        process.communicate()
        lines, _ = run_with_kills(emulator, "batch", tmp_path / "run.sqlite", [])
        check(emulator, lines)
        assert emulator.bill.total(kind="chat").requests > under_way
        assert DIFFERENT <= emulator.bill.total().requests <= DIFFERENT + under_way
        assert emulator.bill.total(kind="batch").requests < DIFFERENT
