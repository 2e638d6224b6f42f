"""A ledger of a million rows: exact sums within bounded memory. Run by `make test-slow`."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from together_adapters.control.ledger import Ledger, LedgerRow
from together_adapters.control.rows import COLUMNS, to_values

COUNT = 1_000_000
JOBS = 1_000
MEMORY = 48_000  # kB
START = datetime(2026, 11, 1, tzinfo=UTC)
READ = """
import resource, sys
from together_adapters.control.ledger import Ledger
ledger = Ledger(sys.argv[1], read_only=True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ledger.total()
print(len(ledger.by("model", "tag.job")), len(ledger.by("day")), sum(1 for _ in ledger))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def cost(number: int) -> Decimal:
    return Decimal(number % 99_991) * Decimal("0.000000012345")


@pytest.mark.slow
def test_a_million_rows(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite"
    Ledger(path).close()
    rows = (
        LedgerRow(
            START + timedelta(seconds=number),
            "chat",
            f"model {number % 3}",
            {"job": str(number % JOBS)},
            cost=float(cost(number)),
        )
        for number in range(COUNT)
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        connection.executemany(f"INSERT INTO calls ({COLUMNS}) VALUES ({marks})", map(to_values, rows))
    with Ledger(path) as ledger:
        expected = sum(cost(number) for number in range(COUNT))
        assert Decimal(repr(ledger.total().cost)) == Decimal(repr(float(expected)))
        assert ledger.spent() == ledger.total().cost
        by_job = dict(ledger.by("tag.job"))
        assert len(by_job) == JOBS
        assert by_job[("7",)].cost == float(sum(cost(number) for number in range(7, COUNT, JOBS)))
    if sys.platform == "linux":
        output = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True).stdout
        counts, memory = output.splitlines()
        assert counts == f"{3 * JOBS} 12 {COUNT}"
        assert int(memory) < MEMORY
