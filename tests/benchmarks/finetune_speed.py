"""Validating training data: both engines compared with parsing each line by orjson, and with the vendor's own check; and writing it.

Every contestant runs in its own process, so that memory is not shared and the vendor's interpreter can be another one. They take
turns in rounds, as in the other benchmarks, and measure the CPU time of each turn themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.benchmarks.finetune_sets import CHECKED, write
from tests.benchmarks.measure import Bench, Builder, Goal, Row
from tests.server_process import ROOT

SHARE: Final = float(os.environ.get("FINETUNE_SETS_SHARE", "0.02"))
"""The share of the full sets; 1 takes minutes."""

ROUNDS: Final = 5
WRITTEN: Final = ("short", "long", "tools", "agents", "varied", "pref", "pairs", "sharegpt", "csv")
VENDOR: Final = os.environ.get("TOGETHER_SDK_PYTHON_3", "")
"""Read on import, since the benchmark removes such variables from the environment."""

_TURNS: Final = """
import json, resource, sys, time
def peak():
    try:
        with open("/proc/self/status") as file:  # ru_maxrss counts the parent's memory, which a child shares until it is replaced.
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
for path in map(str.strip, sys.stdin):
    began = time.process_time()
    rows = work(path)
    cpu = time.process_time() - began
    print(json.dumps([rows, cpu, peak()]), flush=True)
"""
_CHECK: Final = """
from together_adapters.finetune import check_jsonl
def work(path):
    report = check_jsonl(path)
    assert report.ok and report.engine == ENGINE, (report.engine, report.issues[:1])
    return report.rows
"""
_SCRIPTS: Final = {
    "msgspec": "ENGINE = 'msgspec'\n" + _CHECK,
    "python": "import sys\nENGINE, sys.modules['together_adapters.finetune.validation.fast_validator'] = 'python', None\n"
    + _CHECK,
    "orjson": """
import orjson
def work(path):
    with open(path, "rb") as file:
        return sum(orjson.loads(line) is not None for line in file)
""",
    "write": """
from together_adapters.finetune import load, write_jsonl
def work(path):
    report = write_jsonl(load(path), path + ".out.jsonl", overwrite=True).report
    assert report.ok and report.valid == report.rows, report.issues[:1]
    return report.rows
""",
    "rewrite": """
import csv, orjson
def work(path):
    with open(path, newline="") as file, open(path + ".other", "wb") as new:
        rows = csv.DictReader(file) if path.endswith("csv") else map(orjson.loads, file)
        return sum(new.write(orjson.dumps(row) + b"\\n") > 0 for row in rows)
""",
    "vendor": """
from pathlib import Path
from together.lib.utils import check_file
def work(path):
    report = check_file(Path(path), purpose="fine-tune")
    assert report["is_check_passed"], report
    return report["num_samples"]
""",
}
_GOALS: Final = {("msgspec", "orjson"): Goal(2.0), ("msgspec", "vendor"): Goal(0.5), ("python", "vendor"): Goal(1.0)}
_GOALS_OF_KIND: Final = {
    kind: {("msgspec", "orjson"): Goal(2.5), ("msgspec", "vendor"): Goal(0.6), ("python", "vendor"): None}
    for kind in ("agents", "varied")
}
_MAX_MEMORY: Final = Goal(120, "value")
"""Megabytes."""


class Process:
    """The process of a contestant, with its number of rows and peak memory."""

    def __init__(self, name: str) -> None:
        interpreter = VENDOR if name == "vendor" else sys.executable
        command = [interpreter, "-c", _SCRIPTS[name] + _TURNS]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rows, self.peak = 0, 0.0

    def turn(self, path: Path) -> float:
        """Processes a file; returns the CPU time in seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        self.rows, seconds, self.peak = json.loads(self._process.stdout.readline())
        return float(seconds)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()


def check(name: str, bench: Bench, *, kind: str) -> list[Row]:
    """Runs all installed contestants on one of the sets."""
    contestants = [name for name in ("msgspec", "python", "orjson", "vendor") if name != "vendor" or VENDOR]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rows = write(kind, path := Path(folder, "data.jsonl"), SHARE)
        processes = {contestant: stack.enter_context(Process(contestant)) for contestant in contestants}
        for process in processes.values():
            process.turn(path)
            assert process.rows == rows, f"{process.rows} rows are not {rows}"
        costs: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        for number in range(ROUNDS):
            for contestant in contestants if number % 2 == 0 else reversed(contestants):
                costs[contestant].append(processes[contestant].turn(path))
        peak = {contestant: process.peak for contestant, process in processes.items()}
    goals = _GOALS_OF_KIND.get(kind, _GOALS)
    rows_of_goals = [_compare(name, pair, costs, rows, goal) for pair, goal in goals.items() if pair[1] in costs]
    return [*rows_of_goals, Row(f"{name}, peak memory", "MB", peak["msgspec"], peak["orjson"], (), _MAX_MEMORY)]


def _compare(name: str, pair: tuple[str, str], costs: dict[str, list[float]], rows: int, goal: Goal | None) -> Row:
    contestant, other = pair
    mine, base = ([seconds / rows * 1e6 for seconds in costs[contestant]] for contestant in (contestant, other))
    ratios = tuple(one / another for one, another in zip(mine, base, strict=True))
    return Row(f"{name}, {contestant} to {other}", "us", median(mine), median(base), ratios, goal)


def write_file(name: str, bench: Bench, *, kind: str) -> list[Row]:
    """Converts a set to a checked training file, and compares that with parsing and writing each line."""
    with tempfile.TemporaryDirectory() as folder, Process("write") as process, Process("rewrite") as other:
        rows = write(kind, path := Path(folder, "data.csv" if kind == "csv" else "data.jsonl"), SHARE)
        costs: dict[str, list[float]] = {"write": [], "rewrite": []}
        for number in range(ROUNDS + 1):
            for contestant, one in (("write", process), ("rewrite", other)):
                seconds = one.turn(path)
                assert one.rows == rows, f"{one.rows} rows are not {rows}"
                costs[contestant] += [seconds] if number else []
        peak = Row(f"{name}, peak memory", "MB", process.peak, other.peak, (), _MAX_MEMORY)
    return [_compare(name, ("write", "rewrite"), costs, rows, Goal(4 if kind == "csv" else 3)), peak]


OPERATIONS: Final[dict[str, Builder]] = {
    **{f"check {kind} rows": partial(check, kind=kind) for kind in CHECKED},
    **{f"write {kind} rows": partial(write_file, kind=kind) for kind in WRITTEN},
}
