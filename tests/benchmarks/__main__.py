"""Measure, and show the table as it grows. It reports and never fails: times differ, and are no test."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import imports, report
from tests.benchmarks.measure import Bench, Operation, Pace, Row, measure
from tests.benchmarks.operations import OPERATIONS, matches, quieten
from tests.benchmarks.server import running

QUICK = Pace(rounds=2, turn=0.005, peer_rounds=1, limit=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    options = _options(arguments)
    pace = QUICK if options.quick else Pace(turn=options.turn)
    if options.rounds:
        pace = replace(pace, rounds=options.rounds, limit=math.inf)
    load, began = report.load(), time.monotonic()
    rows: list[Row] = []
    print(report.heading(), flush=True)
    for row in _rows(options.only, pace):
        rows.append(row)
        print(report.line(row), flush=True)
    print(f"\n{report.summary(rows)}. CPU of the client alone; ratios are medians of {pace.rounds} interleaved rounds.")
    print(report.peers_line())
    print(f"{report.machine(load)}; {time.monotonic() - began:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(report.as_json(rows, load), indent=1))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="operations whose name holds this; repeatable"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="paired measurements of each operation (7)")
    parser.add_argument("--turn", type=float, default=Pace().turn, metavar="S", help="seconds of one turn (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to a file as well")
    return parser.parse_args(arguments)


def _rows(only: Sequence[str], pace: Pace) -> Iterator[Row]:
    quieten()
    names = [name for name in OPERATIONS if matches(name, only)]
    if names:
        with running() as server, asyncio.Runner() as loop:
            bench = Bench(server, loop)
            for name in names:
                yield from _measure_one(name, bench, pace)
                bench.clear()
    for statement in imports.IMPORTS:
        if matches(statement.name, only):
            yield from imports.measure_import(statement, min(imports.ROUNDS, pace.rounds))


def _measure_one(name: str, bench: Bench, pace: Pace) -> list[Row]:
    try:
        result = OPERATIONS[name](name, bench)
        if isinstance(result, Operation):
            return measure(result, bench, pace)
        return [result] if isinstance(result, Row) else result
    except ImportError as missing:
        return [Row(name, note=f"cannot be measured: {str(missing).splitlines()[0]}")]
    except Exception as problem:
        return [Row(name, note=f"failed: {type(problem).__name__}: {problem}"[:78])]


if __name__ == "__main__":
    main()
