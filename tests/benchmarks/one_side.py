"""One side of a comparison: a process with one version of the library, which does an operation when it is told and says what that cost.

It reads commands from standard input and writes the answers to standard output, each as a line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from typing import Any, Final

from tests.benchmarks.measure import Bench, Contestant, Operation, Row
from tests.benchmarks.operations import OPERATIONS, quieten
from tests.benchmarks.server import running


class Side:
    """The operation that is measured now."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._name = ""
        self._ours: Contestant | None = None
        self._scale = 1.0

    def build(self, name: str, turn: float) -> dict[str, Any]:
        """Make an operation and warm it up; return the unit of its figures, or why there are none."""
        self._bench.clear()
        self._name, self._ours = name, None
        result = OPERATIONS[name](name, self._bench)
        if not isinstance(result, Operation):
            return {"unit": _first(result).unit, "seconds": 1.0}
        self._ours = Contestant(result.ours, self._bench.loop)
        self._ours.once()
        self._ours.prepare(turn)
        self._scale = result.scale
        return {"unit": result.unit, "seconds": self._ours.seconds}

    def turn(self) -> dict[str, Any]:
        """Do it; return what a unit of work cost."""
        if self._ours is None:
            return {"cost": _first(OPERATIONS[self._name](self._name, self._bench)).ours}
        gc.collect()
        gc.disable()
        try:
            self._ours.take_turn()
        finally:
            gc.enable()
        return {"cost": self._ours.cost() * self._scale}


def _first(result: Row | list[Row] | Operation) -> Row:
    row = result[0] if isinstance(result, list) else result
    assert isinstance(row, Row)
    if row.ours is None:
        raise ValueError(row.note)
    return row


def main() -> None:
    """Answer commands until there are no more."""
    answers: Final = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what an operation prints is no answer
    quieten()
    with running() as server, asyncio.Runner() as loop:
        bench = Bench(server, loop)
        side = Side(bench)
        for line in sys.stdin:
            command, *arguments = json.loads(line)
            try:
                answer = getattr(side, command)(*arguments)
            except Exception as problem:
                answer = {"problem": f"{type(problem).__name__}: {problem}".splitlines()[0][:78]}
            print(json.dumps(answer), file=answers, flush=True)
        bench.clear()


if __name__ == "__main__":
    main()
