"""The table: what was measured, against what, and whether that is good enough."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from tests.benchmarks import peers
from tests.benchmarks.measure import Row

_COLUMNS: Final = "{:<50} {:>10} {:>10} {:<8} {:<20} {:<9} {}"
_PACKAGES: Final = (
    "httpx", "httpcore", "httpx2", "h11", "orjson", "pydantic", "pydantic-core", "langchain-core", "llama-index-core", "httpx-aiohttp", "aiohttp",
)  # fmt: skip


def heading() -> str:
    """Return the head of the table."""
    titles = _COLUMNS.format("operation", "ours", "baseline", "unit", "ratio (min-max)", "goal", "verdict")
    return f"{titles}\n{'-' * 118}"


def line(row: Row) -> str:
    """Return a row of the table."""
    name = f"  {row.name}" if row.peer else row.name
    if row.ours is None or row.baseline is None:
        return f"{name:<50} {row.note}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({min(row.ratios):.2f}-{max(row.ratios):.2f})"
    baseline = "" if row.peer else figure(row.baseline)
    return _COLUMNS.format(name, figure(row.ours), baseline, row.unit, ratio, _goal(row), row.verdict).rstrip()


def machine(load: str) -> str:
    """Return the line about where this was measured."""
    versions = ", ".join(f"{name} {version_text}" for name in _PACKAGES if (version_text := _version(name)))
    return f"{os.cpu_count()} cores, load {load}, {platform.python_implementation()} {platform.python_version()}, {versions}"


def peers_line() -> str:
    """Return the line about the other libraries."""
    installed = peers.versions()
    missing = [name for name in peers.DISTRIBUTIONS if name not in installed]
    version_text = ", ".join(f"{name} {number}" for name, number in installed.items())
    parts = [f"peers: {version_text}"] if version_text else []
    parts += [f"not installed, so not compared: {', '.join(missing)}"] if missing else []
    return "; ".join(parts)


def summary(rows: Iterable[Row]) -> str:
    """Return how many goals are met."""
    verdicts = [row.verdict for row in rows]
    return f"{verdicts.count('met')} goals met, {verdicts.count('missed')} missed"


def as_json(rows: Iterable[Row], load: str) -> dict[str, Any]:
    """Return everything, for comparison with another run."""
    return {
        "machine": machine(load),
        "peers": peers.versions(),
        "rows": [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in rows],
    }


def load() -> str:
    """Return the load of the machine, where it tells."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def figure(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return (
        f"<= {row.goal.most:g}x"
        if row.goal.kind == "ratio"
        else f"<= {row.goal.most:g} {row.unit if row.unit == 'ms' else ''}".rstrip()
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
